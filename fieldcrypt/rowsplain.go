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
	there, err := p.field.plainFrame(p.apart.Old)
	defer clear(there)
	return err == nil && sameFrame(there, p.frame)
}

// SamePlaintext reports whether Encrypt takes what a plaintext column holds for
// what DecryptToPlaintext wrote to it. Times are the same if they are the same
// instant, decimals if they are the same number, and documents whatever spaces and
// order they have: few columns keep a zone, or zeros at the end. Column is the
// index of the sensitive column in [Rows.Columns].
func (r *Rows) SamePlaintext(column int, holds, wrote any) bool {
	if r.Err() != nil || column < 0 || column >= len(r.columns) || holds == nil || wrote == nil {
		return false
	}
	if r.columns[column].JSON {
		return sameJSON(holds, wrote)
	}
	m := r.columns[column].fields[0]
	one, err := m.plainFrame(holds)
	defer clear(one)
	if err != nil {
		return false
	}
	other, err := m.plainFrame(wrote)
	defer clear(other)
	return err == nil && sameFrame(one, other)
}

// plainFrame is the frame of what a plaintext column holds, as Encrypt takes it.
func (m *marked) plainFrame(content any) ([]byte, error) {
	v := m.kindOf().scan(content, false)
	if !v.isCandidate() {
		return nil, v.reason()
	}
	if err := v.adopt(); err != nil {
		return nil, err
	}
	return v.appendFrame(nil)
}

func sameFrame(a, b []byte) bool {
	t, one, err := envelope.ParseFrame(a)
	if err != nil {
		return false
	}
	u, other, err := envelope.ParseFrame(b)
	switch {
	case err != nil || t != u:
		return false
	case t == envelope.TypeTime:
		return envelope.DecodeTime(one).Equal(envelope.DecodeTime(other))
	case t == envelope.TypeDecimal:
		return bytes.Equal(shortDecimal(one), shortDecimal(other))
	case t == envelope.TypeJSON:
		return bytes.Equal(one, other) || sameJSON(one, other)
	case t == envelope.TypeFloat64:
		return envelope.DecodeFloat64(one) == envelope.DecodeFloat64(other) || bytes.Equal(one, other)
	}
	return bytes.Equal(one, other)
}

// shortDecimal is a decimal without zeros at the end of its fraction.
func shortDecimal(d []byte) []byte {
	if bytes.IndexByte(d, '.') >= 0 {
		d = bytes.TrimSuffix(bytes.TrimRight(d, "0"), []byte("."))
	}
	return d
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
