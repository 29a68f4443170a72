package primitives

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestHMACIsHMAC holds HMAC to the standard library's, and shows that messages
// don't run into each other.
func TestHMACIsHMAC(t *testing.T) {
	h := NewHMAC(madeUpKey)
	for _, n := range []int{0, 1, 31, 55, 56, 63, 64, 65, 200, 10_000} {
		message := bytes.Repeat([]byte("made up "), n/8+1)[:n]
		want := hmac.New(sha256.New, madeUpKey)
		want.Write(message)
		for _, cut := range []int{0, min(n, 3), n / 2, n} {
			got := h.Sum(message[:cut], message[cut:])
			require.Equal(t, want.Sum(nil), got[:])
			if head := min(cut, 6); cut <= 6 {
				var first [6]byte
				copy(first[:], message[:head])
				require.Equal(t, want.Sum(nil), h.SumAfter(first, head, message[head:]))
			}
		}
	}
}

// TestDeriverIsDerive: a key that is derived later is the one that the secret
// gives at once.
func TestDeriverIsDerive(t *testing.T) {
	d := NewDeriver(madeUpKey)
	seen := map[[32]byte]bool{}
	for _, info := range []string{"", "a made-up label", "another", string(bytes.Repeat(madeUpKey, 9))} {
		key, err := Derive(madeUpKey, info, 32)
		require.NoError(t, err)
		want := NewHMAC(key).Sum([]byte("made up"), nil)
		require.Equal(t, want, d.HMAC(info).Sum([]byte("made"), []byte(" up")))
		require.False(t, seen[want])
		seen[want] = true
	}
}

// TestHMACKeepsNoKey looks at the memory of an HMAC and of what it was made of:
// neither the key nor the key under a pad is there after NewHMAC, and nothing
// after Wipe.
func TestHMACKeepsNoKey(t *testing.T) {
	var forms [][]byte
	for _, pad := range []byte{0, 0x36, 0x5c} {
		form := make([]byte, len(madeUpKey))
		for i, b := range madeUpKey {
			form[i] = b ^ pad
		}
		forms = append(forms, form)
	}
	m := newMAC(madeUpKey)
	orphans := m.pads()
	count := func() (n int) {
		pads := m.pads()
		memory := [][]byte{orphans[0], orphans[1], pads[0][:cap(pads[0])], pads[1][:cap(pads[1])]}
		for _, d := range m.digests {
			memory = append(memory, schedule(t, d))
		}
		for _, mem := range memory {
			for _, form := range forms {
				n += bytes.Count(mem, form)
			}
		}
		return n
	}
	require.NotZero(t, count(), "the control: the key is where it was taken to be")
	m.Reset()
	require.Zero(t, count())
	require.NotSame(t, unsafe.SliceData(orphans[0]), unsafe.SliceData(m.pads()[0]))

	h := &HMAC{mac: m, hash: m.Hash}
	secret := []byte("a made-up message")
	h.SumAfter([6]byte{}, 3, secret)
	states := m.pads()
	require.NotEqual(t, make([]byte, len(states[0])), states[0])
	h.Wipe()
	require.Equal(t, HMAC{mac: m, hash: m.Hash}, *h, "message and result")
	for _, state := range states {
		require.Equal(t, make([]byte, len(state)), state)
	}
	for _, d := range m.digests {
		require.False(t, bytes.Contains(schedule(t, d), secret))
	}
}

// TestDeriverIsWiped looks at the memory of a Deriver: the extract of its secret is
// there neither as it is nor under a pad, what remains of it and of the key that was
// derived last is overwritten by Wipe, and keys that were derived before go on.
func TestDeriverIsWiped(t *testing.T) {
	extracted, err := hkdf.Extract(sha256.New, madeUpKey, nil)
	require.NoError(t, err)
	derived, err := Derive(madeUpKey, "made-up label", 32)
	require.NoError(t, err)
	var forms [][]byte
	for _, key := range [][]byte{madeUpKey, extracted, derived} {
		for _, pad := range []byte{0, 0x36, 0x5c} {
			form := bytes.Clone(key)
			for i := range form {
				form[i] ^= pad
			}
			forms = append(forms, form)
		}
	}
	d := NewDeriver(madeUpKey)
	pads := d.expand.mac.pads()
	memory := [][]byte{d.expand.out[:], d.expand.short[:], pads[0][:cap(pads[0])], pads[1][:cap(pads[1])]}
	for _, digest := range d.expand.mac.digests {
		memory = append(memory, schedule(t, digest))
	}
	count := func() (n int) {
		for _, mem := range memory {
			for _, form := range forms {
				n += bytes.Count(mem, form)
			}
		}
		return n
	}
	h := d.HMAC("made-up label")
	before := h.Sum([]byte("made up"))
	require.Zero(t, count(), "a key in the Deriver's memory")
	d.expand.Sum([]byte("made-up label"), []byte{1})
	require.Equal(t, 1, count(), "the control: the derived key, where HMAC doesn't clear it")
	require.NotEqual(t, make([]byte, len(pads[0])), pads[0], "the states after the extract")
	d.Wipe()
	for _, mem := range memory[:4] {
		require.Equal(t, make([]byte, len(mem)), mem)
	}
	for _, digest := range d.expand.mac.digests {
		require.Equal(t, schedule(t, sha256.New())[:32], schedule(t, digest)[:32], "the state of a digest")
	}
	require.Equal(t, before, h.Sum([]byte("made up")))
}
