package envelope

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// CutOver makes a new active key for the deterministic envelopes or the blind
// indexes of a scope, and retires the one before. Nothing is lost: envelopes of
// retired keys open, and [KeyRing.QueryTags] and [KeyRing.QueryDeterministic]
// answer for all keys until the old one is destroyed, which must wait until a
// sweep has written all rows anew.
//
// No search misses a row meanwhile. All processes search with the new key as soon
// as they know of it, within StorePoll, and none writes with it before it is two
// StorePoll and a second old; until then they write with the key before it, so a
// sweep is to begin after that. This holds where all processes have the same
// StorePoll, their clocks differ by less than one StorePoll, and they reach the
// key store; a process that was cut off from the store for longer finds what was
// written with the new key once it reaches the store again.
//
// Suspending, or scheduling the destruction of, the key that is written with takes
// it out of searches with the rows written with it. If no other key was cut over to
// two StorePoll and a second before, other processes don't know the next key yet,
// and writes of that scope and purpose fail with [ErrState] for as long, rather
// than have searches miss what they write. So cut over first, and wait.
//
// These keys have no age and no budget, and [KeyRing.Rotate] and
// [KeyRing.RotateAll] leave them alone. The purpose must be
// [PurposeDeterministic] or [PurposeIndex]. It needs a key store, else the error
// is [ErrModeNotAllowed]. It returns the new key's ID, and is safe for concurrent
// use.
func (r *KeyRing) CutOver(ctx context.Context, scope Scope, purpose Purpose) (KeyID, error) {
	scope = scope.withDefault()
	fail := func(err error) (KeyID, error) {
		return KeyID{}, fmt.Errorf("envelope: cut over to a new key of %s, purpose %q: %w", scope, shown(string(purpose), 32), err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if purpose != PurposeDeterministic && purpose != PurposeIndex {
		return fail(malformed("only keys of purpose %q and %q are cut over: a key of purpose %q is followed by another with Rotate", PurposeDeterministic, PurposeIndex, PurposeData))
	}
	name, err := r.setName(scope, purpose)
	if err != nil {
		return fail(err)
	}
	// A flight of its own: the key must be one that nobody had before the call.
	k, err := r.once(ctx, "cut over"+rand.Text()+name.flight(false, true), func(ctx context.Context) (*dataKey, error) {
		rec, err := r.store.Active(ctx, scope, purpose)
		if err != nil && !errors.Is(err, ErrKeyNotFound) {
			return nil, storeError(err)
		}
		s := &search{KeyRing: r, scope: scope, purpose: purpose}
		return s.next(ctx, rec.KeyID)
	})
	if err != nil {
		return fail(err)
	}
	r.sets.Invalidate(name) // this process searches with it at once
	return k.id, nil
}
