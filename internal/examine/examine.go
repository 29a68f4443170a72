// Package examine has what the Examine methods of providers and key stores
// share.
package examine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// All runs the checks at once and returns what each has found, in their order. A
// check that hasn't returned when ctx ends, or that panics, gives a failed
// finding under its name.
func All(ctx context.Context, checks ...Check) []kmsprovider.Finding {
	found := make([][]kmsprovider.Finding, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { found[i] = c.run(ctx) })
	}
	all.Wait()
	var list []kmsprovider.Finding
	for _, f := range found {
		list = append(list, f...)
	}
	return list
}

// A Check is a part of an examination.
type Check struct {
	Name string
	Do   func(ctx context.Context) []kmsprovider.Finding
}

func (c Check) run(ctx context.Context) []kmsprovider.Finding {
	done := make(chan []kmsprovider.Finding, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil { // its value may hold anything
				done <- []kmsprovider.Finding{Failed(c.Name, fmt.Errorf("%w: it panicked with a %T", kmsprovider.ErrUnavailable, p), "")}
			}
		}()
		done <- c.Do(ctx)
	}()
	select {
	case found := <-done:
		return found
	case <-ctx.Done():
	}
	select {
	case found := <-done: // it may have more to say than that
		return found
	case <-time.After(lastWords):
		return []kmsprovider.Finding{Failed(c.Name, ctx.Err(), "")}
	}
}

// lastWords is how long a check may take to return after its context has ended.
const lastWords = 50 * time.Millisecond

// OK is the finding of a check that found nothing wrong.
func OK(check, found string) kmsprovider.Finding {
	return kmsprovider.Finding{Check: check, Status: kmsprovider.StatusOK, Found: found}
}

// Warning is the finding of a check that found what somebody should know.
func Warning(check, found, mend string) kmsprovider.Finding {
	return kmsprovider.Finding{Check: check, Status: kmsprovider.StatusWarning, Found: found, Mend: mend}
}

// Failed is the finding of a check that failed.
func Failed(check string, err error, mend string) kmsprovider.Finding {
	return kmsprovider.Finding{Check: check, Status: kmsprovider.StatusFailed, Found: err.Error(), Mend: mend, Err: err}
}

const (
	skewTold   = 10 * time.Second
	skewFailed = 5 * time.Minute // from here on AWS refuses signatures
)

// Clock compares the clock of somebody else, who was asked at sent and had
// answered at received, with that of this process. Exactly is how finely the
// other clock was told.
func Clock(whose string, theirs, sent, received time.Time, exactly time.Duration) kmsprovider.Finding {
	const check = "clock"
	// Theirs was read between the two, and lies within exactly after what was told.
	least, most := sent.Sub(theirs)-exactly, received.Sub(theirs)
	switch {
	case least <= 0 && most >= 0:
		return OK(check, fmt.Sprintf("within %v of %s", max(-least, most).Round(time.Millisecond), whose))
	case least > 0:
		return skewed(least, "ahead of", whose)
	}
	return skewed(-most, "behind", whose)
}

func skewed(by time.Duration, where, whose string) kmsprovider.Finding {
	const mend = "set this machine's clock by NTP; data keys are made and retired by it"
	found := fmt.Sprintf("this process is at least %v %s %s", by.Round(time.Millisecond), where, whose)
	switch {
	case by >= skewFailed:
		return kmsprovider.Finding{Check: "clock", Status: kmsprovider.StatusFailed, Found: found, Mend: mend}
	case by >= skewTold:
		return Warning("clock", found, mend)
	}
	return OK("clock", found)
}
