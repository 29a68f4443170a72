//go:build darwin || dragonfly || freebsd || illumos || netbsd || openbsd

package localkms

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// asUser runs f where the folder can't be written.
func asUser(t *testing.T, folder string, f func()) {
	t.Helper()
	require.NotZero(t, os.Geteuid(), "to the superuser modes mean nothing: run the tests as an ordinary user")
	require.NoError(t, os.Chmod(folder, 0o555))
	t.Cleanup(func() { _ = os.Chmod(folder, 0o700) })
	f()
}
