package awskms

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const (
	// defaultUnreachableAfter is for Options.UnreachableAfter left zero.
	defaultUnreachableAfter = 2 * time.Second

	// defaultThrottledFor is for Options.ThrottledFor left zero.
	defaultThrottledFor = 30 * time.Second

	throttleBase, throttleMost = 50 * time.Millisecond, 2 * time.Second
)

// call runs attempt until it succeeds or there is no use in going on. It is
// the only place that retries: the SDK's retryer is off, because it gives up on
// throttled calls as soon as its quota of retries is used up.
//
// A service that is away is tried for unreachableAfter, and each attempt gets
// half of that, so that one hung connection isn't the whole call. Time in which
// the service answered "throttled" doesn't count: it was reachable.
func (p *Provider) call(ctx context.Context, op operation, rootKey string, attempt func(context.Context) error) error {
	var (
		start              = time.Now()
		away               time.Duration
		outages, throttles int
		skewed             bool
		last               failure
	)
	fail := func(f failure) error { return &callError{op: op, rootKey: rootKey, failure: f} }
	var until time.Time
	if _, bounded := ctx.Deadline(); !bounded {
		until = start.Add(p.throttledFor)
	}
	for {
		if end := ended(ctx); end != nil {
			return fail(last.until(end, throttles))
		}
		if !p.limiter.wait(ctx, rootKey, start, until) {
			if !errors.Is(last.class, kmsprovider.ErrThrottled) {
				last = heldBack
			}
			if end := ended(ctx); end != nil {
				return fail(last.until(end, throttles))
			}
			return fail(last.withoutDeadline(throttles, p.throttledFor))
		}
		began := time.Now()
		err := p.try(ctx, min(p.unreachableAfter/2, max(p.unreachableAfter-away, p.unreachableAfter/20)), attempt)
		if err == nil {
			p.limiter.answered(rootKey)
			return nil
		}
		f := classify(ctx, op, err)
		var wait time.Duration
		switch {
		case isEnd(f.class):
			p.limiter.unanswered(rootKey)
			return fail(last.until(f.class, throttles))
		case errors.Is(f.class, kmsprovider.ErrThrottled):
			// Full jitter: whoever was throttled together comes back apart.
			p.limiter.throttled(rootKey)
			wait = rand.N(exponential(throttleBase, throttleMost, throttles)) //nolint:gosec // jitter, not a secret
			throttles++
			if !until.IsZero() {
				left := time.Until(until)
				if left <= 0 {
					return fail(f.withoutDeadline(throttles, p.throttledFor))
				}
				wait = min(wait, left)
			}
		case errors.Is(f.class, kmsprovider.ErrUnavailable):
			p.limiter.unanswered(rootKey)
			most := exponential(p.unreachableAfter/40, p.unreachableAfter/4, outages)
			wait = most/2 + rand.N(most/2+1) //nolint:gosec // jitter, not a secret
			outages++
			// What is left after the wait must be enough for an answer.
			if p.unreachableAfter-away-time.Since(began)-wait < p.unreachableAfter/20 {
				f.what += fmt.Sprintf(" (%d attempts in %v)", outages, time.Since(start).Round(time.Millisecond))
				return fail(f)
			}
		case f.skewed && !skewed:
			skewed = true // once more, with the clock that the SDK has corrected
		default:
			p.limiter.answered(rootKey)
			return fail(f)
		}
		last = f
		sleep(ctx, wait)
		if errors.Is(f.class, kmsprovider.ErrUnavailable) {
			away += time.Since(began) // as it was, not as it was planned
		}
	}
}

func (p *Provider) try(ctx context.Context, most time.Duration, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return attempt(ctx)
}

// heldBack is a call that was never sent, since KMS throttles those before it.
var heldBack = failure{class: kmsprovider.ErrThrottled, what: "held back, since KMS throttles the calls before it", advice: throttledAdvice}

// withoutDeadline is what a caller is told who would have waited for ever.
func (f failure) withoutDeadline(throttles int, waited time.Duration) failure {
	if throttles > 0 {
		f.what += fmt.Sprintf(" %d times", throttles)
	}
	f.what += fmt.Sprintf(" in %v, and the caller set no deadline", waited)
	return f
}

// until turns the last failure before the end of the caller's context into
// what the caller is told. A deadline that ended while KMS throttled is both;
// a cancelled caller asked for the end and is told just that.
func (f failure) until(end error, throttles int) failure {
	if errors.Is(f.class, kmsprovider.ErrThrottled) && errors.Is(end, context.DeadlineExceeded) {
		f.also = context.DeadlineExceeded
		if throttles > 0 {
			f.what += fmt.Sprintf(" %d times", throttles)
		}
		f.what += " until the caller's deadline"
		return f
	}
	told := failure{class: context.Canceled, what: "the caller cancelled the call", requestID: f.requestID}
	if errors.Is(end, context.DeadlineExceeded) {
		told.class, told.what = context.DeadlineExceeded, "the caller's deadline has passed"
	}
	if f.what != "" {
		told.detail = printable("before that: " + f.what)
	}
	return told
}

func isEnd(class error) bool {
	return errors.Is(class, context.Canceled) || errors.Is(class, context.DeadlineExceeded)
}

// exponential returns base doubled n times, but at most most and at least 1.
func exponential(base, most time.Duration, n int) time.Duration {
	return max(1, min(most, base<<min(n, 16)))
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
