package envelope

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// setState moves a key as another process would.
func setState(t *testing.T, store KeyStore, id KeyID, to State) {
	t.Helper()
	rec, err := store.Get(t.Context(), place("acme").Scope, PurposeData, id)
	require.NoError(t, err)
	changed := rec
	changed.State = to
	require.NoError(t, store.Update(t.Context(), rec, changed))
}

// TestOtherProcessesNotice: what one process does to a key, another heeds
// within StorePoll.
func TestOtherProcessesNotice(t *testing.T) {
	const poll = 15 * time.Second
	for _, c := range []struct {
		name  string
		do    func(t *testing.T, store KeyStore, other *KeyRing, id KeyID)
		opens error
	}{
		{"a rotation", func(t *testing.T, _ KeyStore, other *KeyRing, _ KeyID) {
			_, err := other.Rotate(t.Context(), place("acme").Scope)
			require.NoError(t, err)
		}, nil},
		{"a retired key", func(t *testing.T, store KeyStore, _ *KeyRing, id KeyID) { setState(t, store, id, StateRetired) }, nil},
		{"a suspended key", func(t *testing.T, store KeyStore, _ *KeyRing, id KeyID) { setState(t, store, id, StateSuspended) }, ErrKeyNotFound},
		{"a key that will be destroyed", func(t *testing.T, store KeyStore, _ *KeyRing, id KeyID) { setState(t, store, id, StateScheduled) }, ErrKeyNotFound},
		{"a destroyed key", func(t *testing.T, store KeyStore, _ *KeyRing, id KeyID) { setState(t, store, id, StateDestroyed) }, ErrKeyDestroyed},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				store := NewMemoryStore()
				p := &moodyProvider{}
				r, log := moodyRing(t, p, &Options{Store: store, StorePoll: poll})
				other, _ := moodyRing(t, p, &Options{Store: store, StorePoll: poll})
				env, id := sealFor(t, r, place("acme"))
				_, err := other.Open(t.Context(), place("acme"), env)
				require.NoError(t, err)
				time.Sleep(time.Hour)
				c.do(t, store, other, id)
				time.Sleep(poll)
				time.Sleep(time.Millisecond)
				_, err = r.Open(t.Context(), place("acme"), env)
				require.ErrorIs(t, err, c.opens)
				_, next := sealFor(t, r, place("acme"))
				require.NotEqual(t, id, next, "sealed with a key that isn't active")
				if c.opens != nil {
					require.Equal(t, 1, log.count(KeyStopped))
				}
			})
		})
	}
}

// Where a key's record is gone, what is in memory opens, and nothing more is
// sealed with it: others could not open that.
func TestRecordThatIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := NewMemoryStore()
		r, _ := moodyRing(t, &moodyProvider{}, &Options{Store: store})
		env, id := sealFor(t, r, place("acme"))
		store.mu.Lock()
		clear(store.keys)
		clear(store.active)
		store.mu.Unlock()
		time.Sleep(time.Minute)
		_, err := r.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		_, next := sealFor(t, r, place("acme"))
		require.NotEqual(t, id, next)
	})
}

// awayStore can be made unreachable.
type awayStore struct {
	*MemoryStore
	away atomic.Bool
}

var errStoreAway = errors.New("made-up outage of the database")

func (s *awayStore) States(ctx context.Context, keys []KeyName) ([]State, error) {
	if s.away.Load() {
		return nil, errStoreAway
	}
	return s.MemoryStore.States(ctx, keys)
}

func (s *awayStore) Get(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (Record, error) {
	if s.away.Load() {
		return Record{}, errStoreAway
	}
	return s.MemoryStore.Get(ctx, scope, purpose, id)
}

// A key store that is away ends keys in memory when the grace has passed, and
// not before.
func TestStoreAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &awayStore{MemoryStore: NewMemoryStore()}
		r, log := moodyRing(t, &moodyProvider{}, &Options{Store: store, OutageGrace: time.Hour})
		env, _ := sealFor(t, r, place("acme"))
		store.away.Store(true)
		time.Sleep(50 * time.Minute)
		_, err := r.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		store.away.Store(false)
		time.Sleep(time.Minute)
		require.Equal(t, 1, log.count(StoreAway))
		require.Equal(t, 1, log.count(StoreBack))

		store.away.Store(true)
		time.Sleep(50 * time.Minute)
		_, err = r.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		time.Sleep(11 * time.Minute)
		_, err = r.Open(t.Context(), place("acme"), env)
		require.ErrorIs(t, err, ErrStoreUnavailable)
	})
}

// More keys than one call asks for are all heeded.
func TestPollOfManyKeys(t *testing.T) {
	const n = 2*statesAtOnce + 17
	bubble(t, func(t *testing.T) {
		store := NewMemoryStore()
		r, log := moodyRing(t, &moodyProvider{}, &Options{Store: store})
		cells := cellsOf(n, n)
		require.NoError(t, r.SealAll(t.Context(), cells))
		for rec, err := range List(t.Context(), store, Filter{}) {
			require.NoError(t, err)
			changed := rec
			changed.State = StateSuspended
			require.NoError(t, store.Update(t.Context(), rec, changed))
		}
		time.Sleep(time.Minute)
		require.Equal(t, n, log.count(KeyStopped))
		require.Empty(t, r.inMemory())
	})
}
