// Package primitives is all the cryptography that a field's envelope and a blind
// index stand on, with the parameters of format version 1: HKDF-SHA256,
// HMAC-SHA256 and AES-256-GCM from the standard library, and AES-SIV from Tink. It is apart from package envelope so
// that public test vectors reach the very functions that envelopes use.
//
// All functions are safe for concurrent use and, save AES-SIV, approved under FIPS
// 140-3.
package primitives

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// GCMKeySize is the length in bytes of a key of AES-256.
const GCMKeySize = 32

// NewGCM returns AES-256-GCM (NIST SP 800-38D) with a tag of 16 bytes. Seal
// draws a random nonce of 12 bytes and puts it first; Open takes it from there.
// Both are given a nil nonce. When the cipher is used no more, [Wipe]
// overwrites its key; the caller wipes key itself.
func NewGCM(key []byte) (cipher.AEAD, error) {
	if len(key) != GCMKeySize {
		return nil, fmt.Errorf("AES-256-GCM with a key of %d bytes, it must be %d", len(key), GCMKeySize)
	}
	defer leaveNothing()()
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("aes: %w", err)
	}
	defer Wipe(block) // the AEAD has a copy
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("aes-gcm: %w", err)
	}
	return aead, nil
}
