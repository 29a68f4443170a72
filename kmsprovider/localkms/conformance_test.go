package localkms_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
	"github.com/stretchr/testify/require"
)

func TestConformance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root-keys.json")
	kms := open(t, path)
	other, err := kms.AddRootKey(t.Context(), "other")
	require.NoError(t, err)

	providertest.Run(t, providertest.Harness{
		New:            func(t testing.TB) kmsprovider.Provider { return open(t, path) },
		RootKey:        kms.RootKey(),
		OtherRootKey:   other,
		MissingRootKey: strings.TrimSuffix(kms.RootKey(), "default") + "missing",
		NewRootKey: func(t testing.TB) string {
			name := "extra-" + strings.ToLower(filepath.Base(t.Name()))
			uri, err := kms.AddRootKey(t.Context(), name)
			require.NoError(t, err)
			return uri
		},
		Rotate: func(t testing.TB, rootKey string) {
			require.NoError(t, kms.Rotate(t.Context(), rootKey[strings.LastIndex(rootKey, "/")+1:]))
		},
	})
}

// open opens a key file for one test.
func open(t testing.TB, path string) *localkms.Provider {
	t.Helper()
	p, err := localkms.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}
