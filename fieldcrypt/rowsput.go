package fieldcrypt

import (
	"bytes"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// How what became of the parts of rows gets into their cells.

// A rowBox is a cell of JSON with parts in it.
type rowBox struct {
	cell    *RowCell
	column  *rowColumn
	tree    any
	fields  Fields // in the place of tree, see gatherFields
	changed bool
	lacks   []int // the column's paths that lead to nothing, though the schema requires them
	err     error // of the first part that failed: the cell then stays as it is
}

func (b *rowBox) fail(err error) {
	if b.err == nil {
		b.err, b.cell.Err = err, err
	}
}

// parseCell reads a cell of JSON.
func parseCell(content any) (any, error) {
	var text []byte
	switch content := content.(type) {
	case []byte:
		text = content
	case string:
		text = []byte(content)
	default:
		return nil, errDocument
	}
	return parseTree(text)
}

// finish brings what became of the boxes' parts into their cells.
func (w *rowWork) finish(dry bool) {
	for _, b := range w.boxes {
		if b.err != nil || !b.changed {
			continue
		}
		b.cell.Changed = true
		if dry {
			continue
		}
		text, err := b.text()
		if err == nil && len(text) > maxDocument {
			err = errDocument
		}
		if err != nil {
			b.cell.Changed, b.cell.Err = false, err
			continue
		}
		b.cell.New = likeOld(b.cell.Old, text)
	}
}

func (b *rowBox) text() ([]byte, error) {
	if b.fields != nil {
		return b.fields.encode()
	}
	return marshalTree(b.tree)
}

// likeOld returns text in the Go type that the driver gave the cell in, since
// SQLite tells text from bytes.
func likeOld(old any, text []byte) any {
	if _, ok := old.([]byte); ok {
		return text
	}
	return string(text)
}

// put writes a new envelope to where the part is.
func (p *rowPart) put(env []byte) {
	text := p.text || p.box != nil
	if p.env == nil {
		text = p.field.text || p.box != nil
	}
	if p.box != nil && p.box.fields != nil {
		p.box.fields[p.slot.name] = String{env: env, state: stateSealed, text: true}
		p.box.changed = true
		return
	}
	if p.box != nil {
		form, err := envelope.AppendText(make([]byte, 0, envelope.TextLen(len(env))), env)
		if err != nil {
			p.fail(err)
			return
		}
		p.slot.put(stringOver(form))
		p.box.changed = true
		return
	}
	if text {
		form, err := envelope.AppendText(make([]byte, 0, envelope.TextLen(len(env))), env)
		if err != nil {
			p.fail(err)
			return
		}
		p.cell.New, p.cell.Changed = stringOver(form), true
		if old, ok := p.cell.Old.([]byte); ok && bytes.HasPrefix(old, []byte(textStart)) {
			p.cell.New = form
		}
		return
	}
	p.cell.New, p.cell.Changed = env, true
}

// bring writes an envelope that was found apart to the part's own cell, in the
// form of its field.
func (p *rowPart) bring(dry bool) {
	if dry {
		p.mark()
		return
	}
	env := p.env
	p.env = nil
	p.put(env)
}

// mark notes a change that a dry run doesn't make.
func (p *rowPart) mark() {
	if p.box != nil {
		p.box.changed = true
		return
	}
	p.cell.Changed = true
}

// wipe overwrites the plaintext that the call made.
func (w *rowWork) wipe() {
	for i := range w.parts {
		clear(w.parts[i].frame)
	}
}
