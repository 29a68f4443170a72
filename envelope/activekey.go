package envelope

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ActiveKey returns the ID of the data key that the scope is sealed with now, and
// makes or fetches that key where it isn't in memory. It uses up none of the key's
// messages. With a key store it asks the store each time, and this ring then seals
// with that key: what another process rotated is heeded at once, and not within
// Options.StorePoll as when sealing. Whoever re-encrypts rows needs that: they
// leave those alone that are under this key already, which must not be the key
// that was rotated away. The errors are those of [KeyRing.Seal].
func (r *KeyRing) ActiveKey(ctx context.Context, scope Scope) (KeyID, error) {
	scope = scope.withDefault()
	fail := func(err error) (KeyID, error) {
		return KeyID{}, fmt.Errorf("envelope: find the active data key of %s: %w", scope, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if r.closed.Err() != nil {
		return fail(ErrClosed)
	}
	if err := scope.validate(); err != nil {
		return fail(err)
	}
	if k, ok := r.sealing.GetIfPresent(scope); ok {
		still, err := r.stillActive(ctx, k)
		switch {
		case err != nil:
			return fail(err)
		case still:
			return k.id, nil
		}
		r.endSealing(k)
	}
	k, err := r.once(ctx, makeFlight(scope), func(ctx context.Context) (*dataKey, error) { return r.replenish(ctx, scope) })
	if err != nil {
		return fail(err)
	}
	return k.id, nil
}

// stillActive reports whether a key may go on sealing, by the store's word where
// there is one.
func (r *KeyRing) stillActive(ctx context.Context, k *dataKey) (bool, error) {
	if !k.sealable.Load() || !time.Now().Before(k.seal.notAfter) {
		return false, nil
	}
	if r.opts.Store == nil {
		return true, nil
	}
	rec, err := r.store.Active(ctx, k.scope, PurposeData)
	switch {
	case errors.Is(err, ErrKeyNotFound):
		return false, nil
	case err != nil && ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil:
		return false, storeError(err)
	}
	return rec.KeyID == k.id, nil
}
