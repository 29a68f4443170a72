package envelope

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
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
			bubble.Test(t, func(t *testing.T) {
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
// sealed with it: others could not open that. It is told once.
func TestRecordThatIsGone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := NewMemoryStore()
		r, log := moodyRing(t, &moodyProvider{}, &Options{Store: store})
		env, id := sealFor(t, r, place("acme"))
		time.Sleep(time.Hour)
		require.Zero(t, log.count(KeyStopped), "the control: the record is there")
		lost := snapshot(store)
		store.lose()
		time.Sleep(10 * time.Minute)
		requireVanished(t, log, id)
		_, err := r.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		_, next := sealFor(t, r, place("acme"))
		require.NotEqual(t, id, next)

		// It comes back, and goes once more.
		rec, err := lost.Get(t.Context(), acme, PurposeData, id)
		require.NoError(t, err)
		require.NoError(t, store.Insert(t.Context(), rec))
		time.Sleep(time.Minute)
		require.Equal(t, 1, log.count(KeyStopped))
		store.lose()
		time.Sleep(time.Minute)
		require.Equal(t, 3, log.count(KeyStopped), "both keys")
	})
}

// lose loses all records.
func (m *MemoryStore) lose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.keys)
	clear(m.active)
	m.names = nil
}

// requireVanished sees that the loss of one record was told, once.
func requireVanished(t *testing.T, log *eventLog, id KeyID) {
	t.Helper()
	require.Equal(t, 1, log.count(KeyStopped))
	log.mu.Lock()
	defer log.mu.Unlock()
	for _, e := range log.all {
		if e.Kind == KeyStopped {
			require.Equal(t, id, e.KeyID)
			require.Equal(t, acme, e.Scope)
			require.ErrorIs(t, e.Err, ErrKeyNotFound)
			require.ErrorContains(t, e.Err, "its record is gone from the key store")
		}
	}
}

// The same of the keys of indexes and of deterministic envelopes.
func TestSharedRecordThatIsGone(t *testing.T) {
	for _, u := range users(t) {
		t.Run(string(u.purpose), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				store := NewMemoryStore()
				r, log := moodyRing(t, &moodyProvider{}, &Options{Store: store})
				u.write(t, r)
				key, err := store.Active(t.Context(), acme, u.purpose)
				require.NoError(t, err)
				time.Sleep(time.Hour)
				require.Zero(t, log.count(KeyStopped))
				store.lose()
				time.Sleep(10 * time.Minute)
				requireVanished(t, log, key.KeyID)
			})
		})
	}
}

// A key that came inside an envelope was never in the store: nothing is told.
func TestInlineKeyHasNoRecord(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &moodyProvider{}
		inline, _ := moodyRing(t, p, &Options{})
		env, _ := sealFor(t, inline, place("acme"))
		r, log := moodyRing(t, p, &Options{Store: NewMemoryStore(), AllowInline: true})
		_, err := r.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		require.Zero(t, log.count(KeyStopped))
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
