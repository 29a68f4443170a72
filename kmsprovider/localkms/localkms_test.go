package localkms

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/stretchr/testify/require"
)

var sampleContext = kmsprovider.EncryptionContext{
	"fieldcrypt:v": "1", "fieldcrypt:tenant": "acme", "fieldcrypt:class": "crm", "fieldcrypt:purpose": "data",
}

// writeFile makes a key file with any content.
func writeFile(t testing.TB, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "root-keys.json")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func openSample(t testing.TB) *Provider {
	t.Helper()
	p, err := OpenExisting(writeFile(t, sampleFile))
	require.NoError(t, err)
	return p
}

func rotate(t testing.TB, p *Provider, name string) {
	t.Helper()
	require.NoError(t, p.Rotate(t.Context(), name))
}

// A wrapped key made by another program, from the format as the package
// comment has it: the data key is the bytes 0x80 to 0x9f, the nonce 0 to 11,
// the root key version 2 of "crm" in sampleFile.
const foreignWrapped = "0100000002000102030405060708090a0b" +
	"dcd3df24ceb06d6b3470434daafed0b383e17bf7fe843086bc944921271c5507f8b4a046aff45809d8e9de0cfb9dc3f7"

func TestWrappedFormat(t *testing.T) {
	p := openSample(t)
	wrapped, err := hex.DecodeString(foreignWrapped)
	require.NoError(t, err)
	const crm = "local-kms://abcdefghijklmnopqrstuvwx23/crm"
	plain, err := p.Unwrap(t.Context(), crm, wrapped, sampleContext)
	require.NoError(t, err)
	require.Equal(t, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", hex.EncodeToString(plain))

	for name, says := range map[string]string{
		foreignWrapped[:len(foreignWrapped)-2]:       "it has 64 bytes, want 65",
		foreignWrapped + "00":                        "it has 66 bytes, want 65",
		"02" + foreignWrapped[2:]:                    "starts with 0x02, want 0x01",
		"0100000000" + foreignWrapped[10:]:           "says version 0",
		"0100000001" + foreignWrapped[10:]:           "or it is damaged",
		"0100000003" + foreignWrapped[10:]:           "says version 3 of the root key, which has 2",
		"01ffffffff" + foreignWrapped[10:]:           "says version 4294967295",
		foreignWrapped[:len(foreignWrapped)-1] + "6": "or it is damaged",
	} {
		wrapped, err := hex.DecodeString(name)
		require.NoError(t, err)
		_, err = p.Unwrap(t.Context(), crm, wrapped, sampleContext)
		require.ErrorIs(t, err, kmsprovider.ErrInvalidCiphertext)
		require.ErrorContains(t, err, says)
	}
}

func TestForeignURIs(t *testing.T) {
	p := openSample(t)
	for uri, says := range map[string]string{
		"aws-kms://arn:aws:kms:eu-central-1:111122223333:key/x": "not a local-kms:// URI",
		"local-kms://abcdefghijklmnopqrstuvwx23":                "not of the form",
		"local-kms://abcdefghijklmnopqrstuvwx23/../default":     "not of the form",
		"local-kms://abcdefghijklmnopqrstuvwx23/none":           "no root key of that name",
		"local-kms://zzzzzzzzzzzzzzzzzzzzzzzzzz/default":        "another key file: lost, restored elsewhere, or another working directory?",
	} {
		_, err := p.GenerateDataKey(t.Context(), uri, nil)
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, uri)
	}
}

func TestRootKeys(t *testing.T) {
	p, err := Open(filepath.Join(t.TempDir(), "k"))
	require.NoError(t, err)
	uri, err := p.AddRootKey(t.Context(), "tenant-7")
	require.NoError(t, err)
	require.Regexp(t, `^local-kms://[a-z2-7]{26}/tenant-7$`, uri)
	require.Equal(t, strings.TrimSuffix(uri, "tenant-7")+"default", p.RootKey())
	again, err := p.AddRootKey(t.Context(), "tenant-7")
	require.NoError(t, err)
	require.Equal(t, uri, again)
	named, err := p.RootKeyNamed("tenant-7")
	require.NoError(t, err)
	require.Equal(t, uri, named)

	for _, bad := range []string{"", "A", "a/b", "../x", strings.Repeat("a", 64), "a\n"} {
		_, err := p.AddRootKey(t.Context(), bad)
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		require.ErrorContains(t, err, "a name has 1 to 63 of")
		_, err = p.RootKeyNamed(bad)
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		require.ErrorIs(t, p.Rotate(t.Context(), bad), kmsprovider.ErrKeyUnusable)
	}
	_, err = p.RootKeyNamed("none")
	require.ErrorContains(t, err, "AddRootKey makes one")
	require.ErrorContains(t, p.Rotate(t.Context(), "none"), "has no root key of that name")
}

// What one process changes, another sees: here two providers of one file.
func TestChangesAreSeenByOthers(t *testing.T) {
	a := openSample(t)
	b, err := OpenExisting(a.path)
	require.NoError(t, err)

	before, err := b.GenerateDataKey(t.Context(), b.RootKey(), sampleContext)
	require.NoError(t, err)
	rotate(t, a, "default")
	after, err := a.GenerateDataKey(t.Context(), a.RootKey(), sampleContext)
	require.NoError(t, err)
	require.Equal(t, byte(1), before.Wrapped[4])
	require.Equal(t, byte(2), after.Wrapped[4])
	for _, p := range []*Provider{a, b} {
		for _, dk := range []kmsprovider.DataKey{before, after} {
			plain, err := p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, sampleContext)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plain, dk.Plaintext))
		}
	}

	rotate(t, a, "default")
	dk, err := b.GenerateDataKey(t.Context(), b.RootKey(), nil)
	require.NoError(t, err)
	require.Equal(t, byte(3), dk.Wrapped[4], "a rotation is followed without a wrapped key that tells of it")

	uri, err := a.AddRootKey(t.Context(), "new")
	require.NoError(t, err)
	dk, err = a.GenerateDataKey(t.Context(), uri, nil)
	require.NoError(t, err)
	_, err = b.Unwrap(t.Context(), uri, dk.Wrapped, nil)
	require.NoError(t, err)
	named, err := b.RootKeyNamed("new")
	require.NoError(t, err)
	require.Equal(t, uri, named)

	w, _, err := b.Rewrap(t.Context(), before.RootKey, before.Wrapped, before.RootKey, sampleContext)
	require.NoError(t, err)
	require.Equal(t, byte(3), w[4], "a rewrap brings a data key under the newest version")
}

// No key is made that couldn't be unwrapped after a restart, and no file is
// written that would lose keys. What is in memory goes on opening.
func TestFileChangedUnderneath(t *testing.T) {
	other := strings.Replace(sampleFile, "abcdefghijklmnopqrstuvwx23", "zzzzzzzzzzzzzzzzzzzzzzzzzz", 1)
	swapped := strings.Replace(sampleFile, "AAECAwQF", "BAECAwQF", 1)
	older := sampleFile
	for _, c := range []struct {
		name, says string
		change     func(t *testing.T, path string)
	}{
		{"deleted", "no such file or directory; restore it from a backup", func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }},
		{"another file", "it was replaced by another one", func(t *testing.T, path string) { put(t, path, other) }},
		{"an older copy", `it has lost version 2 of the root key "default"`, func(t *testing.T, path string) { put(t, path, older) }},
		{"another key", `it has lost version 1 of the root key "default"`, func(t *testing.T, path string) { put(t, path, swapped) }},
		{"damaged", "damaged or cut short", func(t *testing.T, path string) { put(t, path, sampleFile[:100]) }},
		{"emptied", "is empty", func(t *testing.T, path string) { put(t, path, "") }},
		{"made a folder", "it is a folder", func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Mkdir(path, 0o700))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openSample(t)
			rotate(t, p, "default")
			dk, err := p.GenerateDataKey(t.Context(), p.RootKey(), sampleContext)
			require.NoError(t, err)
			c.change(t, p.path)

			_, err = p.GenerateDataKey(t.Context(), p.RootKey(), sampleContext)
			requireRefused(t, err, p, c.says)
			requireRefused(t, p.Check(t.Context(), p.RootKey()), p, c.says)
			requireRefused(t, p.Rotate(t.Context(), "default"), p, c.says)
			_, err = p.AddRootKey(t.Context(), "new")
			requireRefused(t, err, p, c.says)
			_, _, err = p.Rewrap(t.Context(), p.RootKey(), dk.Wrapped, p.RootKey(), sampleContext)
			requireRefused(t, err, p, c.says)

			plain, err := p.Unwrap(t.Context(), p.RootKey(), dk.Wrapped, sampleContext)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plain, dk.Plaintext))
		})
	}
}

func requireRefused(t *testing.T, err error, p *Provider, says string) {
	t.Helper()
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	require.ErrorContains(t, err, says)
	require.ErrorContains(t, err, p.path)
	requireNoKey(t, err)
}

// put replaces a file by another one, as a restore does.
func put(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(content), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

func TestClosed(t *testing.T) {
	p := openSample(t)
	uri := p.RootKey()
	dk, err := p.GenerateDataKey(t.Context(), uri, nil)
	require.NoError(t, err)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.Nil(t, p.state.Load())
	require.Empty(t, p.RootKey())

	_, generateErr := p.GenerateDataKey(t.Context(), uri, nil)
	_, unwrapErr := p.Unwrap(t.Context(), uri, dk.Wrapped, nil)
	_, _, rewrapErr := p.Rewrap(t.Context(), uri, dk.Wrapped, uri, nil)
	_, namedErr := p.RootKeyNamed("default")
	_, addErr := p.AddRootKey(t.Context(), "new")
	for _, err := range []error{generateErr, unwrapErr, rewrapErr, namedErr, addErr, p.Check(t.Context(), uri), p.Rotate(t.Context(), "default")} {
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		require.ErrorContains(t, err, "closed")
	}
}

// A provider holds no bytes of a root key that could be printed.
func TestProviderPrintsNoKeys(t *testing.T) {
	p := openSample(t)
	s := p.state.Load()
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v", p, p, p),
		fmt.Sprintf("%+v %#v", s, s), fmt.Sprintf("%+v %#v", s.byName["crm"], s.byName["crm"].versions),
	} {
		requireNoKey(t, errors.New(text))
		require.NotContains(t, text, "[32 33 34 35 36")
	}
}
