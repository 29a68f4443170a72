package envelope

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

func TestDefaults(t *testing.T) {
	r := plainRing(t, &plainProvider{}, nil)
	require.Equal(t, Options{
		MessageBudget: 1 << 31, KeyAge: 30 * 24 * time.Hour,
		CacheSize: 10_000, CacheTTL: 15 * time.Minute, OutageGrace: time.Hour, StorePoll: 15 * time.Second, LoadTimeout: 30 * time.Second,
	}, r.opts)
}

// TestBudgetAheadOfNeed: while writers use up a key's messages, the next key is
// made, and nobody waits for it.
func TestBudgetAheadOfNeed(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				const delay, pace, messages = time.Second, 700 * time.Millisecond, 500
				p := &plainProvider{delay: delay}
				r := plainRing(t, p, &Options{Store: store(), MessageBudget: 128})
				_, _ = sealFor(t, r, place("acme")) // the first key is waited for
				used := map[KeyID]int{}
				for range messages {
					time.Sleep(pace)
					began := time.Now()
					_, key := sealFor(t, r, place("acme"))
					require.Zero(t, time.Since(began), "a writer waited for a key")
					used[key]++
				}
				require.GreaterOrEqual(t, len(used), messages/128)
				for key, n := range used {
					require.LessOrEqual(t, n, 128, "key %s", key)
				}
			})
		})
	}
}

// forgetfulStore grants as many messages as it is asked for, as if somebody set
// its counters back before each call.
type forgetfulStore struct{ *MemoryStore }

func (s forgetfulStore) Lease(_ context.Context, _ Scope, _ Purpose, _ KeyID, n uint64) (granted, left uint64, err error) {
	return n, 1 << 20, nil
}

// TestResetCounters: whoever sets the store's counters back takes no key past
// its budget in any one process, also when it leaves the caches in between.
func TestResetCounters(t *testing.T) {
	const budget, messages = 100, 1000
	most := func(t *testing.T, r *KeyRing, between func()) (most int) {
		t.Helper()
		used := map[KeyID]int{}
		for i := range messages {
			_, key := sealFor(t, r, place("acme"))
			used[key]++
			most = max(most, used[key])
			if i%7 == 0 { // the key leaves the caches, and the scratches with it
				scope := place("acme").Scope.withDefault()
				r.sealing.Invalidate(scope)
				r.opening.Invalidate(key)
			}
			between()
		}
		return most
	}
	ring := func(t *testing.T) *KeyRing {
		return plainRing(t, &plainProvider{}, &Options{Store: forgetfulStore{NewMemoryStore()}, MessageBudget: budget})
	}
	require.LessOrEqual(t, most(t, ring(t), func() {}), budget)

	control := ring(t)
	require.Greater(t, most(t, control, func() { control.drawn = drawnCounts{} }), budget,
		"without a count of its own the process stays within the budget too")
}

// The process's own counts go when their keys have ended for good.
func TestOwnCountsAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var d drawnCounts
		for i := range 5 * fewCounts {
			k := &dataKey{seal: &sealing{budget: 100, created: time.Now(), notAfter: time.Now().Add(time.Hour)}}
			binary.BigEndian.PutUint64(k.id[:], uint64(i))
			require.EqualValues(t, 1, d.reserve(k, 1, false))
			if i%fewCounts == 0 {
				time.Sleep(2 * time.Hour)
			}
		}
		require.LessOrEqual(t, len(d.count), 2*fewCounts)
	})
}
