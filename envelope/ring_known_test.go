package envelope

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// readFirst returns a ring that has opened an envelope and sealed nothing, the
// envelope, and the ring that it came from.
func readFirst(t *testing.T, store KeyStore, roots RootKeySource) (r, other *KeyRing, env []byte) {
	t.Helper()
	p := &plainProvider{}
	other = plainRing(t, p, &Options{Store: store})
	env, _ = sealFor(t, other, place("acme"))
	r, err := NewKeyRing(p, roots, &Options{Store: store})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	_, err = r.Open(t.Context(), place("acme"), env)
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Stats().Unwrap)
	return r, other, env
}

var plainRoots = RootKeys{Seal: plainRoot}

// TestReadThenWrite: one call of the key service is enough for a data key that a
// process first opens and then seals with.
func TestReadThenWrite(t *testing.T) {
	r, other, env := readFirst(t, NewMemoryStore(), plainRoots)
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for range 1000 {
				sealed, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
				if err == nil {
					_, err = r.Open(t.Context(), place("acme"), sealed)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	g.Wait()
	sealed, id := sealFor(t, r, place("acme"))
	require.Equal(t, Stats{Unwrap: 1}, r.Stats())
	before, err := Inspect(env)
	require.NoError(t, err)
	require.Equal(t, before.KeyID, id)
	_, err = other.Open(t.Context(), place("acme"), sealed)
	require.NoError(t, err)
}

// It goes by the same rules as one that was never in memory.
func TestReadThenWriteIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(rec *Record)
		want   error
	}{
		"nothing changed":  {func(*Record) {}, nil},
		"budget raised":    {func(rec *Record) { rec.Budget *= 2 }, ErrNotAuthentic},
		"end put off":      {func(rec *Record) { rec.NotAfter = rec.NotAfter.AddDate(1, 0, 0) }, ErrNotAuthentic},
		"tag altered":      {func(rec *Record) { rec.Tag[0] ^= 1 }, ErrNotAuthentic},
		"another tenant":   {func(rec *Record) { rec.Scope.Tenant = "globex" }, ErrNotAuthentic},
		"another purpose":  {func(rec *Record) { rec.Purpose = PurposeIndex }, ErrNotAuthentic},
		"another wrapping": {func(rec *Record) { rec.Wrapped[0] ^= 1 }, ErrNotAuthentic},
		"suspended":        {func(rec *Record) { rec.State = StateSuspended }, ErrNotAuthentic},
	} {
		t.Run(name, func(t *testing.T) {
			store := &tamperedStore{MemoryStore: NewMemoryStore(), change: func(*Record) {}}
			r, _, _ := readFirst(t, store, plainRoots)
			store.change = c.change
			_, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestReadThenWriteUnderARootKeyNoLongerConfigured(t *testing.T) {
	var gone atomic.Bool
	r, _, _ := readFirst(t, NewMemoryStore(), RootKeysFunc(func(Scope) (RootKeys, error) {
		if gone.Load() {
			return RootKeys{Seal: "plain://another"}, nil
		}
		return plainRoots, nil
	}))
	gone.Store(true)
	_, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.ErrorIs(t, err, ErrRootKeyNotAllowed)
}

// What a key counts its messages with is never replaced, since others may still
// be using it: a key that was loaded to seal is loaded again after it ended.
func TestWriteTwice(t *testing.T) {
	p, store := &plainProvider{}, NewMemoryStore()
	sealFor(t, plainRing(t, p, &Options{Store: store}), place("acme"))
	r := plainRing(t, p, &Options{Store: store})
	scope := place("acme").Scope.withDefault()
	var before *dataKey
	for range 3 {
		env, _ := sealFor(t, r, place("acme"))
		_, err := r.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		k, ok := r.sealing.GetIfPresent(scope)
		require.True(t, ok)
		require.NotSame(t, before, k)
		before = k
		r.endSealing(k)
	}
}

// A key that ended here and is active all the same is loaded anew.
func TestReadThenWriteTwice(t *testing.T) {
	r, _, _ := readFirst(t, NewMemoryStore(), plainRoots)
	sealFor(t, r, place("acme"))
	k, ok := r.sealing.GetIfPresent(place("acme").Scope.withDefault())
	require.True(t, ok)
	r.endSealing(k)
	_, id := sealFor(t, r, place("acme"))
	require.Equal(t, k.id, id)
	require.Equal(t, Stats{Unwrap: 2}, r.Stats())
}
