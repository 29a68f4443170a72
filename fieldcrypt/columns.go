package fieldcrypt

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Columns holds what is written to, or was read from, the marked columns of
// one record of a type with plain Go fields, by field name as in
// "Contacts.phone": an envelope in binary form, or in text form where the tag
// says text, which SQLite's text columns take as a string only. A nil entry is
// NULL. The tag of a blind index is there by its column's name, as in
// "email_tag"; DecryptColumns has no use for it.
type Columns map[string][]byte

// EncryptColumns is Encrypt for a type whose marked fields are plain strings
// and bytes: it leaves the record as it is and returns what to write. A nil
// []byte or *string is NULL. Nothing keeps a program from writing the fields
// themselves, save the CHECK of [Records.DDL]: prefer the types of this
// package where the record type can be changed.
func (r *Records[T]) EncryptColumns(ctx context.Context, record *T) (Columns, error) {
	h := r.of()
	w, err := h.beginColumns(ctx, "EncryptColumns", record == nil)
	if err != nil {
		return nil, err
	}
	defer w.end()
	return h.encryptColumns(ctx, w, unsafe.Pointer(record))
}

// DecryptColumns opens what was read into the fields of a record, whose ID and
// tenant are set already. Both forms of an envelope are taken. Fields that
// columns doesn't name stay as they are; a name that isn't a field's is an
// error. It is all or nothing: on an error, which for an envelope that can't
// be opened is a [*DecryptError], no field was changed.
func (r *Records[T]) DecryptColumns(ctx context.Context, record *T, columns Columns) error {
	h := r.of()
	w, err := h.beginColumns(ctx, "DecryptColumns", record == nil)
	if err != nil {
		return err
	}
	defer w.end()
	return h.decryptColumns(ctx, w, unsafe.Pointer(record), columns)
}

func (h *handle) beginColumns(ctx context.Context, call string, null bool) (*work, error) {
	if null {
		return nil, fmt.Errorf("fieldcrypt: %s: the record is a nil pointer", call)
	}
	if h.crypt != nil && !h.plan.plains {
		return nil, fmt.Errorf("fieldcrypt: %s of %s: its marked fields are fieldcrypt values, which hold their envelopes: use Encrypt and Decrypt", call, h.plan.typ)
	}
	return h.begin(ctx, call)
}

func (h *handle) encryptColumns(ctx context.Context, w *work, record unsafe.Pointer) (Columns, error) {
	columns := make(Columns, len(h.plan.fields))
	for i := range h.plan.fields {
		m := &h.plan.fields[i]
		at := m.in(record)
		if at == nil {
			columns[m.label] = nil
			continue
		}
		frame, null := m.plain.frame(at)
		if null {
			columns[m.label] = nil
			continue
		}
		err := h.locate(&w.at, record)
		if err == nil {
			err = h.checkContent(m, frame)
		}
		if err == nil {
			frame, err = m.pad.apply(frame)
		}
		if err != nil {
			clear(frame)
			return nil, h.failed(0, m.label, err)
		}
		w.seal.add(&job{field: m, origin: h.originFor(&w.at, m.class)}, &m.name, frame, nil)
		if m.indexed {
			w.sources = append(w.sources, source{field: m, frame: frame, open: -1})
		}
	}
	err := h.gatherIndexes(w, 0, 0, nil, func(x *indexed) (*BlindIndex, map[string]any) { return (*BlindIndex)(x.in(record)), nil })
	if err != nil {
		return nil, err
	}
	if err := h.makeIndexes(ctx, w); err != nil {
		return nil, err
	}
	for i := range w.indexes {
		column := h.plan.indexes[w.indexes[i].of].column
		if columns[column] = nil; w.indexes[i].made.tag != nil {
			columns[column] = *w.indexes[i].made.tag
		}
	}
	if err := h.sealAll(ctx, &w.seal); err != nil {
		return nil, err
	}
	for i := range w.seal.cells {
		m, env := w.seal.jobs[i].field, w.seal.cells[i].Envelope
		if m.text {
			text, err := envelope.AppendText(make([]byte, 0, envelope.TextLen(len(env))), env)
			if err != nil {
				return nil, h.failed(0, m.label, err)
			}
			env = text
		}
		columns[m.label] = env
	}
	return columns, nil
}

func (h *handle) decryptColumns(ctx context.Context, w *work, record unsafe.Pointer, columns Columns) error {
	for name := range columns {
		if _, known := h.plan.names[name]; !known && !h.plan.hasIndex(name) {
			return fmt.Errorf("fieldcrypt: DecryptColumns of %s: %.80q isn't one of its marked fields", h.plan.typ, name)
		}
	}
	var nulls []unsafe.Pointer
	var nullFields []*marked
	var plaintexts [][]byte // of w.plaintexts
	for i := range h.plan.fields {
		m := &h.plan.fields[i]
		column, named := columns[m.label]
		if !named {
			continue
		}
		at := m.in(record)
		if at == nil {
			if column == nil {
				continue
			}
			return h.failed(0, m.label, fmt.Errorf("a pointer on the way to field %s is nil: there is nowhere to put the value", m.goName))
		}
		if column == nil {
			nulls, nullFields = append(nulls, at), append(nullFields, m)
			continue
		}
		j := job{field: m, in: at}
		fail := func(err error) error { return &DecryptError{h.plan.typ, []Failure{{0, m.label, err}}} }
		if err := h.locate(&w.at, record); err != nil {
			return fail(err)
		}
		j.origin = h.originFor(&w.at, m.class)
		v := new(Bytes)
		_ = v.Scan(column) // what it refuses makes it unavailable
		if env := v.sealedBytes(); env != nil {
			w.open.add(&j, &m.name, nil, env)
			continue
		}
		content, err := h.plaintextColumn(w, &j, v)
		if err != nil {
			return fail(err)
		}
		plaintexts = append(plaintexts, content)
	}
	contents := make([][]byte, len(w.open.cells))
	defer func() {
		for _, content := range contents {
			clear(content)
		}
		for _, content := range plaintexts {
			clear(content)
		}
	}()
	if len(contents) > 0 {
		h.openAll(ctx, w, func(i int, frame []byte, err error) {
			j := &w.open.jobs[i]
			if err == nil {
				frame, err = j.field.payload(frame)
			}
			if err != nil {
				w.failures = append(w.failures, Failure{0, j.field.label, err})
				return
			}
			contents[i] = frame
		})
	}
	if err := h.failures(w); err != nil {
		return err
	}
	for i, content := range contents {
		j := &w.open.jobs[i]
		j.field.plain.write(j.in, content, false)
		h.openedEnvelope(j)
	}
	for i, content := range plaintexts {
		j := &w.plaintexts[i]
		j.field.plain.write(j.in, content, false)
		h.tookPlaintext(j)
	}
	for i, at := range nulls {
		nullFields[i].plain.write(at, nil, true)
	}
	return nil
}
