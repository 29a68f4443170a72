package fieldcrypt

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// gatherPlain checks one record for Encrypt and notes what has to be done. It
// changes nothing.
func (h *handle) gatherPlain(w *work, row int, record unsafe.Pointer) error {
	w.nextRecord()
	first := len(w.sources)
	for i := range h.plan.fields {
		m := &h.plan.fields[i]
		at := m.in(record)
		if at == nil {
			continue
		}
		if err := h.gatherValue(w, &job{value: m.kind.at(at), field: m, row: row}, &m.name, record); err != nil {
			return err
		}
	}
	for i := range h.plan.custom {
		m := &h.plan.custom[i]
		at := m.in(record)
		if at == nil {
			continue
		}
		if m.isJSON {
			w.beginColumn(m, row)
		}
		err := m.kind.each(at, func(key string, v sensitive) error {
			if isUnreadable(key, v) {
				return h.failed(row, m.label, fmt.Errorf("%w: assign the map anew", v.reason()))
			}
			name, err := h.plan.customName(m, key)
			if err != nil {
				return h.failed(row, m.label, err)
			}
			if err := h.gatherValue(w, &job{value: v, field: m, row: row, in: at, key: key}, &name, record); err != nil {
				return err
			}
			if m.isJSON {
				if err := w.member(key, v); err != nil {
					return h.failed(row, m.label, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(h.plan.indexes) > 0 {
		return h.gatherIndexes(w, row, first, nil, func(x *indexed) (*BlindIndex, map[string]any) {
			return (*BlindIndex)(x.in(record)), nil
		})
	}
	return nil
}

// gatherValue notes what Encrypt has to do with one value.
func (h *handle) gatherValue(w *work, j *job, name *envelope.Field, record unsafe.Pointer) error {
	if !j.field.indexed {
		return h.gatherState(w, j, name, record)
	}
	opens, seals := len(w.open.cells), len(w.seal.cells)
	if err := h.gatherState(w, j, name, record); err != nil {
		return err
	}
	if j.value.current() != stateNull {
		s := source{field: j.field, value: j.value, open: -1}
		switch {
		case len(w.open.cells) > opens:
			s.open = opens
		case len(w.seal.cells) > seals:
			s.frame = w.seal.cells[seals].Frame
		}
		w.sources = append(w.sources, s)
	}
	return nil
}

// gatherState is gatherValue for a value whose field has no blind index.
func (h *handle) gatherState(w *work, j *job, name *envelope.Field, record unsafe.Pointer) error {
	state := j.value.current()
	if state == stateNull {
		return nil
	}
	if err := h.locate(&w.at, record); err != nil {
		return h.failed(j.row, name.String(), err)
	}
	switch state {
	case statePlain:
		return h.gatherContent(w, j, name)
	case stateOpened:
		f, o := j.value.sealedFor()
		if f != *name || o == nil || !h.holds(&w.at, j.field.class, o) {
			return h.failed(j.row, name.String(), h.moved(f, o, *name, &w.at, j.field.class))
		}
		if o.crypt != h.crypt.id { // whose keys this one may not have
			return h.gatherContent(w, j, name)
		}
	case stateSealed:
		j.origin = h.originFor(&w.at, j.field.class)
		w.open.add(j, name, nil, j.value.sealedBytes())
	default: // unavailable
		if j.value.sealedBytes() == nil {
			return h.gatherCandidate(w, j, name)
		}
		f, o := j.value.sealedFor()
		if o == nil { // nobody tried to open it, for want of a place
			j.origin = h.originFor(&w.at, j.field.class)
			w.open.add(j, name, nil, j.value.sealedBytes())
			return nil
		}
		if f != *name || !h.holds(&w.at, j.field.class, o) {
			return h.failed(j.row, name.String(), fmt.Errorf("%w; it couldn't be decrypted there: %w",
				h.moved(f, o, *name, &w.at, j.field.class), j.value.reason()))
		}
	}
	return nil
}

// gatherContent notes that the content of a plain or opened value is to be
// sealed.
func (h *handle) gatherContent(w *work, j *job, name *envelope.Field) error {
	frame, err := h.frame(w, j)
	if err != nil {
		return h.failed(j.row, name.String(), err)
	}
	j.origin = h.originFor(&w.at, j.field.class)
	w.seal.add(j, name, frame, nil)
	return nil
}

// frame appends the value's frame to the work's memory, held to the field's
// limit and padded. On an error nothing of the value is left behind.
func (h *handle) frame(w *work, j *job) ([]byte, error) {
	frame, err := j.value.appendFrame(w.room())
	if err == nil {
		err = h.checkContent(j.field, frame)
	}
	if err != nil {
		clear(frame)
		return nil, err
	}
	if frame, err = j.field.pad.apply(frame); err != nil {
		return nil, err
	}
	w.took(frame)
	return frame, nil
}

// checkContent holds the frame of a value to its field's limit, and refuses
// Redacted, which a value that was printed left behind. Neither concerns types
// of fixed size.
func (h *handle) checkContent(m *marked, frame []byte) error {
	if m.kind != nil && m.kind.size >= 0 {
		return nil
	}
	if isMarker(frame) {
		return ErrRedacted
	}
	limit, says := h.limitOf(m)
	if size := len(frame) - 1; size > limit {
		return fmt.Errorf("the value is %d bytes, the limit is %d (%s): shorten it, or raise the limit and its column's size", size, limit, says)
	}
	return nil
}

// limitOf returns the most bytes of payload that the field takes, and what
// says so.
func (h *handle) limitOf(m *marked) (limit int, says string) {
	if m.max != 0 {
		return m.max, "max in the field's tag"
	}
	return h.crypt.maxValue, "Options.MaxValue"
}

// moved tells from where to where a value with an envelope was moved.
func (h *handle) moved(from envelope.Field, o *origin, to envelope.Field, at *place, class int) error {
	was := envelope.Binding{Field: from}
	if o != nil {
		was = o.binding(from)
	}
	is := h.originFor(at, class).binding(to)
	return fmt.Errorf("the value has the envelope of another place, %s, which can't be opened at %s: to encrypt it here too, Set it with what Plain returns", &was, &is)
}

func (o *origin) binding(f envelope.Field) envelope.Binding {
	return envelope.Binding{Scope: o.scope, Field: f, Record: o.record, Unbound: o.unbound}
}

// seal does what was gathered for Encrypt. Nothing is changed before all of it
// has succeeded.
func (h *handle) seal(ctx context.Context, w *work) error {
	if err := h.unshared(w); err != nil {
		return err
	}
	if len(w.open.cells) > 0 {
		if err := h.verify(ctx, w); err != nil {
			return err
		}
	}
	if err := h.makeIndexes(ctx, w); err != nil {
		return err
	}
	if err := h.sealAll(ctx, &w.seal); err != nil {
		return err
	}
	if err := h.fitColumns(w); err != nil {
		return err
	}
	for i := range w.seal.jobs {
		j, c := &w.seal.jobs[i], &w.seal.cells[i]
		h.adoptSealed(j)
		j.value.setOpened(c.Envelope, j.field.text, c.Binding.Field, j.origin)
		j.apply()
	}
	for i := range w.indexes {
		w.indexes[i].apply(&h.plan.indexes[w.indexes[i].of])
	}
	return nil
}
