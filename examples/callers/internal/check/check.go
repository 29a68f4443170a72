// Package check holds what the tests of the callers share: a Crypt on a key
// file, databases of their own, and a search for plaintext.
package check

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver of the callers' databases

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// Crypt returns a Crypt of the test's own.
func Crypt(t testing.TB) *fieldcrypt.Crypt {
	t.Helper()
	kms, err := localkms.Open(filepath.Join(t.TempDir(), "root-keys.json"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kms.Close()) })
	crypt, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, crypt.Close()) })
	return crypt
}

// SQLite returns a new database and the folder with its files.
func SQLite(t testing.TB) (db *sql.DB, folder string) {
	t.Helper()
	folder = t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(folder, "crm.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, folder
}

// Stored requires that the database's files hold inClear, which shows that
// the search works, and none of the secrets.
func Stored(t testing.TB, folder, inClear string, secrets ...string) {
	t.Helper()
	var stored []byte
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		stored = append(stored, content...)
		return err
	})
	require.NoError(t, err)
	require.True(t, bytes.Contains(stored, []byte(inClear)), "the search must find %q, which is stored in the clear", inClear)
	for _, secret := range secrets {
		require.False(t, bytes.Contains(stored, []byte(secret)), "a sensitive value is stored in the clear")
	}
}

// Exec runs a statement that the test needs.
func Exec(ctx context.Context, t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(ctx, query, args...)
	require.NoError(t, err)
}
