package envelope

import (
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

// bubble runs a test in simulated time. With GODEBUG=fips140=on or only, Go's
// random source starts from the jitter of a clock that doesn't move in a
// bubble, and panics; so another one takes its place.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, 1)
	synctest.Test(t, test)
}

// testDay is when the made-up keys of these tests were made.
var testDay = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
