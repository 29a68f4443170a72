package fieldcrypt

import (
	"bytes"
	"context"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// IndexColumns returns the columns of the record type's blind indexes.
func (r *Rows) IndexColumns() []RowColumn {
	columns := make([]RowColumn, len(r.plan.indexes))
	for i := range r.plan.indexes {
		x := &r.plan.indexes[i]
		columns[i] = RowColumn{Name: x.column, Fields: strings.Split(x.tagging.of, "+"), Text: x.text}
	}
	return columns
}

// Reindex makes the tags of the rows' blind indexes anew, in [Row.Index], and
// changes no envelope. A tag that is as it should be stays. The index of a value
// that can't be opened stays as it is too, and the value's cell tells why.
func (r *Rows) Reindex(ctx context.Context, batch []Row, opts RowOptions) error {
	if err := r.begin(ctx, "Reindex", batch); err != nil {
		return err
	}
	w := r.gather(batch, opts.Class, wantEnvelopes)
	defer w.wipe()
	r.openParts(ctx, r.chosen(w, func(p *rowPart) bool { return p.field.indexed }, opts.Class))
	r.index(ctx, w, batch, opts)
	return ctx.Err()
}

// index makes the tags of rows whose indexed values have their frames.
func (r *Rows) index(ctx context.Context, w *rowWork, batch []Row, opts RowOptions) {
	if len(r.plan.indexes) == 0 {
		return
	}
	values := make(map[indexedValue]*rowPart)
	for i := range w.parts {
		if p := &w.parts[i]; p.field.indexed {
			values[indexedValue{p.row, p.field}] = p
		}
	}
	failed := map[envelope.Scope]error{}
	for i := range batch {
		row := &batch[i]
		if len(row.Index) == 0 {
			continue
		}
		at := r.place(row)
		for n := range r.plan.indexes {
			x, cell := &r.plan.indexes[n], &row.Index[n]
			if opts.Class != "" && r.plan.classes[x.class] != opts.Class || r.unknown(row, x) {
				continue
			}
			texts, known := r.indexTexts(values, i, x)
			switch {
			case !known:
				continue
			case texts == nil:
				cell.become(nil, opts.Dry)
				continue
			case at.err != nil:
				cell.Err = at.err
				continue
			}
			scope := r.scope(at.tenant, x.class)
			if err := failed[scope]; err != nil {
				cell.Err = err
				continue
			}
			if err := r.tag(ctx, cell, n, scope, at.id, texts, opts.Dry); err != nil {
				failed[scope], cell.Err = err, err
			}
		}
	}
}

type indexedValue struct {
	row   int
	field *marked
}

// unknown reports whether a cell of the index's fields couldn't be dealt with.
func (r *Rows) unknown(row *Row, x *indexed) bool {
	for c := range r.columns {
		if row.Cells[c].Err == nil {
			continue
		}
		for _, m := range r.columns[c].fields {
			for _, f := range x.fields {
				if m == &r.plan.fields[f] {
					return true
				}
			}
		}
	}
	return false
}

// indexTexts returns the contents that a row has of an index's fields: nil where
// one of them is null, and not known where one has no frame.
func (r *Rows) indexTexts(values map[indexedValue]*rowPart, row int, x *indexed) (texts []string, known bool) {
	for _, f := range x.fields {
		p := values[indexedValue{row, &r.plan.fields[f]}]
		if p == nil {
			return nil, true
		}
		if p.err != nil || p.frame == nil {
			return nil, false
		}
		text, err := contentText(p.frame)
		if err != nil {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

// tag gives a cell the tag of its contents.
func (r *Rows) tag(ctx context.Context, cell *RowCell, index int, scope envelope.Scope, record string, texts []string, dry bool) error {
	x := &r.plan.indexes[index]
	normalised, err := r.normalised(index, texts)
	if err != nil { // it has no normalised form, and so no tag
		cell.become(nil, dry)
		return nil
	}
	defer clear(normalised)
	form := func(tag []byte) any {
		if x.text {
			return stringOver(x.ring.AppendText(nil, tag))
		}
		return tag
	}
	if !dry {
		tag, err := r.crypt.ring.AppendTag(ctx, nil, x.ring, scope, record, normalised)
		if err == nil {
			cell.become(form(tag), dry)
		}
		return err
	}
	tags, err := r.crypt.ring.QueryTags(ctx, x.ring, scope, normalised) // which makes no key
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if sameTag(cell.Old, form(tag)) {
			return nil
		}
	}
	cell.Changed = true
	return nil
}

// become notes what is to be written to a cell, if that is something else.
func (c *RowCell) become(tag any, dry bool) {
	if sameTag(c.Old, tag) {
		return
	}
	c.Changed = true
	if !dry {
		c.New = tag
	}
}

func sameTag(old, tag any) bool {
	if old == nil || tag == nil {
		return old == nil && tag == nil
	}
	return bytes.Equal(tagBytes(old), tagBytes(tag))
}

func tagBytes(v any) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}
