package envelope

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

// A user of shared keys writes a value and searches for it, by index or
// deterministically.
type user struct {
	purpose Purpose
	write   func(testing.TB, *KeyRing) string
	search  func(testing.TB, *KeyRing) []string
}

var acme = Scope{"acme", DefaultClass}

func users(tb testing.TB) []user {
	tb.Helper()
	spec := mailIndex
	spec.Bits = 128
	ix := mustIndex(tb, spec)
	frame := AppendString(nil, "ada@example.com")
	return []user{
		{
			PurposeIndex,
			func(tb testing.TB, r *KeyRing) string {
				tb.Helper()
				return tagOf(tb, r, ix, acme, "", "ada@example.com")
			},
			func(tb testing.TB, r *KeyRing) []string {
				tb.Helper()
				return searchFor(tb, r, ix, acme, "ada@example.com")
			},
		},
		{
			PurposeDeterministic,
			func(tb testing.TB, r *KeyRing) string {
				tb.Helper()
				return string(mustSealDet(tb, r, column("acme"), frame))
			},
			func(tb testing.TB, r *KeyRing) (all []string) {
				tb.Helper()
				found, err := r.QueryDeterministic(tb.Context(), column("acme"), frame)
				require.NoError(tb, err)
				for _, env := range found {
					opened, err := r.OpenDeterministic(tb.Context(), column("acme"), env)
					require.NoError(tb, err)
					require.Equal(tb, frame, opened)
					all = append(all, string(env))
				}
				return all
			},
		},
	}
}

// eachUser runs a test in simulated time, with rings on one store.
func eachUser(t *testing.T, test func(t *testing.T, u user, p *plainProvider, store *MemoryStore, ring func() *KeyRing)) {
	t.Helper()
	for _, u := range users(t) {
		t.Run(string(u.purpose), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p, store := &plainProvider{}, NewMemoryStore()
				test(t, u, p, store, func() *KeyRing {
					return plainRing(t, p, &Options{Store: store, StorePoll: 15 * time.Second})
				})
			})
		})
	}
}

// TestCutOverMissesNothing has two processes write and search every second while
// a third cuts over. Whatever one has written the others find.
func TestCutOverMissesNothing(t *testing.T) {
	eachUser(t, func(t *testing.T, u user, _ *plainProvider, store *MemoryStore, ring func() *KeyRing) {
		rings := []*KeyRing{ring(), ring(), ring()}
		old := u.write(t, rings[0])
		for _, r := range rings {
			require.Equal(t, []string{old}, u.search(t, r))
		}
		time.Sleep(7 * time.Second)
		first, err := store.Active(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		id, err := rings[2].CutOver(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		require.NotEqual(t, first.KeyID, id)
		now, err := store.Active(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		require.Equal(t, id, now.KeyID)
		require.True(t, now.NotAfter.IsZero())
		require.Zero(t, now.Budget)

		// The control: a process that wrote with the new key at once.
		hasty := u.search(t, rings[2])[0]
		require.NotContains(t, u.search(t, rings[0]), hasty, "the control: it would not be found")

		begun, with := time.Now(), map[string]int{}
		for time.Since(begun) < 2*time.Minute {
			for i, writer := range rings {
				value := u.write(t, writer)
				with[value]++
				if value != old {
					require.Greater(t, time.Since(begun), 30*time.Second)
				}
				for j, other := range rings {
					require.Containsf(t, u.search(t, other), value, "ring %d, written by ring %d after %v", j, i, time.Since(begun))
				}
			}
			time.Sleep(time.Second)
		}
		require.Len(t, with, 2)
		require.Greater(t, with[hasty], 200)
		require.LessOrEqual(t, with[old], 3*33)
		for _, r := range append(rings, ring()) {
			require.Equal(t, []string{hasty, old}, u.search(t, r), "the active key's first")
			require.Equal(t, hasty, u.write(t, r))
		}
	})
}

// TestCutOverTwice: the key that is written with is never one that hasn't
// settled, where there is another.
func TestCutOverTwice(t *testing.T) {
	eachUser(t, func(t *testing.T, u user, _ *plainProvider, _ *MemoryStore, ring func() *KeyRing) {
		a, b := ring(), ring()
		values := []string{u.write(t, a)}
		for range 2 {
			time.Sleep(10 * time.Second)
			_, err := b.CutOver(t.Context(), acme, u.purpose)
			require.NoError(t, err)
			require.Equal(t, values[0], u.write(t, b))
			require.Equal(t, values[0], u.write(t, ring()), "of a process that begins now")
		}
		values = u.search(t, b)
		require.Len(t, values, 3)
		time.Sleep(22 * time.Second) // the second has settled, the third hasn't
		require.Equal(t, values[1], u.write(t, b))
		require.Equal(t, values[1], u.write(t, a))
		time.Sleep(10 * time.Second)
		require.Equal(t, values[0], u.write(t, b))
		require.ElementsMatch(t, values, u.search(t, a))
	})
}

// TestSharedKeysLive goes through the life of a key that was followed.
func TestSharedKeysLive(t *testing.T) {
	eachUser(t, func(t *testing.T, u user, p *plainProvider, store *MemoryStore, ring func() *KeyRing) {
		r, other := ring(), ring()
		require.Empty(t, u.search(t, r), "no key yet")
		require.Zero(t, p.made(), "a search makes no key")
		old := u.write(t, r)
		rec, err := store.Active(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		require.Equal(t, []string{old}, u.search(t, other))

		// Neither age nor Rotate follows it.
		_, err = r.Rotate(t.Context(), acme)
		require.NoError(t, err)
		_, err = r.RotateAll(t.Context(), Filter{}, nil)
		require.NoError(t, err)
		time.Sleep(90 * 24 * time.Hour)
		require.Equal(t, []string{old}, u.search(t, r))
		require.Equal(t, old, u.write(t, other))

		_, err = r.CutOver(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		next := u.write(t, other)
		require.NotEqual(t, old, next)
		require.Equal(t, []string{next, old}, u.search(t, other))

		why := Reason{By: "ada"}
		name := rec.Name()
		gone := func(step string) {
			t.Helper()
			require.Equal(t, []string{next}, u.search(t, r), step)
			time.Sleep(20 * time.Second)
			require.Equal(t, []string{next}, u.search(t, other), step)
			if u.purpose == PurposeDeterministic {
				_, err := other.OpenDeterministic(t.Context(), column("acme"), []byte(old))
				require.Error(t, err)
			}
		}
		back := func(step string) {
			t.Helper()
			require.Equal(t, []string{next, old}, u.search(t, r), step)
			time.Sleep(DefaultTTL + 20*time.Second)
			require.Equal(t, []string{next, old}, u.search(t, other), step)
		}
		require.NoError(t, r.Suspend(t.Context(), name, why))
		gone("suspended")
		require.NoError(t, r.Resume(t.Context(), name, why))
		back("resumed")
		require.NoError(t, r.ScheduleDestroy(t.Context(), name, LeastWait, why))
		gone("scheduled")
		require.NoError(t, r.CancelDestroy(t.Context(), name, why))
		back("cancelled")
		require.NoError(t, r.ScheduleDestroy(t.Context(), name, LeastWait, why))
		time.Sleep(LeastWait + time.Second)
		require.NoError(t, r.Destroy(t.Context(), name, Destruction{Reason: why, Word: "destroy " + name.ID.String(), LoseReferencedData: true}))
		gone("destroyed")

		// Without an active key, the next write makes one, and goes on with the
		// retired one until others know.
		now, err := store.Active(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		require.NoError(t, r.Retire(t.Context(), now.Name(), why))
		require.Equal(t, next, u.write(t, r))
		require.Contains(t, u.search(t, other), next)
		time.Sleep(time.Minute)
		third := u.write(t, r)
		require.NotEqual(t, next, third)
		require.Equal(t, []string{third, next}, u.search(t, other))
	})
}

// DefaultTTL is Options.CacheTTL where it isn't set.
const DefaultTTL = 15 * time.Minute

// TestSharedKeysEnd: a key service that says no, and a record that is gone, end
// the use of keys in memory; one that is away doesn't, within the grace.
func TestSharedKeysEnd(t *testing.T) {
	eachUser(t, func(t *testing.T, u user, p *plainProvider, _ *MemoryStore, ring func() *KeyRing) {
		r := ring()
		value := u.write(t, r)
		require.Equal(t, []string{value}, u.search(t, r))
		unwrapped := r.Stats().Unwrap
		time.Sleep(20 * time.Minute)
		require.Greater(t, r.Stats().Unwrap, unwrapped, "the service was asked again")
		require.Equal(t, value, u.write(t, r))
		p.mu.Lock()
		p.keys = nil
		p.mu.Unlock()
		time.Sleep(DefaultTTL + time.Second)
		frame := AppendString(nil, "ada@example.com")
		_, err := r.AppendTag(t.Context(), nil, mustIndex(t, mailIndex), acme, "", nil)
		_, err2 := r.SealDeterministic(t.Context(), column("acme"), frame)
		if u.purpose == PurposeIndex {
			err2 = err
		}
		require.ErrorIs(t, err2, ErrNotAuthentic)
	})
}

// TestSharedKeysAreMadeOnce: of many processes that need the first key, one
// makes it.
func TestSharedKeysAreMadeOnce(t *testing.T) {
	for _, u := range users(t) {
		p, store := &plainProvider{delay: 20 * time.Millisecond}, NewMemoryStore()
		var wg sync.WaitGroup
		values := make([]string, 32)
		rings := make([]*KeyRing, 8)
		for i := range rings {
			rings[i] = plainRing(t, p, &Options{Store: store})
		}
		for i := range values {
			wg.Go(func() { values[i] = u.write(t, rings[i%len(rings)]) })
		}
		wg.Wait()
		require.Len(t, slices.Compact(values), 1)
		require.Equal(t, 1, p.made())
	}
}

// TestSharedKeysBadRecords: a search that can't have all keys is an error, and
// one record that doesn't open keeps nobody from writing.
func TestSharedKeysBadRecords(t *testing.T) {
	for _, u := range users(t) {
		p, store := &plainProvider{}, NewMemoryStore()
		value := u.write(t, plainRing(t, p, &Options{Store: store}))
		rec, err := store.Active(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		search := func(r *KeyRing) error {
			_, err := r.QueryTags(t.Context(), mustIndex(t, mailIndex), acme, nil)
			if u.purpose == PurposeDeterministic {
				_, err = r.QueryDeterministic(t.Context(), column("acme"), AppendString(nil, "x"))
			}
			return err
		}
		for i := range maxLive {
			require.NoError(t, search(plainRing(t, p, &Options{Store: store})), "the control")
			bad := rec
			bad.KeyID[0] ^= byte(i + 1)
			require.NoError(t, store.Insert(t.Context(), bad))
			r := plainRing(t, p, &Options{Store: store})
			err := search(r)
			require.ErrorIs(t, err, ErrNotAuthentic)
			require.ErrorContains(t, err, bad.KeyID.String())
			if rec.Created.Add(r.settle()).Before(time.Now()) {
				require.Equal(t, value, u.write(t, r))
			}
			if i == 0 {
				break
			}
		}
		for i := range maxLive {
			bad := rec
			bad.KeyID[1] ^= byte(i + 1)
			require.NoError(t, store.Insert(t.Context(), bad))
		}
		err = search(plainRing(t, p, &Options{Store: store}))
		require.ErrorIs(t, err, ErrMalformed)
		require.ErrorContains(t, err, "more than 64 live keys")
	}
}

// TestSharedKeysAreRewrapped: under another root key the same values are found,
// and the old one isn't needed any more.
func TestSharedKeysAreRewrapped(t *testing.T) {
	for _, u := range users(t) {
		kms, before, after := twoRoots(t)
		store := NewMemoryStore()
		value := u.write(t, storeRing(t, kms, store, RootKeys{Seal: before}))
		both := storeRing(t, kms, store, RootKeys{Seal: after, Open: []string{before}})
		require.Equal(t, []string{value}, u.search(t, both))
		report, err := both.Rewrap(t.Context(), Filter{}, after, nil)
		require.NoError(t, err)
		require.Equal(t, RewrapReport{To: after, Rewrapped: 1, Left: map[string]int{}}, report)
		require.Equal(t, []string{value}, u.search(t, both))
		require.Equal(t, []string{value}, u.search(t, storeRing(t, kms, store, RootKeys{Seal: after})))

		// The control, and the check of root keys: a configuration that lists
		// the old one only.
		old := storeRing(t, kms, store, RootKeys{Seal: before})
		_, err = old.QueryTags(t.Context(), mustIndex(t, mailIndex), acme, nil)
		if u.purpose == PurposeDeterministic {
			_, err = old.QueryDeterministic(t.Context(), column("acme"), AppendString(nil, "x"))
		}
		require.ErrorIs(t, err, ErrRootKeyNotAllowed)
	}
}

func TestCutOverRefusals(t *testing.T) {
	good := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore()})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	closed := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore()})
	require.NoError(t, closed.Close())
	for name, c := range map[string]struct {
		ring    *KeyRing
		ctx     context.Context
		scope   Scope
		purpose Purpose
		is      error
		text    string
	}{
		"purpose data":     {good, t.Context(), acme, PurposeData, ErrMalformed, "Rotate"},
		"purpose log":      {good, t.Context(), acme, PurposeLog, ErrMalformed, "only keys of purpose"},
		"no purpose":       {good, t.Context(), acme, "", ErrMalformed, "only keys of purpose"},
		"no tenant":        {good, t.Context(), Scope{}, PurposeIndex, ErrMalformed, "tenant is empty"},
		"no store":         {plainRing(t, &plainProvider{}, nil), t.Context(), acme, PurposeIndex, ErrModeNotAllowed, "Options.Store"},
		"an ended context": {good, ended, acme, PurposeIndex, context.Canceled, "canceled"},
		"a closed ring":    {closed, t.Context(), acme, PurposeDeterministic, ErrClosed, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := c.ring.CutOver(c.ctx, c.scope, c.purpose)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.text)
			require.Zero(t, id)
		})
	}
	id, err := good.CutOver(t.Context(), Scope{Tenant: "acme"}, PurposeIndex)
	require.NoError(t, err, "the control: a scope's first key")
	require.NotZero(t, id)
}
