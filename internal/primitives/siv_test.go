package primitives

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestSIVIsStable: a value that was stored before is found again.
func TestSIVIsStable(t *testing.T) {
	siv, err := NewSIV(append(bytes.Clone(madeUpKey), madeUpKey...))
	require.NoError(t, err)
	sealed, err := siv.Seal([]byte("made up"), []byte("aad"))
	require.NoError(t, err)
	require.Len(t, sealed, SIVSize+7)
	again, err := siv.Seal([]byte("made up"), []byte("aad"))
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(sealed), hex.EncodeToString(again))
	opened, err := siv.Open(sealed, []byte("aad"))
	require.NoError(t, err)
	require.Equal(t, "made up", string(opened))
}

func TestSIVRefusals(t *testing.T) {
	for _, n := range []int{0, 16, 31, 32, 48, 63, 65, 96, 128} {
		_, err := NewSIV(make([]byte, n))
		require.ErrorContains(t, err, "it must be 64")
	}
	key := append(bytes.Clone(madeUpKey), "FEDCBA98765432100123456789abcdef"...)
	siv, err := NewSIV(key)
	require.NoError(t, err)
	sealed, err := siv.Seal([]byte("made up"), []byte("aad"))
	require.NoError(t, err)
	for name, open := range map[string]func() ([]byte, error){
		"other associated data": func() ([]byte, error) { return siv.Open(sealed, []byte("AAD")) },
		"none":                  func() ([]byte, error) { return siv.Open(sealed, nil) },
		"a byte less":           func() ([]byte, error) { return siv.Open(sealed[:len(sealed)-1], []byte("aad")) },
		"15 bytes":              func() ([]byte, error) { return siv.Open(sealed[:15], []byte("aad")) },
		"nothing":               func() ([]byte, error) { return siv.Open(nil, []byte("aad")) },
		"a bit of another":      func() ([]byte, error) { s := bytes.Clone(sealed); s[3] ^= 4; return siv.Open(s, []byte("aad")) },
	} {
		t.Run(name, func(t *testing.T) {
			out, err := open()
			require.Error(t, err)
			require.Nil(t, out)
		})
	}
}

// TestSIVIsWiped looks at the memory of AES-SIV. With another Tink, or another
// standard library, Wipe may miss some.
func TestSIVIsWiped(t *testing.T) {
	key := append(bytes.Clone(madeUpKey), "FEDCBA98765432100123456789abcdef"...)
	s, err := NewSIV(key)
	require.NoError(t, err)
	p := reflect.ValueOf(s.siv).Elem().FieldByName("cmac")
	cmac := reflect.NewAt(p.Type().Elem(), p.UnsafePointer()).Elem()
	mem := unsafe.Slice((*byte)(p.UnsafePointer()), p.Type().Elem().Size())
	block := schedule(t, cmac.Field(0).Elem())
	require.True(t, bytes.Contains(block, key[:32]), "the key is not where it was taken to be")
	require.False(t, bytes.Equal(mem, make([]byte, len(mem))))
	s.Wipe()
	require.Equal(t, make([]byte, 64), s.key)
	require.Equal(t, make([]byte, len(block)), block)
	require.Equal(t, make([]byte, len(mem)), mem)
}
