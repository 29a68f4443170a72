package envelope

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// A lateStore takes some time for each call, before the step and after it, so
// that the steps of several processes mix in all ways.
type lateStore struct {
	*MemoryStore
	unclaimed  bool // all may make the next key at once
	uncompared bool // a new key is made active whatever key it follows
}

func late() { time.Sleep(rand.N(20 * time.Millisecond)) }

func (s lateStore) Active(ctx context.Context, scope Scope, purpose Purpose) (Record, error) {
	late()
	defer late()
	return s.MemoryStore.Active(ctx, scope, purpose)
}

func (s lateStore) Claim(ctx context.Context, scope Scope, purpose Purpose, holder string, lease time.Duration) (bool, error) {
	late()
	defer late()
	if s.unclaimed {
		return true, nil
	}
	return s.MemoryStore.Claim(ctx, scope, purpose, holder, lease)
}

func (s lateStore) Activate(ctx context.Context, rec Record, previous KeyID) error {
	late()
	defer late()
	if !s.uncompared {
		return s.MemoryStore.Activate(ctx, rec, previous)
	}
	at, err := s.lock(ctx, rec.Scope, rec.Purpose)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if old, ok := s.keys[storeKey{at, previous}]; ok {
		old.State = StateRetired
	}
	s.keys[storeKey{at, rec.KeyID}] = &storedKey{Record: rec}
	s.active[at] = rec.KeyID
	return nil
}

// TestScoreboardS10 has up to eight processes rotate one scope at the same time,
// beside a key service that answers at once, slowly, or later than a claim lasts.
// A run is bad if two keys are active after it, or if the service made a key that
// the store doesn't have. The controls are a store whose claims hold nobody off,
// and one that doesn't compare either.
func TestScoreboardS10(t *testing.T) {
	runs, controls := 1000, 100
	if testing.Short() || scoreboard.UnderRace() {
		runs, controls = 100, 20
	}
	var two, lost, unclaimedLost, twoActive int
	bubble.Test(t, func(t *testing.T) {
		count := func(runs int, store lateStore) (two, lost int) {
			for range runs {
				store.MemoryStore = NewMemoryStore()
				active, made := raceRotators(t, store)
				if active != 1 {
					two++
				}
				if made != len(store.keys) {
					lost++
				}
			}
			return two, lost
		}
		two, lost = count(runs, lateStore{})
		_, unclaimedLost = count(controls, lateStore{unclaimed: true})
		twoActive, _ = count(controls, lateStore{unclaimed: true, uncompared: true})
	})
	scoreboard.Row(t, "S10", two+lost == 0 && unclaimedLost > 0 && twoActive > 0,
		fmt.Sprintf("%d runs with two active keys, %d with keys made and lost, of %d", two, lost, runs), "0",
		fmt.Sprintf("claims that hold nobody off: keys lost in %d of %d; no comparison either: two active in %d", unclaimedLost, controls, twoActive))
}

// raceRotators is one run. It returns how many keys are active and how many the
// service made.
func raceRotators(t *testing.T, store lateStore) (active, made int) {
	t.Helper()
	p := &plainProvider{delay: []time.Duration{0, 30 * time.Millisecond, claimLease + claimLease/2}[rand.IntN(3)]}
	var wg sync.WaitGroup
	for range 2 + rand.IntN(7) {
		wg.Go(func() {
			r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, &Options{Store: store, LoadTimeout: time.Hour})
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			for range 1 + rand.IntN(2) {
				id, err := r.Rotate(t.Context(), place("acme").Scope)
				if err != nil && !(store.unclaimed && errors.Is(err, ErrConflict)) {
					t.Error(err)
				} else if _, err := store.Get(t.Context(), place("acme").Scope, PurposeData, id); err != nil && !store.unclaimed {
					t.Errorf("a key was answered and not stored: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, k := range store.keys {
		if k.State == StateActive {
			active++
		}
	}
	return active, p.generated
}
