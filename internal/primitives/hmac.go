package primitives

import (
	"crypto/sha256"
	"hash"
	"sync"
)

// An HMAC is HMAC-SHA256 (FIPS 198-1) with its key in place, so that a message
// costs the hashing of that message. The key itself isn't kept: what is kept are
// the states of the two hashes after it (section 6), which are as secret. It is
// not safe for concurrent use.
type HMAC struct {
	mac   *mac
	hash  hash.Hash                  // of mac, whose key is in place
	short [sha256.BlockSize - 9]byte // a message that is hashed as one block
	out   [sha256.Size]byte
}

// NewHMAC makes the key ready. The caller wipes key.
func NewHMAC(key []byte) *HMAC {
	defer leaveNothing()()
	h := &HMAC{mac: newMAC(key)}
	h.mac.Reset() // or the first message would pay for it
	h.hash = h.mac.Hash
	return h
}

// Sum returns the HMAC of a message of several parts. They leave the stack of
// the caller; what is to stay there is given to [HMAC.SumAfter].
func (h *HMAC) Sum(parts ...[]byte) [sha256.Size]byte {
	h.mac.Reset()
	for _, part := range parts {
		_, _ = h.mac.Write(part)
	}
	h.mac.Sum(h.out[:0])
	return h.out
}

// SumAfter returns the HMAC of n bytes of head and the message after them, in
// memory of h's that the next call uses again. It allocates nothing.
func (h *HMAC) SumAfter(head [6]byte, n int, message []byte) []byte {
	h.hash.Reset()
	if n+len(message) <= len(h.short) { // hashing one piece costs less than two
		copy(h.short[:], head[:n])
		copy(h.short[n:], message)
		_, _ = h.hash.Write(h.short[:n+len(message)])
	} else {
		copy(h.short[:], head[:n])
		_, _ = h.hash.Write(h.short[:n])
		_, _ = h.hash.Write(message)
	}
	return h.hash.Sum(h.out[:0])
}

// Wipe overwrites all that depends on the key or on a message. The HMAC must not
// be in use, and is used no more.
func (h *HMAC) Wipe() {
	h.mac.wipe()
	clear(h.short[:])
	clear(h.out[:])
}

// A Deriver is HKDF-SHA256 (RFC 5869) with an empty salt after its extract step:
// it derives keys without the secret, which is not kept. It is safe for
// concurrent use.
type Deriver struct {
	mu     sync.Mutex
	expand *HMAC
}

// NewDeriver does the extract step. The caller wipes secret.
func NewDeriver(secret []byte) *Deriver {
	defer leaveNothing()()
	extracted := extract(secret)
	defer clear(extracted)
	return &Deriver{expand: NewHMAC(extracted)}
}

// HMAC returns HMAC-SHA256 under the 32 bytes that [Derive] gives for info.
func (d *Deriver) HMAC(info string) *HMAC {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := d.expand.Sum([]byte(info), []byte{1}) // 32 bytes are the first block
	defer clear(key[:])
	defer clear(d.expand.out[:])
	return NewHMAC(key[:])
}

// Wipe overwrites what the secret was extracted to. The Deriver must not be in
// use, and is used no more.
func (d *Deriver) Wipe() { d.expand.Wipe() }
