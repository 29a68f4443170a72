package envelope

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRootKeysByTenant(t *testing.T) {
	type theirs struct {
		Seal string
		Open []string
	}
	failed := errors.New("no such tenant")
	source := RootKeysByTenant(func(tenant string) (theirs, error) {
		if tenant != "acme" {
			return theirs{}, failed
		}
		return theirs{"willing://acme", []string{"willing://old"}}, nil
	})
	for _, class := range []string{"", "billing"} {
		keys, err := source.RootKeys(Scope{Tenant: "acme", Class: class})
		require.NoError(t, err)
		require.Equal(t, RootKeys{Seal: "willing://acme", Open: []string{"willing://old"}}, keys)
	}
	_, err := source.RootKeys(Scope{Tenant: "globex"})
	require.ErrorIs(t, err, failed)

	p := &willingProvider{}
	r, err := NewKeyRing(p, source, nil)
	require.NoError(t, err)
	defer r.Close()
	env, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.NoError(t, err)
	_, err = r.Open(t.Context(), place("acme"), env)
	require.NoError(t, err)
	_, err = r.Seal(t.Context(), place("globex"), AppendString(nil, "x"))
	require.ErrorIs(t, err, failed)
}
