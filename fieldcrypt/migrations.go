package fieldcrypt

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// A Migration is what this process saw of a field in migrating mode: whether
// plaintext is still there. See [Crypt.Migrations].
type Migration struct {
	Field string    // as in "Contacts.email"; of a map "Contacts.custom.*"
	Until CivilDate // the last day on which plaintext is taken, by UTC

	Plaintext uint64 // values that were read in plaintext and taken
	Refused   uint64 // values that were no envelopes and weren't taken
	Envelopes uint64 // values whose envelopes were opened
}

// A PlaintextEvent tells of one value that was not an envelope, in a field in
// migrating mode. It doesn't hold the value.
type PlaintextEvent struct {
	Field  string    // as in "Contacts.email"
	Until  CivilDate // the last day on which plaintext is taken, by UTC
	Scope  Scope     // whose record it is; zero where that isn't known
	Record string    // its ID; "" if it is unbound or not known
	Err    error     // why the value was refused; nil if it was taken
}

// Migrations returns what was seen of the fields in migrating mode of all
// handles that [For] and [ForMaps] made with this Crypt, by name. The counts are
// those of this process since it began; a value counts each time that it is read
// and taken. Of several handles with one field, Until is that of the last one
// made. A field stays in the list after its migration.
//
// A migration is over when every process shows no Plaintext and no Refused over
// a pass through all rows: see docs/migrating.md.
func (c *Crypt) Migrations() []Migration {
	if !c.made() {
		return nil
	}
	c.migrations.mu.Lock()
	defer c.migrations.mu.Unlock()
	all := make([]Migration, 0, len(c.migrations.byField))
	for field, m := range c.migrations.byField {
		all = append(all, Migration{
			Field: field, Until: *m.until.Load(),
			Plaintext: m.plaintext.Load(), Refused: m.refused.Load(), Envelopes: m.envelopes.Load(),
		})
	}
	slices.SortFunc(all, func(a, b Migration) int { return cmp.Compare(a.Field, b.Field) })
	return all
}

// A migrationCount counts for one name of a field.
type migrationCount struct {
	until                         atomic.Pointer[CivilDate]
	plaintext, refused, envelopes atomic.Uint64
}

// migrationCounts are those of a Crypt. There are as many as there are names of
// fields in migrating mode.
type migrationCounts struct {
	mu      sync.Mutex
	byField map[string]*migrationCount
}

// counting notes the migrating fields of a plan; nil where there are none.
func (c *Crypt) counting(p *plan) map[*marked]*migrationCount {
	var counts map[*marked]*migrationCount
	for _, fields := range [][]marked{p.fields, p.custom} {
		for i := range fields {
			if m := &fields[i]; m.migration.set() {
				if counts == nil {
					counts = map[*marked]*migrationCount{}
				}
				counts[m] = c.migrations.of(m)
			}
		}
	}
	return counts
}

func (c *migrationCounts) of(m *marked) *migrationCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := c.byField[m.label]
	if count == nil {
		count = new(migrationCount)
		if c.byField == nil {
			c.byField = map[string]*migrationCount{}
		}
		c.byField[m.label] = count
	}
	until := m.migration.until // a copy: the plan may go before the Crypt does
	count.until.Store(&until)
	return count
}

// The functions below count, and tell, what happens in migrating fields. Of
// strict ones there is nothing to say.

func (h *handle) openedEnvelope(j *job) {
	if count := h.migrating[j.field]; count != nil {
		count.envelopes.Add(1)
	}
}

func (h *handle) tookPlaintext(j *job) {
	if count := h.migrating[j.field]; count != nil {
		count.plaintext.Add(1)
		h.tellPlaintext(j, nil)
	}
}

func (h *handle) refusedPlaintext(j *job, err error) {
	if count := h.migrating[j.field]; count != nil {
		count.refused.Add(1)
		h.tellPlaintext(j, err)
	}
}

// tellPlaintext calls the program's hook. A panic in it must not undo what it is
// told of, nor leave a call half done.
func (h *handle) tellPlaintext(j *job, err error) {
	if h.crypt.onPlaintext == nil {
		return
	}
	e := PlaintextEvent{Field: j.label(), Until: j.field.migration.until, Err: err}
	if j.origin != nil {
		e.Scope, e.Record = j.origin.scope, j.origin.record
	}
	defer func() { _ = recover() }()
	h.crypt.onPlaintext(e)
}
