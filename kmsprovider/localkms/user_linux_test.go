package localkms

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const nobody = 65534

// asUser runs f where the folder can't be written. To the superuser modes mean
// nothing, so for it f runs on a thread of its own whose file accesses are
// nobody's, and so are the files in the folder.
func asUser(t *testing.T, folder string, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		entries, err := os.ReadDir(folder)
		require.NoError(t, err)
		for _, e := range entries {
			require.NoError(t, os.Chown(filepath.Join(folder, e.Name()), nobody, nobody))
		}
		require.NoError(t, os.Chmod(filepath.Dir(folder), 0o711))
	}
	require.NoError(t, os.Chmod(folder, 0o555))
	t.Cleanup(func() { _ = os.Chmod(folder, 0o700) })
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		userID = func() int { return nobody }
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		f()
	}()
	<-done
	userID = os.Geteuid
}
