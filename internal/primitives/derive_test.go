package primitives

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestDeriveIsHKDF holds Derive to the standard library's HKDF.
func TestDeriveIsHKDF(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 33, 63, 64, 65, 1000, 8159, 8160} {
		for _, secret := range [][]byte{madeUpKey, bytes.Repeat(madeUpKey, 2), bytes.Repeat(madeUpKey, 5)} {
			for _, info := range []string{"", "made-up label", string(bytes.Repeat(madeUpKey, 9))} {
				want, err := hkdf.Key(sha256.New, secret, nil, info, n)
				require.NoError(t, err)
				got, err := Derive(secret, info, n)
				require.NoError(t, err)
				require.Equal(t, want, got)
				require.Equal(t, n, cap(got), "what was derived beside the result can be reached")
			}
		}
	}
	_, err := Derive(madeUpKey, "made-up label", -1)
	require.Error(t, err)
}

// TestMACIsWiped looks at the memory of an HMAC: its key with a pad over it, and
// the last that it was given. With another standard library wipe may miss some.
func TestMACIsWiped(t *testing.T) {
	pads := make([][]byte, 2)
	for i, pad := range []byte{0x36, 0x5c} {
		for _, b := range madeUpKey {
			pads[i] = append(pads[i], b^pad)
		}
	}
	secret := []byte("a made-up secret of 33 bytes' size")
	m := newMAC(madeUpKey)
	m.Write(secret)
	_ = m.Sum(nil)
	var memory [][]byte
	for _, d := range m.digests {
		memory = append(memory, schedule(t, d))
	}
	h := reflect.ValueOf(m.Hash).Elem()
	for _, f := range h.Fields() {
		if f.Kind() == reflect.Slice {
			memory = append(memory, unsafe.Slice((*byte)(f.UnsafePointer()), f.Cap()))
		}
	}
	count := func() (n int) {
		for _, mem := range memory {
			for _, s := range append(pads, secret) {
				n += bytes.Count(mem, s)
			}
		}
		return n
	}
	require.GreaterOrEqual(t, count(), 3, "the secrets are not where they were taken to be")
	m.wipe()
	require.Zero(t, count())
	for _, d := range m.digests {
		require.Equal(t, schedule(t, sha256.New())[:32], schedule(t, d)[:32], "the state of a digest")
	}
	for _, mem := range memory[len(m.digests):] {
		require.Equal(t, make([]byte, len(mem)), mem, "a key with a pad over it")
	}
}
