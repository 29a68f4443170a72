package fieldcrypt

import (
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// What Fields.Scan reads from a column is bounded, and nothing is written that
// it wouldn't read again. The members are few enough for a map of them to take
// less than 64 KiB: a column that somebody else fills can have one in every 8
// bytes.
const (
	maxFields     = 250
	maxFieldsSize = 64 << 20
)

func checkFields(members, size int) error {
	switch {
	case members > maxFields:
		return fmt.Errorf("one column holds at most %d members, and there are more: keep some in another map, with a column of its own", maxFields)
	case size > maxFieldsSize:
		return fmt.Errorf("one column holds at most %d bytes, and the members take more: keep some in another map, with a column of its own", maxFieldsSize)
	}
	return nil
}

// memberSize returns the bytes of a member in the column, with the comma or the
// brace after it. No envelope is null.
func memberSize(key string, env int) int {
	size := len(`"":,`) + len(key)
	if env == 0 {
		return size + len("null")
	}
	return size + len(`""`) + envelope.TextLen(env)
}

// A fieldsColumn is a Fields map that a call encrypts.
type fieldsColumn struct {
	field   *marked
	row     int
	members int
	size    int // in the column, without the members of the jobs
	from    int // its first job in work.seal
	to      int // behind its last
}

// beginColumn notes that a Fields map is gathered next.
func (w *work) beginColumn(m *marked, row int) {
	w.columns = append(w.columns, fieldsColumn{field: m, row: row, size: 1, from: len(w.seal.jobs), to: len(w.seal.jobs)})
}

// member counts an entry of the map after it was gathered.
func (w *work) member(key string, v sensitive) error {
	c := &w.columns[len(w.columns)-1]
	c.members++
	if sealed := len(w.seal.jobs); sealed > c.to {
		c.to = sealed // its size isn't known yet
	} else {
		c.size += memberSize(key, len(v.sealedBytes()))
	}
	return checkFields(c.members, c.size)
}

// fitColumns holds the Fields maps to their limits once all is sealed.
func (h *handle) fitColumns(w *work) error {
	for _, c := range w.columns {
		for i := c.from; i < c.to; i++ {
			c.size += memberSize(w.seal.jobs[i].key, len(w.seal.cells[i].Envelope))
		}
		if err := checkFields(c.members, c.size); err != nil {
			return h.failed(c.row, c.field.label, err)
		}
	}
	return nil
}
