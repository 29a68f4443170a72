package localkms

import (
	"errors"
	"os"
	"syscall"
)

// modesAreKept: access lists say who can read a file here, not its mode.
const modesAreKept = false

// openNoFollow opens a file for reading. readSecret has looked for a link
// before; there is no flag for it here.
func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

// foreign: access lists say whose a file is here.
func foreign(os.FileInfo) (owner int, yes bool) { return 0, false }

// errWriteProtect is Windows' ERROR_WRITE_PROTECT.
const errWriteProtect = syscall.Errno(19)

func readOnlyDisk(err error) bool { return errors.Is(err, errWriteProtect) }

// syncFolder does nothing: folders can't be flushed here, and NTFS journals
// renames.
func syncFolder(string) error { return nil }

// errSharingViolation is Windows' ERROR_SHARING_VIOLATION.
const errSharingViolation = syscall.Errno(32)

// tryLock returns nil and no error while another has the lock. The lock is the
// file being open: it is shared with nobody.
func tryLock(path string) (unlock func(), err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err == nil {
		return func() { _ = syscall.CloseHandle(h) }, nil
	}
	if errors.Is(err, errSharingViolation) {
		return nil, nil
	}
	return nil, &os.PathError{Op: "lock", Path: path, Err: err}
}
