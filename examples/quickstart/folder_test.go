package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

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

func TestFolderOfAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "crm.db"), []byte("not a database, and long enough to be none"), 0o600))
	requireRefusal(t, "not a database", "-dir", dir)
	require.NoFileExists(t, filepath.Join(dir, "root.keys"))
}
