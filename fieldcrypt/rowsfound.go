package fieldcrypt

import (
	"fmt"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A RowState says what was found in the place of a value.
type RowState uint8

// What [Rows.Inspect] finds. NULL is not told.
const (
	RowSealed     RowState = iota + 1 // an envelope; whether it opens isn't tried
	RowPlaintext                      // something that doesn't begin as envelopes do
	RowUnreadable                     // it begins as an envelope does and is none, or its JSON can't be read, or the row has no place
	RowCopy                           // a plaintext in Row.Plain beside what is in the sensitive column; whether they are the same isn't tried
)

func (s RowState) String() string {
	switch s {
	case RowSealed:
		return "sealed"
	case RowPlaintext:
		return "plaintext"
	case RowUnreadable:
		return "unreadable"
	case RowCopy:
		return "copy in plaintext"
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
// without a call to anything. What [Row.Plain] has is told as well: in the place
// of a cell that is NULL as what a value there would be, though an envelope is
// plaintext there too, and beside any other cell as a copy, once for the column.
// A column that can't be read is told once for each class that it has fields of:
// nobody knows whose values are in it.
func (r *Rows) Inspect(row *Row, visit func(RowFinding)) error {
	if err := r.Err(); err != nil {
		return err
	}
	if len(row.Cells) != len(r.columns) || len(row.Plain) != 0 && len(row.Plain) != len(row.Cells) {
		return fmt.Errorf("fieldcrypt: Inspect of a row of %s: it has %d cells and %d of plaintext, and there are %d columns", r.plan.typ, len(row.Cells), len(row.Plain), len(r.columns))
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
			r.visitClasses(&batch[0], c, RowUnreadable, visit)
		}
	}
	r.inspectApart(row, visit)
	return nil
}

// inspectApart tells what is in the columns of plaintext.
func (r *Rows) inspectApart(row *Row, visit func(RowFinding)) {
	alone := false // a value is in the column of plaintext, and nowhere else
	for c := range row.Plain {
		switch {
		case !row.Plain[c].Apart || row.Plain[c].Old == nil:
		case row.Cells[c].Old == nil:
			alone = true
		default:
			r.visitClasses(row, c, RowCopy, visit)
		}
	}
	if !alone {
		return
	}
	batch := []Row{{ID: row.ID, Tenant: row.Tenant, Cells: make([]RowCell, len(r.columns)), Plain: make([]RowCell, len(r.columns))}}
	for c := range row.Plain {
		if row.Cells[c].Old == nil {
			batch[0].Plain[c] = RowCell{Old: row.Plain[c].Old, Apart: row.Plain[c].Apart}
		}
	}
	w := r.gather(batch, "", wantSource)
	told := map[*RowCell]bool{}
	for i := range w.parts {
		p := &w.parts[i]
		told[p.cell] = true
		visit(RowFinding{Field: p.at.Field.String(), Scope: p.at.Scope, State: RowPlaintext})
	}
	for c := range batch[0].Cells {
		cell, plain := &batch[0].Cells[c], &batch[0].Plain[c]
		switch {
		case cell.Err != nil:
			r.visitClasses(&batch[0], c, RowUnreadable, visit)
		case plain.Apart && plain.Old != nil && !told[cell]: // a document with nothing sensitive in it
			r.visitClasses(&batch[0], c, RowPlaintext, visit)
		}
	}
}

// visitClasses tells of a column as a whole: once for each class that it has
// fields of, under the name of the first.
func (r *Rows) visitClasses(row *Row, at int, state RowState, visit func(RowFinding)) {
	column := &r.columns[at]
	tenant := r.place(row).tenant
	if m := column.custom; m != nil {
		visit(RowFinding{Field: column.Fields[0], Scope: r.scope(tenant, m.class), State: state})
		return
	}
	var seen []Scope
	for i, m := range column.fields {
		scope := r.scope(tenant, m.class)
		if !slices.Contains(seen, scope) {
			seen = append(seen, scope)
			visit(RowFinding{Field: column.Fields[i], Scope: scope, State: state})
		}
	}
}
