// Package conformance is what the conformance suites of key stores and of
// providers share.
package conformance

import (
	"fmt"
	"time"
)

// Within runs a call and fails if it isn't back in time. A call that never
// comes back is left behind.
func Within(limit time.Duration, do func() error) (answer, late error) {
	done := make(chan error, 1)
	go func() { done <- do() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err, nil
	case <-timer.C:
		return nil, fmt.Errorf("no answer within %v", limit)
	}
}
