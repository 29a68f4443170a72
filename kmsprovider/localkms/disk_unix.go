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

func readOnlyDisk(err error) bool { return errors.Is(err, syscall.EROFS) }

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
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
		return func() { _ = file.Close() }, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	return nil, &os.PathError{Op: "flock", Path: path, Err: err}
}
