package primitives

import (
	"crypto/cipher"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"
)

const (
	// SIVKeySize is the length in bytes of a key of AES-SIV with AES-256: the key
	// of S2V, then that of CTR.
	SIVKeySize = subtle.AESSIVKeySize

	// SIVSize is by how many bytes a message becomes longer.
	SIVSize = 16
)

// A SIV is AES-SIV (RFC 5297) with one string of associated data and no nonce, as
// Tink has it: equal messages have equal ciphertexts.
type SIV struct {
	key []byte // Tink keeps parts of it, and no copy
	siv *subtle.AESSIV
}

// NewSIV returns AES-SIV under a key of [SIVKeySize] bytes, which the caller wipes.
func NewSIV(key []byte) (*SIV, error) {
	if len(key) != SIVKeySize {
		return nil, fmt.Errorf("AES-SIV with a key of %d bytes, it must be %d", len(key), SIVKeySize)
	}
	defer leaveNothing()()
	own := slices.Clone(key)
	siv, err := subtle.NewAESSIV(own)
	if err != nil {
		clear(own)
		return nil, err
	}
	return &SIV{own, siv}, nil
}

// Seal returns the 16 bytes of SIV and the ciphertext.
func (s *SIV) Seal(message, associated []byte) ([]byte, error) {
	out, err := s.siv.EncryptDeterministically(message, associated)
	runtime.KeepAlive(s)
	return out, err
}

// Open returns the message of what Seal returned.
func (s *SIV) Open(sealed, associated []byte) ([]byte, error) {
	out, err := s.siv.DecryptDeterministically(sealed, associated)
	runtime.KeepAlive(s)
	return out, err
}

// Wipe overwrites the key and, as in the function [Wipe] only where it is known,
// the schedule and the subkeys that CMAC has of its first half. Tink expands the
// second half anew for each message: those schedules are beyond reach, and lie in
// freed memory until it is used again. The SIV must not be in use.
func (s *SIV) Wipe() {
	clear(s.key)
	wipeCMACs(reflect.ValueOf(s.siv).Elem())
}

// wipeCMACs overwrites the structs of Tink's aescmac behind a struct's pointers.
func wipeCMACs(v reflect.Value) {
	for _, p := range v.Fields() {
		if p.Kind() != reflect.Pointer || p.IsNil() || !strings.HasSuffix(p.Type().Elem().PkgPath(), "/internal/mac/aescmac") {
			continue
		}
		cmac := reflect.NewAt(p.Type().Elem(), p.UnsafePointer()).Elem()
		for i := range cmac.NumField() {
			if cmac.Field(i).Type() == reflect.TypeFor[cipher.Block]() {
				wipe(cmac.Field(i).Elem())
			}
		}
		cmac.SetZero()
	}
}
