package envelope

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The key that is named is the one that seals next, and naming it uses up none of
// its messages.
func TestActiveKey(t *testing.T) {
	for name, store := range modes {
		t.Run(name, func(t *testing.T) {
			r := testRing(t, &Options{Store: store(), MessageBudget: 2})
			b := &Binding{Scope: Scope{Tenant: "acme"}, Field: MustField("Contacts", "email"), Record: "1"}
			id, err := r.ActiveKey(t.Context(), b.Scope)
			require.NoError(t, err)
			for range 5 {
				again, err := r.ActiveKey(t.Context(), Scope{Tenant: "acme", Class: DefaultClass})
				require.NoError(t, err)
				require.Equal(t, id, again)
			}
			_, sealed := sealFor(t, r, b)
			require.Equal(t, id, sealed)
			next, err := r.Rotate(t.Context(), b.Scope)
			require.NoError(t, err)
			now, err := r.ActiveKey(t.Context(), b.Scope)
			require.NoError(t, err)
			require.Equal(t, next, now)
			require.NotEqual(t, id, now)
		})
	}
}

// Another process rotates: the key that was active isn't named any more, nor does
// this ring seal with it, long before it asks the store by itself.
func TestActiveKeyOfTheStore(t *testing.T) {
	store := NewMemoryStore()
	opts := Options{Store: store, StorePoll: time.Hour}
	one := testRing(t, &opts)
	other, err := NewKeyRing(one.provider, one.roots, &opts)
	require.NoError(t, err)
	defer other.Close()
	b := &Binding{Scope: Scope{Tenant: "acme"}, Field: MustField("Contacts", "email"), Record: "1"}
	_, old := sealFor(t, one, b)
	_, shared := sealFor(t, other, b)
	require.Equal(t, old, shared)
	next, err := other.Rotate(t.Context(), b.Scope)
	require.NoError(t, err)
	_, stale := sealFor(t, one, b)
	require.Equal(t, old, stale, "the ring hasn't asked: else the test shows nothing")
	now, err := one.ActiveKey(t.Context(), b.Scope)
	require.NoError(t, err)
	require.Equal(t, next, now)
	_, sealed := sealFor(t, one, b)
	require.Equal(t, next, sealed)
}

func TestActiveKeyRefused(t *testing.T) {
	r := testRing(t, nil)
	_, err := r.ActiveKey(t.Context(), Scope{})
	require.ErrorIs(t, err, ErrMalformed)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.ActiveKey(ended, Scope{Tenant: "acme"})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())
	_, err = r.ActiveKey(t.Context(), Scope{Tenant: "acme"})
	require.ErrorIs(t, err, ErrClosed)
}
