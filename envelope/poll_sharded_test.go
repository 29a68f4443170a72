package envelope

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

// regions is a store for each class, of which some may be away, hang or have no
// name.
type regions struct {
	KeyStore // of all
	states   map[string]func(context.Context) error
	lost     atomic.Bool
}

func (s *regions) Shard(scope Scope) (string, error) {
	if s.lost.Load() && scope.Class == "lost" {
		return "", errors.New("made-up gap in the routes")
	}
	return "in " + scope.Class, nil
}

func (s *regions) States(ctx context.Context, keys []KeyName) ([]State, error) {
	var first error
	for _, k := range keys {
		if f := s.states[k.Scope.Class]; f != nil && first == nil {
			first = f(ctx)
		}
	}
	if first != nil {
		return nil, first
	}
	return s.KeyStore.States(ctx, keys)
}

// justStore is a store without Shard.
type justStore struct{ KeyStore }

func inClass(class string) *Binding {
	b := place("acme")
	b.Scope.Class = class
	return b
}

func suspend(t *testing.T, store KeyStore, b *Binding, id KeyID) {
	t.Helper()
	rec, err := store.Get(t.Context(), b.Scope, PurposeData, id)
	require.NoError(t, err)
	changed := rec
	changed.State = StateSuspended
	require.NoError(t, store.Update(t.Context(), rec, changed))
}

// One of several stores that is away, or never answers, holds up nothing of what
// the others say, and when its grace has passed its own keys end, and no others.
func TestOneOfSeveralStoresIsAway(t *testing.T) {
	for name, fails := range map[string]func(context.Context) error{
		"away":                 func(context.Context) error { return errStoreAway },
		"slow":                 func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"deaf":                 func(context.Context) error { time.Sleep(5 * time.Hour); return errStoreAway },
		"panics":               func(context.Context) error { panic("a made-up secret") },
		"control: answers":     func(context.Context) error { return nil },
		"control: one for all": func(context.Context) error { return errStoreAway },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var broken atomic.Bool
				store := &regions{KeyStore: NewMemoryStore(), states: map[string]func(context.Context) error{
					"us": func(ctx context.Context) error {
						if broken.Load() {
							return fails(ctx)
						}
						return nil
					},
				}}
				opts := &Options{Store: store, OutageGrace: time.Hour}
				if name == "control: one for all" {
					opts.Store = justStore{store}
				}
				r, log := moodyRing(t, &moodyProvider{}, opts)
				_, _ = sealFor(t, r, inClass("eu"))
				_, stopped := sealFor(t, r, inClass("asia"))
				_, _ = sealFor(t, r, inClass("us"))
				time.Sleep(time.Minute)
				broken.Store(true)
				time.Sleep(50 * time.Minute)
				require.Len(t, r.inMemory(), 3)
				suspend(t, store, inClass("asia"), stopped)
				time.Sleep(15*time.Second + time.Millisecond)
				switch name {
				case "control: answers":
					require.Len(t, r.inMemory(), 2)
					require.Zero(t, log.count(StoreAway))
					return
				case "control: one for all":
					require.Len(t, r.inMemory(), 3)
					time.Sleep(11 * time.Minute)
					require.Empty(t, r.inMemory())
					return
				}
				require.Len(t, r.inMemory(), 2)
				require.Equal(t, 1, log.count(StoreAway))
				for _, e := range log.all {
					if e.Kind == StoreAway {
						require.Equal(t, "in us", e.Store)
						require.Error(t, e.Err)
						require.NotContains(t, e.Err.Error(), "secret")
					}
				}
				time.Sleep(11 * time.Minute)
				require.Len(t, r.inMemory(), 1)
				require.Equal(t, "eu", r.inMemory()[0].scope.Class)
				broken.Store(false)
				time.Sleep(5 * time.Hour)
				require.Len(t, r.inMemory(), 1)
			})
		})
	}
}

// Many stores that hang delay what is learnt of the others by seconds, once. Those
// that wait for their turn meanwhile count as not asked: their keys end with the
// grace.
func TestManyStoresHang(t *testing.T) {
	const hanging, healthy = 100, 30
	bubble.Test(t, func(t *testing.T) {
		var broken, alive atomic.Bool
		store := &regions{KeyStore: NewMemoryStore(), states: map[string]func(context.Context) error{}}
		for i := range hanging {
			store.states[fmt.Sprint("hangs", i)] = func(ctx context.Context) error {
				if broken.Load() && (i > 0 || !alive.Load()) {
					<-ctx.Done()
				}
				return ctx.Err()
			}
		}
		r, log := moodyRing(t, &moodyProvider{}, &Options{Store: store, OutageGrace: time.Hour})
		for i := range hanging {
			_, _ = sealFor(t, r, inClass(fmt.Sprint("hangs", i)))
		}
		var ids []KeyID
		for i := range healthy {
			_, id := sealFor(t, r, inClass(fmt.Sprint("healthy", i)))
			ids = append(ids, id)
		}
		time.Sleep(time.Minute)
		broken.Store(true)
		want, late := hanging+healthy, 30*time.Second
		for i, id := range ids[:20] {
			suspend(t, store, inClass(fmt.Sprint("healthy", i)), id)
			want--
			time.Sleep(late + time.Millisecond)
			require.Len(t, r.inMemory(), want, "the suspension was not noticed in time")
			late = r.opts.StorePoll
			time.Sleep(time.Minute - late)
		}
		require.Equal(t, hanging, log.count(StoreAway))

		// One is back.
		alive.Store(true)
		time.Sleep(10 * time.Minute)
		require.Equal(t, 1, log.count(StoreBack))

		time.Sleep(31 * time.Minute)
		require.Len(t, r.inMemory(), healthy-20+1, "keys of stores that wait for their turn outlive the grace")
	})
}

// Keys for which no store is named serve until the grace has passed, and are
// those of their store when it is named again.
func TestNoStoreIsNamed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := &regions{KeyStore: NewMemoryStore()}
		r, log := moodyRing(t, &moodyProvider{}, &Options{Store: store, OutageGrace: time.Hour})
		_, _ = sealFor(t, r, inClass("eu"))
		_, _ = sealFor(t, r, inClass("lost"))
		store.lost.Store(true)
		time.Sleep(50 * time.Minute)
		require.Equal(t, 1, log.count(StoreAway))
		store.lost.Store(false)
		time.Sleep(time.Minute)
		require.Equal(t, 1, log.count(StoreBack))
		store.lost.Store(true)
		time.Sleep(50 * time.Minute)
		require.Len(t, r.inMemory(), 2)
		time.Sleep(11 * time.Minute)
		require.Len(t, r.inMemory(), 1)
	})
}

// shortStore leaves the last state out, or invents one.
type shortStore struct {
	*MemoryStore
	more int
}

func (s *shortStore) States(ctx context.Context, keys []KeyName) ([]State, error) {
	states, err := s.MemoryStore.States(ctx, keys)
	return append(states, StateActive)[:len(keys)+s.more], err
}

// An answer about fewer or more keys than were asked for is none.
func TestStatesOfTheWrongNumber(t *testing.T) {
	for more, away := range map[int]int{-1: 1, 1: 1, 0: 0} {
		bubble.Test(t, func(t *testing.T) {
			r, log := moodyRing(t, &moodyProvider{}, &Options{Store: &shortStore{NewMemoryStore(), more}, OutageGrace: time.Hour})
			_, _ = sealFor(t, r, inClass("eu"))
			_, _ = sealFor(t, r, inClass("us"))
			time.Sleep(2 * time.Hour)
			require.Equal(t, away, log.count(StoreAway), more)
			require.Len(t, r.inMemory(), 2*(1-away), more)
		})
	}
}

// A store that takes all the time there is doesn't keep the tombstone log from
// being heeded.
func TestTombstonesBesideASlowStore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := &regions{KeyStore: NewMemoryStore(), states: map[string]func(context.Context) error{
			DefaultClass: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		}}
		dead, err := CreateTombstoneFile(filepath.Join(t.TempDir(), "tombstones"))
		require.NoError(t, err)
		r, log := moodyRing(t, &moodyProvider{}, &Options{Store: store, Tombstones: dead})
		_, id := sealFor(t, r, place("acme"))
		_, _ = sealFor(t, r, place("globex"))
		require.NoError(t, dead.Append(t.Context(), Tombstone{Key: KeyName{place("acme").Scope, PurposeData, id}}))
		time.Sleep(time.Minute)
		require.Len(t, r.inMemory(), 1)
		require.Equal(t, 1, log.count(StoreAway))
	})
}
