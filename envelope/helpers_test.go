package envelope

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

var email = MustField("Contacts", "email")

// testRing returns a key ring over a key file of its own.
func testRing(t testing.TB, opts *Options) *KeyRing {
	t.Helper()
	kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
	require.NoError(t, err)
	t.Cleanup(func() { kms.Close() })
	r, err := NewKeyRing(kms, RootKeys{Seal: kms.RootKey()}, opts)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRoundTrip(t *testing.T) {
	for name, opts := range map[string]*Options{"inline": nil, "reference": {Store: NewMemoryStore()}} {
		t.Run(name, func(t *testing.T) {
			r := testRing(t, opts)
			b := &Binding{Scope: Scope{Tenant: "acme"}, Field: email, Record: "42"}
			env, err := r.Seal(t.Context(), b, AppendString(nil, "ada@example.com"))
			require.NoError(t, err)
			frame, err := r.Open(t.Context(), b, env)
			require.NoError(t, err)
			typ, p, err := ParseFrame(frame)
			require.NoError(t, err)
			require.Equal(t, TypeString, typ)
			require.Equal(t, "ada@example.com", string(p))
			b.Record = "43"
			_, err = r.Open(t.Context(), b, env)
			require.ErrorIs(t, err, ErrNotAuthentic)
		})
	}
}
