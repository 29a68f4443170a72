package fieldcrypt

import (
	"bytes"
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// DecryptToPlaintext writes what the envelopes hold in the clear: it is the way
// out of this library, and the only call that takes the protection of stored
// values away. Its name is long so that it can be found. Where [Row.Plain] has a
// cell the plaintext goes there, else in the place of the envelope. Plaintext
// that is there already stays.
func (r *Rows) DecryptToPlaintext(ctx context.Context, batch []Row, opts RowOptions) error {
	if err := r.begin(ctx, "DecryptToPlaintext", batch); err != nil {
		return err
	}
	w := r.gather(batch, opts.Class, wantPlain)
	defer w.wipe()
	due := r.chosen(w, func(p *rowPart) bool { return p.env != nil }, opts.Class)
	r.openParts(ctx, due)
	for _, p := range due {
		if p.err != nil {
			continue
		}
		var content any
		var err error
		if p.box != nil {
			content, err = p.inJSON()
		} else {
			content, err = p.inColumn()
		}
		switch {
		case err != nil:
			p.fail(err)
		case p.box != nil:
			p.slot.put(content)
			p.box.changed = true
		case p.apart == nil:
			p.cell.New, p.cell.Changed = content, true
		case !r.holdsAlready(p):
			p.apart.New, p.apart.Changed = content, true
		}
	}
	w.finish(false)
	r.moveApart(batch)
	if opts.Dry {
		forget(batch)
	}
	return ctx.Err()
}

// holdsAlready reports whether the plaintext's column has the part's content.
func (r *Rows) holdsAlready(p *rowPart) bool {
	if p.apart.Old == nil {
		return false
	}
	frame, err := r.frameOf(p.field, p.apart.Old, false)
	defer clear(frame)
	if err != nil {
		return false
	}
	_, there, err := envelope.ParseFrame(frame)
	_, holds, err2 := envelope.ParseFrame(p.frame)
	return err == nil && err2 == nil && bytes.Equal(there, holds)
}

// moveApart brings documents to the cells where plaintext goes.
func (r *Rows) moveApart(batch []Row) {
	for i := range batch {
		for c := range batch[i].Plain {
			cell, apart := &batch[i].Cells[c], &batch[i].Plain[c]
			if !apart.Apart || !r.columns[c].JSON || !cell.Changed {
				continue
			}
			if !sameJSON(apart.Old, cell.New) {
				apart.New, apart.Changed = cell.New, true
			}
			cell.New, cell.Changed = nil, false
		}
	}
}

func sameJSON(a, b any) bool {
	one, err := parseCell(a)
	if err != nil {
		return false
	}
	other, err := parseCell(b)
	if err != nil {
		return false
	}
	x, err := marshalTree(one)
	if err != nil {
		return false
	}
	y, err := marshalTree(other)
	return err == nil && bytes.Equal(x, y)
}

// forget drops what a dry run would have written.
func forget(batch []Row) {
	for i := range batch {
		for c := range batch[i].Cells {
			batch[i].Cells[c].New = nil
		}
		for c := range batch[i].Plain {
			batch[i].Plain[c].New = nil
		}
	}
}

// inJSON returns the part's content as a document has it.
func (p *rowPart) inJSON() (any, error) {
	v := p.field.kind.scan(p.env, true)
	if err := v.decode(append([]byte(nil), p.frame...), p.at.Field, nil, true); err != nil {
		return nil, err
	}
	b, ok := p.field.kind.box(v).(boxed)
	if !ok {
		return nil, errWrongType
	}
	return b.jsonContent()
}

// inColumn returns the part's content as database/sql writes it.
func (p *rowPart) inColumn() (any, error) {
	t, payload, err := envelope.ParseFrame(p.frame)
	if err != nil {
		return nil, err
	}
	switch t {
	case envelope.TypeString, envelope.TypeDecimal, envelope.TypeJSON:
		return string(payload), nil
	case envelope.TypeBytes:
		return append([]byte{}, payload...), nil
	case envelope.TypeInt64:
		return envelope.DecodeInt64(payload), nil
	case envelope.TypeUint64:
		if n := envelope.DecodeUint64(payload); n > math.MaxInt64 {
			return strconv.FormatUint(n, 10), nil
		}
		return int64(envelope.DecodeUint64(payload)), nil
	case envelope.TypeFloat64:
		return envelope.DecodeFloat64(payload), nil
	case envelope.TypeBool:
		return envelope.DecodeBool(payload), nil
	case envelope.TypeTime:
		return envelope.DecodeTime(payload), nil
	case envelope.TypeDate:
		year, month, day := envelope.DecodeDate(payload)
		return CivilDate{year, month, day}.String(), nil
	}
	return nil, errWrongType
}

// frameOf makes the frame of what a plaintext column, or with inJSON a document,
// holds, as a field in migrating mode takes it. It is held to the field's limit
// and padded.
func (r *Rows) frameOf(m *marked, content any, inJSON bool) ([]byte, error) {
	v := m.kindOf().scan(content, inJSON)
	if !v.isCandidate() {
		return nil, v.reason()
	}
	if err := v.adopt(); err != nil {
		return nil, err
	}
	frame, err := v.appendFrame(nil)
	if err == nil {
		err = r.checkContent(m, frame)
	}
	if err != nil {
		clear(frame)
		return nil, err
	}
	return m.pad.apply(frame)
}

// kindOf returns the kind of the field's values; of a plain field, that of the
// values that it stands for.
func (m *marked) kindOf() *kind {
	if m.kind != nil {
		return m.kind
	}
	return kindNames[strings.ToLower(m.typ().String())]
}
