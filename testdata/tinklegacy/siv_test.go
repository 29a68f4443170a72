package tinklegacy

import (
	"bytes"
	"crypto/rand"
	"testing"

	legacy "github.com/google/tink/go/daead/subtle"
	"github.com/google/tink/go/tink"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/primitives"
)

// The archived interface, which programs that use it still ask for.
type formerDAEAD struct{ *primitives.SIV }

func (d formerDAEAD) EncryptDeterministically(message, associated []byte) ([]byte, error) {
	return d.Seal(message, associated)
}

func (d formerDAEAD) DecryptDeterministically(sealed, associated []byte) ([]byte, error) {
	return d.Open(sealed, associated)
}

var _ tink.DeterministicAEAD = formerDAEAD{}

// TestSIVBothWays: AES-SIV of the archived Tink and of this library write the same
// bytes under a key, and each opens what the other wrote. With another key or
// other associated data neither opens anything.
func TestSIVBothWays(t *testing.T) {
	key, other := make([]byte, primitives.SIVKeySize), make([]byte, primitives.SIVKeySize)
	rand.Read(key)
	rand.Read(other)
	ours, err := primitives.NewSIV(key)
	require.NoError(t, err)
	theirs, err := legacy.NewAESSIV(bytes.Clone(key))
	require.NoError(t, err)
	stranger, err := legacy.NewAESSIV(other)
	require.NoError(t, err)
	associated := []byte("made-up associated data")
	for _, n := range []int{1, 2, 15, 16, 17, 31, 32, 33, 64, 1000, 1 << 20} {
		message := make([]byte, n)
		rand.Read(message)
		a, err := ours.Seal(message, associated)
		require.NoError(t, err)
		b, err := theirs.EncryptDeterministically(message, associated)
		require.NoError(t, err)
		require.Equal(t, b, a)
		back, err := theirs.DecryptDeterministically(a, associated)
		require.NoError(t, err)
		require.Equal(t, message, back)
		back, err = ours.Open(b, associated)
		require.NoError(t, err)
		require.Equal(t, message, back)

		_, err = stranger.DecryptDeterministically(a, associated)
		require.Error(t, err)
		_, err = theirs.DecryptDeterministically(a, nil)
		require.Error(t, err)
		_, err = ours.Open(b, []byte("other"))
		require.Error(t, err)
		b[n/2] ^= 1
		_, err = ours.Open(b, associated)
		require.Error(t, err)
	}
}
