package fieldcrypt

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Fields holds custom fields, whose names are known at run time only, in one
// JSON column: an object whose members are text forms of envelopes, or null.
//
//	Custom fieldcrypt.Fields `fieldcrypt:"Contacts.custom.*"`
//
// Each key, after the tag's prefix, is a field's permanent name: 1 to 255
// bytes with the prefix, without control characters, quotes and backslashes, and
// not a colon first. A nil map is NULL.
type Fields map[string]String

var (
	_ sql.Scanner   = (*Fields)(nil)
	_ driver.Valuer = Fields(nil)
)

const (
	// maxFields and maxFieldsSize bound what Scan reads from a column.
	maxFields     = 4096
	maxFieldsSize = 64 << 20
)

// Scan implements [sql.Scanner]. It takes NULL, or a JSON object whose members
// are null or strings, and replaces the map. A string that isn't an envelope
// makes its value unavailable, as [Value.Scan] does; anything else than such
// an object is an error, and leaves the map as it was.
func (f *Fields) Scan(src any) error {
	var text []byte
	switch src := src.(type) {
	case nil:
		*f = nil
		return nil
	case []byte:
		text = src
	case string:
		text = []byte(src)
	default:
		return fmt.Errorf("fieldcrypt: custom fields from a column of type %T: it must hold JSON", src)
	}
	if len(text) > maxFieldsSize {
		return fmt.Errorf("fieldcrypt: custom fields: the column holds %d bytes, the limit is %d", len(text), maxFieldsSize)
	}
	fields, err := parseFields(text)
	if err != nil {
		return err
	}
	*f = fields
	return nil
}

var errFields = fmt.Errorf("%w: custom fields are one JSON object whose members are envelopes in text form, or null", ErrNotEnvelope)

// parseFields tells nothing of what it refuses: it may be plaintext.
func parseFields(text []byte) (Fields, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errFields
	}
	fields := Fields{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, errFields
		}
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("fieldcrypt: custom fields: the key %.80q comes twice", key)
		}
		if len(fields) == maxFields {
			return nil, fmt.Errorf("fieldcrypt: custom fields: more than %d in one column", maxFields)
		}
		if t, err = d.Token(); err != nil {
			return nil, errFields
		}
		var v String
		switch t := t.(type) {
		case nil:
		case string:
			if err := v.Scan(t); err != nil {
				return nil, err
			}
		default:
			return nil, errFields
		}
		fields[key] = v
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, errFields
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errFields
	}
	return fields, nil
}

// Value implements [driver.Valuer]: a string with one JSON object, its keys
// sorted, without spaces. A value that isn't encrypted is refused, with
// [Redacted] beside the error as [Value.Value] does.
func (f Fields) Value() (driver.Value, error) {
	if f == nil {
		return nil, nil
	}
	out, err := f.encode()
	if err != nil {
		return Redacted, err
	}
	return string(out), nil
}

func (f Fields) encode() ([]byte, error) {
	out := []byte{'{'}
	for i, key := range slices.Sorted(maps.Keys(f)) {
		if err := checkCustomKey(key); err != nil {
			return nil, fmt.Errorf("fieldcrypt: custom fields: %w", err)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), key...), `":`...)
		v := f[key]
		switch state := v.current(); {
		case state == stateNull:
			out = append(out, "null"...)
			continue
		case state == statePlain:
			return nil, fmt.Errorf("fieldcrypt: custom field %q: %w", key, ErrNotEncrypted)
		case v.sealedBytes() == nil:
			return nil, fmt.Errorf("fieldcrypt: custom field %q: refused to write: %w", key, v.reason())
		}
		var err error
		if out, err = envelope.AppendText(append(out, '"'), v.sealedBytes()); err != nil {
			return nil, fmt.Errorf("fieldcrypt: custom field %q: %w", key, err)
		}
		out = append(out, '"')
	}
	return append(out, '}'), nil
}
