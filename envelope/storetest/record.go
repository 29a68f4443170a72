package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Limits of the format, in bytes.
const (
	maxName    = 255
	maxWrapped = 6144
	maxURI     = 512
)

func recordChecks() []check {
	return []check{
		{name: "not-found", run: nothingFound},
		{name: "round-trip", run: roundTrip},
		{name: "key-id-bytes", run: keyIDBytes},
		{name: "reopened", needsReopen: true, run: reopened},
	}
}

func nothingFound(p *probe) error {
	stored, err := p.fresh(p.scope("known"))
	if err != nil {
		return err
	}
	absent := p.record(p.scope("known"), envelope.PurposeData)
	for _, at := range []envelope.Scope{p.scope("unknown"), {Tenant: stored.Scope.Tenant, Class: "unknown"}} {
		_, err = p.store.Active(p.ctx, at, envelope.PurposeData)
		if err := notFound(fmt.Sprintf("Active of %v, which has no key", at), err); err != nil {
			return err
		}
		if err := p.misses(at, envelope.PurposeData, stored.KeyID); err != nil {
			return err
		}
	}
	for _, id := range []envelope.KeyID{absent.KeyID, {}} {
		if err := p.misses(stored.Scope, stored.Purpose, id); err != nil {
			return err
		}
		_, _, err = p.store.Lease(p.ctx, stored.Scope, stored.Purpose, id, 1)
		if err := notFound("Lease of an unknown key", err); err != nil {
			return err
		}
	}
	// A claim makes no key.
	claimed := p.scope("claimed")
	if err := p.claims(claimed, "holder", long, true); err != nil {
		return err
	}
	_, err = p.store.Active(p.ctx, claimed, envelope.PurposeData)
	return notFound("Active of a scope with a claim and no key", err)
}

// A shape is a kind of record that a store could keep wrongly.
type shape struct {
	name string
	edit func(r *envelope.Record)
}

func shapes() []shape {
	zone := time.FixedZone("made up", 5*3600+1800)
	return []shape{
		{"plain", func(*envelope.Record) {}},
		{"no end", func(r *envelope.Record) { r.NotAfter = time.Time{} }},
		{"another time zone", func(r *envelope.Record) { r.Created, r.NotAfter = r.Created.In(zone), r.NotAfter.In(zone) }},
		{"an hour that comes twice in Europe", func(r *envelope.Record) {
			r.Created = time.Date(2026, 10, 25, 0, 30, 1, 0, time.UTC)
			r.NotAfter = time.Date(2026, 10, 25, 1, 30, 1, 0, time.UTC)
		}},
		{"past 2038", func(r *envelope.Record) { r.NotAfter = time.Date(2199, 12, 31, 23, 59, 59, 0, time.UTC) }},
		{"not counted", func(r *envelope.Record) { r.Budget = 0 }},
		{"one message", func(r *envelope.Record) { r.Budget = 1 }},
		{"the largest budget", func(r *envelope.Record) { r.Budget = 1 << 32 }},
		{"the longest wrapped key", func(r *envelope.Record) { r.Wrapped = randomBytes(maxWrapped) }},
		{"the shortest wrapped key", func(r *envelope.Record) { r.Wrapped = []byte{0} }},
		{"a wrapped key that looks like text", func(r *envelope.Record) { r.Wrapped = []byte(" \\x00'\";--\r\n\x00 ") }},
		{"the longest URI", func(r *envelope.Record) { r.RootKey = long512("example-kms://eu/") }},
		{"a URI with escapes", func(r *envelope.Record) { r.RootKey = `example-kms://eu/%20Root?x='1'&y=\n` }},
		{"the longest names", func(r *envelope.Record) {
			r.Scope.Tenant += strings.Repeat("t", maxName-len(r.Scope.Tenant))
			r.Scope.Class = strings.Repeat("c", maxName)
		}},
		{"long names of few characters", func(r *envelope.Record) { r.Scope.Class = strings.Repeat("🔑", 63) + "abc" }},
		{"bytes of zero", func(r *envelope.Record) { r.Tag = [32]byte{}; clear(r.KeyID[8:]) }},
		{"active already", func(r *envelope.Record) { r.State = envelope.StateActive }},
		{"no state", func(r *envelope.Record) { r.State = "" }},
		{"changed by somebody already", func(r *envelope.Record) {
			r.Change = envelope.Change{At: r.Created.Add(time.Hour), By: "importer", Why: "came with a copy of the database"}
		}},
	}
}

func roundTrip(p *probe) error {
	for _, c := range shapes() {
		for _, purpose := range purposes {
			rec := p.record(p.scope(c.name), purpose)
			c.edit(&rec)
			if err := p.stays(&rec); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

func long512(s string) string { return s + strings.Repeat("k", maxURI-len(s)) }

// stays stores rec and reads it again, as the active key and as a retired one.
func (p *probe) stays(rec *envelope.Record) error {
	if err := p.activate(rec, envelope.KeyID{}); err != nil {
		return err
	}
	if err := p.isActive(rec); err != nil {
		return err
	}
	if err := p.has(rec, envelope.StateActive); err != nil {
		return err
	}
	next := p.record(rec.Scope, rec.Purpose)
	if err := p.activate(&next, rec.KeyID); err != nil {
		return err
	}
	return p.has(rec, envelope.StateRetired)
}

// keyIDBytes finds stores that compare key IDs as text, or padded.
func keyIDBytes(p *probe) error {
	var ids []envelope.KeyID
	for _, s := range []string{
		strings.Repeat("a", 32), strings.Repeat("A", 32),
		strings.Repeat("a", 31) + " ", strings.Repeat("a", 31) + "\x00", strings.Repeat("a", 30) + "\x00\x00", strings.Repeat("a", 30) + "  ",
		"\x00" + strings.Repeat("a", 31), strings.Repeat("\xff", 32),
	} {
		ids = append(ids, envelope.KeyID([]byte(s)))
	}
	var stored []envelope.Record
	var previous envelope.KeyID
	for _, id := range ids {
		rec := p.record(p.scope("ids"), envelope.PurposeData)
		rec.KeyID = id
		if err := p.misses(rec.Scope, rec.Purpose, id); err != nil {
			return err
		}
		if err := p.activate(&rec, previous); err != nil {
			return err
		}
		stored, previous = append(stored, rec), id
	}
	for i := range stored {
		state := envelope.StateRetired
		if i == len(stored)-1 {
			state = envelope.StateActive
		}
		if err := p.has(&stored[i], state); err != nil {
			return err
		}
	}
	return nil
}

// reopened does each write by one store and looks at once by another.
func reopened(p *probe) error {
	here, there := *p, *p
	there.store = p.stores[1]
	first, err := here.fresh(p.scope("shared"))
	if err != nil {
		return err
	}
	second := p.record(first.Scope, first.Purpose)
	inserted := p.record(first.Scope, envelope.PurposeIndex)
	gone := envelope.Filter{Tenant: first.Scope.Tenant, States: []envelope.State{envelope.StateDestroyed}}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"after Activate", func() error { return there.isActive(&first) }},
		{"after Activate", func() error { return there.has(&first, envelope.StateActive) }},
		{"Lease here", func() error { return here.leases(&first, 900, 900, 100) }},
		{"after Lease", func() error { return there.leases(&first, 900, 100, 0) }},
		{"Claim here", func() error { return here.claims(first.Scope, "here", long, true) }},
		{"after Claim", func() error { return there.claims(first.Scope, "there", long, false) }},
		{"Release here", func() error { return here.store.Release(p.ctx, first.Scope, first.Purpose, "here") }},
		{"after Release", func() error { return there.claims(first.Scope, "there", long, true) }},
		{"the next Activate there", func() error { return there.activate(&second, first.KeyID) }},
		{"after the next Activate", func() error { return here.isActive(&second) }},
		{"after the next Activate", func() error { return here.has(&first, envelope.StateRetired) }},
		{"Insert here", func() error { return here.insert(&inserted) }},
		{"after Insert", func() error { return there.still(&inserted) }},
		{"Update there", func() error { return there.becomes(&inserted, envelope.StateScheduled) }},
		{"after Update", func() error { return here.still(&inserted) }},
		{"Update of the active key here", func() error { return here.becomes(&second, envelope.StateSuspended) }},
		{"after Update of the active key", func() error { return there.noneActive(second.Scope, second.Purpose) }},
		{"after Update of the active key", func() error { return there.sealsNothing(&second) }},
		{"after Update of the active key", func() error {
			return there.tells([]envelope.KeyName{second.Name(), inserted.Name()}, []envelope.State{second.State, inserted.State})
		}},
		{"the end of a key here", func() error { return here.becomes(&inserted, envelope.StateDestroyed) }},
		{"after the end of a key", func() error { return there.still(&inserted) }},
		{"after the end of a key", func() error { return there.chooses(gone, envelope.KeyName{}, []envelope.Record{inserted}) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("two stores on one storage: %s: %w", step.name, err)
		}
	}
	return nil
}
