package fieldcrypt

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// sealAll gives every cell of the batch its envelope, or none.
func (h *handle) sealAll(ctx context.Context, b *batch) error {
	if len(b.cells) == 0 {
		return nil
	}
	seal := h.crypt.ring.SealAll
	if b.oneRecord() && !b.cells[0].Deterministic && h.crypt.ring.Mode() == envelope.ModeReference {
		seal = h.sealTogether
	}
	err := seal(ctx, b.cells)
	if err == nil {
		return nil
	}
	for i := range b.cells { // the first cell to fail knows its record
		if b.cells[i].Err != nil {
			return h.failed(b.jobs[i].row, b.cells[i].Binding.Field.String(), err)
		}
	}
	return fmt.Errorf("fieldcrypt: Encrypt of %s: %w", h.plan.typ, err)
}

// sealTogether seals the cells of one record and scope, which need one key,
// into one piece of memory.
func (h *handle) sealTogether(ctx context.Context, cells []envelope.Cell) error {
	size := 0
	for i := range cells {
		size += len(cells[i].Frame) + envelope.ReferenceOverhead - 1
	}
	memory := make([]byte, 0, size)
	for i := range cells {
		c := &cells[i]
		var sealed []byte
		if sealed, c.Err = h.crypt.ring.AppendSeal(ctx, memory, &c.Binding, c.Frame); c.Err != nil {
			return c.Err
		}
		c.Envelope = sealed[len(memory):len(sealed):len(sealed)]
		memory = sealed
	}
	return nil
}

// openAll opens every cell of the work's batch and visits its frame, which is
// the visitor's to keep, or the reason why there is none.
func (h *handle) openAll(ctx context.Context, w *work, visit func(i int, frame []byte, err error)) {
	cells := w.open.cells
	if !w.open.oneKey() {
		h.openFrom(ctx, w, 0, visit)
		return
	}
	var memory []byte
	for i := range cells {
		if i == 0 || w.open.jobs[i].origin != w.open.jobs[i-1].origin || cap(memory)-len(memory) < frameSize(&cells[i]) {
			memory = make([]byte, 0, w.open.framesFrom(i))
		}
		start := len(memory)
		opened, err := h.crypt.ring.AppendOpen(ctx, memory, &cells[i].Binding, cells[i].Envelope)
		if err != nil {
			visit(i, nil, err)
			h.openRest(ctx, w, i+1, err, visit)
			return
		}
		memory = opened
		visit(i, opened[start:len(opened):len(opened)], nil)
	}
}

// openRest goes on after a cell of a batch of one key that failed with err. If
// there is no key, each further cell that asked for it would be one more call
// and wait as long: the cells have the same cause then, and ask nobody.
func (h *handle) openRest(ctx context.Context, w *work, from int, err error, visit func(i int, frame []byte, err error)) {
	if errors.Is(err, envelope.ErrNotAuthentic) || errors.Is(err, envelope.ErrMalformed) {
		h.openFrom(ctx, w, from, visit) // this one cell's fault, or the key's: OpenAll asks for a key once
		return
	}
	cause := err
	if inner := errors.Unwrap(err); inner != nil {
		cause = inner // without the place of the cell that asked
	}
	for i := from; i < len(w.open.cells); i++ {
		visit(i, nil, fmt.Errorf("fieldcrypt: open %s: %w", &w.open.cells[i].Binding, cause))
	}
}

// openFrom opens the cells from one on, of any keys, and asks once for each key.
func (h *handle) openFrom(ctx context.Context, w *work, from int, visit func(i int, frame []byte, err error)) {
	cells := w.open.cells
	h.crypt.ring.OpenAll(ctx, cells[from:])
	for i := from; i < len(cells); i++ {
		frame := cells[i].Frame
		cells[i].Frame = nil
		visit(i, frame, cells[i].Err)
	}
}

// frameSize returns the bytes of the frame in an envelope by reference.
func frameSize(c *envelope.Cell) int { return max(0, len(c.Envelope)-envelope.ReferenceOverhead+1) }

// framesTogether is the most bytes of frames that share memory: as long as a
// program keeps one of them, it keeps them all.
const framesTogether = 1024

// framesFrom returns the bytes of frames, from the i-th on, that share memory:
// those of one record, unless they are large.
func (b *batch) framesFrom(i int) int {
	size := frameSize(&b.cells[i])
	for next := i + 1; next < len(b.cells) && b.jobs[next].origin == b.jobs[i].origin; next++ {
		more := frameSize(&b.cells[next])
		if size+more > framesTogether {
			break
		}
		size += more
	}
	return size
}

// oneRecord reports whether all cells are of one record and scope.
func (b *batch) oneRecord() bool {
	for i := range b.jobs {
		if b.jobs[i].origin != b.jobs[0].origin {
			return false
		}
	}
	return true
}

// oneKey reports whether all envelopes are by reference to one key, so that
// there are no keys to fetch in parallel.
func (b *batch) oneKey() bool {
	const head = 3 + len(envelope.KeyID{}) // magic, version, mode, key ID
	first := &b.cells[0]
	if len(first.Envelope) < head || envelope.Mode(first.Envelope[2]) != envelope.ModeReference {
		return false
	}
	for i := range b.cells {
		c := &b.cells[i]
		if c.Deterministic || len(c.Envelope) < head || !bytes.Equal(c.Envelope[:head], first.Envelope[:head]) ||
			c.Binding.Scope != first.Binding.Scope {
			return false
		}
	}
	return true
}

// verify makes sure that values which were scanned, and not decrypted, have
// the envelopes of the places at which they would be written again.
func (h *handle) verify(ctx context.Context, w *work) error {
	var failed error
	h.openAll(ctx, w, func(i int, frame []byte, err error) {
		j := &w.open.jobs[i]
		if err == nil {
			_, err = j.field.payload(frame)
			if j.field.indexed {
				w.open.cells[i].Frame = frame // for makeIndexes; the work wipes it
			} else {
				clear(frame)
			}
		}
		if err != nil && failed == nil {
			failed = h.failed(j.row, j.label(), fmt.Errorf("the envelope that was read can't be written here: %w", err))
		}
	})
	return failed
}

// errWrongType is as opaque as what a wrong key gives: a frame that was sealed
// for a field has the field's type.
var errWrongType = fmt.Errorf("fieldcrypt: %w", envelope.ErrNotAuthentic)

// payload returns the payload of a frame that was sealed for the field. It
// points into the frame.
func (m *marked) payload(frame []byte) ([]byte, error) {
	t, payload, err := envelope.ParseFrame(frame)
	if err != nil {
		return nil, err
	}
	if t != m.typ() {
		return nil, errWrongType
	}
	return payload, nil
}
