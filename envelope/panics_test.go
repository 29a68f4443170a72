package envelope

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// Where a panic can't reach a caller it would end the process; these tests fail by
// the end of theirs.

type panickyLog struct{ panics atomic.Bool }

func (*panickyLog) Append(context.Context, Tombstone) error { return nil }

func (l *panickyLog) Read(context.Context, int64) ([]Tombstone, int64, error) {
	if l.panics.Load() {
		panic("a made-up secret")
	}
	return nil, 0, nil
}

func TestPanicOfTheTombstoneLogInThePoll(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		dead := &panickyLog{}
		r, log := moodyRing(t, &moodyProvider{}, &Options{Store: NewMemoryStore(), Tombstones: dead, OutageGrace: time.Hour})
		_, _ = sealFor(t, r, place("acme"))
		dead.panics.Store(true)
		time.Sleep(50 * time.Minute)
		require.Equal(t, 1, log.count(StoreAway))
		for _, e := range log.all {
			if e.Kind == StoreAway {
				require.ErrorIs(t, e.Err, ErrStoreUnavailable)
				require.ErrorContains(t, e.Err, "the tombstone log panicked with a string")
				require.NotContains(t, e.Err.Error(), "secret")
			}
		}
		dead.panics.Store(false)
		time.Sleep(time.Minute)
		require.Equal(t, 1, log.count(StoreBack))
		require.Len(t, r.inMemory(), 1)
	})
}

func TestPanicOfTheRoutesInThePoll(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := &panickyRoutes{KeyStore: NewMemoryStore()}
		r, log := moodyRing(t, &moodyProvider{}, &Options{Store: store})
		_, _ = sealFor(t, r, place("acme"))
		time.Sleep(time.Minute)
		require.Equal(t, 1, log.count(StoreAway))
	})
}

type panickyRoutes struct{ KeyStore }

func (*panickyRoutes) Shard(Scope) (string, error) { panic("made-up") }

// What OnEvent does changes nothing of what it is told of.
func TestPanicOfOnEvent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store, p := NewMemoryStore(), &moodyProvider{}
		told := 0
		r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, &Options{Store: store, OnEvent: func(Event) { told++; panic("made-up") }})
		require.NoError(t, err)
		defer r.Close()
		_, id := sealFor(t, r, place("acme"))
		setState(t, store, id, StateSuspended)
		time.Sleep(time.Minute)
		require.Empty(t, r.inMemory())
		require.Equal(t, 2, told, "made and stopped")
	})
}

// panickyClaims is a store whose claims can be taken and not renewed.
type panickyClaims struct {
	*MemoryStore
	n atomic.Int64
}

func (s *panickyClaims) Claim(ctx context.Context, scope Scope, purpose Purpose, holder string, lease time.Duration) (bool, error) {
	if s.n.Add(1) == 2 {
		panic("made-up")
	}
	return s.MemoryStore.Claim(ctx, scope, purpose, holder, lease)
}

func TestPanicOfAClaimsRenewal(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store, p := &panickyClaims{MemoryStore: NewMemoryStore()}, &plainProvider{delay: 12 * time.Second}
		r := plainRing(t, p, &Options{Store: store})
		_, _ = sealFor(t, r, place("acme"))
		require.Equal(t, int64(3), store.n.Load(), "it goes on renewing")
	})
}

// forTenant is a provider that panics for one tenant.
type forTenant struct {
	*localkms.Provider
	tenant string
}

func (p *forTenant) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if ec["fieldcrypt:tenant"] == p.tenant {
		panic("a made-up secret")
	}
	return p.Provider.Unwrap(ctx, rootKey, wrapped, ec)
}

func TestPanicInARewrap(t *testing.T) {
	kms, before, after := twoRoots(t)
	store := NewMemoryStore()
	sealed(t, storeRing(t, kms, store, RootKeys{Seal: before}), 20)
	r := storeRing(t, &forTenant{kms, "tenant-7"}, store, RootKeys{Seal: after, Open: []string{before}})
	report, err := r.Rewrap(t.Context(), Filter{}, after, nil)
	require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, 19, report.Rewrapped)
	require.Len(t, report.Failed, 1)
	require.Equal(t, "tenant-7", report.Failed[0].Key.Scope.Tenant)
}

// A source of root keys is asked by the goroutines of a call over many envelopes,
// where one names another root key for a key in memory.
func TestPanicOfRootKeysOverMany(t *testing.T) {
	var panics atomic.Bool
	r, err := NewKeyRing(&plainProvider{}, RootKeysFunc(func(Scope) (RootKeys, error) {
		if panics.Load() {
			panic("a made-up secret")
		}
		return RootKeys{Seal: plainRoot}, nil
	}), nil)
	require.NoError(t, err)
	defer r.Close()
	env, _ := sealFor(t, r, place("acme"))
	var h header
	require.NoError(t, h.parse(env))
	named := header{mode: h.mode, keyID: h.keyID, rootKey: []byte("plain://other"), wrapped: h.wrapped}
	panics.Store(true)
	cells := []Cell{{Binding: *place("acme"), Envelope: append(named.bytes(), h.body...)}}
	require.Equal(t, 1, r.OpenAll(t.Context(), cells))
	require.ErrorIs(t, cells[0].Err, kmsprovider.ErrUnavailable)
	require.NotContains(t, cells[0].Err.Error(), "secret")
}

type panickyGets struct{ *MemoryStore }

func (panickyGets) Get(context.Context, Scope, Purpose, KeyID) (Record, error) {
	panic("a made-up secret")
}

// The key service isn't blamed for a key store that panics where an envelope is
// opened.
func TestPanicOfTheStoreOnOpening(t *testing.T) {
	p, store := &plainProvider{}, NewMemoryStore()
	reference, _ := sealFor(t, plainRing(t, p, &Options{Store: store}), place("acme"))
	inline, _ := sealFor(t, plainRing(t, p, nil), place("acme"))
	r := plainRing(t, p, &Options{Store: panickyGets{store}, AllowInline: true})
	for _, env := range [][]byte{reference, inline} {
		_, err := r.Open(t.Context(), place("acme"), env)
		require.ErrorIs(t, err, ErrStoreUnavailable)
		require.NotErrorIs(t, err, kmsprovider.ErrUnavailable)
		require.NotContains(t, err.Error(), "secret")
	}
}
