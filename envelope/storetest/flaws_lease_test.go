package storetest

import (
	"errors"
	"math"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func leaseFlaws() []flaw {
	leases := func(name, check, says string, do func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error)) flaw {
		return flaw{name, check, says, func(b *broken) {
			b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) { return do(b, ctx, s, p, id, n) }
		}}
	}
	allOrNothing := func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
		got, err := b.grants(ctx, s, p, id, n)
		if got < n {
			got = 0
		}
		return got, err
	}
	return []flaw{
		leases("doesn't count", "lease-counts", "got 60, and left are 100, want 40", func(_ *broken, _ bg, _ scope, _ pur, _ keyID, n uint64) (uint64, error) { return n, nil }),
		leases("all or nothing", "lease-counts", "got 0, want 40", allOrNothing),
		leases("the end is an error", "lease-counts", "spent", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			got, err := b.grants(ctx, s, p, id, n)
			if err == nil && got < n {
				err = errors.New("spent")
			}
			return got, err
		}),
		leases("keeps the last message", "lease-counts", "got 39, want 40", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			got, err := b.grants(ctx, s, p, id, n)
			if got > 0 && got < n {
				got--
			}
			return got, err
		}),
		leases("63 bits", "lease-counts", "high bit set", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			if n > math.MaxInt64 {
				return 0, errors.New("high bit set")
			}
			return b.grants(ctx, s, p, id, n)
		}),
		leases("32 bits", "lease-counts", "the largest budget", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			return b.grants(ctx, s, p, id, min(n, math.MaxInt32))
		}),
		{"takes from the record's budget", "lease-counts", "the member Budget is wrong", func(b *broken) {
			b.reads(func(r *rec) { r.Budget -= min(r.Budget, 100) })
		}},
		leases("at least one", "lease-counts", "got 1, want 0", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			return b.grants(ctx, s, p, id, max(n, 1))
		}),
		{"0 is spent", "lease-not-counted", "got 0, want 1", func(b *broken) {
			b.leaseIf(func(r *rec) bool { return r.Budget > 0 })
		}},
		leases("counts what isn't counted", "lease-not-counted", "want 18446744073709551615", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			got, err := b.grants(ctx, s, p, id, n)
			return min(got, math.MaxInt64), err
		}),
		leases("retired keys go on", "lease-retired", "a retired key: calling Lease", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			got, err := b.grants(ctx, s, p, id, n)
			if err == nil && got == 0 {
				got = n
			}
			return got, err
		}),
		leases("retired is not found", "lease-retired", "data key not found", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			if r, err := b.MemoryStore.Get(ctx, s, p, id); err == nil && r.State != envelope.StateActive {
				return 0, envelope.ErrKeyNotFound
			}
			return b.grants(ctx, s, p, id, n)
		}),
		leases("not counted, not retired", "lease-retired", "a budget of 0: got 10, want 0", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			if r, err := b.MemoryStore.Get(ctx, s, p, id); err == nil && r.Budget == 0 {
				return n, nil
			}
			return b.grants(ctx, s, p, id, n)
		}),
		{"tells what was left before", "lease-counts", "and left are 100, want 40", func(b *broken) {
			b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
				_, was, _ := b.MemoryStore.Lease(ctx, s, p, id, 0)
				b.left = func(uint64) uint64 { return was }
				return b.grants(ctx, s, p, id, n)
			}
		}},
		{"always tells that nothing is left", "lease-counts", "and left are 0, want 40", func(b *broken) {
			b.left = func(uint64) uint64 { return 0 }
		}},
		{"what isn't counted is spent", "lease-not-counted", "and left are 0, want", func(b *broken) {
			b.left = func(left uint64) uint64 { return left % math.MaxUint64 }
		}},
		{"reads, then writes", "lease-concurrent", "1009", func(b *broken) {
			var mu sync.Mutex
			var taken uint64
			b.lease = func(_ bg, _ scope, _ pur, _ keyID, n uint64) (uint64, error) {
				mu.Lock()
				seen := taken
				mu.Unlock()
				time.Sleep(time.Millisecond)
				n = min(n, 1009-min(seen, 1009))
				mu.Lock()
				defer mu.Unlock()
				taken = seen + n
				return n, nil
			}
		}},
		leases("loses the rest", "lease-concurrent", "in all, the budget is", allOrNothing),
		leases("more than asked for", "lease-concurrent", "asked for", func(b *broken, ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
			return b.grants(ctx, s, p, id, 2*n)
		}),
		leases("never ends", "lease-concurrent", "to one caller", func(_ *broken, _ bg, _ scope, _ pur, _ keyID, n uint64) (uint64, error) { return n, nil }),
	}
}

// leaseIf grants nothing of keys that aren't ok.
func (b *broken) leaseIf(ok func(*rec) bool) {
	b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
		if r, err := b.MemoryStore.Get(ctx, s, p, id); err == nil && !ok(&r) {
			return 0, nil
		}
		return b.grants(ctx, s, p, id, n)
	}
}
