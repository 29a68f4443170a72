package envelope

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Sealing with a key store: the key is shared by all processes, and its
// messages are taken from the shared budget in leases.

const (
	claimLease = 15 * time.Second // outlives one call of the key service
	claimPoll  = 20 * time.Millisecond

	releaseTimeout = 5 * time.Second

	// How often new keys may be found spent by others before a store that
	// grants nothing is an error. Each may cost a call of the key service.
	spentAttempts = 64
)

// leaseSize is how many messages a process takes from the store at a time.
func leaseSize(budget uint64) uint64 { return min(max(budget/64, 1), 1<<16) }

// stored returns the scope's active key from the store, or makes the first
// one.
func (r *KeyRing) stored(ctx context.Context, scope Scope) (*dataKey, error) {
	rec, err := r.opts.Store.Active(ctx, scope, PurposeData)
	switch {
	case errors.Is(err, ErrKeyNotFound):
		return r.nextStored(ctx, scope, KeyID{})
	case err != nil:
		return nil, storeError(err)
	}
	k, err := r.useRecord(ctx, scope, &rec)
	if errors.Is(err, errSpent) {
		return r.nextStored(ctx, scope, rec.KeyID)
	}
	return k, err
}

// errSpent: the key may not seal any more.
var errSpent = errors.New("data key is past its end or its budget")

// useRecord makes an active record's key the one that the scope is sealed with.
func (r *KeyRing) useRecord(ctx context.Context, scope Scope, rec *Record) (*dataKey, error) {
	if rec.State != StateActive {
		return nil, fmt.Errorf("%w: the store calls a %s key active", ErrNotAuthentic, rec.State)
	}
	k, err := r.loadRecord(ctx, scope, rec.KeyID, rec)
	if err != nil {
		return nil, err
	}
	return r.adopt(ctx, k, rec)
}

// adopt seals with k from now on. The record's dates and budget are authentic.
func (r *KeyRing) adopt(ctx context.Context, k *dataKey, rec *Record) (*dataKey, error) {
	if rec.NotAfter.IsZero() || rec.Budget == 0 || rec.Budget > 1<<32 {
		return nil, malformed("key record %s has no end or no budget", rec.KeyID)
	}
	if !time.Now().Before(rec.NotAfter) {
		return nil, errSpent
	}
	h := header{mode: ModeReference, keyID: &k.id}
	k.seal = &sealing{header: h.bytes(), budget: rec.Budget, notAfter: rec.NotAfter}
	more, err := r.leaseMore(ctx, k)
	if err != nil {
		return nil, err
	}
	if !more {
		return nil, errSpent
	}
	r.cacheSealing(k)
	return k, nil
}

// leaseMore takes messages from the store, and reports whether there were any.
func (r *KeyRing) leaseMore(ctx context.Context, k *dataKey) (bool, error) {
	want := r.drawn.reserve(k, leaseSize(k.seal.budget))
	if want == 0 {
		return false, nil
	}
	n, left, err := r.opts.Store.Lease(ctx, k.scope, PurposeData, k.id, want)
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

// nextStored makes the key that follows previous, or finds the one that
// another process made meanwhile. Only the holder of the scope's claim asks the
// key service for a key, so that none is made and lost.
func (r *KeyRing) nextStored(ctx context.Context, scope Scope, previous KeyID) (*dataKey, error) {
	holder := rand.Text()
	for spent := 0; ; {
		won, err := r.opts.Store.Claim(ctx, scope, PurposeData, holder, claimLease)
		if err != nil {
			return nil, storeError(err)
		}
		k, err := r.nextClaimed(ctx, scope, &previous, won)
		if won {
			r.release(ctx, scope, holder)
		}
		if errors.Is(err, errSpent) && spent < spentAttempts {
			spent++
			rec, again := r.opts.Store.Active(ctx, scope, PurposeData)
			if again != nil {
				return nil, storeError(again)
			}
			previous, err = rec.KeyID, errNotYet
		}
		if !errors.Is(err, errNotYet) {
			return k, err
		}
		select {
		case <-time.After(claimPoll):
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another process to make the data key: %w", ctx.Err())
		}
	}
}

// release gives the claim back even when ctx has ended, but never waits for
// long. Its failure costs no one the key that was made: the lease runs out.
func (r *KeyRing) release(ctx context.Context, scope Scope, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_ = r.opts.Store.Release(ctx, scope, PurposeData, holder)
}

// errNotYet: another process holds the claim and has not made the key yet.
var errNotYet = errors.New("data key not made yet")

// nextClaimed is one attempt at the key that follows previous.
func (r *KeyRing) nextClaimed(ctx context.Context, scope Scope, previous *KeyID, won bool) (*dataKey, error) {
	rec, err := r.opts.Store.Active(ctx, scope, PurposeData)
	switch {
	case err != nil && !errors.Is(err, ErrKeyNotFound):
		return nil, storeError(err)
	case err == nil && rec.KeyID != *previous: // another process was faster
		k, err := r.useRecord(ctx, scope, &rec)
		if errors.Is(err, errSpent) {
			*previous = rec.KeyID
			return nil, errNotYet
		}
		return k, err
	case !won:
		return nil, errNotYet
	case err != nil:
		// The key that was active is none any more: suspended, destroyed or lost.
		*previous = KeyID{}
	}
	k, err := r.makeStored(ctx, scope, *previous)
	if !errors.Is(err, ErrConflict) {
		return k, err // errSpent: others took all of its messages at once
	}
	// The claim ran out while the key service was slow, and another process
	// made the key. One look, not a loop: a store that contradicts itself must
	// not cost one key after the other.
	rec, again := r.opts.Store.Active(ctx, scope, PurposeData)
	if again != nil || rec.KeyID == *previous {
		return nil, err
	}
	return r.useRecord(ctx, scope, &rec)
}

// makeStored asks for a data key and stores it before anything is sealed with
// it.
func (r *KeyRing) makeStored(ctx context.Context, scope Scope, previous KeyID) (*dataKey, error) {
	made, err := r.generate(ctx, scope)
	if err != nil {
		return nil, err
	}
	defer made.Wipe()
	now := time.Now().Truncate(time.Second)
	rec := &Record{
		KeyID: deriveKeyID(made.Plaintext, scope, PurposeData), Scope: scope, Purpose: PurposeData,
		RootKey: made.RootKey, Wrapped: made.Wrapped, State: StateActive,
		Created: now, NotAfter: now.Add(r.opts.KeyAge).Truncate(time.Second), Budget: r.opts.MessageBudget,
	}
	rec.Tag = recordTag(made.Plaintext, scope, PurposeData, rec.Created, rec.NotAfter, rec.Budget)
	if err := r.opts.Store.Activate(ctx, *rec, previous); err != nil {
		return nil, storeError(err)
	}
	k, err := r.publishOpening(made.Plaintext, scope, made.RootKey, made.Wrapped, false)
	if err != nil {
		return nil, err
	}
	return r.adopt(ctx, k, rec)
}
