package envelope

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// sealedInline returns an envelope of tenant acme and its header.
func sealedInline(t *testing.T, p kmsprovider.Provider) ([]byte, header) {
	t.Helper()
	r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, nil)
	require.NoError(t, err)
	defer r.Close()
	env, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.NoError(t, err)
	h, err := parseHeader(env)
	require.NoError(t, err)
	return env, h
}

// rebuild writes an envelope with parts of another header.
func rebuild(h header, change func(h *header)) []byte {
	change(&h)
	return append(h.bytes(), h.body...)
}

// A flood of bad envelopes is not a flood of calls, as long as it isn't a flood
// of different wrappings.
func TestRefusalsAreRemembered(t *testing.T) {
	const flood = 10_000
	p := &plainProvider{}
	honest, h := sealedInline(t, p)
	for _, c := range []struct {
		name  string
		bad   func(i int) []byte
		calls int
		after int // calls of the honest reader that comes then
	}{
		{"a wrapped key that the service refuses", func(int) []byte {
			return rebuild(h, func(h *header) { h.wrapped = []byte("no wrapped key") })
		}, 1, 1},
		{"a refused wrapping under a new key ID each", func(i int) []byte {
			return rebuild(h, func(h *header) { h.wrapped, h.keyID = []byte("no wrapped key"), &KeyID{1: byte(i), 2: byte(i >> 8)} })
		}, 1, 1},
		{"the right wrapping under a new key ID each", func(i int) []byte {
			return rebuild(h, func(h *header) { h.keyID = &KeyID{1: byte(i), 2: byte(i >> 8)} })
		}, 1, 1},
		{"the right wrapping, with damaged ciphertext", func(i int) []byte {
			return rebuild(h, func(h *header) {
				h.body = append([]byte(nil), h.body...)
				h.body[0] ^= byte(1 + i%255)
			})
		}, 1, 0},
		{"one of 100 refused wrappings", func(i int) []byte {
			return rebuild(h, func(h *header) { h.wrapped = fmt.Appendf(nil, "no wrapped key %d", i%100) })
		}, 100, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.unwrapped = 0
			r := plainRing(t, p, nil)
			for i := range flood {
				_, err := r.Open(t.Context(), place("acme"), c.bad(i))
				require.ErrorIs(t, err, ErrNotAuthentic)
			}
			require.Equal(t, c.calls, p.unwrapped)
			if c.after > 0 { // else the key was found and nothing was refused
				require.Equal(t, uint64(flood-c.calls), r.Stats().Refused)
			}
			_, err := r.Open(t.Context(), place("acme"), honest)
			require.NoError(t, err, "the honest envelope was refused because of the bad ones")
			require.Equal(t, c.calls+c.after, p.unwrapped)
		})
	}
	t.Run("control: nothing is remembered", func(t *testing.T) {
		p.unwrapped = 0
		r := plainRing(t, p, nil)
		for range 100 {
			_, err := r.Open(t.Context(), place("acme"), rebuild(h, func(h *header) { h.wrapped = []byte("no wrapped key") }))
			require.ErrorIs(t, err, ErrNotAuthentic)
			r.refused.InvalidateAll()
		}
		require.Equal(t, 100, p.unwrapped)
	})
}

func TestRefusalsExpire(t *testing.T) {
	p := &plainProvider{}
	_, h := sealedInline(t, p)
	for name, bad := range map[string][]byte{
		"refused":     rebuild(h, func(h *header) { h.wrapped = []byte("no wrapped key") }),
		"another key": rebuild(h, func(h *header) { h.keyID = &KeyID{1} }),
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p.unwrapped = 0
				r := plainRing(t, p, nil)
				open := func() error {
					_, err := r.Open(t.Context(), place("acme"), bad)
					return err
				}
				first := open()
				require.ErrorIs(t, first, ErrNotAuthentic)
				time.Sleep(refusalTime)
				again := open()
				require.ErrorIs(t, again, ErrNotAuthentic)
				require.Equal(t, 1, p.unwrapped, "forgotten too early")
				time.Sleep(time.Millisecond)
				require.ErrorIs(t, open(), ErrNotAuthentic)
				require.Equal(t, 2, p.unwrapped, "remembered for too long")
			})
		})
	}
}

// The memory is bounded, whatever is thrown at it.
func TestRefusalsAreBounded(t *testing.T) {
	p := &plainProvider{}
	_, h := sealedInline(t, p)
	r := plainRing(t, p, nil)
	for i := range 3 * maxRefusals {
		_, err := r.Open(t.Context(), place("acme"), rebuild(h, func(h *header) { h.wrapped = fmt.Append(nil, i) }))
		require.ErrorIs(t, err, ErrNotAuthentic)
	}
	r.refused.CleanUp()
	require.LessOrEqual(t, r.refused.EstimatedSize(), maxRefusals)
}

// failingProvider answers every Unwrap with one error.
type failingProvider struct {
	plainProvider
	err error
}

func (p *failingProvider) Unwrap(context.Context, string, []byte, kmsprovider.EncryptionContext) ([]byte, error) {
	p.unwrapped++
	return nil, p.err
}

// What says nothing about the bytes isn't remembered of them.
func TestOnlyRefusalsAreRemembered(t *testing.T) {
	for _, is := range []error{kmsprovider.ErrUnavailable, kmsprovider.ErrThrottled, kmsprovider.ErrDenied, kmsprovider.ErrKeyUnusable} {
		t.Run(is.Error(), func(t *testing.T) {
			p := &failingProvider{}
			env, _ := sealedInline(t, p)
			p.err = fmt.Errorf("%w: made-up cause", is)
			r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, nil)
			require.NoError(t, err)
			defer r.Close()
			for range 3 {
				_, err := r.Open(t.Context(), place("acme"), env)
				require.ErrorIs(t, err, is)
				require.NotErrorIs(t, err, ErrNotAuthentic)
			}
			require.Equal(t, 3, p.unwrapped)
			require.Zero(t, r.Stats().Refused)
		})
	}
}

// A refusal belongs to one scope: a tenant's bad bytes don't fail the same
// bytes of another tenant.
func TestRefusalsBelongToAScope(t *testing.T) {
	p := &plainProvider{}
	env, _ := sealedInline(t, p)
	r := plainRing(t, p, nil)
	for range 3 {
		for _, b := range []*Binding{place("globex"), {Scope: Scope{"acme", "billing"}, Field: email, Record: "42"}} {
			_, err := r.Open(t.Context(), b, env)
			require.ErrorIs(t, err, ErrNotAuthentic)
		}
	}
	require.Equal(t, 2, p.unwrapped)
	_, err := r.Open(t.Context(), place("acme"), env)
	require.NoError(t, err)
}
