package fieldcrypt

import (
	"sync"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A work is the memory of one call: the values that it is about, in the form
// that the key ring takes them. Works are pooled.
type work struct {
	seal, open batch
	cannot     []job // can't be opened, for a reason that is known before
	plaintexts []job // of fields in migrating mode, to be made their values
	failures   []Failure
	columns    []fieldsColumn
	seen       map[identity]int // of batch.sharing

	sources []source // of blind indexes
	indexes []indexing

	// frames is where small frames are put one after another. What doesn't
	// fit gets memory of its own: frames never moves, since what it held would
	// stay behind unwiped.
	frames []byte

	// at is the place of the record that is being gathered.
	at place
}

// A batch is cells for the key ring, and for each of them what it stands for.
type batch struct {
	cells []envelope.Cell
	jobs  []job
}

// A job is a value on its way to the key ring and back.
type job struct {
	value  sensitive
	field  *marked
	origin *origin
	row    int
	err    error // in work.cannot: why; in work.open: which other place has the same value

	// A map's entry: value is a copy, which put brings back.
	in  unsafe.Pointer
	key string

	slot *slot // of Maps: where the value goes

	dropped bool // in work.cannot: nothing of the value is kept
}

// A place is where the values of one record belong. It is found out when the
// first value needs it, and an origin when the first value of its class does.
type place struct {
	known   bool
	err     error
	tenant  string
	id      string
	origins []*origin // by class
}

const (
	framesSize = 4096
	// frameRoom is more than the frame of any type of fixed size, so that only
	// a frame of variable size, which is appended in one piece, can outgrow
	// what is left of frames.
	frameRoom = 32
	// keptCells bounds what a pooled work keeps.
	keptCells = 1024
)

var works = sync.Pool{New: func() any { return &work{frames: make([]byte, 0, framesSize)} }}

func newWork(classes int) *work {
	w := works.Get().(*work)
	if cap(w.at.origins) < classes {
		w.at.origins = make([]*origin, classes)
	}
	w.at.origins = w.at.origins[:classes]
	return w
}

// end wipes the plaintext that the call made, lets go of everything else, and
// gives the work back.
func (w *work) end() {
	w.seal.end()
	w.open.end()
	w.nextRecord()
	w.at.tenant, w.at.id = "", ""
	w.frames = w.frames[:0]
	clear(w.cannot)
	w.cannot = w.cannot[:0]
	clear(w.plaintexts)
	w.plaintexts = w.plaintexts[:0]
	clear(w.columns)
	w.columns = w.columns[:0]
	clear(w.sources)
	clear(w.indexes)
	w.sources, w.indexes = w.sources[:0], w.indexes[:0]
	w.failures = nil // it is the caller's now
	if len(w.seen) > keptCells {
		w.seen = nil
	}
	clear(w.seen)
	works.Put(w)
}

func (b *batch) end() {
	for i := range b.cells {
		clear(b.cells[i].Frame)
	}
	if cap(b.cells) > keptCells {
		*b = batch{}
		return
	}
	clear(b.cells)
	clear(b.jobs)
	b.cells, b.jobs = b.cells[:0], b.jobs[:0]
}

// nextRecord forgets the place of the record before.
func (w *work) nextRecord() {
	w.at.known, w.at.err = false, nil
	clear(w.at.origins)
}

// room returns an empty slice to append a frame to.
func (w *work) room() []byte {
	if cap(w.frames)-len(w.frames) < frameRoom {
		return make([]byte, 0, frameRoom)
	}
	return w.frames[len(w.frames):]
}

// took notes that a frame may stand in what room returned.
func (w *work) took(frame []byte) {
	if used := len(w.frames) + len(frame); cap(frame) > 0 && used <= cap(w.frames) &&
		unsafe.SliceData(w.frames[len(w.frames):cap(w.frames)]) == unsafe.SliceData(frame) {
		w.frames = w.frames[:used]
	}
}

// add fills the next cell and job in their places: they are large for copies.
func (b *batch) add(j *job, name *envelope.Field, frame, env []byte) {
	b.jobs = append(b.jobs, *j)
	if len(b.cells) < cap(b.cells) {
		b.cells = b.cells[:len(b.cells)+1] // zero since end
	} else {
		b.cells = append(b.cells, envelope.Cell{})
	}
	c, o := &b.cells[len(b.cells)-1], j.origin
	c.Binding.Scope, c.Binding.Field, c.Binding.Record, c.Binding.Unbound = o.scope, *name, o.record, o.unbound
	c.Frame, c.Envelope, c.Deterministic = frame, env, j.field.deterministic
}

// apply makes a change to the value of a job stay: an entry of a map was
// changed in a copy.
func (j *job) apply() {
	switch {
	case j.slot != nil:
		j.slot.put(j.field.kind.box(j.value))
	case j.in != nil:
		j.field.kind.put(j.in, j.key, j.value)
	}
}
