package fieldcrypt

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// A BlindIndex is the column beside a sensitive field by which the field's
// records are found: a keyed hash of the field's normalised value, of so few
// bits that several values share one (FORMAT.md, "Blind index"). Encrypt makes
// it, [Records.Search] looks it up. A struct has one for each index:
//
//	Email    fieldcrypt.String     `fieldcrypt:"Contacts.email"`
//	EmailTag fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24"`
//
// The zero BlindIndex wasn't made yet, and can't be written to a database. It is
// NULL where the value is, and where the value has no normalised form: see
// [BlindIndex.Err].
//
// Equal values of a tenant have equal ones, which anybody with a copy of the
// database can count. Like a [Value] it doesn't show its content.
type BlindIndex struct {
	// tag is in the form that is written. It is behind a pointer, as a Value's
	// content is, because fmt calls no methods on unexported struct fields.
	tag   *[]byte
	err   error // why there is none
	state indexState
	text  bool
	made  bool // by Encrypt, and not read
}

type indexState uint8

const (
	indexUnknown indexState = iota
	indexNull
	indexTag
)

var (
	_ sql.Scanner              = (*BlindIndex)(nil)
	_ driver.Valuer            = BlindIndex{}
	_ fmt.Formatter            = BlindIndex{}
	_ slog.LogValuer           = BlindIndex{}
	_ json.Marshaler           = BlindIndex{}
	_ json.Unmarshaler         = (*BlindIndex)(nil)
	_ encoding.TextMarshaler   = BlindIndex{}
	_ encoding.BinaryMarshaler = BlindIndex{}
	_ gob.GobEncoder           = BlindIndex{}
)

// IsNull reports whether NULL is written, or was read.
func (x BlindIndex) IsNull() bool { return x.state == indexNull }

// Err says why Encrypt made no tag of a value that isn't null: it has no
// normalised form, as a telephone number without digits has none. The record can
// be written, and this index doesn't find it. Else it is nil.
func (x BlindIndex) Err() error { return x.err }

// Scan implements [sql.Scanner]. Reading a record's index is no must: Encrypt
// makes it anew from the value. Where that can't be opened, the index that was
// read is kept.
func (x *BlindIndex) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*x = BlindIndex{state: indexNull}
	case []byte:
		if src == nil {
			*x = BlindIndex{state: indexNull}
		} else {
			tag := bytes.Clone(src)
			*x = BlindIndex{state: indexTag, tag: &tag}
		}
	case string:
		tag := []byte(src)
		*x = BlindIndex{state: indexTag, tag: &tag, text: true}
	default:
		*x = BlindIndex{}
		return fmt.Errorf("fieldcrypt: the column of a blind index holds a %T: it is bytes, or text", src)
	}
	return nil
}

// Value implements [driver.Valuer]: nil for NULL, and else the tag, as bytes or
// as a string in text form. One that Encrypt didn't make is ErrNotEncrypted.
func (x BlindIndex) Value() (driver.Value, error) {
	switch {
	case x.state == indexNull:
		return nil, nil
	case x.state != indexTag:
		return Redacted, fmt.Errorf("fieldcrypt: a blind index that wasn't made yet: %w", ErrNotEncrypted)
	case x.text:
		return string(*x.tag), nil
	}
	return bytes.Clone(*x.tag), nil
}

// String returns [Redacted], or "<nil>" for null.
func (x BlindIndex) String() string {
	if x.state == indexNull {
		return "<nil>"
	}
	return Redacted
}

// Format implements [fmt.Formatter]: every verb and flag gives what String does.
func (x BlindIndex) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, x.String()) }

// LogValue implements [slog.LogValuer].
func (x BlindIndex) LogValue() slog.Value { return slog.StringValue(x.String()) }

// MarshalJSON implements [json.Marshaler]: [Redacted], or null.
func (x BlindIndex) MarshalJSON() ([]byte, error) {
	if x.state == indexNull {
		return []byte("null"), nil
	}
	return []byte(`"` + Redacted + `"`), nil
}

// UnmarshalJSON implements [json.Unmarshaler]. It takes what MarshalJSON writes
// and nothing else, and leaves the index as it was: Encrypt makes it.
func (x *BlindIndex) UnmarshalJSON(data []byte) error {
	switch string(bytes.TrimSpace(data)) {
	case "null", `"` + Redacted + `"`:
		return nil
	}
	return fmt.Errorf("fieldcrypt: a blind index isn't read from JSON: Encrypt makes it")
}

// MarshalText implements [encoding.TextMarshaler]: [Redacted], or nothing.
func (x BlindIndex) MarshalText() ([]byte, error) {
	if x.state == indexNull {
		return nil, nil
	}
	return []byte(Redacted), nil
}

// MarshalBinary implements [encoding.BinaryMarshaler] and returns ErrBinary.
func (x BlindIndex) MarshalBinary() ([]byte, error) { return nil, ErrBinary }

// UnmarshalBinary implements [encoding.BinaryUnmarshaler] and returns ErrBinary.
func (x *BlindIndex) UnmarshalBinary([]byte) error { return ErrBinary }

// MarshalBSONValue returns ErrBinary, as that of a Value does.
func (x BlindIndex) MarshalBSONValue() (typ byte, data []byte, err error) { return 0, nil, ErrBinary }

// UnmarshalBSONValue returns ErrBinary.
func (x *BlindIndex) UnmarshalBSONValue(byte, []byte) error { return ErrBinary }

// MarshalBSON returns ErrBinary.
func (x BlindIndex) MarshalBSON() ([]byte, error) { return nil, ErrBinary }

// UnmarshalBSON returns ErrBinary.
func (x *BlindIndex) UnmarshalBSON([]byte) error { return ErrBinary }

// GobEncode implements [gob.GobEncoder] and returns ErrGob.
func (x BlindIndex) GobEncode() ([]byte, error) { return nil, ErrGob }

// GobDecode implements [gob.GobDecoder] and returns ErrGob.
func (x *BlindIndex) GobDecode([]byte) error { return ErrGob }
