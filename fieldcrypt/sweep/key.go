package sweep

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A key is the primary key of a row: on PostgreSQL the text of each column, else
// int64, uint64, string, []byte or float64.
type key []any

// keyable refuses columns whose order isn't that of comparisons with them. The
// padding of PostgreSQL's bpchar has no part in its comparisons, nor in its text.
func keyable(d Dialect, c *column) error {
	if c.cuts && c.typ != "bpchar" && c.typ != "name" {
		return fmt.Errorf("%w: column %s of the primary key is a %s, to which PostgreSQL cuts what it is compared with: make it text or varchar, or name the columns of another unique index in Table.Key", ErrTable, c.name, c.typ)
	}
	if d != MariaDB {
		return nil
	}
	kind, _, _ := strings.Cut(strings.ToLower(c.typ), "(")
	switch kind {
	case "enum", "set", "bit", "float", "double", "json", "geometry":
		return fmt.Errorf("%w: column %s of the primary key is a %s, which MariaDB orders in another way than it compares it: name the columns of another unique index in Table.Key", ErrTable, c.name, kind)
	}
	return nil
}

// String shows a key in errors and reports.
func (k key) String() string {
	parts := make([]string, len(k))
	for i, v := range k {
		switch v := v.(type) {
		case []byte:
			parts[i] = fmt.Sprintf("%.40x", v)
		case string:
			parts[i] = fmt.Sprintf("%.80q", v)
			if _, err := strconv.ParseInt(v, 10, 64); err == nil {
				parts[i] = v
			}
		default:
			parts[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(parts, ", ")
}

// name tells keys apart within a batch.
func (k key) name() string {
	if len(k) == 1 {
		switch v := k[0].(type) {
		case string:
			return v
		case int64:
			return strconv.FormatInt(v, 10)
		}
	}
	return k.encode()
}

// encode writes a key as it stands in the table of ranges.
func (k key) encode() string {
	parts := make([]string, len(k))
	for i, v := range k {
		switch v := v.(type) {
		case int64:
			parts[i] = "i" + strconv.FormatInt(v, 10)
		case uint64:
			parts[i] = "u" + strconv.FormatUint(v, 10)
		case float64:
			parts[i] = "f" + strconv.FormatUint(math.Float64bits(v), 16)
		case string:
			parts[i] = "s" + base64.RawURLEncoding.EncodeToString([]byte(v))
		case []byte:
			parts[i] = "b" + base64.RawURLEncoding.EncodeToString(v)
		}
	}
	return strings.Join(parts, ",")
}

var errKey = errors.New("a key in the table of ranges can't be read: somebody changed it; abandon the sweep and begin again")

// decodeKey reads what encode wrote, of so many columns.
func decodeKey(text string, columns int) (key, error) {
	parts := strings.Split(text, ",")
	if len(parts) != columns {
		return nil, errKey
	}
	k := make(key, len(parts))
	for i, part := range parts {
		if part == "" {
			return nil, errKey
		}
		var err error
		switch rest := part[1:]; part[0] {
		case 'i':
			k[i], err = strconv.ParseInt(rest, 10, 64)
		case 'u':
			k[i], err = strconv.ParseUint(rest, 10, 64)
		case 'f':
			var bits uint64
			bits, err = strconv.ParseUint(rest, 16, 64)
			k[i] = math.Float64frombits(bits)
		case 's':
			var b []byte
			b, err = base64.RawURLEncoding.DecodeString(rest)
			k[i] = string(b)
		case 'b':
			k[i], err = base64.RawURLEncoding.DecodeString(rest)
		default:
			err = errKey
		}
		if err != nil {
			return nil, errKey
		}
	}
	return k, nil
}

// normal gives what a driver returned for a column the Go type that its form has,
// whichever protocol the driver used.
func normal(d Dialect, c *column, v any) any {
	b, isBytes := v.([]byte)
	if isBytes && b == nil { // an empty BLOB, from a driver of SQLite; bound again it would be NULL
		return []byte{}
	}
	switch {
	case !isBytes || d == SQLite:
		return v
	case c.form == formBytes:
		return v
	case c.form == formInt:
		if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(string(b), 10, 64); err == nil {
			return n
		}
	}
	return string(b)
}
