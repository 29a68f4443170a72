package fieldcrypt

import (
	"strconv"
	"unsafe"
)

// This file holds every use of package unsafe's arithmetic. A plan finds a
// record's fields by their offsets, which package reflect gave when the plan
// was compiled for that very type, so that a call costs no reflection. It is
// sound because of three things: Records[T] only ever passes a non-nil *T to
// the plan compiled for T; offsets come from reflect.StructField of T and of
// what its pointers point to; and places stay unsafe.Pointers, never uintptrs,
// so that the collector sees them and keeps the record alive.

// An address says where in a record a field is.
type address struct {
	hops   []uintptr // offsets of pointers to follow first, outermost first
	offset uintptr   // from the record, or from where the last hop led
}

// in returns the field's place in memory, or nil when a pointer on the way is
// nil.
func (a *address) in(record unsafe.Pointer) unsafe.Pointer {
	for _, hop := range a.hops {
		record = *(*unsafe.Pointer)(unsafe.Add(record, hop))
		if record == nil {
			return nil
		}
	}
	return unsafe.Add(record, a.offset)
}

// plus returns the address of what lies offset bytes into a.
func (a address) plus(offset uintptr) address {
	return address{a.hops, a.offset + offset}
}

// behind returns the address of what the pointer at a points to.
func (a address) behind() address {
	hops := make([]uintptr, 0, len(a.hops)+1)
	return address{append(append(hops, a.hops...), a.offset), 0}
}

// The functions below read and write fields of a kind, whatever the name of
// their type: types of one kind share its layout.

func readString(p unsafe.Pointer) string     { return *(*string)(p) }
func writeString(p unsafe.Pointer, s string) { *(*string)(p) = s }
func readBytes(p unsafe.Pointer) []byte      { return *(*[]byte)(p) }
func writeBytes(p unsafe.Pointer, b []byte)  { *(*[]byte)(p) = b }

func readStringPointer(p unsafe.Pointer) *string     { return *(**string)(p) }
func writeStringPointer(p unsafe.Pointer, s *string) { *(**string)(p) = s }

// stringOver returns the string whose bytes are b, which nobody writes to any
// more.
func stringOver(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// The text forms of a record's ID; "" stands for the zero value.

func idOfInt[I int | int8 | int16 | int32 | int64](p unsafe.Pointer) string {
	if n := *(*I)(p); n != 0 {
		return strconv.FormatInt(int64(n), 10)
	}
	return ""
}

func idOfUint[U uint | uint8 | uint16 | uint32 | uint64](p unsafe.Pointer) string {
	if n := *(*U)(p); n != 0 {
		return strconv.FormatUint(uint64(n), 10)
	}
	return ""
}

// idOfUUID writes 16 bytes as RFC 9562 does: lower-case 8-4-4-4-12.
func idOfUUID(p unsafe.Pointer) string {
	id := *(*[16]byte)(p)
	if id == [16]byte{} {
		return ""
	}
	const digits = "0123456789abcdef"
	var text [36]byte
	n := 0
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text[n] = '-'
			n++
		}
		text[n], text[n+1] = digits[b>>4], digits[b&15]
		n += 2
	}
	return string(text[:])
}
