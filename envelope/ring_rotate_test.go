package envelope

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// modes are the two ways to seal, each with a store of its own if it has one.
var modes = map[string]func() KeyStore{
	"inline":    func() KeyStore { return nil },
	"reference": func() KeyStore { return NewMemoryStore() },
}

// sealFor seals one value and returns the envelope and the key it names.
func sealFor(t *testing.T, r *KeyRing, b *Binding) ([]byte, KeyID) {
	t.Helper()
	env, err := r.Seal(t.Context(), b, AppendString(nil, "x"))
	require.NoError(t, err)
	info, err := Inspect(env)
	require.NoError(t, err)
	return env, info.KeyID
}

func TestRotate(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			p := &plainProvider{}
			r := plainRing(t, p, &Options{Store: store()})
			old, oldKey := sealFor(t, r, place("acme"))
			_, other := sealFor(t, r, place("globex"))
			rotated, err := r.Rotate(t.Context(), place("acme").Scope)
			require.NoError(t, err)
			require.NotEqual(t, oldKey, rotated)
			for range 200 { // more than a scratch holds of the old key
				_, key := sealFor(t, r, place("acme"))
				require.Equal(t, rotated, key, "sealed with the key that was rotated away")
			}
			_, err = r.Open(t.Context(), place("acme"), old)
			require.NoError(t, err)
			_, still := sealFor(t, r, place("globex"))
			require.Equal(t, other, still, "another tenant's key was rotated")
			_, class := sealFor(t, r, &Binding{Scope: Scope{"acme", "billing"}, Field: email, Record: "42"})
			require.NotEqual(t, rotated, class)

			fresh := plainRing(t, p, &Options{Store: r.opts.Store})
			_, err = fresh.Open(t.Context(), place("acme"), old)
			require.NoError(t, err, "what the old key sealed is lost to a new process")
			if r.opts.Store != nil {
				_, key := sealFor(t, fresh, place("acme"))
				require.Equal(t, rotated, key)
			}
		})
	}
}

func TestRotateBeforeTheFirstKey(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			p := &plainProvider{}
			r := plainRing(t, p, &Options{Store: store()})
			first, err := r.Rotate(t.Context(), Scope{Tenant: "acme"})
			require.NoError(t, err)
			_, key := sealFor(t, r, place("acme"))
			require.Equal(t, first, key)
			require.Equal(t, 1, p.made())
		})
	}
}

// Where no new key can be made, the old one goes on.
func TestRotateFails(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			p := &deniedProvider{}
			r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, &Options{Store: store()})
			require.NoError(t, err)
			defer r.Close()
			_, before := sealFor(t, r, place("acme"))
			p.denied.Store(true)
			id, err := r.Rotate(t.Context(), place("acme").Scope)
			require.ErrorIs(t, err, kmsprovider.ErrDenied)
			require.ErrorContains(t, err, `rotate the data key of tenant "acme"`)
			require.Zero(t, id)
			_, after := sealFor(t, r, place("acme"))
			require.Equal(t, before, after)
		})
	}
}

type deniedProvider struct {
	plainProvider
	denied atomic.Bool
}

func (p *deniedProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if p.denied.Load() {
		return kmsprovider.DataKey{}, fmt.Errorf("%w: made-up policy", kmsprovider.ErrDenied)
	}
	return p.plainProvider.GenerateDataKey(ctx, rootKey, ec)
}

// TestRacingRotators rotates one scope from eight processes at once: every key
// that the service makes is stored, and one is active.
func TestRacingRotators(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond, 10 * time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &plainProvider{delay: delay}
				store := NewMemoryStore()
				var wg sync.WaitGroup
				for range 8 {
					r := plainRing(t, p, &Options{Store: store, LoadTimeout: 10 * time.Minute})
					wg.Go(func() {
						for range 3 {
							id, err := r.Rotate(t.Context(), place("acme").Scope)
							if err != nil {
								t.Error(err)
								continue
							}
							if _, err := store.Get(t.Context(), place("acme").Scope.withDefault(), PurposeData, id); err != nil {
								t.Errorf("key %s was answered and not stored: %v", id, err)
							}
							if _, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x")); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				active := 0
				for _, k := range store.keys {
					if k.State == StateActive {
						active++
					}
				}
				require.Equal(t, 1, active)
				require.Len(t, store.keys, p.made(), "keys were made and lost")
				require.GreaterOrEqual(t, p.made(), 3)
				require.LessOrEqual(t, p.made(), 24)
			})
		})
	}
}

// TestAge: the next key is made when an eighth of the age is left, without a
// writer, and a key seals nothing after its end.
func TestAge(t *testing.T) {
	const age = 8 * time.Hour
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &deniedProvider{}
				r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, &Options{Store: store(), KeyAge: age})
				require.NoError(t, err)
				defer r.Close()
				began := time.Now()
				at := func(d time.Duration) { time.Sleep(time.Until(began.Add(d))); synctest.Wait() }
				old, first := sealFor(t, r, place("acme"))

				at(7*time.Hour - time.Minute)
				require.Equal(t, 1, p.made())
				_, key := sealFor(t, r, place("acme"))
				require.Equal(t, first, key)
				at(7*time.Hour + time.Minute)
				require.Equal(t, 2, p.made(), "the next key was not made ahead of need")
				p.denied.Store(true) // no writer needs the service now
				_, second := sealFor(t, r, place("acme"))
				require.NotEqual(t, first, second)

				// The second's end comes, and no key can follow it.
				at(15*time.Hour - time.Minute)
				_, key = sealFor(t, r, place("acme"))
				require.Equal(t, second, key)
				at(15*time.Hour + 2*time.Minute)
				_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
				require.ErrorIs(t, err, kmsprovider.ErrDenied, "sealed with a key past its end")
				_, err = r.Open(t.Context(), place("acme"), old)
				require.NoError(t, err, "a key opens past its end")

				p.denied.Store(false)
				_, third := sealFor(t, r, place("acme"))
				require.NotEqual(t, second, third)
			})
		})
	}
}

// A meddlingStore has others change its keys just before one is activated.
type meddlingStore struct {
	KeyStore
	meddle func() error
}

func (s *meddlingStore) Activate(ctx context.Context, rec Record, previous KeyID) error {
	if meddle := s.meddle; meddle != nil {
		s.meddle = nil
		if err := meddle(); err != nil {
			return err
		}
	}
	return s.KeyStore.Activate(ctx, rec, previous)
}

// A key that is suspended while its scope is rotated doesn't keep the next one from
// being made.
func TestRotateBesideSuspension(t *testing.T) {
	memory := NewMemoryStore()
	store := &meddlingStore{KeyStore: memory}
	r := must(t)(NewKeyRing(&plainProvider{}, RootKeys{Seal: plainRoot}, &Options{Store: store}))
	defer r.Close()
	scope := Scope{Tenant: "acme"}.withDefault()
	first, err := r.Rotate(t.Context(), scope)
	require.NoError(t, err)
	store.meddle = func() error {
		was, err := memory.Get(t.Context(), scope, PurposeData, first)
		now := was
		now.State = StateSuspended
		return errors.Join(err, memory.Update(t.Context(), was, now))
	}
	next, err := r.Rotate(t.Context(), scope)
	require.NoError(t, err)
	require.NotEqual(t, first, next)
	was, err := memory.Get(t.Context(), scope, PurposeData, first)
	require.NoError(t, err)
	require.Equal(t, StateSuspended, was.State)
	active, err := memory.Active(t.Context(), scope, PurposeData)
	require.NoError(t, err)
	require.Equal(t, next, active.KeyID)
}
