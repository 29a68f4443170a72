package fieldcrypt

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A field in migrating mode may be plaintext in the database until a date, and
// is written as envelopes only. What begins like an envelope is one, or an
// error. Whoever can write to the database can plant a value in such a field.

// A migration is the last day on which a field's plaintext is taken, by UTC.
// The zero migration is that of a strict field, which never takes any.
type migration struct{ until CivilDate }

func (m migration) set() bool { return m != migration{} }

// goesOn reports whether plaintext is taken now.
func (m migration) goesOn() bool {
	end := time.Date(m.until.Year, m.until.Month, m.until.Day+1, 0, 0, 0, 0, time.UTC)
	return m.set() && time.Now().Before(end)
}

// parseMigration reads the date of a tag's until or a schema's migrating_until.
func parseMigration(option, text string) (migration, error) {
	d, err := ParseDate(text)
	if err != nil || len(text) != len(time.DateOnly) {
		return migration{}, fmt.Errorf("%s=%.20q: it must be a day in the form YYYY-MM-DD, the last one on which plaintext is taken (UTC)", option, text)
	}
	return migration{d}, nil
}

// checkMigrating holds a tag to both of its options or none.
func (t *tag) checkMigrating() error {
	switch {
	case t.migrating && !t.migration.set():
		return errors.New("option \"migrating\" needs an end: add \"until=YYYY-MM-DD\", the last day on which plaintext is taken")
	case !t.migrating && t.migration.set():
		return errors.New("option \"until\" is the end of a migration: add \"migrating\"")
	}
	return nil
}

// errEnded: plaintext was found in a field after its migration.
func (m migration) errEnded() error {
	return fmt.Errorf("%w, and its field took plaintext until %s only: %s", ErrNotEnvelope, m.until, scanAdvice)
}

// errStrict is what is left of plaintext in a strict field: its class alone.
var errStrict = errScanMalformed

// gatherPlaintext notes what Decrypt has to do with a value that came from
// something else than an envelope. Err says why the value has no name.
func (h *handle) gatherPlaintext(w *work, j *job, err error, record unsafe.Pointer) {
	m := j.field
	if err == nil {
		err = h.locate(&w.at, record)
	}
	if err == nil {
		j.origin = h.originFor(&w.at, m.class)
	}
	switch {
	case !j.value.isCandidate():
		j.err = j.value.reason()
	case !m.migration.set():
		j.err, j.dropped = errStrict, true
	case !m.migration.goesOn():
		j.err, j.dropped = m.migration.errEnded(), true
	case err != nil:
		j.err = err // it stays a candidate: its record may be completed
	default:
		w.plaintexts = append(w.plaintexts, *j)
		return
	}
	// Whatever a map held is replaced, so that plaintext goes no further.
	if j.dropped || j.slot != nil {
		w.cannot = append(w.cannot, *j)
	}
	h.refusedPlaintext(j, j.err)
	w.fail(j, j.err)
}

// adoptAll makes the values of what was gathered by gatherPlaintext.
func (h *handle) adoptAll(w *work) {
	for i := range w.plaintexts {
		j := &w.plaintexts[i]
		if j.stateNow() == statePlain {
			continue // the same value is in another place too
		}
		err := j.value.adopt()
		if err != nil {
			j.value.drop(err)
			h.refusedPlaintext(j, err)
			w.fail(j, err)
		} else {
			h.tookPlaintext(j)
		}
		j.apply()
	}
}

// adoptCopies is adoptAll for DecryptStrict, which changes no record on an
// error.
func (h *handle) adoptCopies(w *work) []sensitive {
	copies := make([]sensitive, len(w.plaintexts))
	for i := range w.plaintexts {
		j := &w.plaintexts[i]
		copies[i] = j.field.kind.clone(j.value)
		if err := copies[i].adopt(); err != nil {
			h.refusedPlaintext(j, err)
			w.fail(j, err)
		}
	}
	return copies
}

// gatherCandidate notes that Encrypt is to seal plaintext that was read and not
// decrypted. It changes nothing: seal adopts it when all has succeeded.
func (h *handle) gatherCandidate(w *work, j *job, name *envelope.Field) error {
	m := j.field
	j.origin = h.originFor(&w.at, m.class)
	err := j.value.reason()
	switch {
	case !j.value.isCandidate():
	case !m.migration.set():
		err = errStrict
	case !m.migration.goesOn():
		err = m.migration.errEnded()
	default:
		adopted := *j
		adopted.value = m.kind.clone(j.value)
		if err = adopted.value.adopt(); err != nil {
			break
		}
		frame, err := h.frame(w, &adopted)
		if err != nil {
			return h.failed(j.row, name.String(), err)
		}
		w.seal.add(j, name, frame, nil)
		return nil
	}
	h.refusedPlaintext(j, err)
	return h.failed(j.row, name.String(), err)
}

// adoptSealed makes the value of a candidate for which there is an envelope now.
func (h *handle) adoptSealed(j *job) {
	if j.value.isCandidate() && j.value.adopt() == nil {
		h.tookPlaintext(j)
	}
}

// plaintextColumn returns what DecryptColumns takes of a column that holds no
// envelope, for which v was scanned.
func (h *handle) plaintextColumn(w *work, j *job, v *Bytes) (payload []byte, err error) {
	m := j.field
	switch {
	case !v.isCandidate() || !m.migration.set():
		err = v.reason()
		if v.isCandidate() {
			err = errStrict
		}
	case !m.migration.goesOn():
		err = m.migration.errEnded()
	case m.plain.typ == envelope.TypeString:
		var text String
		_ = text.Scan(v.candidate().content)
		if err = text.adopt(); err == nil {
			payload = []byte(*text.content())
		}
	default:
		if err = v.adopt(); err == nil {
			payload = *v.content()
		}
	}
	if err != nil {
		h.refusedPlaintext(j, err)
		return nil, err
	}
	w.plaintexts = append(w.plaintexts, *j)
	return payload, nil
}

// migrations tells of a field's plaintext in two schemas.
func (d *differences) migrations(was, is string) {
	const prove = "encrypt every row before, and prove that none is left (Migrations)"
	switch {
	case was == is:
	case was == "":
		d.add("plaintext is taken until "+is+", was never", NeedsSweep,
			"encrypt every row in that time, in which whoever can write to the database can plant a value")
	case is == "":
		d.add("plaintext isn't taken any more, was until "+was, NeedsSweep, prove+": what is left can't be read")
	case is < was:
		d.add("plaintext is taken until "+is+", was until "+was, NeedsSweep, prove+": after that day what is left can't be read")
	default:
		d.add("plaintext is taken until "+is+", was until "+was, Safe, "for so much longer whoever can write to the database can plant a value")
	}
}
