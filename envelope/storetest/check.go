package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A check is one subtest. It reports with an error and not through testing.TB,
// so that the suite's own tests can run it on a broken store and see it fail
// without failing themselves.
type check struct {
	name        string
	needsReopen bool
	run         func(p *probe) error
}

func checks() []check {
	return slices.Concat(
		recordChecks(),
		isolationChecks(),
		bufferChecks(),
		activateChecks(),
		claimChecks(),
		leaseChecks(),
		insertChecks(),
		updateChecks(),
		moveChecks(),
		statesChecks(),
		pageChecks(),
		filterChecks(),
		listChecks(),
		contextChecks(),
	)
}

// leftOut returns why the check can't be run; "" if it can.
func (c *check) leftOut(h Harness) string {
	if c.needsReopen && h.Reopen == nil {
		return "the harness has no Reopen"
	}
	return ""
}

// patience bounds a check: a store that heeds its context can't hang the run.
const patience = time.Minute

func (c *check) verdict(t testing.TB, h Harness) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := &probe{ctx: ctx, tenant: rand.Text(), short: h.ShortLease}
	if p.short == 0 {
		p.short = defaultShortLease
	}
	p.store = h.New(t)
	p.stores = []envelope.KeyStore{p.store}
	if h.Reopen != nil {
		p.stores = append(p.stores, h.Reopen(t, p.store))
	}
	return c.run(p)
}

// A probe is one check at work.
type probe struct {
	ctx    context.Context
	store  envelope.KeyStore
	stores []envelope.KeyStore // store and, if the harness can reopen it, another one on the same storage
	tenant string              // of this check alone
	short  time.Duration       // lease of a claim that is waited for
}

const (
	racers = 64
	long   = 10 * time.Minute // lease of a claim that doesn't run out during a check
)

// scope returns a scope of this check alone; equal names give equal scopes.
func (p *probe) scope(name string) envelope.Scope {
	return envelope.Scope{Tenant: p.tenant + "/" + name, Class: "crm"}
}

// record returns a record that the store hasn't seen, with made-up contents.
func (p *probe) record(scope envelope.Scope, purpose envelope.Purpose) envelope.Record {
	created := time.Now().Truncate(time.Second)
	rec := envelope.Record{
		Scope: scope, Purpose: purpose,
		RootKey: "example-kms://eu/root-1",
		Wrapped: randomBytes(184),
		State:   envelope.StatePending,
		Created: created, NotAfter: created.Add(90 * 24 * time.Hour),
		Budget: 1000,
	}
	copy(rec.KeyID[:], randomBytes(len(rec.KeyID)))
	copy(rec.Tag[:], randomBytes(len(rec.Tag)))
	return rec
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// activate stores rec, which must be accepted and is then active.
func (p *probe) activate(rec *envelope.Record, previous envelope.KeyID) error {
	given := *rec
	given.Wrapped = bytes.Clone(rec.Wrapped)
	if err := p.store.Activate(p.ctx, given, previous); err != nil {
		return fmt.Errorf("calling Activate for %v, purpose %q, previous key %v: %w", rec.Scope, rec.Purpose, previous, err)
	}
	rec.State = envelope.StateActive
	return nil
}

// fresh stores a new record as the first key of a scope.
func (p *probe) fresh(scope envelope.Scope) (envelope.Record, error) {
	rec := p.record(scope, envelope.PurposeData)
	err := p.activate(&rec, envelope.KeyID{})
	return rec, err
}

// isActive fails unless want is what Active returns.
func (p *probe) isActive(want *envelope.Record) error {
	got, err := p.store.Active(p.ctx, want.Scope, want.Purpose)
	if err != nil {
		return fmt.Errorf("calling Active of %v, purpose %q: %w", want.Scope, want.Purpose, err)
	}
	if err := same(&got, want, envelope.StateActive); err != nil {
		return fmt.Errorf("calling Active of %v, purpose %q: %w", want.Scope, want.Purpose, err)
	}
	return nil
}

// has fails unless want is what Get returns, in the given state.
func (p *probe) has(want *envelope.Record, state envelope.State) error {
	got, err := p.store.Get(p.ctx, want.Scope, want.Purpose, want.KeyID)
	if err != nil {
		return fmt.Errorf("calling Get of %v, purpose %q, key %v: %w", want.Scope, want.Purpose, want.KeyID, err)
	}
	if err := same(&got, want, state); err != nil {
		return fmt.Errorf("calling Get of %v, purpose %q, key %v: %w", want.Scope, want.Purpose, want.KeyID, err)
	}
	return nil
}

// misses fails unless Get doesn't find the key.
func (p *probe) misses(scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID) error {
	_, err := p.store.Get(p.ctx, scope, purpose, id)
	return notFound(fmt.Sprintf("Get of %v, purpose %q, key %v", scope, purpose, id), err)
}

// claims fails unless Claim gives the wanted answer.
func (p *probe) claims(scope envelope.Scope, holder string, lease time.Duration, want bool) error {
	got, err := p.store.Claim(p.ctx, scope, envelope.PurposeData, holder, lease)
	if err != nil {
		return fmt.Errorf("calling Claim of %v by %s: %w", scope, holder, err)
	}
	if got != want {
		return fmt.Errorf("calling Claim of %v by %s: got %t, want %t", scope, holder, got, want)
	}
	return nil
}

// leases fails unless Lease grants the wanted number of messages and leaves so
// many.
func (p *probe) leases(rec *envelope.Record, n, want, wantLeft uint64) error {
	got, left, err := p.store.Lease(p.ctx, rec.Scope, rec.Purpose, rec.KeyID, n)
	switch {
	case err != nil:
		return fmt.Errorf("calling Lease of %d messages of a budget of %d: %w", n, rec.Budget, err)
	case got != want:
		return fmt.Errorf("calling Lease of %d messages of a budget of %d: got %d, want %d", n, rec.Budget, got, want)
	case left != wantLeft:
		return fmt.Errorf("calling Lease of %d messages of a budget of %d: got %d, and left are %d, want %d", n, rec.Budget, got, left, wantLeft)
	}
	return nil
}

func notFound(what string, err error) error { return refused(what, err, envelope.ErrKeyNotFound) }

// refused fails unless err is the wanted one.
func refused(what string, err, want error) error {
	switch {
	case err == nil:
		return fmt.Errorf("%s: accepted, want the error %q", what, want)
	case !errors.Is(err, want):
		return fmt.Errorf("%s: want the error %q, got: %w", what, want, err)
	}
	return nil
}

// same compares what was stored with what came back, member by member.
func same(got, want *envelope.Record, state envelope.State) error {
	scope := want.Scope
	if scope.Class == "" {
		scope.Class = envelope.DefaultClass
	}
	for _, m := range []struct {
		name      string
		equal     bool
		got, want any
	}{
		{"KeyID", got.KeyID == want.KeyID, got.KeyID, want.KeyID},
		{"Scope", got.Scope == scope, fmt.Sprintf("%+q", got.Scope), fmt.Sprintf("%+q", scope)},
		{"Purpose", got.Purpose == want.Purpose, got.Purpose, want.Purpose},
		{"RootKey", got.RootKey == want.RootKey, got.RootKey, want.RootKey},
		{"Wrapped", bytes.Equal(got.Wrapped, want.Wrapped), size(got.Wrapped), size(want.Wrapped)},
		{"State", got.State == state, got.State, state},
		{"Created", got.Created.Equal(want.Created), got.Created, want.Created},
		{"NotAfter", got.NotAfter.Equal(want.NotAfter) && got.NotAfter.IsZero() == want.NotAfter.IsZero(), got.NotAfter, want.NotAfter},
		{"Budget", got.Budget == want.Budget, got.Budget, want.Budget},
		{"Tag", got.Tag == want.Tag, fmt.Sprintf("%x", got.Tag), fmt.Sprintf("%x", want.Tag)},
		{"DestroyAfter", got.DestroyAfter.Equal(want.DestroyAfter), got.DestroyAfter, want.DestroyAfter},
		{"Change.At", got.Change.At.Equal(want.Change.At), got.Change.At, want.Change.At},
		{"Change.By", got.Change.By == want.Change.By, fmt.Sprintf("%+q", got.Change.By), fmt.Sprintf("%+q", want.Change.By)},
		{"Change.Why", got.Change.Why == want.Change.Why, fmt.Sprintf("%+q", got.Change.Why), fmt.Sprintf("%+q", want.Change.Why)},
	} {
		if !m.equal {
			return fmt.Errorf("the member %s is wrong: got %v, want %v", m.name, m.got, m.want)
		}
	}
	return nil
}

func size(b []byte) string { return fmt.Sprintf("%d bytes", len(b)) }

// race calls do with 0 to racers-1, all at once, and returns the answers.
func race[T any](p *probe, do func(s envelope.KeyStore, i int) (T, error)) ([]T, error) {
	answers, errs := make([]T, racers), make([]error, racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			<-start
			answers[i], errs[i] = do(p.stores[i%len(p.stores)], i)
		})
	}
	close(start)
	wg.Wait()
	return answers, errors.Join(errs...)
}

// oneAccepted runs do in a race, of which one call must be accepted and all
// others be refused with ErrConflict. It returns the number of the accepted
// one.
func (p *probe) oneAccepted(what string, do func(s envelope.KeyStore, i int) error) (int, error) {
	won, err := race(p, func(s envelope.KeyStore, i int) (bool, error) {
		err := do(s, i)
		if errors.Is(err, envelope.ErrConflict) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return 0, fmt.Errorf("%d racing calls of %s: %w", racers, what, err)
	}
	if n := count(won); n != 1 {
		return 0, fmt.Errorf("%d racing calls of %s: %d were accepted, want 1", racers, what, n)
	}
	return slices.Index(won, true), nil
}

func count(won []bool) int {
	n := 0
	for _, w := range won {
		if w {
			n++
		}
	}
	return n
}
