package fieldcrypttest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

type contact struct {
	ID    int64             `fieldcrypt:"id"`
	Email fieldcrypt.String `fieldcrypt:"Contacts.email,text"`
}

func TestAnotherCryptOpensInline(t *testing.T) {
	sealer, err := fieldcrypt.For[contact](fieldcrypttest.New(t))
	require.NoError(t, err)
	opener, err := fieldcrypt.For[contact](fieldcrypttest.New(t))
	require.NoError(t, err)

	c := contact{ID: 1, Email: fieldcrypt.Of("ada@example.org")}
	require.NoError(t, sealer.ForTenant("acme").Encrypt(t.Context(), &c))
	stored, err := c.Email.Value()
	require.NoError(t, err)

	read := contact{ID: 1}
	require.NoError(t, read.Email.Scan(stored))
	require.NoError(t, opener.ForTenant("acme").Decrypt(t.Context(), &read))
	got, err := read.Email.Plain()
	require.NoError(t, err)
	require.Equal(t, "ada@example.org", got)

	require.NoError(t, read.Email.Scan(stored))
	require.Error(t, opener.ForTenant("globex").Decrypt(t.Context(), &read), "the binding is real")
}

// What the first release sealed opens for ever, since fixtures may hold it.
func TestFixtureOpens(t *testing.T) {
	stored, err := os.ReadFile(filepath.Join("testdata", "email.txt"))
	require.NoError(t, err)
	r, err := fieldcrypt.For[contact](fieldcrypttest.New(t))
	require.NoError(t, err)
	read := contact{ID: 1}
	require.NoError(t, read.Email.Scan(string(stored)))
	require.NoError(t, r.ForTenant("acme").DecryptStrict(t.Context(), &read))
	got, err := read.Email.Plain()
	require.NoError(t, err)
	require.Equal(t, "ada@example.org", got)
}

func TestProviderRefuses(t *testing.T) {
	p := fieldcrypttest.Provider()
	ec := kmsprovider.EncryptionContext{"a": "b"}
	_, err := p.GenerateDataKey(t.Context(), "fieldcrypttest://other", ec)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	key, err := p.GenerateDataKey(t.Context(), fieldcrypttest.RootKey, ec)
	require.NoError(t, err)
	_, err = p.Unwrap(t.Context(), fieldcrypttest.RootKey, key.Wrapped, kmsprovider.EncryptionContext{"a": "c"})
	require.ErrorIs(t, err, kmsprovider.ErrInvalidCiphertext)
	_, err = p.Unwrap(t.Context(), fieldcrypttest.RootKey, nil, ec)
	require.ErrorIs(t, err, kmsprovider.ErrInvalidCiphertext)
	_, err = p.GenerateDataKey(t.Context(), fieldcrypttest.RootKey, kmsprovider.EncryptionContext{"a": "\xff"})
	require.ErrorIs(t, err, kmsprovider.ErrInvalidCiphertext)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Unwrap(cancelled, fieldcrypttest.RootKey, key.Wrapped, ec)
	require.ErrorIs(t, err, context.Canceled)
}

// A program that isn't a test is stopped, whichever way it goes in.
func TestPanicsOutsideTests(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", "./testdata/program").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "panic: fieldcrypttest: its root key is public: it works in tests only")
	require.NotContains(t, string(out), "got through")
}
