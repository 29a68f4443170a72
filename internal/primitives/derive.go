package primitives

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"reflect"
	"unsafe"
)

// mostDerived is RFC 5869's bound on what one derivation returns.
const mostDerived = 255 * sha256.Size

// Derive returns n bytes, at most 8,160, of HKDF-SHA256 (RFC 5869) of a secret,
// with an empty salt. The caller wipes them.
//
// It is built on crypto/hmac since crypto/hkdf leaves copies of the secret and of
// the result behind, for as long as that memory isn't used again. Nothing of
// either is left by this one, save in what the caller holds.
func Derive(secret []byte, info string, n int) ([]byte, error) {
	if n < 0 || n > mostDerived {
		return nil, fmt.Errorf("derive %d bytes with HKDF-SHA256, which can be 0 to %d", n, mostDerived)
	}
	defer leaveNothing()()
	extracted := extract(secret)
	out := make([]byte, 0, n+sha256.Size) // room for the last block, which may be cut
	m := newMAC(extracted)
	clear(extracted)
	for i := byte(1); len(out) < n; i++ {
		if i > 1 {
			m.Reset()
			m.Write(out[len(out)-sha256.Size:])
		}
		m.Write([]byte(info))
		m.Write([]byte{i})
		out = m.Sum(out)
	}
	m.wipe()
	clear(out[n:cap(out)])
	return out[:n:n], nil
}

// extract is HKDF's first step with an empty salt (RFC 5869, section 2.2). The
// caller wipes what it returns, and the stack.
func extract(secret []byte) []byte {
	var noSalt [sha256.Size]byte
	m := newMAC(noSalt[:])
	defer m.wipe()
	m.Write(secret)
	return m.Sum(make([]byte, 0, sha256.Size))
}

// MAC returns HMAC-SHA256 (FIPS 198-1), whole. Nothing of the key is left
// behind, and of the result nothing but what it returns.
func MAC(key, message []byte) [sha256.Size]byte {
	defer leaveNothing()()
	m := newMAC(key)
	defer m.wipe()
	m.Write(message)
	sum := m.Sum(make([]byte, 0, sha256.Size))
	defer clear(sum)
	return [sha256.Size]byte(sum)
}

// mac is an HMAC-SHA256 that can be wiped.
type mac struct {
	hash.Hash
	digests []hash.Hash // that it is made of
	ready   bool        // was reset once
}

func newMAC(key []byte) *mac {
	m := &mac{}
	m.Hash = hmac.New(func() hash.Hash {
		d := sha256.New()
		m.digests = append(m.digests, d)
		return d
	}, key)
	return m
}

// Reset goes back to the key. The first time, HMAC puts the states of its digests
// in the place of the key with a pad over it, which nobody would overwrite later.
func (m *mac) Reset() {
	if m.ready {
		m.Hash.Reset()
		return
	}
	before := m.pads()
	m.Hash.Reset()
	m.ready = true
	for i, now := range m.pads() {
		if unsafe.SliceData(before[i]) != unsafe.SliceData(now) {
			clear(before[i])
		}
	}
}

// pads are what HMAC keeps of its key, as in [Wipe] only where that is known.
func (m *mac) pads() (found [2][]byte) {
	v := reflect.ValueOf(m.Hash)
	if v.Kind() != reflect.Pointer || fipsPackage(v.Type().Elem()) != "hmac" {
		return found
	}
	n := 0
	for _, f := range v.Elem().Fields() {
		if f.Type() == reflect.TypeFor[[]byte]() && n < len(found) {
			found[n] = f.Bytes()
			n++
		}
	}
	return found
}

// wipe overwrites the digests, which keep the end of what they were given, and
// the key that HMAC keeps with a pad over it. As in [Wipe], only what is known is
// touched.
func (m *mac) wipe() {
	var zeros [sha256.BlockSize]byte
	for _, d := range m.digests {
		d.Reset()
		_, _ = d.Write(zeros[:1]) // now whole blocks are buffered, and not hashed where they are
		_, _ = d.Write(zeros[1:])
		d.Reset()
	}
	for _, pad := range m.pads() {
		clear(pad)
	}
}
