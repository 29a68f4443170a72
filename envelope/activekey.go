package envelope

import (
	"context"
	"fmt"
	"time"
)

// ActiveKey returns the ID of the data key that the ring seals the scope's
// values with now, and makes or fetches that key where it isn't in memory. It
// uses up none of the key's messages. What another process rotated is noticed
// within Options.StorePoll, as when sealing. Whoever re-encrypts rows needs it,
// to leave those alone that are under this key already. The errors are those of
// [KeyRing.Seal].
func (r *KeyRing) ActiveKey(ctx context.Context, scope Scope) (KeyID, error) {
	scope = scope.withDefault()
	fail := func(err error) (KeyID, error) {
		return KeyID{}, fmt.Errorf("envelope: find the active data key of %s: %w", scope, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if err := scope.validate(); err != nil {
		return fail(err)
	}
	if k, ok := r.sealing.GetIfPresent(scope); ok && k.sealable.Load() && time.Now().Before(k.seal.notAfter) {
		return k.id, nil
	}
	k, err := r.once(ctx, makeFlight(scope), func(ctx context.Context) (*dataKey, error) {
		if k, ok := r.sealing.GetIfPresent(scope); ok && !time.Now().Before(k.seal.notAfter) {
			r.endSealing(k)
		}
		return r.replenish(ctx, scope)
	})
	if err != nil {
		return fail(err)
	}
	return k.id, nil
}
