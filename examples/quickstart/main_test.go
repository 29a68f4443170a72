package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

var promised = []string{
	"What the database holds",
	"ada@example.com     +44 20 7946 0001",
	"the program forgot to encrypt: REFUSED",
	"a script writes past the program: REFUSED",
	"constraint failed",
	"flips one bit",
	"the rest of the page still reads: Ada's phone is +44 20 7946 0001",
	"copies Edsger's sensitive cells over Ada's",
	"the rest of the page still reads: Grace's e-mail is grace@example.com",
	"Ada      is sealed with data key",
	", which is retired\n",
	"Barbara  is sealed with data key",
	", which is active\n",
	"it reads 4 contacts and gives Ada another e-mail address",
	"generate a data key       3            0\n",
	"unwrap a data key         0            3\n",
}

func quickstart(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, args))
	return out.String()
}

func requireTour(t *testing.T, out string) {
	t.Helper()
	for _, want := range promised {
		require.Contains(t, out, want)
	}
	require.Equal(t, 4, strings.Count(out, "REFUSED"))
	// One cell with a bit flipped, and both that came from another row, whose
	// data key isn't acme's.
	require.Equal(t, 1, strings.Count(out, "not authentic"))
	require.Equal(t, 2, strings.Count(out, "data key not found"))
	require.Regexp(t, `email +phone\n  1 +acme +Ada +fc0101[0-9a-f]+…[0-9a-f]{16} \(79 bytes\) `, out, "15 bytes and 64")
	for _, tenant := range []string{"acme", "globex"} {
		require.Regexp(t, `\n  `+tenant+` +default +[0-9a-f]{8}… +active +[0-9a-f]+…[0-9a-f]{16} \(\d+ bytes\)\n`, out)
	}
	require.Equal(t, 2, strings.Count(out, "open Contacts.email (tenant \"acme\""))
	require.Equal(t, 1, strings.Count(out, "open Contacts.phone (tenant \"acme\""))
}

func TestTour(t *testing.T) {
	dir := t.TempDir()
	requireTour(t, quickstart(t, "-dir", dir))

	stored, err := os.ReadFile(filepath.Join(dir, "crm.db"))
	require.NoError(t, err)
	require.Contains(t, string(stored), "Barbara", "the control: what isn't marked is there to be read")
	require.Contains(t, string(stored), "fieldcrypt_keys")
	for _, secret := range []string{"ada@example.com", "lovelace@example.com", "barbara@example.com", "7946 0001"} {
		require.NotContains(t, string(stored), secret)
	}

	again := quickstart(t, "-dir", dir)
	require.Contains(t, again, "4 contacts are here from an earlier run")
	require.Contains(t, again, "ada.lovelace@example.com")
	require.Contains(t, again, "barbara@example.com")
	require.Contains(t, again, "generate a data key       0\n")
	require.Contains(t, again, "unwrap a data key         3\n")
}

func TestTourInATemporaryFolder(t *testing.T) {
	before, err := filepath.Glob(filepath.Join(os.TempDir(), "fieldcrypt-quickstart-*"))
	require.NoError(t, err)
	out := quickstart(t)
	requireTour(t, out)
	require.Regexp(t, `crm\.db \(removed at the end; keep it with -dir\)\n`, out)
	after, err := filepath.Glob(filepath.Join(os.TempDir(), "fieldcrypt-quickstart-*"))
	require.NoError(t, err)
	require.Equal(t, before, after, "the folder is removed at the end")
}

func TestTourOnKMS(t *testing.T) {
	srv := fakekms.Start(t)
	srv.CreateAlias("alias/crm", srv.CreateKey(fakekms.KeyOptions{}))
	useTestCredentials(t)
	requireTour(t, quickstart(t, "-kms", "aws", "-key", "alias/crm", "-endpoint", srv.URL()))
	require.Equal(t, 3, srv.Count("GenerateDataKey"))

	dir := t.TempDir()
	require.ErrorContains(t, run(t.Context(), &bytes.Buffer{}, []string{"-dir", dir, "-kms", "aws", "-key", "alias/typo", "-endpoint", srv.URL()}), "alias/typo")
	require.NoFileExists(t, filepath.Join(dir, "crm.db"), "a wrong root key shows before anything is made")
}

func useTestCredentials(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test-secret-test-secret")
	t.Setenv("AWS_REGION", "eu-central-1")
}

func TestBadArguments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	useTestCredentials(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown service":        {[]string{"-kms", "vault"}, "it is local or aws"},
		"no key for AWS":         {[]string{"-kms", "aws"}, "-kms aws needs -key"},
		"no such kind of key":    {[]string{"-kms", "aws", "-key", "crm"}, "-key: "},
		"key without AWS":        {[]string{"-key", "alias/crm"}, "go with -kms aws"},
		"endpoint without AWS":   {[]string{"-endpoint", "http://127.0.0.1:4566"}, "go with -kms aws"},
		"argument":               {[]string{"demo"}, `unexpected argument "demo"`},
		"argument after a flag":  {[]string{"-kms", "local", "-", "dir"}, `unexpected argument "-"`},
		"flag without its value": {[]string{"-dir"}, "flag needs an argument"},
		"folder is a file":       {[]string{"-dir", file}, "not a directory"},
		"unknown flag":           {[]string{"-frobnicate"}, "flag provided but not defined: -frobnicate (-h shows"},
		"plain HTTP elsewhere":   {[]string{"-kms", "aws", "-key", "alias/crm", "-endpoint", "http://kms.example.com"}, "HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.ErrorContains(t, run(t.Context(), &out, c.args), c.want)
			require.Empty(t, out.String())
		})
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	require.ErrorIs(t, run(t.Context(), &out, []string{"-h"}), flag.ErrHelp)
	require.Equal(t, 3, strings.Count(out.String(), "\n  go run ./examples/quickstart"))
	for _, want := range []string{"AWS_REGION", "aws kms create-alias", "kms:DescribeKey", "-endpoint URL", "-dir folder"} {
		require.Contains(t, out.String(), want)
	}
}
