package envelope

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// A Type tells how the payload of a framed plaintext reads. The numbers are
// part of the format.
type Type uint8

// The types of format version 1. The Append functions say how each is encoded.
const (
	TypeBytes   Type = 0
	TypeString  Type = 1
	TypeInt64   Type = 2
	TypeFloat64 Type = 3
	TypeBool    Type = 4
	TypeTime    Type = 5
	TypeDate    Type = 6
	TypeDecimal Type = 7
	TypeJSON    Type = 8
	TypeUint64  Type = 9
)

var typeNames = [...]string{"bytes", "string", "int64", "float64", "bool", "time", "date", "decimal", "JSON", "uint64"}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// padded is bit 7 of the type byte.
const padded = 0x80

// AppendFrame appends the framed plaintext of a payload: the type byte, then
// the payload.
func AppendFrame(dst []byte, t Type, payload []byte) []byte {
	return append(append(dst, byte(t)), payload...)
}

// PadFrame pads frame, which is one whole frame, so that its length becomes a
// multiple of multiple (2 to 65,536) and hides the payload's length up to that
// granularity. At least one byte is added.
func PadFrame(frame []byte, multiple int) ([]byte, error) {
	if multiple < 2 || multiple > 1<<16 {
		return nil, malformed("padding to a multiple of %d: 2 to 65536 can be used", multiple)
	}
	if len(frame) == 0 || frame[0]&padded != 0 {
		return nil, malformed("padding needs one whole frame that is not padded yet")
	}
	frame = append(frame, 0x80)
	frame[0] |= padded
	for len(frame)%multiple != 0 {
		frame = append(frame, 0)
	}
	return frame, nil
}

// ParseFrame returns the type and the payload of a framed plaintext, without
// its padding. The payload points into frame. It is exact for its type: what
// the type's Decode function would refuse is refused here.
func ParseFrame(frame []byte) (Type, []byte, error) {
	if len(frame) == 0 {
		return 0, nil, errBadFrame
	}
	t, payload := frame[0], frame[1:]
	if t == byte(TypeString) && validText(payload) { // by far the most
		return TypeString, payload, nil
	}
	if t&padded != 0 {
		i := len(payload) - 1
		for i >= 0 && payload[i] == 0 {
			i--
		}
		if i < 0 || payload[i] != 0x80 {
			return 0, nil, errBadFrame
		}
		t, payload = t&^padded, payload[:i]
	}
	if !validPayload(Type(t), payload) {
		return 0, nil, errBadFrame
	}
	return Type(t), payload, nil
}

// validText is utf8.Valid, in less time for ASCII.
func validText(p []byte) bool {
	const high = 0x8080808080808080
	for len(p) >= 64 {
		q := p[:64]
		bits := word(q) | word(q[8:]) | word(q[16:]) | word(q[24:]) | word(q[32:]) | word(q[40:]) | word(q[48:]) | word(q[56:])
		if bits&high != 0 {
			return utf8.Valid(p) // what came before is whole characters
		}
		p = p[64:]
	}
	if len(p) < 8 {
		return utf8.Valid(p)
	}
	bits := word(p[len(p)-8:])
	for rest := p; len(rest) >= 8; rest = rest[8:] {
		bits |= word(rest)
	}
	return bits&high == 0 || utf8.Valid(p)
}

func word(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }

func validPayload(t Type, p []byte) bool {
	switch t {
	case TypeBytes:
		return true
	case TypeString, TypeJSON:
		return validText(p)
	case TypeInt64, TypeUint64, TypeFloat64:
		return len(p) == 8
	case TypeBool:
		return len(p) == 1 && p[0] <= 1
	case TypeTime:
		return validTime(p)
	case TypeDate:
		return validDate(p)
	case TypeDecimal:
		return validDecimal(p)
	}
	return false
}
