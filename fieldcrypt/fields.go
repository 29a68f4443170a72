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
// bytes with the prefix, without control characters, quotes and backslashes, and
// not a colon first. A column holds at most 250 of them and 64 MiB. A nil map
// is NULL.
//
// A copy of a record made by assignment has the same map, as everywhere in Go.
// Encrypt and Decrypt write its entries: while one goroutine calls them, no other
// may use such a copy, not even to read it. Give the copy a map of its own, with
// [maps.Clone]. The same goes for marked maps of other types, and for what
// pointers in a record lead to.
//
// Fields is the only map that is a column by itself. Maps of other types, such
// as map[string]Int64, can be marked the same way; the program stores their
// entries, and [Records.DDL] has no column for them.
type Fields map[string]String

var (
	_ sql.Scanner   = (*Fields)(nil)
	_ driver.Valuer = Fields(nil)
)

// unreadable is the key of the only value in a map whose column couldn't be
// read. No custom field has it, so that Encrypt and Value refuse the map and
// Decrypt reports it.
const unreadable = ""

// Scan implements [sql.Scanner]. It takes NULL, or a JSON object of at most
// 250 members and 64 MiB, and replaces the map. Members are null or strings; a
// string that isn't an envelope makes its value unavailable, as [Value.Scan]
// does.
//
// It returns no error, so that one bad cell doesn't end the reading of all
// rows. Of a column that holds anything else than such an object nothing is
// kept: the map then has one unavailable value under the empty key, which
// Decrypt lists as a failure, and which Encrypt and Value refuse with
// [ErrNotEnvelope]. Fields that are missing from such a map aren't null, but
// unknown. Assigning a new map repairs it.
func (f *Fields) Scan(src any) error {
	var text string
	switch src := src.(type) {
	case nil:
		*f = nil
		return nil
	case []byte:
		if src == nil {
			*f = nil
			return nil
		}
		text = stringOver(src) // parseFields keeps nothing of it
	case string:
		text = src
	}
	fields, err := parseFields(text)
	if err != nil {
		fields = Fields{unreadable: {err: err, state: stateUnavailable}}
	}
	*f = fields
	return nil
}

// isUnreadable reports the value that stands for a column.
func isUnreadable(key string, v sensitive) bool {
	return key == unreadable && v.current() == stateUnavailable && v.sealedBytes() == nil
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
	if v := f[unreadable]; isUnreadable(unreadable, &v) {
		return nil, fmt.Errorf("fieldcrypt: custom fields: refused to write: %w", v.err)
	}
	size := 1 // the opening brace
	for key, v := range f {
		size += memberSize(key, len(v.env))
	}
	if err := checkFields(len(f), size); err != nil {
		return nil, fmt.Errorf("fieldcrypt: custom fields: %w", err)
	}
	out := append(make([]byte, 0, size+1), '{')
	for i, key := range slices.Sorted(maps.Keys(f)) {
		if err := checkCustomKey(key); err != nil {
			return nil, fmt.Errorf("fieldcrypt: custom fields: %w", err)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), key...), `":`...)
		v := f[key]
		switch {
		case v.state == stateNull:
			out = append(out, "null"...)
			continue
		case v.state == statePlain:
			return nil, fmt.Errorf("fieldcrypt: custom field %q: %w", key, ErrNotEncrypted)
		case v.env == nil:
			return nil, fmt.Errorf("fieldcrypt: custom field %q: refused to write: %w", key, v.err)
		}
		var err error
		if out, err = envelope.AppendText(append(out, '"'), v.env); err != nil {
			return nil, fmt.Errorf("fieldcrypt: custom field %q: %w", key, err)
		}
		out = append(out, '"')
	}
	return append(out, '}'), nil
}
