package localkms

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/stretchr/testify/require"
)

func TestOpenMakesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root-keys.json")
	_, err := OpenExisting(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "restore it from a backup, or make a new one with Open")

	one, err := Open(path)
	require.NoError(t, err)
	two, err := Open(path)
	require.NoError(t, err)
	three, err := OpenExisting(path)
	require.NoError(t, err)
	require.Equal(t, one.RootKey(), two.RootKey())
	require.Equal(t, one.RootKey(), three.RootKey())
	requireOnly(t, path)

	other, err := Open(filepath.Join(t.TempDir(), "root-keys.json"))
	require.NoError(t, err)
	require.NotEqual(t, one.RootKey(), other.RootKey())
}

// requireOnly fails if more than the key file, and its lock, is in its folder.
func requireOnly(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	for _, e := range entries {
		require.Contains(t, []string{filepath.Base(path), filepath.Base(path) + ".lock"}, e.Name())
	}
}

func TestBadFilesAreRefusedAndKept(t *testing.T) {
	for _, c := range badFiles {
		t.Run(c.name, func(t *testing.T) {
			path := writeFile(t, c.content)
			says := c.says
			if len(c.content) > maxFileSize {
				says = "a key file has at most 1048576"
			}
			for _, open := range []func(string) (*Provider, error){Open, OpenExisting} {
				p, err := open(path)
				require.Nil(t, p)
				require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
				require.ErrorContains(t, err, path)
				require.ErrorContains(t, err, says)
				requireNoKey(t, err)
			}
			kept, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, c.content, string(kept), "a bad key file must not be replaced")
			requireOnly(t, path)
		})
	}
}

func TestPathsThatCannotBeAKeyFile(t *testing.T) {
	for _, c := range []struct {
		name, says string
		class      error
		path       func(t *testing.T) string
	}{
		{"a folder", "it is a folder", kmsprovider.ErrKeyUnusable, func(t *testing.T) string { return t.TempDir() }},
		{"no path", "it is a folder", kmsprovider.ErrKeyUnusable, func(*testing.T) string { return "" }},
		{"a missing folder", "its folder doesn't exist; make it first", kmsprovider.ErrKeyUnusable, func(t *testing.T) string {
			return filepath.Join(t.TempDir(), "none", "k")
		}},
		{"a file for a folder", "not a directory", kmsprovider.ErrUnavailable, func(t *testing.T) string {
			return filepath.Join(writeFile(t, sampleFile), "k")
		}},
		{"a name too long", "name too long", kmsprovider.ErrUnavailable, func(t *testing.T) string {
			return filepath.Join(t.TempDir(), strings.Repeat("k", 300))
		}},
		{"a NUL in the name", "invalid argument", kmsprovider.ErrUnavailable, func(t *testing.T) string {
			return filepath.Join(t.TempDir(), "k\x00")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.path(t)
			_, err := Open(path)
			require.ErrorIs(t, err, c.class)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, path)
		})
	}
}

// File systems without links: the file is made by a rename under the lock.
func TestCreateWithoutLinks(t *testing.T) {
	noLink := func(string, string) error { return errors.ErrUnsupported }
	path := filepath.Join(t.TempDir(), "k")
	require.NoError(t, create(path, newKeyFile(), noLink))
	one, err := OpenExisting(path)
	require.NoError(t, err)
	require.NoError(t, create(path, newKeyFile(), noLink))
	two, err := OpenExisting(path)
	require.NoError(t, err)
	require.Equal(t, one.RootKey(), two.RootKey())
	requireOnly(t, path)
}

// The control of the tests that say "one file": made by a rename alone, the
// second file replaces the first, and they see it.
func TestControlRenameReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	var uris []string
	for range 2 {
		require.NoError(t, create(path, newKeyFile(), os.Rename))
		p, err := OpenExisting(path)
		require.NoError(t, err)
		uris = append(uris, p.RootKey())
	}
	require.NotEqual(t, uris[0], uris[1])
}

func TestLock(t *testing.T) {
	p := openSample(t)
	unlock, err := lock(t.Context(), p.path)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err = p.Rotate(ctx, "default")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "waiting for another process to release "+p.path+".lock")

	// Data keys need no lock.
	_, err = p.GenerateDataKey(t.Context(), p.RootKey(), nil)
	require.NoError(t, err)

	time.AfterFunc(30*time.Millisecond, unlock)
	require.NoError(t, p.Rotate(t.Context(), "default"))

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Rotate(canceled, "default"), context.Canceled)
	_, err = p.AddRootKey(canceled, "x")
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, p.state.Load().byName["default"].versions, 2)
}

func TestFileIsFull(t *testing.T) {
	f := newKeyFile()
	k := &f.RootKeys[0]
	for range 2 { // again, because the first numbers are shorter than the last
		for range (maxFileSize - len(f.encode())) / 120 {
			k.Versions = append(k.Versions, newVersion(uint32(len(k.Versions)+1)))
		}
	}
	path := filepath.Join(t.TempDir(), "k")
	require.NoError(t, create(path, f, os.Link))
	p, err := OpenExisting(path)
	require.NoError(t, err)
	dk, err := p.GenerateDataKey(t.Context(), p.RootKey(), nil)
	require.NoError(t, err)
	for range 10 {
		if err = p.Rotate(t.Context(), "default"); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	require.ErrorContains(t, err, "the key file is full")
	_, err = p.Unwrap(t.Context(), p.RootKey(), dk.Wrapped, nil)
	require.NoError(t, err)
	requireOnly(t, path)
}

func TestReplaceLeavesNothingBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	require.NoError(t, os.MkdirAll(filepath.Join(path, "not empty"), 0o700))
	require.ErrorIs(t, replace(path, newKeyFile()), kmsprovider.ErrUnavailable)
	requireOnly(t, path)
}

// The file is swapped while a rotation waits for the lock: what the process
// knew before it waited is no ground to write on.
func TestFileSwappedWhileWaiting(t *testing.T) {
	p := openSample(t)
	rotate(t, p, "default")
	unlock, err := lock(t.Context(), p.path)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- p.Rotate(t.Context(), "default") }()
	time.Sleep(50 * time.Millisecond)
	put(t, p.path, sampleFile)
	unlock()
	requireRefused(t, <-done, p, `it has lost version 2 of the root key "default"`)
	kept, err := os.ReadFile(p.path)
	require.NoError(t, err)
	require.Equal(t, sampleFile, string(kept))
}
