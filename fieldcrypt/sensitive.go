package fieldcrypt

import "github.com/fieldcrypt/fieldcrypt-go/envelope"

// A state says what a value holds and so what may be done with it.
type state uint8

const (
	stateNull        state = iota // no value; written as NULL
	statePlain                    // set by the program; can't be written yet
	stateSealed                   // scanned; holds an envelope and nothing else
	stateOpened                   // encrypted or decrypted; holds the value and its envelope
	stateUnavailable              // couldn't be opened, or wasn't an envelope; holds the reason
)

func (s state) String() string {
	switch s {
	case stateNull:
		return "null"
	case statePlain:
		return "plain"
	case stateSealed:
		return "sealed"
	case stateOpened:
		return "opened"
	case stateUnavailable:
		return "unavailable"
	}
	return "invalid"
}

// An origin is where an envelope belongs beside its field. The values of one
// record and class share one, so that remembering it costs a pointer a value.
// It isn't written to once a value holds it.
type origin struct {
	scope   envelope.Scope
	record  string
	unbound bool
	crypt   *cryptID // which Crypt sealed or opened it, and so knows its key
}

// sensitive is what encrypting and decrypting records needs of a value,
// whatever its type. *Value implements it. Byte slices that pass through it
// are never written to by either side afterwards.
type sensitive interface {
	current() state

	// frameType returns the type of the frames that the value reads and writes.
	frameType() envelope.Type

	// appendFrame appends the frame of a plain or opened value.
	appendFrame(dst []byte) ([]byte, error)

	// sealedBytes returns the envelope of a sealed, opened or unavailable
	// value in binary form. It is nil for an unavailable value that was
	// scanned from something else than an envelope.
	sealedBytes() []byte

	// sealedFor returns the field and the origin that the envelope was sealed
	// or opened for, or for which opening it was tried last. They are zero and
	// nil where none of this happened since the value was scanned.
	sealedFor() (envelope.Field, *origin)

	// reason returns why an unavailable value is so; nil in other states.
	reason() error

	// setOpened gives a plain or opened value the envelope that Encrypt made
	// of it. The value keeps env. With text, or if the cell it was scanned
	// from held text, it is written in text form.
	setOpened(env []byte, text bool, f envelope.Field, o *origin)

	// decode gives a sealed, opened or unavailable value the content of its
	// envelope. It keeps the frame's memory. A frame of another type than the
	// value's is envelope.ErrNotAuthentic, and leaves the value as it was.
	// The meaning of text is that of setOpened.
	decode(frame []byte, f envelope.Field, o *origin, text bool) error

	// isCandidate reports an unavailable value that holds what a column had in
	// place of an envelope. It is shown to nobody.
	isCandidate() bool

	// adopt makes a candidate a plain value, because its field is in migrating
	// mode. On an error, which shows nothing of it, it stays a candidate.
	adopt() error

	// drop makes a value unavailable and keeps nothing of it.
	drop(err error)

	// setUnavailable notes why the envelope of a sealed, opened or unavailable
	// value couldn't be opened for a place; a nil origin says that it wasn't
	// tried. The value keeps the envelope, and holds no plaintext from now on.
	setUnavailable(err error, f envelope.Field, o *origin)
}
