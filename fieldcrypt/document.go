package fieldcrypt

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"unicode/utf8"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A Document is JSON (RFC 8259) in a column of a record, in which some values are
// sensitive: those that paths of a [Schema] lead to. The rest of it stays
// readable. In the column, the sensitive ones are text forms of envelopes.
//
// Like a [Value], a Document that the program made can't be written before
// Encrypt, and prints as [Redacted]; after Encrypt or Decrypt it shows the rest,
// and the marker in the sensitive places. The zero Document is NULL. Copies may
// be used independently of each other.
type Document struct {
	held  unsafe.Pointer // *any, without its type as in a Value: see tree
	state documentState
	err   error // why it couldn't be read from its column
}

// tree returns the document as encoding/json makes it, with values such as String
// in it. It is never changed once the document can be copied.
func (d *Document) tree() any {
	if d.held == nil {
		return nil
	}
	return *(*any)(d.held)
}

func (d *Document) hold(tree any) { d.held = unsafe.Pointer(&tree) }

func document(tree any, state documentState) Document {
	d := Document{state: state}
	d.hold(tree)
	return d
}

type documentState uint8

const (
	documentNull    documentState = iota
	documentPlain                 // made by the program
	documentScanned               // as it was in the column
	documentSealed                // Encrypt or Decrypt has seen it
	documentBroken                // the column held no JSON
)

var (
	_ sql.Scanner    = (*Document)(nil)
	_ driver.Valuer  = Document{}
	_ fmt.Formatter  = Document{}
	_ json.Marshaler = Document{}
	_ slog.LogValuer = Document{}
	_ gob.GobEncoder = Document{}
)

const maxDocument = 64 << 20

var errDocument = fmt.Errorf("%w: the column of a document must hold one JSON value of at most %d bytes", ErrNotEnvelope, maxDocument)

// ParseDocument returns a document of the program's. The error shows nothing of
// the text.
func ParseDocument(text []byte) (Document, error) {
	tree, err := parseTree(text)
	if err != nil {
		return Document{}, fmt.Errorf("fieldcrypt: read a document: %w", errNotJSON)
	}
	return document(tree, documentPlain), nil
}

// DocumentOf returns a document of the program's that is made of what
// encoding/json makes of JSON, and of values such as [String]. It copies maps and
// slices. Anything else in it is an error.
func DocumentOf(tree any) (Document, error) {
	copied, err := copyTree(tree, 0)
	if err != nil {
		return Document{}, fmt.Errorf("fieldcrypt: make a document: %w", err)
	}
	return document(copied, documentPlain), nil
}

func parseTree(text []byte) (tree any, err error) {
	if len(text) > maxDocument || !utf8.Valid(text) {
		return nil, errDocument
	}
	if loneSurrogate(text) {
		return nil, fmt.Errorf("%w: it has half of a surrogate pair (\\ud800 to \\udfff), which would be written as another character: correct it", errDocument)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return nil, errDocument
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errDocument
	}
	if twice(text) {
		return nil, fmt.Errorf("%w: a member comes twice in one object, and one of the two would be lost: correct it", errDocument)
	}
	return tree, nil
}

// loneSurrogate reports an escape of half a surrogate pair without the other
// half, in JSON that encoding/json takes: it reads U+FFFD there.
func loneSurrogate(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++ // at what is escaped
		half := surrogate(text, i)
		switch {
		case half == 0:
		case half == 1 && i+5 < len(text) && text[i+5] == '\\' && surrogate(text, i+6) == 2:
			i += 10 // at the last digit but one of the second half
		default:
			return true
		}
	}
	return false
}

// surrogate tells the first half of a pair (1) from the second (2), at the u of an
// escape, and from anything else (0).
func surrogate(text []byte, at int) int {
	if at+4 >= len(text) || text[at] != 'u' || text[at+1]|0x20 != 'd' {
		return 0
	}
	switch text[at+2] | 0x20 {
	case '8' | 0x20, '9' | 0x20, 'a', 'b':
		return 1
	case 'c', 'd', 'e', 'f':
		return 2
	}
	return 0
}

const maxDepth = 1000

// copyTree copies maps and arrays. Scalars and values are never changed in place.
func copyTree(tree any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it is more than %d deep", maxDepth)
	}
	switch t := tree.(type) {
	case map[string]any:
		out := make(map[string]any, len(t))
		for name, member := range t {
			var err error
			if out[name], err = copyTree(member, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(t))
		for i, element := range t {
			var err error
			if out[i], err = copyTree(element, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case nil, string, bool, float64, json.Number:
		return tree, nil
	case int, int64:
		return json.Number(fmt.Sprint(t)), nil
	}
	if _, ok := tree.(boxed); ok {
		return tree, nil
	}
	return nil, fmt.Errorf("a %T is in it: it takes maps, slices, strings, numbers, booleans, nil, and values such as fieldcrypt.String", tree)
}

// IsNull reports whether the document is NULL.
func (d Document) IsNull() bool { return d.state == documentNull }

// Tree returns a copy of the document as encoding/json makes it, with numbers as
// json.Number, and with values such as [String] in the sensitive places once
// Encrypt or Decrypt has seen it.
func (d Document) Tree() (any, error) {
	switch d.state {
	case documentNull:
		return nil, ErrNull
	case documentBroken:
		return nil, d.err
	case documentScanned:
		return nil, ErrNotDecrypted
	}
	return copyTree(d.tree(), 0)
}

// Plain returns the whole document as JSON, sensitive values included. The error
// is that of the first value that isn't decrypted, or ErrNull.
func (d Document) Plain() ([]byte, error) {
	tree, err := d.Tree()
	if err != nil {
		return nil, err
	}
	tree, err = mapValues(tree, func(v boxed) (any, error) { return v.jsonContent() })
	if err != nil {
		return nil, err
	}
	return marshalTree(tree)
}

// Scan implements [sql.Scanner]. It takes NULL or JSON, and returns no error, as
// [Value.Scan] doesn't: a column that holds something else makes the document
// unavailable with [ErrNotEnvelope], and nothing of it is kept.
func (d *Document) Scan(src any) error {
	*d = Document{}
	if err := d.fromDatabase(src); err != nil {
		*d = Document{state: documentBroken, err: err}
	}
	return nil
}

// fromDatabase reads what a column held, or takes a Document as it is.
func (d *Document) fromDatabase(src any) error {
	var tree any
	var err error
	switch src := src.(type) {
	case nil:
		return nil
	case []byte:
		tree, err = parseTree(src)
	case string:
		tree, err = parseTree([]byte(src))
	case json.RawMessage:
		tree, err = parseTree(src)
	case map[string]any, []any: // a driver that has parsed it
		tree, err = copyTree(src, 0)
	case Document:
		*d = src
		if d.err != nil || d.state == documentNull {
			return d.err
		}
		tree, err = copyTree(src.tree(), 0)
	default:
		err = errDocument
	}
	if d.state == documentNull {
		d.state = documentScanned
	}
	d.hold(tree)
	return err
}

// forProgram reads what a program put into a record.
func (d *Document) forProgram(content any) error {
	if err := d.fromDatabase(content); err != nil {
		return err
	}
	if d.state == documentScanned {
		if _, ok := content.(Document); !ok {
			d.state = documentPlain
		}
	}
	return nil
}

// Value implements [driver.Valuer]: a string of JSON with the envelopes in it. A
// document that wasn't encrypted is refused, and [Redacted] stands beside the
// error as with [Value.Value].
func (d Document) Value() (driver.Value, error) {
	switch d.state {
	case documentNull:
		return nil, nil
	case documentPlain:
		return Redacted, ErrNotEncrypted
	case documentBroken:
		return Redacted, fmt.Errorf("fieldcrypt: refused to write: %w", d.err)
	}
	tree, err := mapValues(d.tree(), textOfValue)
	if err != nil {
		return Redacted, err
	}
	text, err := marshalTree(tree)
	if err != nil {
		return Redacted, err
	}
	return string(text), nil
}

// textOfValue is how a value stands in a document.
func textOfValue(v boxed) (any, error) {
	written, err := v.Value()
	if env, ok := written.([]byte); ok && err == nil {
		text, err := envelope.AppendText(nil, env)
		return string(text), err
	}
	return written, err
}

// mapValues copies a tree with something else in the places of its values.
func mapValues(tree any, instead func(boxed) (any, error)) (any, error) {
	switch t := tree.(type) {
	case map[string]any:
		out := maps.Clone(t)
		for name, member := range t {
			var err error
			if out[name], err = mapValues(member, instead); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := slices.Clone(t)
		for i, element := range t {
			var err error
			if out[i], err = mapValues(element, instead); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	if v, ok := tree.(boxed); ok {
		return instead(v)
	}
	return tree, nil
}

// boxed is a Value in a tree.
type boxed interface {
	driver.Valuer
	jsonContent() (any, error)
}

func marshalTree(tree any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree); err != nil {
		return nil, fmt.Errorf("fieldcrypt: write a document: %w", errNotJSON)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// MarshalJSON implements [json.Marshaler]: the document with [Redacted] in its
// sensitive places, or in place of all of it where these aren't known yet.
func (d Document) MarshalJSON() ([]byte, error) {
	switch d.state {
	case documentNull:
		return []byte("null"), nil
	case documentSealed:
		return marshalTree(d.tree())
	}
	return []byte(`"` + Redacted + `"`), nil
}

// UnmarshalJSON implements [json.Unmarshaler] as [ParseDocument] does. [Redacted]
// alone is ErrRedacted.
func (d *Document) UnmarshalJSON(text []byte) error {
	if string(bytes.TrimSpace(text)) == `"`+Redacted+`"` {
		return ErrRedacted
	}
	read, err := ParseDocument(text)
	if err == nil {
		if read.tree() == nil {
			read = Document{}
		}
		*d = read
	}
	return err
}

// String returns what MarshalJSON does.
func (d Document) String() string {
	text, err := d.MarshalJSON()
	if err != nil {
		return Redacted
	}
	return string(text)
}

// Format implements [fmt.Formatter]: every verb and flag gives what String does.
func (d Document) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.String()) }

// LogValue implements [slog.LogValuer].
func (d Document) LogValue() slog.Value { return slog.StringValue(d.String()) }

// GobEncode returns ErrGob.
func (d Document) GobEncode() ([]byte, error) { return nil, ErrGob }

// GobDecode returns ErrGob.
func (d *Document) GobDecode([]byte) error { return ErrGob }
