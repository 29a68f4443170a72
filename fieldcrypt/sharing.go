package fieldcrypt

import (
	"fmt"
	"unsafe"
)

// Records can share a value: two pointers lead to it, or two maps are the same.
// It has one envelope, which belongs to one place: sealed for both, the last
// one would win, and the other record could never be read again.

// An identity tells values apart. A map's entry, which has no address, is known
// by its map and its key.
type identity struct {
	value sensitive // nil for an entry
	in    unsafe.Pointer
	key   string
}

func (j *job) identity() identity {
	if j.slot != nil {
		return j.slot.identity()
	}
	if j.in == nil {
		return identity{value: j.value}
	}
	return identity{in: j.field.kind.mapOf(j.in), key: j.key}
}

// fewJobs are compared with one another in less time than they are hashed in.
const fewJobs = 8

// sharing finds jobs that are about one value at two places. A record that was
// given twice isn't that: places are compared by what they say.
func (w *work) sharing(b *batch, found func(first, second *job)) {
	if len(b.jobs) <= fewJobs {
		for i := range b.jobs {
			for first := range i {
				if b.jobs[first].sameValue(&b.jobs[i]) {
					b.compare(first, i, found)
					break
				}
			}
		}
		return
	}
	if w.seen == nil {
		w.seen = make(map[identity]int, len(b.jobs))
	}
	clear(w.seen)
	for i := range b.jobs {
		id := b.jobs[i].identity()
		if first, again := w.seen[id]; again {
			b.compare(first, i, found)
		} else {
			w.seen[id] = i
		}
	}
}

func (j *job) sameValue(other *job) bool {
	if j.slot != nil {
		return j.identity() == other.identity()
	}
	if j.in == nil || other.in == nil {
		return j.in == nil && other.in == nil && j.value == other.value
	}
	return j.key == other.key && j.identity() == other.identity()
}

func (b *batch) compare(first, second int, found func(first, second *job)) {
	if b.cells[first].Binding != b.cells[second].Binding {
		found(&b.jobs[first], &b.jobs[second])
	}
}

// unshared refuses values that Encrypt would have to seal, or to verify, for
// two places.
func (h *handle) unshared(w *work) (err error) {
	if !h.plan.shares {
		return nil
	}
	for _, b := range []*batch{&w.seal, &w.open} {
		w.sharing(b, func(first, second *job) {
			if err == nil {
				err = h.failed(second.row, second.label(), errShared(first, second))
			}
		})
	}
	return err
}

// noteSharing lets the jobs of Decrypt know of each other.
func (h *handle) noteSharing(w *work) {
	if h.plan.shares {
		w.sharing(&w.open, func(first, second *job) {
			first.err = errShared(first, second)
			second.err = first.err
		})
	}
}

func errShared(first, second *job) error {
	if first.row == second.row {
		return fmt.Errorf("the same value belongs to %s and %s of record %d: give each its own", first.label(), second.label(), first.row)
	}
	return fmt.Errorf("the same value belongs to record %d and record %d: give each its own", first.row, second.row)
}
