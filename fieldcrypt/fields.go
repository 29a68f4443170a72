package fieldcrypt

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
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
// bytes with the prefix, without control characters, quotes and backslashes. A
// column holds at most 200 of them and 64 MiB. A nil map is NULL.
type Fields map[string]String

var (
	_ sql.Scanner   = (*Fields)(nil)
	_ driver.Valuer = Fields(nil)
)

// What a column may hold: Scan refuses what Value wouldn't write. The members
// are few enough for a map of them to take less than 64 KiB, since a column
// that somebody else fills can have a member in every 8 bytes.
const (
	maxFields     = 200
	maxFieldsSize = 64 << 20
)

// Scan implements [sql.Scanner]. It takes NULL, or a JSON object whose members
// are null or strings, and replaces the map. A string that isn't an envelope
// makes its value unavailable, as [Value.Scan] does; anything else than such
// an object is an error, and leaves the map as it was.
func (f *Fields) Scan(src any) error {
	var text string
	tooLong := func(size int) error {
		return fmt.Errorf("fieldcrypt: custom fields: the column holds %d bytes, the limit is %d", size, maxFieldsSize)
	}
	switch src := src.(type) {
	case nil:
		*f = nil
		return nil
	case []byte:
		if len(src) > maxFieldsSize {
			return tooLong(len(src))
		}
		text = stringOver(src) // parseFields keeps nothing of it
	case string:
		if len(src) > maxFieldsSize {
			return tooLong(len(src))
		}
		text = src
	default:
		return fmt.Errorf("fieldcrypt: custom fields from a column of type %T: it must hold JSON", src)
	}
	fields, err := parseFields(text)
	if err != nil {
		return err
	}
	*f = fields
	return nil
}

// Value implements [driver.Valuer]: a string with one JSON object, its keys
// sorted, without spaces. A value that isn't encrypted is refused, and so is
// more than a column holds.
func (f Fields) Value() (driver.Value, error) {
	if f == nil {
		return nil, nil
	}
	if len(f) > maxFields {
		return nil, fmt.Errorf("fieldcrypt: custom fields: there are %d, and one column holds at most %d: keep some in another map with a column of its own", len(f), maxFields)
	}
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
		if out = append(out, '"'); len(out) > maxFieldsSize-1 {
			return nil, fmt.Errorf("fieldcrypt: custom fields: they are more than the %d bytes that one column holds: keep some in another map with a column of its own", maxFieldsSize)
		}
	}
	return string(append(out, '}')), nil
}
