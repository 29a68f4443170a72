package fieldcrypt

import (
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A RowState says what was found in the place of a value.
type RowState uint8

// What [Rows.Inspect] finds. NULL is not told.
const (
	RowSealed     RowState = iota + 1 // an envelope; whether it opens isn't tried
	RowPlaintext                      // something that doesn't begin as envelopes do
	RowUnreadable                     // it begins as an envelope does and is none, or its JSON can't be read, or the row has no place
)

func (s RowState) String() string {
	switch s {
	case RowSealed:
		return "sealed"
	case RowPlaintext:
		return "plaintext"
	case RowUnreadable:
		return "unreadable"
	}
	return "unknown"
}

// A RowFinding is one value in a row's cells.
type RowFinding struct {
	Field string // as in "Contacts.email"
	Scope Scope
	State RowState
	Key   envelope.KeyID // of an envelope
	Mode  envelope.Mode  // of an envelope
}

// Inspect tells what is in a row's cells, value by value, without any key and
// without a call to anything.
func (r *Rows) Inspect(row *Row, visit func(RowFinding)) error {
	if err := r.Err(); err != nil {
		return err
	}
	if len(row.Cells) != len(r.columns) {
		return fmt.Errorf("fieldcrypt: Inspect of a row of %s: it has %d cells, and there are %d columns", r.plan.typ, len(row.Cells), len(r.columns))
	}
	batch := []Row{{ID: row.ID, Tenant: row.Tenant, Cells: make([]RowCell, len(r.columns))}}
	for i := range row.Cells {
		batch[0].Cells[i].Old = row.Cells[i].Old
	}
	w := r.gather(batch, "", wantPlain)
	for i := range w.parts {
		p := &w.parts[i]
		f := RowFinding{Field: p.at.Field.String(), Scope: p.at.Scope, State: RowPlaintext}
		if p.env != nil {
			info, err := envelope.Inspect(p.env)
			if err != nil {
				continue // Scan has inspected it
			}
			f.State, f.Key, f.Mode = RowSealed, info.KeyID, info.Mode
		}
		visit(f)
	}
	for c := range batch[0].Cells {
		if batch[0].Cells[c].Err != nil {
			column := &r.columns[c]
			visit(RowFinding{Field: column.Fields[0], Scope: r.scopeOf(&batch[0], column), State: RowUnreadable})
		}
	}
	return nil
}

// scopeOf is the scope of a column's first field, as far as it can be known.
func (r *Rows) scopeOf(row *Row, column *rowColumn) Scope {
	m := column.custom
	if m == nil {
		m = column.fields[0]
	}
	return r.scope(r.place(row).tenant, m.class)
}
