//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package localkms

import (
	"errors"
	"os"
	"syscall"
)

// modesAreKept: a file's mode says who can read it.
const modesAreKept = true

// openNoFollow opens a file for reading, and neither follows a symbolic link
// nor waits for a pipe's other end.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// userID is whose files the process may use; a test is another user without
// being one.
var userID = os.Geteuid

// foreign returns the owner of a file that isn't the process's own. Its owner
// could replace it, and after a change by another user its owner could no longer
// read it.
func foreign(info os.FileInfo) (owner int, yes bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), int(stat.Uid) != userID()
}

func readOnlyDisk(err error) bool { return errors.Is(err, syscall.EROFS) }

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// isAt reports whether an open file is the one that is at path now.
func isAt(file *os.File, path string) bool {
	held, heldErr := file.Stat()
	there, thereErr := os.Lstat(path)
	return heldErr == nil && thereErr == nil && os.SameFile(held, there)
}

// tryLock returns nil and no error while another has the lock. It uses flock,
// which unlike fcntl's locks also keeps apart two providers in one process.
func tryLock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		// Somebody may have removed the file that is locked now, and others
		// lock the one that is there instead.
		if isAt(file, path) {
			return func() { _ = file.Close() }, nil
		}
		_ = file.Close()
		return nil, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	return nil, &os.PathError{Op: "flock", Path: path, Err: err}
}
