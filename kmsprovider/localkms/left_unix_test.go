//go:build unix

package localkms

import (
	"bytes"
	"crypto/cipher"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A key file of another user could be replaced by that user, and one that the
// superuser has changed could not be read by its owner any more.
func TestFileOfAnotherUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.keys")
	p, err := Open(path)
	require.NoError(t, err)
	other := os.Geteuid() + 1
	userID = func() int { return other }
	t.Cleanup(func() { userID = os.Geteuid })
	_, err = OpenExisting(path)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	require.ErrorContains(t, err, "it belongs to the user with the ID")
	require.ErrorContains(t, err, "run it as that user, or give the file to this one with chown")
	require.Error(t, p.Rotate(t.Context(), "default"))
	userID = os.Geteuid
	require.NoError(t, p.Rotate(t.Context(), "default"), "the control: its own user's")
}

// A lock on a file that was removed meanwhile is none: others lock the file that
// is there instead.
func TestLockThatWasRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.keys.lock")
	file, err := os.Create(path)
	require.NoError(t, err)
	defer file.Close()
	require.True(t, isAt(file, path))
	require.NoError(t, os.Remove(path))
	require.False(t, isAt(file, path), "removed")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.False(t, isAt(file, path), "another one is there")

	unlock, err := tryLock(path)
	require.NoError(t, err)
	require.NotNil(t, unlock)
	second, err := tryLock(path)
	require.NoError(t, err)
	require.Nil(t, second, "two hold the lock")
	unlock()
}

// What a process left that ended while it wrote holds all root keys, and is
// removed; what is being written stays.
func TestFilesThatWereLeft(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "root.keys")
	p, err := Open(path)
	require.NoError(t, err)
	write := func(name string, age time.Duration) string {
		name = filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(name, []byte("made-up root keys"), 0o600))
		require.NoError(t, os.Chtimes(name, time.Time{}, time.Now().Add(-age)))
		return name
	}
	for what, look := range map[string]func() error{
		"a change":    func() error { return p.Rotate(t.Context(), "default") },
		"the opening": func() error { _, err := OpenExisting(path); return err },
	} {
		left := write(".root.keys.123.tmp", time.Hour)
		current := write(".root.keys.456.tmp", time.Second)
		foreign := write(".other.keys.123.tmp", time.Hour)
		require.NoError(t, look(), what)
		require.NoFileExists(t, left, what)
		require.FileExists(t, current, what)
		require.FileExists(t, foreign, what)
	}
	require.Equal(t, `a\*b\?\[c]`, escaped(`a*b?[c]`))
}

// The schedules of root keys are overwritten when nobody uses them any more.
func TestSchedulesAreWiped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.keys")
	p, err := Open(path)
	require.NoError(t, err)
	memory := func(c cipher.AEAD) []byte {
		v := reflect.ValueOf(c)
		if v.Kind() == reflect.Struct {
			v = v.Field(0)
		}
		return unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
	}
	mem := memory(p.state.Load().byName["default"].versions[0].aead)
	zero := func() bool { return !bytes.ContainsFunc(mem, func(r rune) bool { return r != 0 }) }
	runtime.GC()
	require.False(t, zero(), "wiped while in use")
	runtime.KeepAlive(p)
	require.NoError(t, p.Close())
	for end := time.Now().Add(30 * time.Second); !zero() && time.Now().Before(end); {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	require.True(t, zero())
}
