package envelope

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// tries writes as the user does, and returns the error.
func (u user) tries(ctx context.Context, t *testing.T, r *KeyRing) error {
	t.Helper()
	spec := mailIndex
	spec.Bits = 128
	if u.purpose == PurposeIndex {
		_, err := r.AppendTag(ctx, nil, mustIndex(t, spec), acme, "", []byte("ada@example.com"))
		return err
	}
	_, err := r.SealDeterministic(ctx, column("acme"), AppendString(nil, "ada@example.com"))
	return err
}

// TestSuspendMissesNothing takes the key that is written with out of use. Whatever
// is written from then on under another key, all processes find; until they would,
// writes are refused.
func TestSuspendMissesNothing(t *testing.T) {
	suspend := func(t *testing.T, r *KeyRing, key KeyName) {
		t.Helper()
		require.NoError(t, r.Suspend(t.Context(), key, ops))
	}
	for name, c := range map[string]struct {
		wait    time.Duration // after CutOver; 0: there is none
		take    func(t *testing.T, r *KeyRing, key KeyName)
		refuses bool
	}{
		"suspended":                     {0, suspend, true},
		"right after a cut-over":        {time.Second, suspend, true},
		"one poll after it":             {16 * time.Second, suspend, true},
		"after a cut-over and its wait": {32 * time.Second, suspend, false},
		"scheduled": {0, func(t *testing.T, r *KeyRing, key KeyName) {
			t.Helper()
			require.NoError(t, r.Retire(t.Context(), key, ops))
			require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			eachUser(t, func(t *testing.T, u user, _ *plainProvider, store *MemoryStore, ring func() *KeyRing) {
				rings := []*KeyRing{ring(), ring(), ring()}
				old := u.write(t, rings[0])
				for _, r := range rings {
					require.Equal(t, []string{old}, u.search(t, r))
				}
				key, err := store.Active(t.Context(), acme, u.purpose)
				require.NoError(t, err)
				time.Sleep(time.Hour + 7*time.Second)
				if c.wait > 0 {
					_, err := rings[2].CutOver(t.Context(), acme, u.purpose)
					require.NoError(t, err)
					time.Sleep(c.wait)
				}
				c.take(t, rings[0], key.Name())

				refused, written := 0, 0
				for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(time.Second) {
					synctest.Wait() // for the polls of this moment
					for _, writer := range rings {
						if err := u.tries(t.Context(), t, writer); err != nil {
							require.ErrorIs(t, err, ErrState)
							require.ErrorContains(t, err, key.KeyID.String())
							require.ErrorContains(t, err, "try again in")
							require.NotContains(t, err.Error(), "ada@")
							require.Less(t, time.Since(begun), 32*time.Second)
							refused++
							continue
						}
						value := u.write(t, writer)
						if value == old { // of a process that doesn't know yet, as documented
							require.Less(t, time.Since(begun), 16*time.Second)
							continue
						}
						written++
						for i, other := range rings {
							require.Containsf(t, u.search(t, other), value, "ring %d, after %v", i, time.Since(begun))
						}
					}
				}
				require.Equal(t, c.refuses, refused > 0, "%d", refused)
				require.Greater(t, written, 3*28)
			})
		})
	}
}

// TestSuspendControl is the control: what a process that doesn't wait writes after
// a suspension isn't found by another.
func TestSuspendControl(t *testing.T) {
	eachUser(t, func(t *testing.T, u user, p *plainProvider, store *MemoryStore, ring func() *KeyRing) {
		a, b := ring(), ring()
		old := u.write(t, a)
		require.Equal(t, []string{old}, u.search(t, b))
		key, err := store.Active(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.NoError(t, a.Suspend(t.Context(), key.Name(), ops))
		hasty := plainRing(t, p, &Options{Store: forgetful{store}, StorePoll: 15 * time.Second})
		require.NotContains(t, u.search(t, b), u.write(t, hasty))
	})
}

// forgetful is a store that doesn't tell of keys that were taken out of use.
type forgetful struct{ *MemoryStore }

func (s forgetful) Page(ctx context.Context, f Filter, after KeyName, limit int) ([]Record, error) {
	page, err := s.MemoryStore.Page(ctx, f, after, limit)
	var live []Record
	for _, rec := range page {
		if rec.readable() == nil {
			live = append(live, rec)
		}
	}
	return live, err
}

// A scope's first key is written with at once, and so is one whose predecessor was
// taken out of use long ago.
func TestNoWaitWithoutASuspension(t *testing.T) {
	eachUser(t, func(t *testing.T, u user, _ *plainProvider, store *MemoryStore, ring func() *KeyRing) {
		r := ring()
		require.NoError(t, u.tries(t.Context(), t, r))
		key, err := store.Active(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		require.NoError(t, r.Suspend(t.Context(), key.Name(), ops))
		require.ErrorIs(t, u.tries(t.Context(), t, r), ErrState)
		time.Sleep(30 * time.Second)
		require.ErrorIs(t, u.tries(t.Context(), t, r), ErrState, "it counts from the suspension")
		time.Sleep(2 * time.Second)
		require.NoError(t, u.tries(t.Context(), t, r))

		other := ring()
		key, err = store.Active(t.Context(), acme, u.purpose)
		require.NoError(t, err)
		require.NoError(t, other.Suspend(t.Context(), key.Name(), ops))
		time.Sleep(time.Hour)
		require.NoError(t, u.tries(t.Context(), t, other), "a key that is made long after")
		require.NoError(t, u.tries(t.Context(), t, r))
	})
}
