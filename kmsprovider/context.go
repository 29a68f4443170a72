package kmsprovider

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// An EncryptionContext is the set of names and values that a wrapped data key
// is bound to. It is not secret: AWS KMS writes it to CloudTrail.
type EncryptionContext map[string]string

// Canonical returns the context as one unambiguous byte string, for providers
// that take bytes and not pairs: for each pair, sorted by the bytes of the key,
// the key's length (4 bytes, big-endian), the key, the value's length and the
// value. Different contexts have different canonical forms.
func (ec EncryptionContext) Canonical() ([]byte, error) {
	if err := ec.Validate(); err != nil {
		return nil, err
	}
	var b []byte
	for _, k := range slices.Sorted(maps.Keys(ec)) {
		for _, s := range [2]string{k, ec[k]} {
			b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
			b = append(b, s...)
		}
	}
	return b, nil
}

// Validate reports a context that a service could mistake for another: JSON
// encoders replace bytes that aren't UTF-8, so that two different values could
// become one.
func (ec EncryptionContext) Validate() error {
	for k, v := range ec {
		if k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("%w: encryption context has an empty name, or a name or value that is not UTF-8 (pair %q)", ErrInvalidCiphertext, k)
		}
	}
	return nil
}
