package envelope

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"
)

// Sealing with a key store: the key is shared by all processes, and its
// messages are taken from the shared budget in leases.

const (
	claimLease = 15 * time.Second // is renewed while the key service is slow

	// Those who wait for another process's key look for it at first soon, then
	// less often.
	claimPollLeast, claimPollMost = 20 * time.Millisecond, time.Second

	releaseTimeout = 5 * time.Second

	// How often new keys may be found spent by others before a store that
	// grants nothing is an error. Each may cost a call of the key service.
	spentAttempts = 64
)

// A search is for the key that a scope is sealed with, in the key store.
type search struct {
	*KeyRing
	scope   Scope
	purpose Purpose
	before  *dataKey // what the scope was sealed with when the search began
	rotate  bool     // what is found takes the place of any other key
}

func (r *KeyRing) searchFor(scope Scope) *search {
	before, _ := r.sealing.GetIfPresent(scope)
	return &search{KeyRing: r, scope: scope, purpose: PurposeData, before: before}
}

// active returns the scope's active key, or makes the first one.
func (s *search) active(ctx context.Context) (*dataKey, error) {
	rec, err := s.store.Active(ctx, s.scope, s.purpose)
	switch {
	case errors.Is(err, ErrKeyNotFound):
		return s.next(ctx, KeyID{})
	case err != nil:
		return nil, storeError(err)
	}
	k, err := s.use(ctx, &rec)
	if spent, ok := errors.AsType[*spentKey](err); ok {
		return s.next(ctx, spent.id)
	}
	return k, err
}

// spentKey: the key may not seal any more.
type spentKey struct{ id KeyID }

func (e *spentKey) Error() string {
	return fmt.Sprintf("data key %s is past its end or its budget", e.id)
}

// use makes an active record's key the one that the scope is sealed with.
func (s *search) use(ctx context.Context, rec *Record) (*dataKey, error) {
	if rec.State != StateActive {
		return nil, fmt.Errorf("%w: the key store gives a key in state %q for the active one", ErrNotAuthentic, shown(string(rec.State), 32))
	}
	k, err := s.known(ctx, rec)
	if k == nil && err == nil {
		k, err = s.load(ctx, KeyName{s.scope, s.purpose, rec.KeyID}, rec, s.purpose == PurposeData)
	}
	if err != nil {
		return nil, err
	}
	return s.adopt(ctx, k, rec, false)
}

// known returns the record's key if it is in memory, for opening, and was checked
// against this very record: a process that has read before it writes need not
// ask the key service again. A key seals once only: what it counts its messages
// with isn't replaced under those who use it.
func (s *search) known(ctx context.Context, rec *Record) (*dataKey, error) {
	k, ok := s.opening.GetIfPresent(rec.KeyID)
	if !ok || !k.openable.Load() || k.scope != s.scope || rec.Scope.withDefault() != s.scope || rec.Purpose != s.purpose || k.purpose != s.purpose ||
		k.record != recordPrint(s.scope, rec) {
		return nil, nil
	}
	if err := s.checkRootKey(ctx, s.scope, rec.RootKey); err != nil {
		return nil, err
	}
	if err := s.buried(ctx, k.id); err != nil {
		return nil, err
	}
	if s.purpose == PurposeData && !k.adopted.CompareAndSwap(false, true) {
		return nil, nil
	}
	return k, nil
}

// adopt seals with k from now on. The record's dates and budget are authentic.
// Fresh says that this process has just made the key.
func (s *search) adopt(ctx context.Context, k *dataKey, rec *Record, fresh bool) (*dataKey, error) {
	if s.purpose != PurposeData { // its messages aren't counted, and it has no end
		return k, nil
	}
	switch {
	case rec.NotAfter.IsZero():
		return nil, malformed("the record of key %s has no end: it can't seal", rec.KeyID)
	case rec.Budget == 0 || rec.Budget > 1<<32:
		return nil, malformed("the record of key %s has a budget of %d messages: a key seals 1 to 2^32", rec.KeyID, rec.Budget)
	}
	if !time.Now().Before(rec.NotAfter) {
		return nil, &spentKey{k.id}
	}
	h := header{mode: ModeReference, keyID: &k.id}
	k.seal = &sealing{header: h.bytes(), budget: rec.Budget, created: rec.Created, notAfter: rec.NotAfter}
	more, err := s.leaseMore(ctx, k, fresh)
	if err != nil {
		return nil, err
	}
	if !more {
		return nil, &spentKey{k.id}
	}
	return s.cacheSealing(k, s.before, s.rotate), nil
}

// leaseMore takes messages from the store, and reports whether there were any.
func (r *KeyRing) leaseMore(ctx context.Context, k *dataKey, fresh bool) (bool, error) {
	want := r.drawn.reserve(k, k.seal.lease.next(k.seal.budget, time.Now()), fresh)
	if want == 0 {
		return false, nil
	}
	n, left, err := r.store.Lease(ctx, k.scope, PurposeData, k.id, want)
	if err != nil {
		r.drawn.giveBack(k, want)
		if errors.Is(err, ErrKeyNotFound) { // what it seals could not be opened any more
			return false, nil
		}
		return false, storeError(err)
	}
	n = min(n, want) // whatever the store says
	r.drawn.giveBack(k, want-n)
	k.seal.ending.Store(left <= k.seal.budget/endShare)
	k.seal.left.Add(int64(n))
	return n > 0, nil
}

// next makes the key that follows previous, or finds the one that another
// process made meanwhile. Only the holder of the scope's claim asks the key
// service for a key, so that none is made and lost.
func (s *search) next(ctx context.Context, previous KeyID) (*dataKey, error) {
	holder, wait := rand.Text(), claimPollLeast
	for spent := 0; ; {
		won, err := s.store.Claim(ctx, s.scope, s.purpose, holder, claimLease)
		if err != nil {
			return nil, storeError(err)
		}
		k, err := s.claimed(ctx, &previous, won, holder)
		if won {
			s.release(ctx, holder)
		}
		if key, ok := errors.AsType[*spentKey](err); ok {
			if spent++; spent > spentAttempts {
				return nil, fmt.Errorf("%w: it offered %d keys that can seal nothing more; raise Options.MessageBudget if very many processes share a key: %w", ErrStoreUnavailable, spent, err)
			}
			previous, err = key.id, errNotYet // not the key that is active by now, which may be a fresh one
		}
		if !errors.Is(err, errNotYet) {
			return k, err
		}
		select {
		case <-time.After(wait/2 + mathrand.N(wait/2)): //nolint:gosec // jitter, not a secret
			wait = min(2*wait, claimPollMost)
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another process to make the data key of %s: %w", s.scope, ctx.Err())
		}
	}
}

// release gives the claim back even when ctx has ended, but never waits for
// long. Its failure costs no one the key that was made: the lease runs out.
func (s *search) release(ctx context.Context, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_ = s.store.Release(ctx, s.scope, s.purpose, holder)
}

// keepClaim renews the claim until the returned function is called, so that
// nobody else asks a key service that is slow or throttled for the same key.
func (s *search) keepClaim(ctx context.Context, holder string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(claimLease / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = s.store.Claim(ctx, s.scope, s.purpose, holder, claimLease) // what fails here is tried again
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// errNotYet: another process holds the claim and has not made the key yet.
var errNotYet = errors.New("data key not made yet")

// claimed is one attempt at the key that follows previous.
func (s *search) claimed(ctx context.Context, previous *KeyID, won bool, holder string) (*dataKey, error) {
	rec, err := s.store.Active(ctx, s.scope, s.purpose)
	switch {
	case err != nil && !errors.Is(err, ErrKeyNotFound):
		return nil, storeError(err)
	case err == nil && rec.KeyID != *previous: // another process was faster
		return s.use(ctx, &rec)
	case !won:
		return nil, errNotYet
	case err != nil:
		// The key that was active is none any more: suspended, destroyed or lost.
		*previous = KeyID{}
	}
	for { // twice at most: a store that contradicts itself must not cost one key after the other
		k, err := s.make(ctx, *previous, holder)
		if !errors.Is(err, ErrConflict) {
			return k, err // spentKey: others took all of its messages at once
		}
		rec, again := s.store.Active(ctx, s.scope, s.purpose)
		switch {
		case errors.Is(again, ErrKeyNotFound) && *previous != KeyID{}: // it was suspended meanwhile
			*previous = KeyID{}
		case again != nil || rec.KeyID == *previous:
			return nil, err
		default: // the claim ran out while this process was held up, and another one made the key
			return s.use(ctx, &rec)
		}
	}
}

// make asks for a data key and stores it before anything is sealed with it.
func (s *search) make(ctx context.Context, previous KeyID, holder string) (*dataKey, error) {
	stop := s.keepClaim(ctx, holder)
	made, err := s.generate(ctx, s.scope, s.purpose)
	stop()
	if err != nil {
		return nil, err
	}
	defer made.Wipe()
	now := time.Now().Truncate(time.Second)
	rec := &Record{
		KeyID: deriveKeyID(made.Plaintext, s.scope, s.purpose), Scope: s.scope, Purpose: s.purpose,
		RootKey: made.RootKey, Wrapped: made.Wrapped, State: StateActive, Created: now,
	}
	if s.purpose == PurposeData {
		rec.NotAfter, rec.Budget = now.Add(s.opts.KeyAge).Truncate(time.Second), s.opts.MessageBudget
	}
	rec.Tag = recordTag(made.Plaintext, s.scope, s.purpose, rec.Created, rec.NotAfter, rec.Budget)
	k, err := newKey(made.Plaintext, s.scope, s.purpose) // before the store is asked, since that wipes the secret
	if err != nil {
		return nil, err
	}
	if err := s.store.Activate(ctx, *rec, previous); err != nil {
		return nil, storeError(err)
	}
	k.created = rec.Created
	if s.purpose != PurposeData {
		k.record = recordPrint(s.scope, rec) // so that its set finds it
	}
	s.publish(k, made.RootKey, slices.Clone(made.Wrapped), false)
	return s.adopt(ctx, k, rec, true)
}
