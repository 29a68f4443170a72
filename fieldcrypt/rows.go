package fieldcrypt

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Rows is a record type as the rows of a table: which columns are sensitive, and
// what becomes of their cells when a row is re-encrypted, encrypted, bound to
// another place, verified or decrypted. Package sweep uses it for whole tables;
// a program that moves rows by its own means can too.
//
// Its calls take many rows at once, as the driver gave them, and say for each
// cell what to write, or why nothing can be. They read and write no database. A
// cell that can't be opened concerns no other. Make one with [Records.Rows] or
// [Maps.Rows]. It is safe for concurrent use.
type Rows struct {
	handle
	ids     []rowID
	tenants string // the tenant's column; "" where ForTenant names it
	columns []rowColumn
	err     error
}

// A RowColumn is a sensitive column.
type RowColumn struct {
	Name   string   // as DDL has it
	Fields []string // as in "Contacts.email"; several inside a document, "Contacts.custom.*" of a Fields map
	Text   bool     // envelopes are in text form
	JSON   bool     // a Fields map or a Document, with any number of envelopes
}

// A Row is a row on its way through a call of [Rows].
type Row struct {
	// ID holds what the database has in the columns of [Rows.IDColumns]:
	// integers, strings, and bytes, as database/sql gives them. Of [Maps.Rows],
	// bytes are a UUID and text is a string: convert the bytes that MariaDB's
	// driver gives for text.
	ID []any

	// Tenant is what it has in [Rows.TenantColumn].
	Tenant any

	// Cells are those of [Rows.Columns], in their order.
	Cells []RowCell

	// Plain are the cells of the columns that hold plaintext apart from the
	// envelopes, where Encrypt reads and DecryptToPlaintext writes. It is
	// empty, or as long as Cells; one with Apart unset isn't there.
	Plain []RowCell

	// Index are those of [Rows.IndexColumns], in their order, or empty where
	// the blind indexes aren't to be written.
	Index []RowCell
}

// A RowCell is one column of a [Row]. It prints and encodes as [Redacted]; but
// fmt doesn't ask what is in unexported fields of a struct, and %p and %w, which
// vet refuses, ask nothing: don't keep cells where they are printed so.
type RowCell struct {
	Old     any   // what the database has; nil is NULL
	New     any   // what to write, if Changed
	Changed bool  // New is to be written
	Err     error // why the cell can't be dealt with; it stays as it is
	Apart   bool  // of Row.Plain: the cell is there
}

type rowID struct {
	column string
	form   idForm
}

type rowColumn struct {
	RowColumn
	fields []*marked // one, or those inside a document
	paths  []path    // of fields inside a document, from its top
	needed []bool    // which of these the schema requires
	custom *marked   // of a Fields map
}

// Rows returns the record type as rows of a table. A type that can't be, since a
// map of it has no column of its own, is told by the methods of what it returns.
func (r *Records[T]) Rows() *Rows {
	h := *r.of()
	rows := &Rows{handle: h}
	if h.crypt == nil {
		rows.err = errors.New("fieldcrypt: Rows: Records are made with For")
		return rows
	}
	p := h.plan
	for _, id := range p.ids {
		rows.ids = append(rows.ids, rowID{columnOf(id.goName), id.form})
	}
	rows.tenants = p.owner
	for i := range p.fields {
		m := &p.fields[i]
		rows.columns = append(rows.columns, rowColumn{
			RowColumn: RowColumn{Name: m.column, Fields: []string{m.label}, Text: m.text}, fields: []*marked{m},
		})
	}
	for i := range p.custom {
		m := &p.custom[i]
		if !m.isJSON {
			rows.err = fmt.Errorf("fieldcrypt: Rows of %s: field %s is a map without a column of its own, whose values the program stores elsewhere: give these a record type, and sweep that one's table", p.typ, m.goName)
			return rows
		}
		rows.columns = append(rows.columns, rowColumn{
			RowColumn: RowColumn{Name: m.column, Fields: []string{m.label}, Text: true, JSON: true}, custom: m,
		})
	}
	return rows
}

// Rows is [Records.Rows] for the module. A document is one column, whatever
// number of its fields is inside.
func (m *Maps) Rows() *Rows {
	h := *m.of()
	rows := &Rows{handle: h}
	if h.crypt == nil {
		rows.err = errors.New("fieldcrypt: Rows: Maps are made with ForMaps")
		return rows
	}
	for _, id := range m.module.ids {
		rows.ids = append(rows.ids, rowID{id, idOfAny})
	}
	rows.tenants = h.plan.owner
	documents := map[string]int{}
	for i := range m.module.fields {
		f, where := &m.module.fields[i], m.module.paths[i]
		if len(where) == 1 {
			rows.columns = append(rows.columns, rowColumn{
				RowColumn: RowColumn{Name: f.column, Fields: []string{f.label}, Text: f.text}, fields: []*marked{f},
			})
			continue
		}
		name := string(where[0])
		at, known := documents[name]
		if !known {
			at = len(rows.columns)
			documents[name] = at
			rows.columns = append(rows.columns, rowColumn{RowColumn: RowColumn{Name: name, Text: true, JSON: true}})
		}
		c := &rows.columns[at]
		c.Fields, c.fields, c.paths, c.needed = append(c.Fields, f.label), append(c.fields, f), append(c.paths, where[1:]), append(c.needed, m.module.needed[i])
	}
	return rows
}

// columnOf returns the column of a Go field, by the name of its last part.
func columnOf(goName string) string { return snakeCase(goName[strings.LastIndexByte(goName, '.')+1:]) }

// Err returns why the record type can't be rows of a table, or nil.
func (r *Rows) Err() error {
	switch {
	case r == nil:
		return errors.New("fieldcrypt: the Rows are nil: make them with Records.Rows or Maps.Rows")
	case r.err != nil:
		return r.err
	case r.crypt == nil:
		return errors.New("fieldcrypt: Rows are made with Records.Rows or Maps.Rows")
	case r.tenants == "" && r.tenant == nil:
		return fmt.Errorf("fieldcrypt: Rows of %s: whose records are they? Mark a field `fieldcrypt:\"tenant\"`, or use ForTenant", r.plan.typ)
	}
	return nil
}

// Type names the record type, as in "crm.Contact".
func (r *Rows) Type() string {
	if r == nil || r.plan == nil {
		return "no record type"
	}
	return r.plan.typ
}

// Crypt returns the Crypt that the rows are encrypted with.
func (r *Rows) Crypt() *Crypt { return r.crypt }

// IDColumns returns the columns of the record's ID, in their order: the Go
// fields' names in snake case, or the members of a module. There are none where
// the type is unbound. A table that has other names for them gives Row.ID what
// is in those.
func (r *Rows) IDColumns() []string {
	names := make([]string, len(r.ids))
	for i, id := range r.ids {
		names[i] = id.column
	}
	return names
}

// TenantColumn returns the column of the tenant, or "" where ForTenant names it.
func (r *Rows) TenantColumn() string { return r.tenants }

// Tenant returns the tenant of ForTenant, and whether there is one.
func (r *Rows) Tenant() (string, bool) {
	if r.tenant == nil {
		return "", false
	}
	return *r.tenant, true
}

// Columns returns the sensitive columns: those of the record's fields, in their
// order, those of Fields maps last.
func (r *Rows) Columns() []RowColumn {
	columns := make([]RowColumn, len(r.columns))
	for i := range r.columns {
		columns[i] = r.columns[i].RowColumn
	}
	return columns
}

// ColumnDefs is [Records.ColumnDefs] of the record type.
func (r *Rows) ColumnDefs(d Dialect) ([]ColumnDef, error) { return r.handle.columns(d) }

// Shape describes all that a sealed cell depends on: the columns, the fields'
// names, their classes and what they are bound to. Two versions of a program
// with the same shape can work on one table together.
func (r *Rows) Shape() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s unbound=%t ids=%q tenant=%q", r.plan.typ, r.plan.unbound, r.IDColumns(), r.tenants)
	for i := range r.columns {
		c := &r.columns[i]
		fmt.Fprintf(&b, " column=%q json=%t text=%t", c.Name, c.JSON, c.Text)
		fields := c.fields
		if c.custom != nil {
			fields = []*marked{c.custom}
		}
		for at, m := range fields {
			fmt.Fprintf(&b, " field=%q class=%q type=%s deterministic=%t", m.label, r.plan.classes[m.class], m.typ(), m.deterministic)
			if c.paths != nil {
				fmt.Fprintf(&b, " path=%q", c.paths[at].String())
			}
		}
	}
	for i := range r.plan.indexes {
		x := &r.plan.indexes[i]
		fmt.Fprintf(&b, " index=%q %q", x.column, x.tagging.options())
	}
	return b.String()
}

// Format implements fmt.Formatter: no verb prints a cell, which may hold
// plaintext.
func (c RowCell) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// LogValue implements slog.LogValuer.
func (c RowCell) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText keeps a cell out of JSON, XML and other text encodings.
func (c RowCell) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalBinary refuses, for encodings such as CBOR and gob, which would take
// the exported fields.
func (c RowCell) MarshalBinary() ([]byte, error) { return nil, ErrBinary }
