package fieldcrypt

import (
	"reflect"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A plain is how a marked field of a plain Go type is read and written; see
// [Records.EncryptColumns].
type plain struct {
	typ   envelope.Type
	frame func(unsafe.Pointer) (frame []byte, null bool) // in memory of its own
	write func(p unsafe.Pointer, payload []byte, null bool)
}

// plainOf returns how fields of type t are read and written, or nil.
func plainOf(t reflect.Type) *plain {
	switch {
	case t.Kind() == reflect.String:
		return &plainString
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return &plainBytes
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.String:
		return &plainStringPointer
	}
	return nil
}

var plainString = plain{
	typ:   envelope.TypeString,
	frame: func(p unsafe.Pointer) ([]byte, bool) { return stringFrame(readString(p)), false },
	write: func(p unsafe.Pointer, payload []byte, _ bool) { writeString(p, string(payload)) },
}

var plainStringPointer = plain{
	typ: envelope.TypeString,
	frame: func(p unsafe.Pointer) ([]byte, bool) {
		if s := readStringPointer(p); s != nil {
			return stringFrame(*s), false
		}
		return nil, true
	},
	write: func(p unsafe.Pointer, payload []byte, null bool) {
		if null {
			writeStringPointer(p, nil)
			return
		}
		s := string(payload)
		writeStringPointer(p, &s)
	},
}

var plainBytes = plain{
	typ: envelope.TypeBytes,
	frame: func(p unsafe.Pointer) ([]byte, bool) {
		b := readBytes(p)
		if b == nil {
			return nil, true
		}
		return envelope.AppendFrame(make([]byte, 0, 1+len(b)), envelope.TypeBytes, b), false
	},
	write: func(p unsafe.Pointer, payload []byte, null bool) {
		if null {
			writeBytes(p, nil)
			return
		}
		writeBytes(p, append([]byte{}, payload...)) // not nil: empty isn't NULL
	},
}

// stringFrame makes the frame in one piece, so that no shorter copy of the
// plaintext stays behind.
func stringFrame(s string) []byte {
	return envelope.AppendString(make([]byte, 0, 1+len(s)), s)
}
