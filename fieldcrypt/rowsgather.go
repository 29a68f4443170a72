package fieldcrypt

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A rowPart is one envelope, or one plaintext that is to become one, in the
// cells of a batch of rows: all of a cell, or a place in its JSON.
type rowPart struct {
	row     int
	cell    *RowCell
	field   *marked
	at      envelope.Binding
	env     []byte   // nil where there is plaintext
	text    bool     // env was in text form
	content any      // the plaintext
	box     *rowBox  // nil where the part is all of the cell
	slot    slot     // in the box
	apart   *RowCell // the cell of the plaintext column, where there is one
	frame   []byte
	err     error
}

// A rowWork is the memory of a call over rows.
type rowWork struct {
	parts []rowPart
	boxes []*rowBox
	want  wanted
}

// wanted says what a call takes in the place of an envelope.
type wanted uint8

const (
	wantEnvelopes wanted = iota
	wantSource           // also plaintext, to encrypt it, from the cell apart where there is one
	wantPlain            // also plaintext, to leave it alone
)

// RowOptions narrow what a call over rows does.
type RowOptions struct {
	// Class leaves the fields of other retention classes alone. Empty for all.
	Class string

	// Dry looks, and opens what has to be opened, and seals nothing. Changed is
	// set for the cells that would be written, and New stays nil.
	Dry bool
}

func (r *Rows) begin(ctx context.Context, call string, batch []Row) error {
	if err := r.Err(); err != nil {
		return err
	}
	switch {
	case r.crypt.closed.Load():
		return fmt.Errorf("fieldcrypt: %s of rows of %s: %w", call, r.plan.typ, errClosed)
	case ctx == nil:
		return fmt.Errorf("fieldcrypt: %s of rows of %s: %w", call, r.plan.typ, errNoContext)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("fieldcrypt: %s of rows of %s: %w", call, r.plan.typ, err)
	}
	for i := range batch {
		row := &batch[i]
		if len(row.Cells) != len(r.columns) || len(row.Plain) != 0 && len(row.Plain) != len(row.Cells) {
			return fmt.Errorf("fieldcrypt: %s of rows of %s: row %d has %d cells and %d of plaintext, and there are %d columns", call, r.plan.typ, i, len(row.Cells), len(row.Plain), len(r.columns))
		}
		if n := len(row.Index); n != 0 && n != len(r.plan.indexes) {
			return fmt.Errorf("fieldcrypt: %s of rows of %s: row %d has %d cells of blind indexes, and there are %d", call, r.plan.typ, i, n, len(r.plan.indexes))
		}
		for _, cells := range [][]RowCell{row.Cells, row.Plain, row.Index} {
			for at := range cells {
				c := &cells[at]
				c.New, c.Changed, c.Err = nil, false, nil
			}
		}
	}
	return nil
}

// gather finds the parts of all rows.
func (r *Rows) gather(batch []Row, class string, want wanted) *rowWork {
	w := &rowWork{parts: make([]rowPart, 0, len(batch)*len(r.columns)), want: want}
	for i := range batch {
		row := &batch[i]
		var at rowPlace
		located := false
		for c := range r.columns {
			column, cell := &r.columns[c], &row.Cells[c]
			var apart *RowCell
			if len(row.Plain) > 0 && row.Plain[c].Apart {
				apart = &row.Plain[c]
			}
			empty := cell.Old == nil && (want != wantSource || apart == nil || apart.Old == nil)
			if empty || !r.ofClass(column, class) {
				continue
			}
			if !located {
				at, located = r.place(row), true
			}
			if at.err != nil {
				cell.Err = at.err
				continue
			}
			r.gatherCell(w, i, &at, column, cell, apart)
		}
	}
	return w
}

// ofClass reports whether the column has a field of the class.
func (r *Rows) ofClass(c *rowColumn, class string) bool {
	if class == "" {
		return true
	}
	if c.custom != nil {
		return r.plan.classes[c.custom.class] == class
	}
	for _, m := range c.fields {
		if r.plan.classes[m.class] == class {
			return true
		}
	}
	return false
}

func (r *Rows) gatherCell(w *rowWork, row int, at *rowPlace, column *rowColumn, cell, apart *RowCell) {
	source, plain := cell.Old, w.want != wantEnvelopes && apart == nil
	if w.want == wantSource && cell.Old == nil {
		source, plain = apart.Old, true
	}
	if !column.JSON {
		m := column.fields[0]
		r.add(w, rowPart{row: row, cell: cell, field: m, at: r.binding(at, m, m.name), apart: apart}, source, plain)
		return
	}
	if column.custom != nil && w.want == wantEnvelopes {
		r.gatherFields(w, row, at, column, cell)
		return
	}
	tree, err := parseCell(source)
	if err != nil {
		cell.Err = err
		return
	}
	box := &rowBox{cell: cell, column: column, tree: tree, changed: cell.Old == nil}
	w.boxes = append(w.boxes, box)
	part := func(m *marked, name envelope.Field, in slot) {
		content := in.get()
		if content == nil {
			return
		}
		r.add(w, rowPart{row: row, cell: cell, field: m, at: r.binding(at, m, name), box: box, slot: in, apart: apart}, content, plain)
	}
	if m := column.custom; m != nil {
		members, ok := tree.(map[string]any)
		if !ok || len(members) > maxFields {
			box.fail(errFields)
			return
		}
		for _, key := range sortedKeys(members) {
			name, err := r.plan.customName(m, key)
			if err != nil {
				box.fail(err)
				return
			}
			part(m, name, slot{members: members, name: key})
		}
		return
	}
	for i, m := range column.fields {
		found := false
		err := column.paths[i].visit(tree, func(s slot) error { found = true; part(m, m.name, s); return nil })
		if !found && column.needed[i] {
			box.lacks = append(box.lacks, i)
		}
		if err != nil {
			box.fail(fmt.Errorf("%w (path %s inside column %s)", err, column.paths[i], column.Name))
			return
		}
	}
}

// gatherFields gathers a column of Fields that can hold nothing but envelopes,
// in less time than any JSON takes.
func (r *Rows) gatherFields(w *rowWork, row int, at *rowPlace, column *rowColumn, cell *RowCell) {
	var fields Fields
	if err := fields.Scan(cell.Old); err != nil {
		cell.Err = err
		return
	}
	if fields == nil { // neither NULL nor text
		cell.Err = errFields
		return
	}
	m, box := column.custom, &rowBox{cell: cell, column: column, fields: fields}
	w.boxes = append(w.boxes, box)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		v := fields[key]
		if isUnreadable(key, &v) {
			box.fail(v.err)
			return
		}
		name, err := r.plan.customName(m, key)
		if err != nil {
			box.fail(err)
			return
		}
		p := rowPart{row: row, cell: cell, field: m, at: r.binding(at, m, name), box: box, slot: slot{name: key}}
		switch {
		case v.IsNull():
		case v.state != stateSealed:
			p.fail(v.err)
		default:
			p.env, p.text = v.env, true
			w.parts = append(w.parts, p)
		}
	}
}

func (r *Rows) binding(at *rowPlace, m *marked, name envelope.Field) envelope.Binding {
	b := envelope.Binding{Scope: r.scope(at.tenant, m.class), Field: name, Record: at.id, Unbound: r.plan.unbound}
	if m.deterministic {
		b.Record, b.Unbound = "", true
	}
	return b
}

// add sorts content into envelope, plaintext, and what is neither.
func (r *Rows) add(w *rowWork, p rowPart, content any, plain bool) {
	if plain && !beginsLikeEnvelope(content) {
		p.content = content
		w.parts = append(w.parts, p)
		return
	}
	var v Bytes
	_ = v.Scan(content) // what it refuses makes it unavailable
	if v.current() != stateSealed {
		p.fail(v.reason())
		return
	}
	p.env, p.text = v.sealedBytes(), v.text
	w.parts = append(w.parts, p)
}

// beginsLikeEnvelope reports content that is an envelope, or was one: it begins
// as those of any format version do.
func beginsLikeEnvelope(content any) bool {
	switch content := content.(type) {
	case string:
		return beginsBinary(content) || beginsText(content)
	case []byte:
		return beginsBinary(content) || beginsText(content)
	}
	return false
}

// fail notes why a part can't be dealt with. The cell tells the first reason.
func (p *rowPart) fail(err error) {
	p.err = err
	if p.box != nil {
		p.box.fail(err)
		return
	}
	if p.cell.Err == nil {
		p.cell.Err = err
	}
}
