package primitives

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// schedule returns the memory that Wipe is to overwrite.
func schedule(t *testing.T, c any) []byte {
	t.Helper()
	v, ok := c.(reflect.Value)
	if !ok {
		v = reflect.ValueOf(c)
	}
	if v.Kind() == reflect.Struct {
		v = v.Field(0)
	}
	require.Equal(t, reflect.Pointer, v.Kind())
	return unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
}

var madeUpKey = []byte("0123456789abcdef0123456789ABCDEF")

// TestWipe notices a standard library whose ciphers Wipe doesn't know any more.
func TestWipe(t *testing.T) {
	block, err := aes.NewCipher(madeUpKey)
	require.NoError(t, err)
	random, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(t, err)
	for name, c := range map[string]any{"block": block, "GCM with random nonces": random} {
		t.Run(name, func(t *testing.T) {
			mem := schedule(t, c)
			require.True(t, bytes.Contains(mem, madeUpKey), "the key is not where it was taken to be")
			Wipe(c)
			require.Equal(t, make([]byte, len(mem)), mem)
		})
	}
}

func TestWipeDoesNoHarm(t *testing.T) {
	type ours struct{ id [32]byte }
	for name, c := range map[string]any{
		"nil": nil, "a nil pointer": (*int)(nil), "an int": 7, "an empty struct": struct{}{},
		"a struct of ours": struct{ p *ours }{&ours{id: [32]byte{1}}}, "a foreign pointer": &ours{id: [32]byte{1}},
	} {
		t.Run(name, func(t *testing.T) {
			before := fmt.Sprintf("%+v", c)
			require.NotPanics(t, func() { Wipe(c) })
			require.Equal(t, before, fmt.Sprintf("%+v", c))
		})
	}
}

// TestWipeOfTheBlockLeavesTheCipher: NewGCM wipes what it built the cipher of.
func TestWipeOfTheBlockLeavesTheCipher(t *testing.T) {
	aead, err := NewGCM(madeUpKey)
	require.NoError(t, err)
	sealed := aead.Seal(nil, nil, []byte("made up"), []byte("aad"))
	require.Len(t, sealed, 12+7+16)
	opened, err := aead.Open(nil, nil, sealed, []byte("aad"))
	require.NoError(t, err)
	require.Equal(t, "made up", string(opened))
	_, err = aead.Open(nil, nil, sealed, []byte("AAD"))
	require.Error(t, err)
}

func TestRefusedLengths(t *testing.T) {
	for _, n := range []int{0, 1, 16, 24, 31, 33, 64} {
		_, err := NewGCM(make([]byte, n))
		require.ErrorContains(t, err, fmt.Sprintf("%d bytes", n))
	}
	for n, ok := range map[int]bool{32: true, 8160: true, 8161: false, 1 << 20: false} {
		key, err := Derive(madeUpKey, "made-up label", n)
		if ok {
			require.NoError(t, err)
			require.Len(t, key, n)
		} else {
			require.Error(t, err)
			require.Nil(t, key)
		}
	}
}
