package envelope

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
	"unique"
)

// Lengths in bytes, from FORMAT.md.
const (
	maxName   = 255
	maxRecord = 1024
)

// DefaultClass is the class of a scope that names none.
const DefaultClass = "default"

// A Scope says whose data a data key protects: a tenant and a retention class.
// Both are 1 to 255 bytes of UTF-8, compared byte by byte; an empty class
// stands for [DefaultClass].
type Scope struct {
	Tenant string
	Class  string
}

func (s Scope) String() string {
	return fmt.Sprintf("tenant %q, class %q", shown(s.Tenant, maxName), shown(s.withDefault().Class, maxName))
}

// shown is the start of a name that is longer than the format allows, so that
// an error about it is short.
func shown(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:32] + "…"
}

func (s Scope) withDefault() Scope {
	if s.Class == "" {
		s.Class = DefaultClass
	}
	return s
}

func (s Scope) validate() error {
	if err := checkName("tenant", s.Tenant); err != nil {
		return err
	}
	return checkName("class", s.Class)
}

// canonical is the format's lp(tenant) || lp(class).
func (s Scope) canonical() []byte { return appendLP(appendLP(nil, s.Tenant), s.Class) }

// A Field is the permanent cryptographic name of a sensitive field: a module
// (a record type, such as "Contacts") and a field name. Fields of equal names
// are equal. A Field takes 8 bytes and copies like a pointer. The zero Field is
// not valid; make one with [NewField] and keep it.
type Field struct{ names unique.Handle[fieldNames] }

type fieldNames struct {
	module, name string
	canonical    string // lp(module) || lp(name)
}

// NewField checks the names: 1 to 255 bytes of UTF-8 each.
func NewField(module, name string) (Field, error) {
	if err := checkName("module", module); err != nil {
		return Field{}, err
	}
	if err := checkName("field", name); err != nil {
		return Field{}, fmt.Errorf("module %q: %w", module, err)
	}
	canonical := string(appendLP(appendLP(nil, module), name))
	return Field{unique.Make(fieldNames{module, name, canonical})}, nil
}

// MustField is like [NewField] and panics on a bad name. It is for variables
// initialised from constants.
func MustField(module, name string) Field {
	f, err := NewField(module, name)
	if err != nil {
		panic("envelope: MustField: " + err.Error())
	}
	return f
}

// Module returns the module's name; "" for the zero Field.
func (f Field) Module() string {
	if f == (Field{}) {
		return ""
	}
	return f.names.Value().module
}

// Name returns the field's name without its module; "" for the zero Field.
func (f Field) Name() string {
	if f == (Field{}) {
		return ""
	}
	return f.names.Value().name
}

// String returns module and name with a dot between them.
func (f Field) String() string {
	if f == (Field{}) {
		return "a field without a name"
	}
	names := f.names.Value()
	return names.module + "." + names.name
}

// A Binding is the place an envelope belongs to. An envelope opens under an
// equal binding and no other.
type Binding struct {
	Scope Scope
	Field Field

	// Record is the record's ID as text, 1 to 1,024 bytes of UTF-8: integers
	// in decimal, UUIDs in lower-case 8-4-4-4-12, composite keys as
	// [CompositeRecord] makes them.
	Record string

	// Unbound leaves the record out, for records whose ID is not known when
	// they are sealed. Whoever writes to the database can then move envelopes
	// between the records of one field. Record must be empty.
	Unbound bool
}

func (b *Binding) String() string {
	if b.Unbound {
		return fmt.Sprintf("%s (%s, unbound)", b.Field, b.Scope)
	}
	return fmt.Sprintf("%s (%s, record %q)", b.Field, b.Scope, shown(b.Record, maxRecord))
}

// maxPart keeps the length bytes of a composite record ID, and so the whole ID,
// valid UTF-8.
const maxPart = 127

// CompositeRecord returns the record ID of a key with several parts, each 1 to
// 127 bytes of UTF-8.
func CompositeRecord(parts ...string) (string, error) {
	var id []byte
	for i, p := range parts {
		if p == "" || len(p) > maxPart || !utf8.ValidString(p) {
			return "", malformed("part %d of a composite record ID is empty, longer than %d bytes or not UTF-8", i+1, maxPart)
		}
		id = appendLP(id, p)
	}
	if len(id) == 0 || len(id) > maxRecord {
		return "", malformed("a composite record ID of %d parts takes %d bytes, 1 to %d can be used", len(parts), len(id), maxRecord)
	}
	return string(id), nil
}

// checkPlace validates what a call brings anew: the scope was checked when its
// key was loaded, and a hit compares it byte by byte.
func (b *Binding) checkPlace() error {
	if b.Field == (Field{}) {
		return malformed("the field has no name: make it with NewField")
	}
	if b.Unbound {
		if b.Record != "" {
			return malformed("%s: the binding is unbound and names a record", b.Field)
		}
		return nil
	}
	if len(b.Record) == 0 {
		return malformed("%s: the record ID is empty: give the record an ID before it is sealed, or say that the field is unbound", b.Field)
	}
	if fault := recordFault(b.Record); fault != "" {
		return malformed("%s: %s", b.Field, fault)
	}
	return nil
}

// checkRecordID is checkPlace for a record ID without a binding.
func checkRecordID(record string) error {
	if record == "" {
		return malformed("the record ID is empty: give the record an ID before it is written")
	}
	if fault := recordFault(record); fault != "" {
		return malformed("%s", fault)
	}
	return nil
}

// recordFault says what is wrong with a record ID that isn't empty, or nothing.
func recordFault(record string) string {
	switch {
	case len(record) > maxRecord:
		return fmt.Sprintf("the record ID is %d bytes, the limit is %d", len(record), maxRecord)
	case !validText([]byte(record)):
		return "the record ID is not UTF-8"
	}
	return ""
}

const (
	notBound    = 0x00
	boundRecord = 0x01
)

// appendPlace appends the part of the additional data that follows the key's
// own prefix.
func (b *Binding) appendPlace(aad []byte) []byte {
	aad = append(aad, b.Field.names.Value().canonical...)
	if b.Unbound {
		return append(aad, notBound)
	}
	n := uint32(len(b.Record))
	aad = append(aad, boundRecord, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return append(aad, b.Record...)
}

func checkName(what, s string) error {
	switch {
	case s == "":
		return malformed("the %s is empty", what)
	case len(s) > maxName:
		return malformed("the %s is %d bytes, the limit is %d", what, len(s), maxName)
	case !utf8.ValidString(s):
		return malformed("the %s is not UTF-8", what)
	}
	return nil
}

// appendLP appends the length of s in four bytes, then s.
func appendLP(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
