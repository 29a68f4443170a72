package envelope

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// Rotate makes a new data key for the scope and seals with it from now on. The
// keys before it go on opening what they sealed. Without a key store this is
// the scope's key in this process; with one, other processes change over when
// they next ask the store.
func (r *KeyRing) Rotate(ctx context.Context, scope Scope) (KeyID, error) {
	scope = scope.withDefault()
	fail := func(err error) (KeyID, error) {
		return KeyID{}, fmt.Errorf("envelope: rotate the data key of %s: %w", scope, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if err := scope.validate(); err != nil {
		return fail(err)
	}
	// A flight of its own: the key must be one that nobody had before the call.
	k, err := r.once(ctx, "rotate"+rand.Text()+makeFlight(scope), func(ctx context.Context) (*dataKey, error) {
		if r.opts.Store == nil {
			return r.nextInline(ctx, scope, nil, true)
		}
		// The store knows which key is active now, and this process's cache may
		// not.
		rec, err := r.store.Active(ctx, scope, PurposeData)
		if err != nil && !errors.Is(err, ErrKeyNotFound) {
			return nil, storeError(err)
		}
		s := r.searchFor(scope)
		s.rotate = true
		return s.next(ctx, rec.KeyID)
	})
	if err != nil {
		return fail(err)
	}
	return k.id, nil
}

// A Failure is a key, or a scope, that a call over many couldn't serve.
type Failure struct {
	Key KeyName
	Err error
}

func (f Failure) Error() string { return fmt.Sprintf("%s: %v", f.Key, f.Err) }

// Unwrap returns the cause.
func (f Failure) Unwrap() error { return f.Err }

// A RotateReport tells what RotateAll did.
type RotateReport struct {
	Rotated int
	Failed  []Failure // the keys that are still active
}

// RotateAll rotates every scope that has an active data key which the filter
// chooses, several at a time. Where a key service or a key store is away or
// throttles, a scope is tried rotateAttempts times. Scopes that fail keep their
// keys and are in the report, and in the error. When giveUpAfter scopes in a row
// have failed because of the service or the store, the rest is in the report as
// not tried. To go on, call Rotate for what the report has: another RotateAll
// rotates what it chooses once more. Progress may be nil; it is told the number of
// scopes done so far, one call at a time.
func (r *KeyRing) RotateAll(ctx context.Context, f Filter, progress func(done int)) (RotateReport, error) {
	var report RotateReport
	if r.opts.Store == nil {
		return report, fmt.Errorf("envelope: rotate all: %w", errNoStore)
	}
	f.Purpose, f.States = PurposeData, []State{StateActive} // keys of other purposes change with their version only
	var mu sync.Mutex
	inARow := 0
	done := func(rec *Record, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			report.Failed = append(report.Failed, Failure{rec.Name(), err})
		} else {
			report.Rotated++
			inARow = 0
		}
		if ofService(err) || errors.Is(err, ErrStoreUnavailable) {
			inARow++
		}
		if progress != nil {
			progress(report.Rotated + len(report.Failed))
		}
	}
	hopeless := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return inARow >= giveUpAfter
	}
	var g errgroup.Group
	g.SetLimit(loadsAtOnce)
	var listing error
	var last Scope
	for rec, err := range List(ctx, r.store, f) {
		if listing = err; err != nil {
			break
		}
		if rec.Scope == last { // the key that this call has just made; a scope's keys follow each other
			continue
		}
		last = rec.Scope
		g.Go(func() error {
			if hopeless() {
				done(&rec, errNotTried)
				return nil
			}
			done(&rec, r.rotateAgain(ctx, rec.Scope, hopeless))
			return nil
		})
	}
	_ = g.Wait() // failures are in the report
	return report, summary("rotate all", listing, report.Failed)
}

var errNotTried = fmt.Errorf("not tried, since the key service or the key store failed for %d scopes in a row", giveUpAfter)

const (
	rotateAttempts = 3
	rotatePause    = 500 * time.Millisecond // before the second attempt; then twice that
)

// rotateAgain is Rotate, again where that may help and there is hope.
func (r *KeyRing) rotateAgain(ctx context.Context, scope Scope, hopeless func() bool) (err error) {
	for attempt := range rotateAttempts {
		if attempt > 0 {
			select {
			case <-time.After(rotatePause << (attempt - 1)):
			case <-ctx.Done():
				return err
			case <-r.closed.Done():
				return err
			}
			if hopeless() {
				return err
			}
		}
		if _, err = r.Rotate(ctx, scope); !passing(err) {
			return err
		}
	}
	return fmt.Errorf("after %d attempts: %w", rotateAttempts, err)
}

// passing reports failures that a later attempt may not meet.
func passing(err error) bool {
	for _, class := range []error{kmsprovider.ErrUnavailable, kmsprovider.ErrThrottled, ErrStoreUnavailable, ErrConflict} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// summary is the error of a call over many keys.
func summary(what string, listing error, failed []Failure) error {
	if listing == nil && len(failed) == 0 {
		return nil
	}
	errs := []error{listing}
	for i, f := range failed {
		if i == 3 {
			errs = append(errs, fmt.Errorf("and %d more", len(failed)-i))
			break
		}
		errs = append(errs, f)
	}
	return fmt.Errorf("envelope: %s: %d keys failed: %w", what, len(failed), errors.Join(errs...))
}
