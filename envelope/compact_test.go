package envelope

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// sealedBefore returns what a process without a key store sealed.
func sealedBefore(t *testing.T, p kmsprovider.Provider, b *Binding) (env []byte, id KeyID) {
	t.Helper()
	r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, nil)
	require.NoError(t, err)
	defer r.Close()
	return sealFor(t, r, b)
}

func TestCompact(t *testing.T) {
	p := &plainProvider{}
	env, id := sealedBefore(t, p, place("acme"))
	store := NewMemoryStore()
	r := plainRing(t, p, &Options{Store: store})
	_, err := r.Open(t.Context(), place("acme"), env)
	require.ErrorIs(t, err, ErrModeNotAllowed)

	short, err := r.Compact(t.Context(), place("acme").Scope, env)
	require.NoError(t, err)
	info, err := Inspect(short)
	require.NoError(t, err)
	require.Equal(t, ModeReference, info.Mode)
	require.Equal(t, ReferenceOverhead-1, info.OverheadSize)
	h, err := parseHeader(env)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(short, h.body), "the payload was sealed again")
	frame, err := r.Open(t.Context(), place("acme"), short)
	require.NoError(t, err)
	require.Equal(t, AppendString(nil, "x"), frame)

	// The key is in the store, opens, and doesn't seal.
	rec, err := store.Get(t.Context(), place("acme").Scope, PurposeData, id)
	require.NoError(t, err)
	require.Equal(t, StateRetired, rec.State)
	_, sealed := sealFor(t, r, place("acme"))
	require.NotEqual(t, id, sealed)

	// Again, and by another process: the record stays, and no call is made for
	// it twice.
	calls := p.unwrapped
	for range 100 {
		again, err := r.Compact(t.Context(), place("acme").Scope, env)
		require.NoError(t, err)
		require.Equal(t, short, again)
	}
	require.Equal(t, calls, p.unwrapped)
	other, err := plainRing(t, p, &Options{Store: store}).Compact(t.Context(), place("acme").Scope, env)
	require.NoError(t, err)
	require.Equal(t, short, other)
	same, err := r.Compact(t.Context(), place("acme").Scope, short)
	require.NoError(t, err)
	require.Equal(t, short, same)
}

// Back and forth, byte for byte, without a call for Inline.
func TestInline(t *testing.T) {
	p := &plainProvider{}
	r := plainRing(t, p, &Options{Store: NewMemoryStore()})
	env, _ := sealFor(t, r, place("acme"))
	calls := p.unwrapped
	inline, err := r.Inline(t.Context(), place("acme").Scope, env)
	require.NoError(t, err)
	require.Equal(t, calls, p.unwrapped)
	again, err := r.Inline(t.Context(), place("acme").Scope, inline)
	require.NoError(t, err)
	require.Equal(t, inline, again)
	_, err = plainRing(t, p, nil).Open(t.Context(), place("acme"), inline)
	require.NoError(t, err, "it doesn't open without the key store")
	back, err := r.Compact(t.Context(), place("acme").Scope, inline)
	require.NoError(t, err)
	require.Equal(t, env, back)
}

// TestPlantedRecord: whoever writes to the key store plants a record under the
// key ID of an inline envelope, so that compaction throws its wrapped key away.
// The envelope stays as it is. The control keeps what is there without a look:
// then the row is lost.
func TestPlantedRecord(t *testing.T) {
	p := &plainProvider{}
	env, id := sealedBefore(t, p, place("acme"))
	scope := place("acme").Scope.withDefault()
	other, otherID := sealedBefore(t, p, place("acme"))
	h, err := parseHeader(other)
	require.NoError(t, err)
	now := time.Now().Truncate(time.Second)
	for name, planted := range map[string]Record{
		"another wrapped key": {KeyID: id, Scope: scope, Purpose: PurposeData, RootKey: plainRoot, Wrapped: h.wrapped, State: StateRetired, Created: now, NotAfter: now, Budget: 1},
		"no wrapped key":      {KeyID: id, Scope: scope, Purpose: PurposeData, RootKey: plainRoot, Wrapped: []byte("nothing"), State: StateRetired, Created: now, NotAfter: now, Budget: 1},
		"another root key":    {KeyID: id, Scope: scope, Purpose: PurposeData, RootKey: "plain://attacker", Wrapped: h.wrapped, State: StateRetired, Created: now, NotAfter: now, Budget: 1},
	} {
		t.Run(name, func(t *testing.T) {
			store := NewMemoryStore()
			require.NoError(t, store.Insert(t.Context(), planted))
			r := plainRing(t, p, &Options{Store: store, AllowInline: true})
			_, err := r.Compact(t.Context(), scope, env)
			require.Error(t, err)
			require.ErrorContains(t, err, "the envelope stays as it is")
			_, err = plainRing(t, p, nil).Open(t.Context(), place("acme"), env)
			require.NoError(t, err)

			out := header{mode: ModeReference, keyID: &id}
			naive := append(out.bytes(), parsed(t, env).body...)
			_, err = r.Open(t.Context(), place("acme"), naive)
			require.Error(t, err, "the control opens: the planted record does no harm")
		})
	}
	require.NotEqual(t, id, otherID)
}

func parsed(t *testing.T, env []byte) header {
	t.Helper()
	h, err := parseHeader(env)
	require.NoError(t, err)
	return h
}

func TestCompactRefuses(t *testing.T) {
	p := &plainProvider{}
	env, id := sealedBefore(t, p, place("acme"))
	h := parsed(t, env)
	scope := place("acme").Scope
	withState := func(state State) KeyStore {
		store := NewMemoryStore()
		r := plainRing(t, p, &Options{Store: store})
		_, err := r.Compact(t.Context(), scope, env)
		require.NoError(t, err)
		setState(t, store, id, state)
		return store
	}
	for _, c := range []struct {
		name  string
		store KeyStore
		scope Scope
		env   []byte
		want  error
	}{
		{"another tenant", NewMemoryStore(), Scope{Tenant: "globex"}, env, ErrNotAuthentic},
		{"no tenant", NewMemoryStore(), Scope{}, env, ErrMalformed},
		{"another key ID", NewMemoryStore(), scope, rebuild(h, func(h *header) { h.keyID = &KeyID{7} }), ErrNotAuthentic},
		{"a root key that isn't configured", NewMemoryStore(), scope, rebuild(h, func(h *header) { h.rootKey = []byte("plain://other") }), ErrRootKeyNotAllowed},
		{"a damaged wrapped key", NewMemoryStore(), scope, rebuild(h, func(h *header) { h.wrapped = []byte("damaged") }), ErrNotAuthentic},
		{"no envelope", NewMemoryStore(), scope, []byte("ada@example.com"), ErrMalformed},
		{"nothing", NewMemoryStore(), scope, nil, ErrMalformed},
		{"a destroyed key", withState(StateDestroyed), scope, env, ErrKeyDestroyed},
		{"a suspended key", withState(StateSuspended), scope, env, ErrKeyNotFound},
		{"no key store", nil, scope, env, ErrModeNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := plainRing(t, p, &Options{Store: c.store})
			out, err := r.Compact(t.Context(), c.scope, c.env)
			require.ErrorIs(t, err, c.want)
			require.Nil(t, out)
			require.ErrorContains(t, err, "envelope: compact an envelope of tenant")
		})
	}
}

func TestInlineRefuses(t *testing.T) {
	p := &plainProvider{}
	store := NewMemoryStore()
	r := plainRing(t, p, &Options{Store: store})
	env, id := sealFor(t, r, place("acme"))
	scope := place("acme").Scope
	_, err := r.Inline(t.Context(), Scope{Tenant: "globex"}, env)
	require.ErrorIs(t, err, ErrKeyNotFound)
	_, err = r.Inline(t.Context(), scope, env[:40])
	require.ErrorIs(t, err, ErrMalformed)
	_, err = plainRing(t, p, nil).Inline(t.Context(), scope, env)
	require.ErrorIs(t, err, ErrModeNotAllowed)
	narrow, err := NewKeyRing(p, RootKeys{Seal: "plain://new"}, &Options{Store: store})
	require.NoError(t, err)
	defer narrow.Close()
	_, err = narrow.Inline(t.Context(), scope, env)
	require.ErrorIs(t, err, ErrRootKeyNotAllowed)
	tampered := plainRing(t, p, &Options{Store: &tamperedStore{store, func(rec *Record) { rec.Wrapped = nil }}})
	_, err = tampered.Inline(t.Context(), scope, env)
	require.ErrorIs(t, err, ErrMalformed)
	_, err = r.Rotate(t.Context(), scope)
	require.NoError(t, err)
	require.NoError(t, r.Suspend(t.Context(), nameOf(id), ops))
	_, err = r.Inline(t.Context(), scope, env)
	require.ErrorIs(t, err, ErrKeyNotFound)
}

// Many processes compact rows of one key at once.
func TestCompactTogether(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &plainProvider{}
		env, _ := sealedBefore(t, p, place("acme"))
		p.delay = time.Second
		store := NewMemoryStore()
		var wg sync.WaitGroup
		for range 16 {
			r := plainRing(t, p, &Options{Store: store})
			wg.Go(func() {
				short, err := r.Compact(context.Background(), place("acme").Scope, env)
				if err == nil {
					_, err = r.Open(context.Background(), place("acme"), short)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Len(t, store.keys, 1)
	})
}
