package localkms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const (
	fallbackWait = 10 * time.Second     // for the lock, where a new file needs one
	lockPoll     = 5 * time.Millisecond // between two tries at the lock
)

// readKeyFile reads and parses the key file.
func readKeyFile(path string) (*keyFile, os.FileInfo, error) {
	data, info, err := readSecret(path)
	defer clear(data)
	var f *keyFile
	if err == nil {
		f, err = parseKeyFile(data)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return f, info, nil
}

// readSecret reads a regular file that nobody but its owner can read.
func readSecret(path string) ([]byte, os.FileInfo, error) {
	// Once before opening, for a clear message and because opening a pipe or
	// a device can have effects; and once more on the file that was opened,
	// which may not be the same.
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %w; restore it from a backup, or make a new one with Open if nothing was ever sealed with it", kmsprovider.ErrKeyUnusable, err)
	}
	if err != nil {
		return nil, nil, classed(err)
	}
	if err := secret(path, info); err != nil {
		return nil, nil, err
	}
	file, err := openNoFollow(path)
	if err != nil {
		return nil, nil, classed(err)
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, nil, classed(err)
	}
	if err := secret(path, info); err != nil {
		return nil, nil, err
	}
	data := make([]byte, info.Size()+1) // one more, to see that the file ends there
	n, err := io.ReadFull(file, data)
	if err == nil || err != io.EOF && err != io.ErrUnexpectedEOF { //nolint:errorlint // io.ReadFull returns them bare
		clear(data)
		if err == nil {
			err = errors.New("it grew while it was read")
		}
		return nil, nil, classed(err)
	}
	return data[:n], info, nil
}

// secret fails unless the file may be read as a key file.
func secret(path string, info os.FileInfo) error {
	mode := info.Mode()
	switch {
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%w: it is a symbolic link; give the path of the file itself", kmsprovider.ErrKeyUnusable)
	case mode.IsDir():
		return fmt.Errorf("%w: it is a folder; give the path of a file", kmsprovider.ErrKeyUnusable)
	case !mode.IsRegular():
		return fmt.Errorf("%w: it is no regular file (mode %v)", kmsprovider.ErrKeyUnusable, mode)
	case modesAreKept && mode.Perm()&0o077 != 0:
		return fmt.Errorf("%w: others than its owner can use it (mode %04o), and its root keys may be known to them; run: chmod 600 %s", kmsprovider.ErrKeyUnusable, mode.Perm(), path)
	case info.Size() > maxFileSize:
		return fmt.Errorf("%w: it has %d bytes, and a key file has at most %d", kmsprovider.ErrKeyUnusable, info.Size(), maxFileSize)
	}
	if owner, yes := foreign(info); yes {
		return fmt.Errorf("%w: it belongs to the user with the ID %d, who could replace it, and this process runs as %d: run it as that user, or give the file to this one with chown", kmsprovider.ErrKeyUnusable, owner, userID())
	}
	return nil
}

// classed gives an error of the file system its class, and says what to do
// where trying again is of no use.
func classed(err error) error {
	class, advice := kmsprovider.ErrUnavailable, ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		class = kmsprovider.ErrKeyUnusable
	case errors.Is(err, fs.ErrPermission):
		class, advice = kmsprovider.ErrDenied, "; give the user of this process access to it"
	case readOnlyDisk(err):
		class, advice = kmsprovider.ErrDenied, "; the disk is mounted read-only: change the key file where it can be written, or mount the disk for writing"
	}
	return fmt.Errorf("%w: %w%s", class, err, advice)
}

// staleAfter is longer than anybody writes to a temporary file.
const staleAfter = 10 * time.Minute

// removeStale removes what a process left that ended while it wrote: each such
// file holds all root keys.
func removeStale(path string) {
	left, _ := filepath.Glob(filepath.Join(escaped(filepath.Dir(path)), escaped(tempPrefix(path))+"*"+tempSuffix))
	for _, name := range left {
		if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > staleAfter {
			_ = os.Remove(name)
		}
	}
}

const tempSuffix = ".tmp"

func tempPrefix(path string) string { return "." + filepath.Base(path) + "." }

// escaped makes a name a pattern that matches nothing else.
func escaped(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

// create makes the key file, and leaves one alone that is there already.
// link is os.Link.
func create(path string, f *keyFile, link func(oldname, newname string) error) error {
	temp, err := writeTemp(path, f)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	// Unlike a rename, a link never replaces a file: of all who try at once,
	// one succeeds.
	if err := link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := createLocked(temp, path); err != nil {
			return err
		}
	}
	return syncRename(path)
}

// createLocked is for file systems without links, such as FAT.
func createLocked(temp, path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), fallbackWait)
	defer cancel()
	unlock, err := lock(ctx, path)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: another process kept the lock %s.lock for %v", kmsprovider.ErrUnavailable, path, fallbackWait)
		}
		return err
	}
	defer unlock()
	_, err = os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return classed(err)
	}
	return nil
}

// replace puts f in the place of the key file, all or nothing. The caller holds
// the lock.
func replace(path string, f *keyFile) error {
	temp, err := writeTemp(path, f)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return classed(err)
	}
	return syncRename(path)
}

// writeTemp writes f to a new file in the key file's folder, and to the disk
// itself: else a power failure after the rename could leave an empty key file.
func writeTemp(path string, f *keyFile) (temp string, err error) {
	data := f.encode()
	defer clear(data)
	if len(data) > maxFileSize {
		return "", fmt.Errorf("%w: the key file is full: %d bytes is the most it may have", kmsprovider.ErrKeyUnusable, maxFileSize)
	}
	file, err := os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*"+tempSuffix) // mode 0600
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: its folder doesn't exist; make it first: %w", kmsprovider.ErrKeyUnusable, err)
	}
	if err != nil {
		return "", classed(err)
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return "", classed(err)
	}
	return file.Name(), nil
}

// syncRename makes a rename in the key file's folder last.
func syncRename(path string) error {
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return classed(fmt.Errorf("the key file is written but may not outlast a power failure: %w", err))
	}
	return nil
}

// lock waits until this process alone may change the key file. It locks a file
// beside it, since the key file itself is a new one after each change. The
// operating system lets go of the lock when its process ends, however it ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		unlock, err := tryLock(path + ".lock")
		if err != nil {
			return nil, classed(fmt.Errorf("locking the key file: %w", err))
		}
		if unlock != nil {
			return unlock, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another process to release %s.lock: %w", path, ctx.Err())
		case <-ticker.C:
		}
	}
}
