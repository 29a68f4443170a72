//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package localkms

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/stretchr/testify/require"
)

func TestMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	defer syscall.Umask(syscall.Umask(0)) // even with no umask to help
	p, err := Open(path)
	require.NoError(t, err)
	rotate(t, p, "default")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	info, err = os.Stat(path + ".lock")
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())

	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		require.NoError(t, os.Chmod(path, mode))
		_, err := OpenExisting(path)
		require.NoError(t, err, mode)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666, 0o440, 0o777} {
		require.NoError(t, os.Chmod(path, mode))
		_, err := Open(path)
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable, mode)
		require.ErrorContains(t, err, "run: chmod 600 "+path)
		_, err = p.GenerateDataKey(t.Context(), p.RootKey(), nil)
		require.ErrorContains(t, err, "run: chmod 600 "+path, "a file opened up later is noticed")
	}
}

func TestNoRegularFile(t *testing.T) {
	target := writeFile(t, sampleFile)
	folder := t.TempDir()
	for name, prepare := range map[string]struct {
		says string
		make func(path string) error
	}{
		"link":     {"it is a symbolic link; give the path of the file itself", func(path string) error { return os.Symlink(target, path) }},
		"dangling": {"it is a symbolic link", func(path string) error { return os.Symlink(filepath.Join(folder, "none"), path) }},
		"loop":     {"it is a symbolic link", func(path string) error { return os.Symlink(path, path) }},
		"pipe":     {"it is no regular file", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
	} {
		path := filepath.Join(folder, name)
		require.NoError(t, prepare.make(path), name)
		_, err := Open(path)
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable, name)
		require.ErrorContains(t, err, prepare.says, name)
		require.ErrorContains(t, err, path, name)
	}
	_, err := os.Lstat(filepath.Join(folder, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist, "nothing is made through a link")

	_, err = Open("/dev/zero")
	require.ErrorContains(t, err, "it is no regular file")

	// If a link or a pipe gets there between the look and the opening.
	for _, name := range []string{"link", "pipe"} {
		file, err := openNoFollow(filepath.Join(folder, name))
		if err == nil {
			info, statErr := file.Stat()
			require.NoError(t, statErr)
			require.NoError(t, file.Close())
			err = secret(name, info)
		}
		require.Error(t, err, name)
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "k")
	p, err := Open(path)
	require.NoError(t, err)
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	asUser(t, folder, func() {
		_, err := Open(filepath.Join(folder, "new"))
		require.ErrorIs(t, err, kmsprovider.ErrDenied)
		require.ErrorContains(t, err, "making the key file "+folder)
		require.ErrorContains(t, err, "permission denied; give the user of this process access to it")

		// A file that is there serves: secrets are often mounted so.
		q, err := Open(path)
		require.NoError(t, err)
		dk, err := q.GenerateDataKey(t.Context(), q.RootKey(), nil)
		require.NoError(t, err)
		_, err = q.Unwrap(t.Context(), q.RootKey(), dk.Wrapped, nil)
		require.NoError(t, err)

		for _, err := range []error{q.Rotate(t.Context(), "default"), p.Rotate(t.Context(), "default")} {
			require.ErrorIs(t, err, kmsprovider.ErrDenied)
			require.ErrorContains(t, err, "rotating the root key \"default\"")
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, "permission denied; give the user of this process access to it")
		}
	})
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// What a disk that is mounted read-only answers is no outage: it stays so until
// somebody does something. The class and the advice are the same for whatever
// needed to write.
func TestReadOnlyDisk(t *testing.T) {
	for name, err := range map[string]error{
		"new file": &os.PathError{Op: "open", Path: "/keys/.k.tmp", Err: syscall.EROFS},
		"rename":   &os.LinkError{Op: "rename", Old: "/keys/.k.tmp", New: "/keys/k", Err: syscall.EROFS},
		"lock":     fmt.Errorf("locking the key file: %w", &os.PathError{Op: "open", Path: "/keys/k.lock", Err: syscall.EROFS}),
	} {
		t.Run(name, func(t *testing.T) {
			got := classed(err)
			require.ErrorIs(t, got, kmsprovider.ErrDenied)
			require.NotErrorIs(t, got, kmsprovider.ErrUnavailable)
			require.ErrorIs(t, got, syscall.EROFS)
			require.ErrorContains(t, got, err.Error())
			require.ErrorContains(t, got, "the disk is mounted read-only: change the key file where it can be written, or mount the disk for writing")
		})
	}
	// The control: a disk that fails may work again, and one that is full too.
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		got := classed(&os.PathError{Op: "write", Path: "/keys/.k.tmp", Err: errno})
		require.ErrorIs(t, got, kmsprovider.ErrUnavailable)
		require.NotErrorIs(t, got, kmsprovider.ErrDenied)
		require.NotContains(t, got.Error(), "read-only")
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	path := writeFile(t, sampleFile)
	require.NoError(t, os.Chmod(path, 0))
	asUser(t, filepath.Dir(path), func() {
		_, err := Open(path)
		require.ErrorIs(t, err, kmsprovider.ErrDenied)
		require.ErrorContains(t, err, "permission denied")
		require.ErrorContains(t, err, path)
	})
}
