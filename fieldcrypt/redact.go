package fieldcrypt

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Redacted stands for a value wherever it is printed, logged or marshalled,
// whatever its state, unless it is null. It can't be read back, nor encrypted
// as a text, bytes or JSON, with or without space around it.
const Redacted = "[REDACTED]"

var (
	_ fmt.Formatter            = Value[string]{}
	_ fmt.Stringer             = Value[string]{}
	_ slog.LogValuer           = Value[string]{}
	_ json.Marshaler           = Value[string]{}
	_ json.Unmarshaler         = (*Value[string])(nil)
	_ encoding.TextMarshaler   = Value[string]{}
	_ encoding.TextUnmarshaler = (*Value[string])(nil)
	_ gob.GobEncoder           = Value[string]{}
	_ gob.GobDecoder           = (*Value[string])(nil)
)

// String returns [Redacted], or "<nil>" for null.
func (v Value[T]) String() string {
	if v.IsNull() {
		return "<nil>"
	}
	return Redacted
}

// GoString returns what String does.
func (v Value[T]) GoString() string { return v.String() }

// Format implements [fmt.Formatter]: every verb and flag gives what String
// does.
func (v Value[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.String()) }

// LogValue implements [slog.LogValuer]: [Redacted], or nil for null.
func (v Value[T]) LogValue() slog.Value {
	if v.IsNull() {
		return slog.AnyValue(nil)
	}
	return slog.StringValue(Redacted)
}

// MarshalJSON implements [json.Marshaler]: [Redacted] as a string, or null.
func (v Value[T]) MarshalJSON() ([]byte, error) {
	if v.IsNull() {
		return []byte("null"), nil
	}
	return []byte(`"` + Redacted + `"`), nil
}

// UnmarshalJSON implements [json.Unmarshaler]. It sets the value to what the
// JSON holds, as Set does, or to null. [Redacted] is ErrRedacted, and JSON of
// another type than the value's is an error that doesn't show it; both leave
// the value as it was. Bytes are base64 (RFC 4648, section 4), times are
// RFC 3339, dates and decimals are strings. A decimal may also be a number,
// whose scale is kept.
func (v *Value[T]) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if string(data) == "null" {
		v.SetNull()
		return nil
	}
	if !utf8.Valid(data) || !json.Valid(data) {
		return v.unreadable("JSON")
	}
	var text string
	quoted := data[0] == '"'
	if quoted {
		if err := json.Unmarshal(data, &text); err != nil {
			return v.unreadable("JSON")
		}
		if strings.TrimSpace(text) == Redacted {
			return ErrRedacted
		}
	} else {
		text = string(data)
	}
	var content T
	var err error
	switch p := any(&content).(type) {
	case *json.RawMessage:
		*p = data // Set copies it
	case *string, *[]byte, *time.Time, *CivilDate:
		if !quoted {
			return v.unreadable("JSON")
		}
		err = parseText(&content, text)
	case *DecimalString:
		err = parseText(&content, text)
	default:
		if quoted {
			return v.unreadable("JSON")
		}
		err = parseText(&content, text)
	}
	if err != nil {
		return v.unreadable("JSON")
	}
	v.Set(content)
	return nil
}

// MarshalText implements [encoding.TextMarshaler]: [Redacted], or nothing for
// null. It is also what encoding/xml writes. A text can't be null: where nulls
// have to come back as such, leave them out, or use JSON.
func (v Value[T]) MarshalText() ([]byte, error) {
	if v.IsNull() {
		return nil, nil
	}
	return []byte(Redacted), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It sets the value to
// what the text says, in the forms that UnmarshalJSON takes without their
// quotes. [Redacted] is ErrRedacted, and a text that isn't of the value's type
// is an error that doesn't show it; both leave the value as it was. No text
// gives null: an empty text is an empty string, or no bytes, to be encrypted
// like any other, and an error for the other types.
func (v *Value[T]) UnmarshalText(text []byte) error {
	if string(bytes.TrimSpace(text)) == Redacted {
		return ErrRedacted
	}
	if !utf8.Valid(text) {
		return v.unreadable("text")
	}
	var content T
	if err := parseText(&content, string(text)); err != nil {
		return v.unreadable("text")
	}
	v.Set(content)
	return nil
}

// GobEncode implements [gob.GobEncoder] and returns ErrGob.
func (v Value[T]) GobEncode() ([]byte, error) { return nil, ErrGob }

// GobDecode implements [gob.GobDecoder] and returns ErrGob.
func (v *Value[T]) GobDecode([]byte) error { return ErrGob }

// unreadable drops the cause, because the parsers of the standard library put
// what they were given into their errors.
func (v *Value[T]) unreadable(form string) error {
	return fmt.Errorf("fieldcrypt: the %s can't be read as a %s value", form, typeOf[T]())
}

// isMarker reports the frame of a content that is [Redacted], or a JSON string
// of it.
func isMarker(frame []byte) bool {
	if len(frame) <= len(Redacted) {
		return false
	}
	content := bytes.TrimSpace(frame[1:])
	switch envelope.Type(frame[0]) {
	case envelope.TypeString, envelope.TypeBytes:
		return string(content) == Redacted
	case envelope.TypeJSON:
		return string(content) == `"`+Redacted+`"`
	}
	return false
}

var errBadText = errors.New("not of the type")

func parseText[T Plain](content *T, text string) (err error) {
	switch p := any(content).(type) {
	case *string:
		*p = text
	case *[]byte:
		*p, err = base64.StdEncoding.Strict().DecodeString(text)
	case *int64:
		*p, err = strconv.ParseInt(text, 10, 64)
	case *uint64:
		*p, err = strconv.ParseUint(text, 10, 64)
	case *float64:
		*p, err = strconv.ParseFloat(text, 64)
	case *bool:
		switch text {
		case "true":
			*p = true
		case "false":
			*p = false
		default:
			err = errBadText
		}
	case *time.Time:
		*p, err = time.Parse(time.RFC3339Nano, text)
	case *CivilDate:
		*p, err = ParseDate(text)
	case *DecimalString:
		*p, err = ParseDecimal(text)
	case *json.RawMessage:
		if !json.Valid([]byte(text)) {
			err = errBadText
		}
		*p = json.RawMessage(text)
	}
	return err
}
