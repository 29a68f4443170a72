// Package bubble is for tests in simulated time that also use random numbers.
package bubble

import (
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

// Test is synctest.Test. With GODEBUG=fips140=on or only, Go's random source
// starts from the jitter of a clock that doesn't move in a bubble, and panics; so
// another one takes its place.
func Test(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, 1)
	synctest.Test(t, test)
}
