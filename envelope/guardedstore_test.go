package envelope

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// panicky is a store of which one method panics.
type panicky struct {
	KeyStore
	method string
}

func (s *panicky) meets(method string) {
	if s.method == method {
		panic("a made-up secret")
	}
}

func (s *panicky) Active(ctx context.Context, scope Scope, purpose Purpose) (Record, error) {
	s.meets("Active")
	return s.KeyStore.Active(ctx, scope, purpose)
}

func (s *panicky) Get(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (Record, error) {
	s.meets("Get")
	return s.KeyStore.Get(ctx, scope, purpose, id)
}

func (s *panicky) Claim(ctx context.Context, scope Scope, purpose Purpose, holder string, lease time.Duration) (bool, error) {
	s.meets("Claim")
	return s.KeyStore.Claim(ctx, scope, purpose, holder, lease)
}

func (s *panicky) Release(ctx context.Context, scope Scope, purpose Purpose, holder string) error {
	s.meets("Release")
	return s.KeyStore.Release(ctx, scope, purpose, holder)
}

func (s *panicky) Activate(ctx context.Context, rec Record, previous KeyID) error {
	s.meets("Activate")
	return s.KeyStore.Activate(ctx, rec, previous)
}

func (s *panicky) Lease(ctx context.Context, scope Scope, purpose Purpose, id KeyID, n uint64) (granted, left uint64, err error) {
	s.meets("Lease")
	return s.KeyStore.Lease(ctx, scope, purpose, id, n)
}

func (s *panicky) Insert(ctx context.Context, rec Record) error {
	s.meets("Insert")
	return s.KeyStore.Insert(ctx, rec)
}

func (s *panicky) Update(ctx context.Context, old, rec Record) error {
	s.meets("Update")
	return s.KeyStore.Update(ctx, old, rec)
}

func (s *panicky) States(ctx context.Context, keys []KeyName) ([]State, error) {
	s.meets("States")
	return s.KeyStore.States(ctx, keys)
}

func (s *panicky) Page(ctx context.Context, f Filter, after KeyName, limit int) ([]Record, error) {
	s.meets("Page")
	return s.KeyStore.Page(ctx, f, after, limit)
}

// TestPanicsOfTheStore: whatever method of a key store panics, and whoever calls
// it, the store is blamed, and not the key service.
func TestPanicsOfTheStore(t *testing.T) {
	seal := func(ctx context.Context, r *KeyRing, _ KeyName, _ []byte) error {
		_, err := r.Seal(ctx, place("acme"), AppendString(nil, "x"))
		return err
	}
	search := func(ctx context.Context, r *KeyRing, _ KeyName, _ []byte) error {
		_, err := r.QueryDeterministic(ctx, column("acme"), AppendString(nil, "x"))
		return err
	}
	for name, c := range map[string]struct {
		method string
		do     func(ctx context.Context, r *KeyRing, key KeyName, env []byte) error
	}{
		"sealing: Active": {"Active", seal},
		"sealing: Lease":  {"Lease", seal},
		"a first key: Claim": {"Claim", func(ctx context.Context, r *KeyRing, _ KeyName, _ []byte) error {
			_, err := r.Seal(ctx, place("globex"), AppendString(nil, "x"))
			return err
		}},
		"a first key: Activate": {"Activate", func(ctx context.Context, r *KeyRing, _ KeyName, _ []byte) error {
			_, err := r.Seal(ctx, place("globex"), AppendString(nil, "x"))
			return err
		}},
		"opening: Get": {"Get", func(ctx context.Context, r *KeyRing, _ KeyName, env []byte) error {
			_, err := r.Open(ctx, place("acme"), env)
			return err
		}},
		"searching: Page": {"Page", search},
		"the active key: Active": {"Active", func(ctx context.Context, r *KeyRing, _ KeyName, _ []byte) error {
			_, err := r.ActiveKey(ctx, acme)
			return err
		}},
		"rotating: Active": {"Active", func(ctx context.Context, r *KeyRing, _ KeyName, _ []byte) error {
			_, err := r.Rotate(ctx, acme)
			return err
		}},
		"rotating all: Page": {"Page", func(ctx context.Context, r *KeyRing, _ KeyName, _ []byte) error {
			_, err := r.RotateAll(ctx, Filter{}, nil)
			return err
		}},
		"cutting over: Activate": {"Activate", func(ctx context.Context, r *KeyRing, _ KeyName, _ []byte) error {
			_, err := r.CutOver(ctx, acme, PurposeIndex)
			return err
		}},
		"suspending: Update": {"Update", func(ctx context.Context, r *KeyRing, key KeyName, _ []byte) error {
			return r.Suspend(ctx, key, ops)
		}},
		"rewrapping: Page": {"Page", func(ctx context.Context, r *KeyRing, _ KeyName, _ []byte) error {
			_, err := r.Rewrap(ctx, Filter{}, plainRoot, nil)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, store := &plainProvider{}, NewMemoryStore()
			env, id := sealFor(t, plainRing(t, p, &Options{Store: store}), place("acme"))
			broken := &panicky{KeyStore: store, method: c.method}
			r := plainRing(t, p, &Options{Store: broken})
			err := c.do(t.Context(), r, nameOf(id), env)
			require.ErrorIs(t, err, ErrStoreUnavailable)
			require.NotErrorIs(t, err, kmsprovider.ErrUnavailable)
			require.ErrorContains(t, err, "the key store panicked with a string")
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// A claim that can't be given back costs no one the key that was made.
func TestPanicOfRelease(t *testing.T) {
	store := NewMemoryStore()
	r := plainRing(t, &plainProvider{}, &Options{Store: &panicky{KeyStore: store, method: "Release"}})
	_, _ = sealFor(t, r, place("acme"))
}

// The control: a key service that panics while a key is made isn't taken for the
// store.
func TestPanicOfTheProviderOnSealing(t *testing.T) {
	r, err := NewKeyRing(panickyMaker{&plainProvider{}}, RootKeys{Seal: plainRoot}, &Options{Store: NewMemoryStore()})
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
	require.NotErrorIs(t, err, ErrStoreUnavailable)
	require.ErrorContains(t, err, "the provider or the source of root keys panicked with a string")
	require.NotContains(t, err.Error(), "secret")
}

type panickyMaker struct{ *plainProvider }

func (panickyMaker) GenerateDataKey(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	panic("a made-up secret")
}

// TestGuardedStoreGuardsAll: each method of a key store is guarded, those too that
// it will have later, and what is not a panic passes through as it is.
func TestGuardedStoreGuardsAll(t *testing.T) {
	store := reflect.TypeFor[KeyStore]()
	for m := range store.Methods() {
		t.Run(m.Name, func(t *testing.T) {
			guarded := reflect.ValueOf(guardedStore{nil}).MethodByName(m.Name) // a nil store panics
			args := []reflect.Value{reflect.ValueOf(t.Context())}
			for i := 1; i < m.Type.NumIn(); i++ {
				args = append(args, reflect.Zero(m.Type.In(i)))
			}
			var out []reflect.Value
			require.NotPanics(t, func() { out = guarded.Call(args) })
			err, _ := out[len(out)-1].Interface().(error)
			require.ErrorIs(t, err, ErrStoreUnavailable)
		})
	}
	_, err := guardedStore{NewMemoryStore()}.Active(t.Context(), acme, PurposeData)
	require.Equal(t, ErrKeyNotFound, err)
}
