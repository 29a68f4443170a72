package envelope

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// lastWords is how long a check may go on after its deadline, to say what it was
// at.
const lastWords = 250 * time.Millisecond

// errNoReturn is for a call that ended its goroutine.
var errNoReturn = errors.New("it didn't return")

// attempt makes one call to something that isn't ours. It returns, whatever that
// does, at the end of ctx, or of limit with class for an error. A value that comes
// later is given to drop, which may be nil.
func attempt[T any](ctx context.Context, limit time.Duration, class error, do func(context.Context) (T, error), drop func(T)) (none T, err error) {
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("not tried: %w", err)
	}
	own, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan answer[T], 1)
	go func() {
		a := answer[T]{err: fmt.Errorf("%w: %w", class, errNoReturn)}
		defer func() {
			if p := recover(); p != nil { // its value may hold a key
				a = answer[T]{err: fmt.Errorf("%w: it panicked with a %T", class, p)}
			}
			done <- a
		}()
		a.value, a.err = do(own)
	}()
	a, heard := await(ctx, own, done)
	if !heard && drop != nil {
		go func() { drop((<-done).value) }()
	}
	switch {
	case !heard && ctx.Err() == nil:
		return none, fmt.Errorf("%w: no answer within %v, and what was asked doesn't heed its context", class, limit)
	case !heard:
		return none, fmt.Errorf("not finished: %w", ctx.Err())
	case errors.Is(a.err, context.DeadlineExceeded) && !over(ctx):
		within := "in time"
		if over(own) {
			within = "within " + limit.String()
		}
		return a.value, fmt.Errorf("%w: no answer %s: %v", notTheCallers(class, a.err), within, a.err)
	}
	return a.value, a.err
}

// notTheCallers is the class of an error that is a deadline which the caller
// didn't set, and must not look like the caller's.
func notTheCallers(class, err error) error {
	if errors.Is(err, kmsprovider.ErrThrottled) {
		return kmsprovider.ErrThrottled
	}
	return class
}

// over reports whether a context has ended, or is about to: what is handed its
// deadline can notice that before the context's own timer.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// An answer is what a call returned.
type answer[T any] struct {
	value T
	err   error
}

// await waits for an answer, a little past the call's own end but not the
// caller's.
func await[T any](ctx, own context.Context, done <-chan answer[T]) (a answer[T], heard bool) {
	select {
	case a = <-done:
		return a, true
	case <-own.Done():
	}
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case a = <-done:
		return a, true
	case <-ctx.Done():
	case <-timer.C:
	}
	return a, false
}

// ask has a provider or store examine itself.
func (d *doctor) ask(ctx context.Context, e kmsprovider.Examiner, subject string, class error) []kmsprovider.Finding {
	found, err := attempt(ctx, d.timeout, class, func(ctx context.Context) ([]kmsprovider.Finding, error) { return e.Examine(ctx), nil }, nil)
	if err != nil {
		return []kmsprovider.Finding{failed(subject, "examine", err, "")}
	}
	tidied := make([]kmsprovider.Finding, len(found))
	for i, f := range found {
		if f.Subject == "" {
			f.Subject = subject
		}
		if errors.Is(f.Err, context.DeadlineExceeded) && !over(ctx) {
			f.Err = fmt.Errorf("%w: %v", notTheCallers(class, f.Err), f.Err)
		}
		tidied[i] = tidy(f)
	}
	return tidied
}

// policy has a provider write down what its caller needs.
func (d *doctor) policy(ctx context.Context, w kmsprovider.PolicyWriter, p kmsprovider.Provider, keys []*configured) (*DoctorPolicy, []kmsprovider.Finding) {
	var seal, open []string
	for _, k := range keys {
		switch {
		case !k.calls(p):
		case k.seals:
			seal = append(seal, k.uri)
		default:
			open = append(open, k.uri)
		}
	}
	if len(seal)+len(open) == 0 {
		return nil, nil
	}
	text, err := attempt(ctx, d.timeout, kmsprovider.ErrUnavailable, func(ctx context.Context) ([]byte, error) {
		text, err := w.Policy(ctx, seal, open)
		if err == nil && !json.Valid(text) {
			err = errors.New("the policy isn't JSON")
		}
		return text, err
	}, nil)
	if err != nil {
		return nil, []kmsprovider.Finding{warning("key service "+printedName(p), "least policy", err.Error(), "", err)}
	}
	return &DoctorPolicy{Provider: printedName(p), Policy: text}, nil
}

// store tries the key store, short of what a round trip in it does.
func (d *doctor) store(ctx context.Context) []kmsprovider.Finding {
	store := d.ring.opts.Store
	if store == nil {
		return []kmsprovider.Finding{ok("key store", "store", "there is none: each envelope carries its wrapped data key")}
	}
	subject := "key store " + printedName(store)
	var found []kmsprovider.Finding
	if e, ok := store.(kmsprovider.Examiner); ok {
		found = d.ask(ctx, e, subject, ErrStoreUnavailable)
	}
	if _, ok := store.(*MemoryStore); ok {
		found = append(found, warning(subject, "store", "its data keys are gone when the process ends, and with them all that they sealed", "use a store that lasts, save in tests", nil))
	}
	scope, mend := doctorScope, "if the store is for known tenants alone, name one in DoctorOptions.Scopes"
	if len(d.scopes) > 0 {
		scope, mend = d.scopes[0], ""
	}
	_, err := attempt(ctx, d.timeout, ErrStoreUnavailable, func(ctx context.Context) (Record, error) {
		rec, err := store.Active(ctx, scope, PurposeData)
		if err != nil && !errors.Is(err, ErrKeyNotFound) {
			return rec, classed(err)
		}
		return rec, nil
	}, nil)
	if err != nil {
		return append(found, failed(subject, "read", err, mend))
	}
	found = append(found, ok(subject, "read", "it was asked for the active data key of "+scope.String()))
	if len(d.scopes) > 0 {
		return found // the round trips write
	}
	holder := "doctor " + rand.Text()
	_, err = attempt(ctx, d.timeout, ErrStoreUnavailable, func(ctx context.Context) (bool, error) {
		// Whether another doctor has the claim makes no difference.
		_, err := store.Claim(ctx, scope, PurposeData, holder, d.timeout)
		if err == nil {
			err = store.Release(ctx, scope, PurposeData, holder)
		}
		if err != nil {
			return false, classed(err)
		}
		return true, nil
	}, nil)
	if err != nil {
		return append(found, failed(subject, "write", err, mend))
	}
	return append(found, ok(subject, "write", "a claim was made and released"))
}

// classed is the error of a store, with its class but not for the end of a
// context, which attempt judges.
func classed(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return storeError(err)
}

// tombstones reads the tombstone log.
func (d *doctor) tombstones(ctx context.Context) []kmsprovider.Finding {
	log := d.ring.opts.Tombstones
	if log == nil {
		return nil
	}
	n, err := attempt(ctx, d.timeout, ErrStoreUnavailable, func(ctx context.Context) (int, error) {
		stones, _, err := log.Read(ctx, 0)
		return len(stones), err
	}, nil)
	const subject = "tombstone log"
	if err != nil {
		return []kmsprovider.Finding{failed(subject, "read", err, "without it no data key is used: see that it can be read from here")}
	}
	return []kmsprovider.Finding{ok(subject, "read", fmt.Sprintf("it names %d destroyed data keys", n))}
}

// roundTrips seal and open a value in each scope that was named. Without one,
// they do so inline, under each root key that wraps.
func (d *doctor) roundTrips(keys []*configured) (chains []chain) {
	for _, scope := range d.scopes {
		opts := d.ring.opts
		chains = append(chains, func(ctx context.Context) []kmsprovider.Finding {
			return d.roundTrip(ctx, scope.String(), scope, d.ring.roots, opts)
		})
	}
	if len(d.scopes) > 0 {
		return chains
	}
	for _, k := range keys {
		if k.seals {
			chains = append(chains, func(ctx context.Context) []kmsprovider.Finding {
				return d.roundTrip(ctx, "inline", doctorScope, RootKeys{Seal: k.uri}, Options{})
			})
		}
	}
	return chains
}

var doctorField = MustField("fieldcrypt doctor", "value")

// roundTrip seals a value with one ring and opens it with another, which has to
// ask the store and the key service for the data key.
func (d *doctor) roundTrip(ctx context.Context, check string, scope Scope, roots RootKeySource, opts Options) []kmsprovider.Finding {
	const subject = "round trip of a value"
	opts.OnEvent = nil
	opts.LoadTimeout = max(d.timeout*9/10, 1) // it comes first, since the ring knows what the time was lost on
	mend := func(err error) string {
		if opts.Store != nil && errors.Is(err, kmsprovider.ErrUnavailable) {
			return "see that the key service and the key store can be reached from here and answer, then try again"
		}
		return mendOf(err)
	}
	b := &Binding{Scope: scope, Field: doctorField, Record: "doctor"}
	frame := AppendString(nil, "fieldcrypt doctor")
	envelope, err := d.withRing(ctx, roots, &opts, func(ctx context.Context, r *KeyRing) ([]byte, error) { return r.Seal(ctx, b, frame) })
	if err != nil {
		return []kmsprovider.Finding{failed(subject, check, err, mend(err))}
	}
	opened, err := d.withRing(ctx, roots, &opts, func(ctx context.Context, r *KeyRing) ([]byte, error) { return r.Open(ctx, b, envelope) })
	if err == nil && !bytes.Equal(opened, frame) {
		err = errors.New("what was opened is not what was sealed")
	}
	if err != nil {
		return []kmsprovider.Finding{failed(subject, check, err, mend(err))}
	}
	info, err := Inspect(envelope)
	if err != nil {
		return []kmsprovider.Finding{failed(subject, check, err, "")}
	}
	found := fmt.Sprintf("sealed with data key %.8s… (%s), and opened", info.KeyID, info.Mode)
	if info.RootKey != "" {
		found += ", under " + info.RootKey
	}
	return []kmsprovider.Finding{ok(subject, check, found)}
}

// withRing makes a call to a ring of its own.
func (d *doctor) withRing(ctx context.Context, roots RootKeySource, opts *Options, do func(context.Context, *KeyRing) ([]byte, error)) ([]byte, error) {
	ring, err := NewKeyRing(d.ring.provider, roots, opts)
	if err != nil {
		return nil, err
	}
	defer func() { go ring.Close() }() // which waits for loads that don't heed their context
	return attempt(ctx, d.timeout, kmsprovider.ErrUnavailable, func(ctx context.Context) ([]byte, error) { return do(ctx, ring) }, nil)
}
