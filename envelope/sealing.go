package envelope

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"weak"

	"github.com/maypok86/otter/v2"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// sealing is what a data key needs to seal: where its messages are counted,
// and when it ends.
type sealing struct {
	header   []byte // of every envelope that it seals
	budget   uint64
	created  time.Time // with a store
	notAfter time.Time
	lease    lease        // with a store
	left     atomic.Int64 // messages that this process may seal and no call has taken
	ending   atomic.Bool  // with a store: little is left of the budget that all processes share
	retryAt  atomic.Int64 // no new attempt at a successor before this, in Unix nanoseconds
	timer    *time.Timer  // makes the next key before this one ends, then ends it
}

// take takes some of the key's messages for one scratch: fewer when few are
// left, so that little is stranded.
func (k *dataKey) take() int64 {
	for {
		left := k.seal.left.Load()
		if left <= 0 {
			return 0
		}
		n := min(max(left/8, 1), leaseBlock)
		if k.seal.left.CompareAndSwap(left, left-n) {
			return n
		}
	}
}

// holdSealingKey makes s hold the scope's active key and at least one message
// of its budget.
func (r *KeyRing) holdSealingKey(ctx context.Context, s *scratch, scope Scope) error {
	for {
		k, ok := r.sealing.GetIfPresent(scope)
		if ok && !time.Now().Before(k.seal.notAfter) {
			r.endSealing(k)
			ok = false
		}
		if ok {
			if n := k.take(); n > 0 {
				s.hold(k)
				s.add(n)
				r.renewAhead(k)
				return nil
			}
		}
		// The key's messages are used up, or there is no key.
		if err := scope.validate(); err != nil {
			return err
		}
		next, err := r.once(ctx, makeFlight(scope), func(ctx context.Context) (*dataKey, error) {
			return r.replenish(ctx, scope)
		})
		if err != nil {
			return err
		}
		if time.Now().Before(next.seal.notAfter) {
			if n := next.take(); n > 0 { // also where a full cache didn't keep it
				s.hold(next)
				s.add(n)
				return nil
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func makeFlight(scope Scope) string { return "make" + string(scope.canonical()) }

// endShare is the part of a key's budget, and of its age, during which the next
// key is made while writers go on with this one.
const endShare = 8

// renewAhead starts the search for more messages or the next key while there
// are some left, so that no writer has to wait for it.
func (r *KeyRing) renewAhead(k *dataKey) {
	low := int64(k.seal.budget / endShare)
	if r.opts.Store != nil {
		low = int64(max(k.seal.lease.size.Load()/4, 1))
	}
	if k.seal.left.Load() > low && !k.seal.ending.Load() {
		return
	}
	now := time.Now().UnixNano()
	due := k.seal.retryAt.Load()
	early := now < due && due-now <= int64(renewRetry) // it is never further off, unless the clock was set back
	if early || !k.seal.retryAt.CompareAndSwap(due, now+int64(renewRetry)) {
		return
	}
	r.ahead(k, func(ctx context.Context) (*dataKey, error) {
		if r.opts.Store != nil && !k.seal.ending.Load() {
			_, err := r.once(ctx, makeFlight(k.scope), func(ctx context.Context) (*dataKey, error) {
				_, err := r.leaseMore(ctx, k, false)
				return k, err
			})
			if err != nil {
				return k, err
			}
			if !k.seal.ending.Load() {
				k.seal.retryAt.Store(0) // the pause is for attempts that brought nothing
				return k, nil
			}
		}
		return r.nextAhead(ctx, k)
	})
}

// ahead runs renew in the background, if k still is its scope's key by then.
func (r *KeyRing) ahead(k *dataKey, renew func(context.Context) (*dataKey, error)) {
	r.start(context.Background(), "ahead"+makeFlight(k.scope), func(ctx context.Context) (*dataKey, error) {
		if !r.seals(k) {
			return nil, nil
		}
		return renew(ctx)
	})
}

// seals reports whether its scope is sealed with k.
func (r *KeyRing) seals(k *dataKey) bool {
	now, ok := r.sealing.GetIfPresent(k.scope)
	return ok && now == k
}

// renewalsAtOnce bounds the searches for keys that no writer waits for: keys
// that were made at the same time end at the same time.
const renewalsAtOnce = 10

// nextAhead finds or makes the key that follows k. It waits for its turn before
// it joins the scope's flight, so that no writer who joins that waits for the
// turn too. What comes to nothing is tried again by whoever asked for it.
func (r *KeyRing) nextAhead(ctx context.Context, k *dataKey) (*dataKey, error) {
	select {
	case r.renewals <- struct{}{}:
		defer func() { <-r.renewals }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !r.seals(k) { // a writer had no time to wait
		return nil, nil
	}
	return r.once(ctx, makeFlight(k.scope), func(ctx context.Context) (*dataKey, error) { return r.next(ctx, k.scope, k) })
}

// renewRetry is the pause between attempts at a successor that were not asked
// for by a writer.
const renewRetry = 10 * time.Second

// replenish returns a key of the scope with messages left: the present one, if
// the key store grants it more, or the next.
func (r *KeyRing) replenish(ctx context.Context, scope Scope) (*dataKey, error) {
	now, ok := r.sealing.GetIfPresent(scope)
	if ok && now.seal.left.Load() > 0 && time.Now().Before(now.seal.notAfter) {
		return now, nil // a flight that ended meanwhile brought it
	}
	if r.opts.Store != nil {
		if !ok {
			return r.searchFor(scope).active(ctx)
		}
		if more, err := r.leaseMore(ctx, now, false); more || err != nil {
			return now, err
		}
	}
	return r.next(ctx, scope, now)
}

// next makes the data key that follows old, which may be nil without a store.
func (r *KeyRing) next(ctx context.Context, scope Scope, old *dataKey) (*dataKey, error) {
	if r.opts.Store != nil {
		return r.searchFor(scope).next(ctx, old.id)
	}
	return r.nextInline(ctx, scope, old, false)
}

// nextInline makes a data key without a store, to follow old or, to rotate, any.
func (r *KeyRing) nextInline(ctx context.Context, scope Scope, old *dataKey, rotate bool) (*dataKey, error) {
	made, err := r.generate(ctx, scope, PurposeData)
	if err != nil {
		return nil, err
	}
	defer made.Wipe()
	k, err := newDataKey(made.Plaintext, scope)
	if err != nil {
		return nil, err
	}
	h := header{mode: ModeInline, keyID: &k.id, rootKey: []byte(made.RootKey), wrapped: made.Wrapped}
	start := h.bytes() // ends with the wrapped key, which is kept once
	r.publish(k, made.RootKey, start[len(start)-len(made.Wrapped):], false)
	k.seal = &sealing{header: start, budget: r.opts.MessageBudget, notAfter: time.Now().Add(r.opts.KeyAge)}
	k.seal.left.Store(int64(r.opts.MessageBudget))
	return r.cacheSealing(k, old, rotate), nil
}

// generate asks the provider for a data key, and holds the answer to the
// format.
func (r *KeyRing) generate(ctx context.Context, scope Scope, purpose Purpose) (kmsprovider.DataKey, error) {
	keys, err := r.rootKeysFor(scope)
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	r.stats.generate.Add(1)
	made, err := r.provider.GenerateDataKey(ctx, keys.Seal, encryptionContext(scope, purpose))
	if err != nil {
		r.tell(Event{Kind: CallFailed, RootKey: keys.Seal, Scope: scope, Err: err})
		return kmsprovider.DataKey{}, err
	}
	switch {
	case len(made.Plaintext) != kmsprovider.DataKeySize:
		err = fmt.Errorf("%w: the provider made a data key of %d bytes, it must be %d", kmsprovider.ErrUnavailable, len(made.Plaintext), kmsprovider.DataKeySize)
	case len(made.Wrapped) == 0 || len(made.Wrapped) > maxWrapped:
		err = fmt.Errorf("%w: the provider wrapped a data key in %d bytes, 1 to %d can be stored", kmsprovider.ErrUnavailable, len(made.Wrapped), maxWrapped)
	case made.RootKey == "" || len(made.RootKey) > maxURI || !utf8.ValidString(made.RootKey):
		err = fmt.Errorf("%w: the provider named the root key with %d bytes, 1 to %d of UTF-8 can be stored", kmsprovider.ErrUnavailable, len(made.RootKey), maxURI)
	default:
		// What is sealed with this key must open again under the same
		// configuration.
		err = r.checkRootKey(ctx, scope, made.RootKey)
	}
	if err != nil {
		made.Wipe()
		return kmsprovider.DataKey{}, err
	}
	return made, nil
}

const never = 1<<63 - 1

// cacheSealing makes k the key that its scope is sealed with, and returns it,
// unless the scope has meanwhile got another key than old: a slow search for the
// next key must not undo a rotation. Then it returns that other key. With
// rotate it follows any.
func (r *KeyRing) cacheSealing(k, old *dataKey, rotate bool) *dataKey {
	// The timer starts only when it is in place: it may fire at once. It holds
	// no key: the runtime keeps stopped timers, and what they hold, for as long
	// as it likes.
	weakly := weak.Make(k)
	k.seal.timer = time.AfterFunc(never, func() {
		if k := weakly.Value(); k != nil {
			r.turn(k)
		}
	})
	r.serves(&k.sealable)
	remaining := time.Until(k.seal.notAfter)
	k.seal.timer.Reset(remaining - remaining/endShare)
	placed, _ := r.sealing.Compute(k.scope, func(now *dataKey, found bool) (*dataKey, otter.ComputeOp) {
		if found && !rotate && now != old {
			return now, otter.CancelOp
		}
		return k, otter.WriteOp
	})
	keepWithin(r.sealing, r.opts.CacheSize)
	if placed != nil && placed != k {
		k.unpublishSealing()
		return placed
	}
	if !time.Now().Before(k.seal.notAfter) || k.watch.ended.Load() { // the end may have come before the key was in place
		r.endSealing(k)
	}
	return k
}

// turn is what k's timer does: it looks for the next key, again and again so
// that one failure doesn't make writers wait at the end, and then ends k.
func (r *KeyRing) turn(k *dataKey) {
	remaining := time.Until(k.seal.notAfter)
	if remaining <= 0 {
		r.endSealing(k)
		return
	}
	if !k.sealable.Load() {
		return
	}
	k.seal.timer.Reset(min(remaining, renewRetry))
	r.ahead(k, func(ctx context.Context) (*dataKey, error) { return r.nextAhead(ctx, k) })
}

// endSealing takes k out of use, unless another key took its place already.
func (r *KeyRing) endSealing(k *dataKey) {
	k.unpublishSealing()
	if now, ok := r.sealing.GetEntryQuietly(k.scope); ok && now.Value == k {
		r.sealing.Invalidate(k.scope)
	}
}

func (k *dataKey) unpublishSealing() {
	k.sealable.Store(false)
	k.seal.timer.Stop()
}
