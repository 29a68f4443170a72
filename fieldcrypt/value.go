package fieldcrypt

import (
	"encoding/json"
	"errors"
	"time"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Errors of a single value. None of their texts holds what the value holds.
var (
	// ErrNull: the value is null, so there is nothing to return.
	ErrNull = errors.New("fieldcrypt: the value is null")

	// ErrNotEncrypted: a value that the program set was about to be written.
	ErrNotEncrypted = errors.New("fieldcrypt: the value is not encrypted: call Encrypt on its record before writing it")

	// ErrNotDecrypted: a value was asked for that was scanned and not opened.
	ErrNotDecrypted = errors.New("fieldcrypt: the value is not decrypted: call Decrypt on its record before reading it")

	// ErrNotEnvelope: the column held something that is not an envelope, such
	// as plaintext. It can neither be read nor written again, unless the field
	// is in migrating mode, where Decrypt takes it. Set and SetNull repair it, unless it is an envelope of a
	// format version to come, which is envelope.ErrUnknownVersion too: that is
	// for a newer release to read.
	ErrNotEnvelope = errors.New("fieldcrypt: the column holds something that is not an envelope")

	// ErrRedacted: [Redacted] was about to become the content of a value.
	ErrRedacted = errors.New("fieldcrypt: the redaction marker is not a value")

	// ErrBinary: a value was about to be marshalled or unmarshalled in a binary
	// form, such as CBOR, MessagePack or BSON, which has no redacted one.
	ErrBinary = errors.New("fieldcrypt: a sensitive value has no binary form to be marshalled in: take its content with Plain, or its envelope with Value")

	// ErrGob: gob was about to carry a value, which has no redacted form there.
	ErrGob = errors.New("fieldcrypt: a sensitive value can't be sent with gob: take its content with Plain, or its envelope with Value")
)

// Plain lists the types that a [Value] can hold.
type Plain interface {
	string | []byte | int64 | uint64 | float64 | bool | time.Time | CivilDate | DecimalString | json.RawMessage
}

// A Value is a sensitive value of a record: null, set by the program, or an
// envelope, with or without its content. The zero Value is null.
//
// A value that the program sets can't be written to a database until Encrypt
// gave it an envelope; a value that was scanned can't be read until Decrypt
// opened that envelope. Until it is set anew, an opened value is written as
// the very envelope it came from. Where the content can't be opened the value
// is unavailable: Plain tells why, and what is written is again that envelope,
// so that saving the record loses nothing.
//
// Two more states, masked and denied, come with a reveal policy, which decides
// at Decrypt who sees how much of a value. It is not in this release: whoever
// may call Decrypt gets all of what it opens.
//
// A Value doesn't show its content: fmt, log/slog, encoding/json, encoding/xml
// and text encodings get [Redacted], and encoding/gob and other binary ones get
// an error.
//
// Copies made by assignment are independent of each other. A Value may be read
// by many goroutines at once; setting, scanning, encrypting or decrypting it
// needs the same care as assigning to a variable does.
type Value[T Plain] struct {
	_ [0]*T // so that a String can't be converted to an Int64, whose content it isn't

	// The content is behind a pointer without a type, because fmt calls no
	// methods on unexported struct fields, nor for %p or for a verb it doesn't
	// know: there it would print a string, and what a *[]byte or a *time.Time
	// points to. Of this it prints the address, as all that walk over values
	// by reflection do. What it points to is never changed, so copies share it.
	plain  unsafe.Pointer // *T; plain and opened. What a candidate holds
	env    []byte         // sealed, opened and unavailable; its bytes are never changed
	field  envelope.Field // what env was sealed or opened for, or tried to be
	origin *origin
	err    error // unavailable
	state  state
	text   bool // written in text form

	heldText bool // of a candidate: plain is a *string, and else a *candidate
}

// Of returns a value that holds v, as Set leaves it.
func Of[T Plain](v T) Value[T] {
	var value Value[T]
	value.Set(v)
	return value
}

// Set gives the value a new content, which Encrypt must seal before it can be
// written. Bytes and JSON are copied. An empty string or slice is a value like
// any other, also a nil slice: for null, use SetNull.
func (v *Value[T]) Set(content T) {
	content = cloned(content)
	*v = Value[T]{plain: unsafe.Pointer(&content), state: statePlain, text: v.text}
}

// SetNull makes the value null. Nulls are written as NULL: that a record has
// no value can be seen in the database.
func (v *Value[T]) SetNull() { *v = Value[T]{text: v.text} }

// IsNull reports whether the value is null. It is known without decrypting.
func (v Value[T]) IsNull() bool { return v.state == stateNull }

// IsZero is IsNull, for omitzero in JSON and its like elsewhere: a null may
// remember the form of its cell.
func (v Value[T]) IsZero() bool { return v.IsNull() }

// Plain returns the content. Bytes and JSON are copies. The error is ErrNull,
// ErrNotDecrypted, or the reason for which the content is unavailable: test it
// with errors.Is against ErrNotEnvelope and the errors of packages envelope
// and kmsprovider.
func (v Value[T]) Plain() (T, error) {
	var zero T
	switch v.state {
	case statePlain, stateOpened:
		return cloned(*v.content()), nil
	case stateSealed:
		return zero, ErrNotDecrypted
	case stateUnavailable:
		return zero, v.err
	}
	return zero, ErrNull
}

// content returns what a plain or opened value holds; else nil.
func (v *Value[T]) content() *T {
	if v.state != statePlain && v.state != stateOpened {
		return nil
	}
	return (*T)(v.plain)
}

func (v *Value[T]) current() state { return v.state }

func (v *Value[T]) frameType() envelope.Type { return typeOf[T]() }

func (v *Value[T]) appendFrame(dst []byte) ([]byte, error) {
	switch v.state {
	case statePlain, stateOpened:
		return appendFrame(dst, v.content())
	case stateNull:
		return dst, ErrNull
	}
	return dst, ErrNotDecrypted
}

func (v *Value[T]) sealedBytes() []byte { return v.env }

func (v *Value[T]) sealedFor() (envelope.Field, *origin) { return v.field, v.origin }

func (v *Value[T]) reason() error { return v.err }

func (v *Value[T]) setOpened(env []byte, text bool, f envelope.Field, o *origin) {
	if v.content() == nil {
		return // there is no content that env could be the envelope of
	}
	*v = Value[T]{plain: v.plain, env: env, field: f, origin: o, state: stateOpened, text: v.text || text}
}

func (v *Value[T]) decode(frame []byte, f envelope.Field, o *origin, text bool) error {
	if v.env == nil {
		return ErrNotEnvelope
	}
	plain := new(T)
	if err := decodeFrame(plain, frame); err != nil {
		return err
	}
	*v = Value[T]{plain: unsafe.Pointer(plain), env: v.env, field: f, origin: o, state: stateOpened, text: v.text || text}
	return nil
}

func (v *Value[T]) setUnavailable(err error, f envelope.Field, o *origin) {
	switch v.state {
	case stateSealed, stateOpened, stateUnavailable:
		if o == nil {
			f, o = v.field, v.origin // what is known of the place stays known
		}
		*v = Value[T]{env: v.env, field: f, origin: o, err: err, state: stateUnavailable, text: v.text}
	}
}
