package envelope

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"unicode/utf8"
)

// A Mode says how an envelope is sealed and where its data key is found.
type Mode uint8

// The modes of format version 1.
const (
	ModeReference     Mode = 0x01 // the key store holds the wrapped data key
	ModeInline        Mode = 0x02 // the envelope carries the wrapped data key
	ModeDeterministic Mode = 0x03 // AES-SIV, equal values have equal envelopes
	ModeStream        Mode = 0x04 // segments, for attachments and exports
)

func (m Mode) String() string {
	switch m {
	case ModeReference:
		return "reference"
	case ModeInline:
		return "inline"
	case ModeDeterministic:
		return "deterministic"
	case ModeStream:
		return "stream"
	}
	return fmt.Sprintf("mode 0x%02x", uint8(m))
}

// A KeyID names a data key in its scope and commits to it.
type KeyID [32]byte

func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// LogValue implements slog.LogValuer: the first 8 bytes name a key well enough
// in a log.
func (id KeyID) LogValue() slog.Value { return slog.StringValue(hex.EncodeToString(id[:8])) }

// Sizes in bytes, from FORMAT.md.
const (
	magic   = 0xFC
	version = 0x01

	fixedHeader = 3 + 32 // magic, version, mode, key ID
	nonceSize   = 12
	tagSize     = 16
	sivSize     = 16

	maxURI     = 512
	maxWrapped = 6144
	// MaxFrame is the longest framed plaintext of a field: 16 MiB.
	MaxFrame = 16 << 20

	// ReferenceOverhead is what a reference envelope adds to a payload,
	// framing included.
	ReferenceOverhead = fixedHeader + nonceSize + tagSize + 1

	// DeterministicOverhead is what a deterministic envelope adds to a payload,
	// framing included.
	DeterministicOverhead = fixedHeader + tagSize + 1

	// MaxInlineOverhead is the most that an inline envelope adds to a payload,
	// framing included.
	MaxInlineOverhead = ReferenceOverhead + 2 + maxURI + 2 + maxWrapped
)

// header is a parsed envelope. Its slices point into the input.
type header struct {
	mode    Mode
	keyID   *KeyID // never nil after a parse without error
	rootKey []byte // inline, and streams that carry their key
	wrapped []byte
	body    []byte // what follows the header: nonce, ciphertext and tag in modes 0x01 and 0x02
}

// purpose is that of the data key that the envelope names.
func (h *header) purpose() Purpose {
	if h.mode == ModeDeterministic {
		return PurposeDeterministic
	}
	return PurposeData
}

// parseHeader reads the header of an envelope of any mode and checks every
// length against the caps and against the input. It allocates only to report
// an error.
func parseHeader(b []byte) (h header, err error) {
	err = h.parse(b)
	return h, err
}

// parse is parseHeader in place.
func (h *header) parse(b []byte) (err error) {
	const least, most = fixedHeader + nonceSize + 1 + tagSize, fixedHeader + nonceSize + MaxFrame + tagSize
	if len(b) >= least && len(b) <= most && b[0] == magic && b[1] == version && Mode(b[2]) == ModeReference {
		h.mode, h.keyID, h.body = ModeReference, (*KeyID)(b[3:fixedHeader]), b[fixedHeader:]
		return nil // what follows says the same of it, in more time
	}
	if len(b) < 3 {
		return malformed("envelope is %d bytes, too short for a header", len(b))
	}
	if b[0] != magic {
		return malformed("not an envelope: it doesn't start with 0x%02x", magic)
	}
	if b[1] != version {
		return &failure{class: "malformed", is: ErrUnknownVersion, cause: otherVersion(b[1])}
	}
	h.mode = Mode(b[2])
	if h.mode < ModeReference || h.mode > ModeStream {
		return malformed("unknown envelope %s", h.mode)
	}
	if len(b) < fixedHeader {
		return malformed("envelope is %d bytes, cut short in the key ID", len(b))
	}
	h.keyID = (*KeyID)(b[3:fixedHeader])
	rest := b[fixedHeader:]
	if h.mode == ModeInline || h.mode == ModeStream {
		if h.rootKey, rest, err = cutCounted(rest, "root key URI", maxURI); err != nil {
			return err
		}
		if h.wrapped, rest, err = cutCounted(rest, "wrapped data key", maxWrapped); err != nil {
			return err
		}
		byReference := len(h.rootKey) == 0 && len(h.wrapped) == 0
		if (len(h.rootKey) == 0 || len(h.wrapped) == 0) && (h.mode == ModeInline || !byReference) {
			return malformed("%s envelope with an empty root key URI or wrapped data key", h.mode)
		}
		if !utf8.Valid(h.rootKey) {
			return malformed("root key URI is not UTF-8")
		}
	}
	h.body = rest
	return h.checkBody()
}

func (h *header) checkBody() error {
	least, most := nonceSize+1+tagSize, nonceSize+MaxFrame+tagSize
	switch h.mode {
	case ModeDeterministic:
		least, most = sivSize+1, sivSize+MaxFrame
	case ModeStream:
		return nil // its length is known only when it has been read
	}
	if len(h.body) < least {
		return malformed("%s envelope cut short: %d bytes after the header, at least %d belong there", h.mode, len(h.body), least)
	}
	if len(h.body) > most {
		return malformed("%s envelope holds more than 16 MiB", h.mode)
	}
	return nil
}

func cutCounted(b []byte, what string, limit int) (field, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, malformed("envelope cut short before the %s", what)
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > limit {
		return nil, nil, malformed("%s of %d bytes, the limit is %d", what, n, limit)
	}
	if n > len(b) {
		return nil, nil, malformed("envelope cut short in the %s", what)
	}
	return b[:n:n], b[n:], nil
}

// bytes writes what parse reads, without the body.
func (h *header) bytes() []byte {
	b := append(make([]byte, 0, fixedHeader+4+len(h.rootKey)+len(h.wrapped)), magic, version, byte(h.mode))
	b = append(b, h.keyID[:]...)
	if h.mode == ModeInline || h.mode == ModeStream {
		b = binary.BigEndian.AppendUint16(b, uint16(len(h.rootKey)))
		b = append(b, h.rootKey...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(h.wrapped)))
		b = append(b, h.wrapped...)
	}
	return b
}

// Info is what an envelope tells without any key.
type Info struct {
	Version      int
	Mode         Mode
	KeyID        KeyID
	RootKey      string // URI; empty by reference
	WrappedKey   int    // bytes; 0 by reference
	Size         int    // bytes of the whole envelope
	FrameSize    int    // bytes of the framed plaintext; 0 for streams
	OverheadSize int    // Size - FrameSize; 0 for streams
}

// Inspect reads the header of an envelope in its binary form. It needs no key,
// makes no call, and proves nothing about who wrote the bytes. Use [DecodeText]
// first for the text form.
func Inspect(envelope []byte) (Info, error) {
	h, err := parseHeader(envelope)
	if err != nil {
		return Info{}, err
	}
	info := Info{
		Version: version, Mode: h.mode, KeyID: *h.keyID,
		RootKey: string(h.rootKey), WrappedKey: len(h.wrapped), Size: len(envelope),
	}
	switch h.mode {
	case ModeReference, ModeInline:
		info.FrameSize = len(h.body) - nonceSize - tagSize
	case ModeDeterministic:
		info.FrameSize = len(h.body) - sivSize
	case ModeStream:
		return info, nil
	}
	info.OverheadSize = info.Size - info.FrameSize
	return info, nil
}
