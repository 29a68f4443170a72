package fieldcrypt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

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
	v := p.field.kind.scan(p.env)
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
// holds. It is held to the field's limit and padded.
func (r *Rows) frameOf(m *marked, content any, inJSON bool) ([]byte, error) {
	if !inJSON {
		content = asStored(m.frameType(), content)
	}
	frame, err := m.frameOfContent(content)
	if err == nil {
		err = r.checkContent(m, frame)
	}
	if err != nil {
		clear(frame)
		return nil, err
	}
	return padded(frame, m.pad)
}

func (m *marked) frameOfContent(content any) ([]byte, error) {
	want := m.frameType()
	if m.plain != nil {
		switch v := content.(type) {
		case string:
			return appendFrame(nil, &v)
		case []byte:
			return appendFrame(nil, &v)
		}
		return nil, notExactly(want, content)
	}
	if text, ok := content.(string); ok && text == Redacted {
		return nil, ErrRedacted
	}
	v, err := m.kind.take(content)
	if err != nil {
		return nil, notExactly(want, content)
	}
	if v.current() != statePlain {
		return nil, errors.New("it is a sensitive value and no plaintext")
	}
	return v.appendFrame(nil)
}

func notExactly(want envelope.Type, content any) error {
	return fmt.Errorf("the column holds a %T that can't be a %s exactly: correct the row, or the field's type", content, want)
}

// asStored turns what drivers give into what values of a type are made of.
func asStored(want envelope.Type, content any) any {
	if b, ok := content.([]byte); ok && want != envelope.TypeBytes {
		content = string(b)
	}
	switch v := content.(type) {
	case string:
		switch want {
		case envelope.TypeBytes:
			return []byte(v)
		case envelope.TypeInt64, envelope.TypeUint64, envelope.TypeFloat64:
			return json.Number(v)
		case envelope.TypeBool:
			if b, err := strconv.ParseBool(v); err == nil {
				return b
			}
		case envelope.TypeTime:
			for _, layout := range []string{time.DateTime, time.DateOnly} { // a fraction is taken too
				if t, err := time.Parse(layout, v); err == nil {
					return t
				}
			}
		case envelope.TypeJSON:
			return json.RawMessage(v)
		}
	case int64:
		switch want {
		case envelope.TypeBool:
			if v == 0 || v == 1 {
				return v == 1
			}
		case envelope.TypeDecimal:
			return strconv.FormatInt(v, 10)
		}
	case time.Time:
		if want == envelope.TypeDate {
			return CivilDate{v.Year(), v.Month(), v.Day()}
		}
	}
	return content
}
