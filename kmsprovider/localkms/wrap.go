package localkms

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const (
	wrapFormat   = 0x01
	wrapHeader   = 1 + 4 // format, version of the root key
	wrapOverhead = 12 + 16
	wrapSize     = wrapHeader + wrapOverhead + kmsprovider.DataKeySize
	wrapLabel    = "fieldcrypt/v1 local-kms"
)

// wrappedVersion returns the number of the root key version that a wrapped key
// names, at least 1. The number isn't authentic before unwrap.
func wrappedVersion(wrapped []byte) (uint32, error) {
	if len(wrapped) != wrapSize {
		return 0, fmt.Errorf("%w: it has %d bytes, want %d", kmsprovider.ErrInvalidCiphertext, len(wrapped), wrapSize)
	}
	if wrapped[0] != wrapFormat {
		return 0, fmt.Errorf("%w: it starts with 0x%02x, want 0x%02x", kmsprovider.ErrInvalidCiphertext, wrapped[0], wrapFormat)
	}
	number := binary.BigEndian.Uint32(wrapped[1:wrapHeader])
	if number == 0 {
		return 0, fmt.Errorf("%w: it says version 0 of the root key, and versions start at 1", kmsprovider.ErrInvalidCiphertext)
	}
	return number, nil
}

func (v *rootKeyVersion) wrap(plain, canonical []byte) []byte {
	out := make([]byte, wrapHeader, wrapSize)
	out[0] = wrapFormat
	binary.BigEndian.PutUint32(out[1:], v.number)
	out = v.aead.Seal(out, nil, plain, v.associatedData(canonical))
	runtime.KeepAlive(v) // the schedule must not be overwritten before here
	return out
}

// unwrap opens what wrappedVersion has accepted.
func (v *rootKeyVersion) unwrap(wrapped, canonical []byte) ([]byte, error) {
	plain, err := v.aead.Open(nil, nil, wrapped[wrapHeader:], v.associatedData(canonical))
	runtime.KeepAlive(v)
	if err != nil {
		return nil, fmt.Errorf("%w: it was made under another root key or with another encryption context, or it is damaged", kmsprovider.ErrInvalidCiphertext)
	}
	return plain, nil
}

// associatedData is unambiguous: the label is constant, the URI has its length
// before it, the number has a fixed length, and the canonical context, which no
// two contexts share, takes the rest.
func (v *rootKeyVersion) associatedData(canonical []byte) []byte {
	b := make([]byte, 0, len(wrapLabel)+4+len(v.uri)+4+len(canonical))
	b = append(b, wrapLabel...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(v.uri)))
	b = append(b, v.uri...)
	b = binary.BigEndian.AppendUint32(b, v.number)
	return append(b, canonical...)
}
