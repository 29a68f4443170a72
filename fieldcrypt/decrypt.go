package fieldcrypt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// gatherEnvelopes notes what Decrypt has to open in one record. What can't be
// opened for a reason that is known by now becomes a failure.
func (h *handle) gatherEnvelopes(w *work, row int, record unsafe.Pointer) {
	w.nextRecord()
	for i := range h.plan.fields {
		m := &h.plan.fields[i]
		if at := m.in(record); at != nil {
			h.gatherEnvelope(w, &job{value: m.kind.at(at), field: m, row: row}, &m.name, nil, record)
		}
	}
	for i := range h.plan.custom {
		m := &h.plan.custom[i]
		at := m.in(record)
		if at == nil {
			continue
		}
		_ = m.kind.each(at, func(key string, v sensitive) error {
			name, err := h.plan.customName(m, key)
			h.gatherEnvelope(w, &job{value: v, field: m, row: row, in: at, key: key}, &name, err, record)
			return nil
		})
	}
}

func (h *handle) gatherEnvelope(w *work, j *job, name *envelope.Field, err error, record unsafe.Pointer) {
	state := j.value.current()
	if state != stateSealed && state != stateUnavailable {
		return
	}
	env := j.value.sealedBytes()
	if env == nil {
		h.gatherPlaintext(w, j, err, record)
		return
	}
	if err == nil {
		err = h.locate(&w.at, record)
	}
	if err != nil {
		j.err = err
		w.cannot = append(w.cannot, *j)
		w.fail(j, err)
		return
	}
	j.origin = h.originFor(&w.at, j.field.class)
	w.open.add(j, name, nil, env)
}

// label names the job's field in a failure, also when its key is no name.
func (j *job) label() string {
	switch {
	case j.in == nil, j.key == unreadable:
		return j.field.label
	case checkCustomKey(j.key) != nil:
		return fmt.Sprintf("%s.%s%.80q", j.field.module, j.field.prefix, j.key)
	}
	return j.field.module + "." + j.field.prefix + j.key
}

func (w *work) fail(j *job, err error) {
	w.failures = append(w.failures, Failure{j.row, j.label(), err})
}

// open does what was gathered for Decrypt.
func (h *handle) open(ctx context.Context, w *work) error {
	for i := range w.cannot {
		j := &w.cannot[i]
		switch {
		case j.dropped:
			j.value.drop(j.err)
		case !j.value.isCandidate(): // which is unavailable, and may be tried again
			j.value.setUnavailable(j.err, envelope.Field{}, nil)
		}
		j.apply()
	}
	h.adoptAll(w)
	if len(w.open.cells) == 0 {
		return h.failures(w)
	}
	failed := false
	h.openAll(ctx, w, func(i int, frame []byte, err error) {
		j := &w.open.jobs[i]
		if err == nil {
			err = j.value.decode(frame, w.open.cells[i].Binding.Field, j.origin, j.field.text)
		}
		if err == nil {
			j.apply()
			h.openedEnvelope(j)
			return
		}
		if !failed {
			failed = true
			h.noteSharing(w)
		}
		err = j.cause(err)
		w.fail(j, err)
		// The value may have been opened for another place since it was gathered.
		if j.stateNow() != stateOpened {
			j.value.setUnavailable(err, w.open.cells[i].Binding.Field, j.origin)
			j.apply()
		}
	})
	return h.failures(w)
}

// cause is why a value couldn't be opened for the job's place.
func (j *job) cause(err error) error {
	if j.err != nil {
		return fmt.Errorf("%w: %w", j.err, err)
	}
	return err
}

// stateNow returns the state of what the record holds, of which an entry's
// value is an earlier copy.
func (j *job) stateNow() state {
	if j.in != nil {
		return j.field.kind.stateOf(j.in, j.key)
	}
	return j.value.current()
}

// openStrict does what was gathered for DecryptStrict. Values are decoded into
// copies, which take their places once all of them are there.
func (h *handle) openStrict(ctx context.Context, w *work) error {
	plaintexts := h.adoptCopies(w)
	copies := make([]sensitive, len(w.open.cells))
	if len(copies) > 0 {
		h.noteSharing(w)
		h.openAll(ctx, w, func(i int, frame []byte, err error) {
			j := &w.open.jobs[i]
			if err == nil {
				copies[i] = j.field.kind.clone(j.value)
				err = copies[i].decode(frame, w.open.cells[i].Binding.Field, j.origin, j.field.text)
			}
			if err != nil {
				w.fail(j, j.cause(err))
			}
		})
	}
	if err := h.failures(w); err != nil {
		if failed, ok := errors.AsType[*DecryptError](err); ok {
			failed.Failures = w.failures[:1]
		}
		return err
	}
	for i := range w.open.jobs {
		j := &w.open.jobs[i]
		j.field.kind.assign(j.value, copies[i])
		j.apply()
		h.openedEnvelope(j)
	}
	for i := range w.plaintexts {
		j := &w.plaintexts[i]
		j.field.kind.assign(j.value, plaintexts[i])
		j.apply()
		h.tookPlaintext(j)
	}
	return nil
}

// failures returns what failed as an error, by row.
func (h *handle) failures(w *work) error {
	if len(w.failures) == 0 {
		return nil
	}
	slices.SortStableFunc(w.failures, func(a, b Failure) int { return cmp.Compare(a.Row, b.Row) })
	return &DecryptError{h.plan.typ, w.failures}
}
