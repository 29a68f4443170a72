package fieldcrypt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A ColumnDef is the definition of a database column for one marked field. Its
// check lets nothing pass but NULL and what looks like an envelope of the
// format's version, of a mode that the Crypt opens, and of a length that the
// field's values can have. It can't tell who sealed it: Decrypt does.
//
// The check of a [Fields] column sees less. It asks for one JSON object, no
// length, and of each member that it is null or starts as a text form does:
// "fc1." and the four characters of version and mode. What follows is held to
// the alphabet of the text form by PostgreSQL and MariaDB; SQLite doesn't look
// at it, and lets anything pass behind those 8 characters. Keys are in the
// clear in all of them.
type ColumnDef struct {
	Field string // as in "Contacts.email"
	Name  string // from the tag's column option, or the Go field's name in snake case
	Type  string
	Check string // a condition in SQL
	Size  int    // most bytes of an envelope in the form that the column holds; of a Fields column: of one member

	dialect Dialect
}

// String returns the column as a CREATE TABLE or ADD COLUMN takes it.
func (c ColumnDef) String() string {
	return c.dialect.quote(c.Name) + " " + c.Type + " CHECK (" + c.Check + ")"
}

// ColumnDefs returns the definitions of the marked columns of T, in the order of
// its fields, those of [Fields] maps last. The sizes are exact for the tags'
// max and pad options, and for fields without max those of Options.MaxValue.
// Maps of other types have no column.
func (r *Records[T]) ColumnDefs(d Dialect) ([]ColumnDef, error) { return r.of().columns(d) }

// DDL returns the statements that add the marked columns of T to a table, each
// ending in a semicolon and a new line. The table's name may have a schema's
// and a dot before it.
func (r *Records[T]) DDL(d Dialect, table string) (string, error) {
	columns, err := r.of().columns(d)
	if err != nil {
		return "", err
	}
	parts := strings.Split(table, ".")
	if len(parts) > 2 {
		return "", fmt.Errorf("fieldcrypt: DDL: the table name %.80q has at most one dot, after a schema's name", table)
	}
	for i, part := range parts {
		if err := checkIdentifier("table", part); err != nil {
			return "", fmt.Errorf("fieldcrypt: DDL: %w", err)
		}
		parts[i] = d.quote(part)
	}
	var b strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&b, "ALTER TABLE %s ADD COLUMN %s;\n", strings.Join(parts, "."), c)
	}
	return b.String(), nil
}

func (h *handle) columns(d Dialect) ([]ColumnDef, error) {
	if h.crypt == nil {
		return nil, errors.New("fieldcrypt: DDL: Records are made with For")
	}
	if d != Postgres && d != MariaDB && d != SQLite {
		return nil, fmt.Errorf("fieldcrypt: DDL of %s: unknown dialect %d: there are Postgres, MariaDB and SQLite", h.plan.typ, d)
	}
	var columns []ColumnDef
	taken := map[string]string{}
	add := func(m *marked, c ColumnDef) error {
		if err := checkIdentifier("column", m.column); err != nil {
			return fmt.Errorf("fieldcrypt: DDL of %s: field %s: %w: name it with the option column=", h.plan.typ, m.goName, err)
		}
		name := strings.ToLower(m.column) // two dialects of three don't tell case apart
		if other, ok := taken[name]; ok {
			return fmt.Errorf("fieldcrypt: DDL of %s: fields %s and %s would both have the column %q: name one with the option column=", h.plan.typ, other, m.goName, m.column)
		}
		taken[name] = m.goName
		c.Field, c.Name, c.dialect = m.label, m.column, d
		columns = append(columns, c)
		return nil
	}
	for i := range h.plan.fields {
		m := &h.plan.fields[i]
		least, most := h.sizes(m)
		c := ColumnDef{Size: most}
		column := d.quote(m.column)
		if m.text {
			least, most = envelope.TextLen(least), envelope.TextLen(most)
			c.Type, c.Check, c.Size = d.textType(most), d.textCheck(column, h.crypt.modes, least, most), most
		} else {
			c.Type, c.Check = d.binaryType(most), d.binaryCheck(column, h.crypt.modes, least, most)
		}
		if err := add(m, c); err != nil {
			return nil, err
		}
	}
	for i := range h.plan.custom {
		m := &h.plan.custom[i]
		if !m.isJSON {
			continue
		}
		_, most := h.sizes(m)
		err := add(m, ColumnDef{Type: d.jsonType(), Check: d.jsonCheck(d.quote(m.column), h.crypt.modes), Size: envelope.TextLen(most)})
		if err != nil {
			return nil, err
		}
	}
	return columns, nil
}

// sizes returns the least and the most bytes of an envelope of the field.
func (h *handle) sizes(m *marked) (least, most int) {
	shortest := 0
	longest, _ := h.limitOf(m)
	if m.kind != nil && m.kind.size >= 0 {
		shortest, longest = m.kind.size, m.kind.size
	}
	least, most = paddedSize(1+shortest, m.pad), paddedSize(1+longest, m.pad)

	// The overheads count the frame's first byte, which the frame has already.
	first := h.crypt.modes[0]
	last := h.crypt.modes[len(h.crypt.modes)-1]
	if first == envelope.ModeInline {
		least += inlineLeast
	} else {
		least += envelope.ReferenceOverhead - 1
	}
	if last == envelope.ModeInline {
		most += envelope.MaxInlineOverhead - 1
	} else {
		most += envelope.ReferenceOverhead - 1
	}
	return least, most
}

// inlineLeast is the least that an inline envelope adds to a frame: a root key
// URI and a wrapped data key of one byte each.
const inlineLeast = envelope.ReferenceOverhead - 1 + 2 + 1 + 2 + 1
