package main

import (
	"bytes"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

func requireRefusal(t *testing.T, want string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), &out, args), want)
	require.Empty(t, out.String())
}

// Where there is data, a key file that isn't there is not made anew.
func TestLostKeyFile(t *testing.T) {
	dir := t.TempDir()
	requireTour(t, quickstart(t, "-dir", dir))
	keys := filepath.Join(dir, "root.keys")
	away := filepath.Join(t.TempDir(), "root.keys")
	require.NoError(t, os.Rename(keys, away))

	requireRefusal(t, "lost, restored elsewhere, or another working directory?", "-dir", dir)
	require.NoFileExists(t, keys)

	other, err := localkms.Open(keys)
	require.NoError(t, err)
	require.NoError(t, other.Close())
	requireRefusal(t, keys+" is another key file: lost, restored elsewhere, or another working directory?", "-dir", dir)

	require.NoError(t, os.Rename(away, keys))
	require.Contains(t, quickstart(t, "-dir", dir), "barbara@example.com", "the control: with its own key file it opens")
}

func TestFolderOfAnotherKeyService(t *testing.T) {
	srv := fakekms.Start(t)
	srv.CreateAlias("alias/crm", srv.CreateKey(fakekms.KeyOptions{}))
	useTestCredentials(t)
	aws := []string{"-kms", "aws", "-key", "alias/crm", "-endpoint", srv.URL()}

	local, remote := t.TempDir(), t.TempDir()
	requireTour(t, quickstart(t, "-dir", local))
	requireTour(t, quickstart(t, append(aws, "-dir", remote)...))

	requireRefusal(t, "belongs to another key service: its rows are sealed under local-kms://", append(aws, "-dir", local)...)
	requireRefusal(t, "belongs to another key service: its rows are sealed under aws-kms://", "-dir", remote)
	require.NoFileExists(t, filepath.Join(remote, "root.keys"))

	require.Contains(t, quickstart(t, append(aws, "-dir", remote)...), "barbara@example.com")
}

// A folder of the time before there was a key store, whose rows carry their data
// keys, still opens.
func TestFolderWithInlineRows(t *testing.T) {
	dir := t.TempDir()
	kms, err := localkms.Open(filepath.Join(dir, "root.keys"))
	require.NoError(t, err)
	db, err := sql.Open("sqlite", filepath.Join(dir, "crm.db"))
	require.NoError(t, err)
	old := &tour{out: io.Discard, db: db, process: func() (*fieldcrypt.Crypt, error) {
		return fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}, nil)
	}}
	require.NoError(t, old.start())
	require.NoError(t, old.createTable(t.Context()))
	require.NoError(t, old.insert(t.Context()))
	require.NoError(t, errors.Join(old.crypt.Close(), db.Close()))

	for range 2 { // the first run makes the key store's tables
		out := quickstart(t, "-dir", dir)
		require.Contains(t, out, "3 contacts are here from an earlier run")
		require.Contains(t, out, "edsger@example.org")
		require.Contains(t, out, "generate a data key       0\n")
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "root.keys")))
	requireRefusal(t, "the database is here and its key file isn't", "-dir", dir)
}

// Rows whose data keys are gone are refused before anything is made.
func TestLostKeyStore(t *testing.T) {
	for statement, want := range map[string]string{
		"DELETE FROM fieldcrypt_keys": "data key not found: rows are here and the data key of one of them isn't: lost,",
		"DROP TABLE fieldcrypt_keys; DROP TABLE fieldcrypt_keys_claims; DROP TABLE fieldcrypt_keys_version": "the key store's tables aren't there",
	} {
		dir := t.TempDir()
		requireTour(t, quickstart(t, "-dir", dir))
		db, err := sql.Open("sqlite", filepath.Join(dir, "crm.db"))
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), statement)
		require.NoError(t, errors.Join(err, db.Close()))
		requireRefusal(t, want, "-dir", dir)
	}
}

func TestFolderOfAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "crm.db"), []byte("not a database, and long enough to be none"), 0o600))
	requireRefusal(t, "not a database", "-dir", dir)
	require.NoFileExists(t, filepath.Join(dir, "root.keys"))
}
