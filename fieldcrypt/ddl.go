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
// So a check stops whoever writes plaintext by mistake, and nobody who writes
// the start of an envelope before it. By design these pass too:
//
//   - anything of a possible length behind the right start, such as an
//     envelope of another place, or one that was cut short and may still be a
//     shorter value's; in text columns, if it is in base64url's alphabet;
//   - in a column of [Fields], any name of a member, and members of any length
//     from the shortest on; in SQLite, whose patterns can't repeat, anything
//     behind the start of a member's text form.
//
// It holds as long as the database enforces checks, and in MariaDB needs the
// strict mode, its default: without it a value that is too long for its column
// is cut off, and so can't be opened. White space past the end of a VARCHAR is
// cut off in any mode. SQLite tells text from bytes: to its text columns, write
// strings.
type ColumnDef struct {
	Field string // as in "Contacts.email"
	Name  string // from the tag's column option, or the Go field's name in snake case
	Type  string
	Check string // a condition in SQL
	Index bool   // the column of a blind index of Field
	Size  int    // most bytes of an envelope in the form that the column holds; of a Fields column: of one member

	// Migrating says that the field is in migrating mode, so that plaintext may
	// be in the column: String has no check then, and CheckDDL adds it afterwards.
	// The sizes are those of envelopes; plaintext in the column may be longer.
	Migrating bool

	dialect Dialect
	owner   string // the tenant's column
}

// String returns the column as a CREATE TABLE or ADD COLUMN takes it, with its
// check unless the field is in migrating mode.
func (c ColumnDef) String() string {
	if c.Migrating {
		return c.dialect.quote(c.Name) + " " + c.Type
	}
	return c.dialect.quote(c.Name) + " " + c.Type + " CHECK (" + c.Check + ")"
}

// IndexDDL returns the statement that makes the database index of a blind index's
// column, after the tenant's where there is one. It ends in a semicolon.
func (c ColumnDef) IndexDDL(table string) (string, error) {
	if !c.Index {
		return "", fmt.Errorf("fieldcrypt: IndexDDL: column %.80q isn't that of a blind index", c.Name)
	}
	quoted, err := c.dialect.quoteTable(table)
	name := table[strings.LastIndex(table, ".")+1:] + "_" + c.Name
	if err == nil {
		if err = checkIdentifier("index", name); err != nil {
			err = fmt.Errorf("%w: shorten the column with the option column=", err)
		}
	}
	if err != nil {
		return "", fmt.Errorf("fieldcrypt: IndexDDL of %s: %w", c.Name, err)
	}
	columns := c.dialect.quote(c.Name)
	if c.owner != "" {
		if err := checkIdentifier("column", c.owner); err != nil {
			return "", fmt.Errorf("fieldcrypt: IndexDDL of %s: the tenant's: %w", c.Name, err)
		}
		columns = c.dialect.quote(c.owner) + ", " + columns
	}
	return fmt.Sprintf("CREATE INDEX %s ON %s (%s);", c.dialect.quote(name), quoted, columns), nil
}

// ColumnDefs returns the definitions of the marked columns of T, in the order of
// its fields, then those of blind indexes and of [Fields] maps. The sizes are exact for the tags'
// max and pad options, and for fields without max those of Options.MaxValue.
// Maps of other types have no column.
func (r *Records[T]) ColumnDefs(d Dialect) ([]ColumnDef, error) { return r.of().columns(d) }

// DDL returns the statements that add the marked columns of T to a table, and a
// database index for each blind index, after the tenant where T has one: each
// ends in a semicolon and a new line. Name the tenant's column as ColumnDefs
// names those of fields. The table's name may have a schema's
// and a dot before it.
func (r *Records[T]) DDL(d Dialect, table string) (string, error) { return r.of().ddl(d, table) }

func (h *handle) ddl(d Dialect, table string) (string, error) {
	columns, err := h.columns(d)
	if err != nil {
		return "", err
	}
	quoted, err := d.quoteTable(table)
	if err != nil {
		return "", fmt.Errorf("fieldcrypt: DDL: %w", err)
	}
	var b strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&b, "ALTER TABLE %s ADD COLUMN %s;\n", quoted, c)
	}
	for _, c := range columns {
		if !c.Index {
			continue
		}
		statement, err := c.IndexDDL(table)
		if err != nil {
			return "", err
		}
		b.WriteString(statement + "\n")
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
		c.Field, c.Name, c.Migrating, c.dialect = m.label, m.column, m.migration.set(), d
		columns = append(columns, c)
		return nil
	}
	for i := range h.plan.fields {
		m := &h.plan.fields[i]
		if m.inside {
			continue
		}
		forms, column := h.forms(m), d.quote(m.column)
		c := ColumnDef{Size: longest(forms)}
		if m.text {
			c.Size = envelope.TextLen(c.Size)
			c.Type, c.Check = d.textType(c.Size), d.textCheck(column, forms)
		} else {
			c.Type, c.Check = d.binaryType(c.Size), d.binaryCheck(column, forms)
		}
		if err := add(m, c); err != nil {
			return nil, err
		}
	}
	for i := range h.plan.indexes {
		x := &h.plan.indexes[i]
		c := ColumnDef{Size: x.ring.TagSize(), Index: true, owner: h.plan.owner}
		if x.text {
			c.Size = x.ring.TextLen()
			c.Type = d.textType(c.Size)
		} else {
			c.Type = d.binaryType(c.Size)
		}
		c.Check = d.indexCheck(d.quote(x.column), x)
		if err := add(&marked{label: x.label, column: x.column, goName: x.goName}, c); err != nil {
			return nil, err
		}
	}
	for i := range h.plan.custom {
		m := &h.plan.custom[i]
		if !m.isJSON {
			continue
		}
		forms := h.forms(m)
		err := add(m, ColumnDef{Type: d.jsonType(), Check: d.jsonCheck(d.quote(m.column), forms), Size: envelope.TextLen(longest(forms))})
		if err != nil {
			return nil, err
		}
	}
	return columns, nil
}

// forms returns what the field's envelopes look like, for each mode that the
// Crypt opens.
func (h *handle) forms(m *marked) []form {
	least := 0
	most, _ := h.limitOf(m)
	if m.kind != nil && m.kind.size >= 0 {
		least, most = m.kind.size, m.kind.size
	}
	least, most = m.pad.size(1+least), m.pad.size(1+most)
	if m.deterministic {
		const overhead = envelope.DeterministicOverhead - 1
		return []form{{envelope.ModeDeterministic, least + overhead, most + overhead}}
	}
	forms := make([]form, len(h.crypt.modes))
	for i, mode := range h.crypt.modes {
		// The overheads count the frame's first byte, which the frame has
		// already.
		forms[i] = form{mode, least + envelope.ReferenceOverhead - 1, most + envelope.ReferenceOverhead - 1}
		if mode == envelope.ModeInline {
			forms[i] = form{mode, least + inlineLeast, most + envelope.MaxInlineOverhead - 1}
		}
	}
	return forms
}

func longest(forms []form) int {
	most := 0
	for i := range forms {
		most = max(most, forms[i].most)
	}
	return most
}

// inlineLeast is the least that an inline envelope adds to a frame: a root key
// URI and a wrapped data key of one byte each.
const inlineLeast = envelope.ReferenceOverhead - 1 + 2 + 1 + 2 + 1
