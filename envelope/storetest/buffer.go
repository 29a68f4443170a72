package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func bufferChecks() []check {
	return []check{
		{name: "buffer-given", run: bufferGiven},
		{name: "buffer-returned", run: bufferReturned},
		{name: "buffer-reused", run: bufferReused},
		{name: "buffer-lists", run: bufferLists},
	}
}

// A writer gives the store the wrapped key of want in another slice, and
// returns the record that the store then has.
type writer struct {
	method string
	write  func(want envelope.Record, wrapped []byte) (envelope.Record, error)
}

func (p *probe) writers() []writer {
	changed := func(old, rec envelope.Record) (envelope.Record, error) {
		return rec, p.store.Update(p.ctx, old, rec)
	}
	return []writer{
		{"Activate", func(want envelope.Record, wrapped []byte) (envelope.Record, error) {
			want.State, want.Wrapped = envelope.StateActive, wrapped
			return want, p.store.Activate(p.ctx, want, envelope.KeyID{})
		}},
		{"Insert", func(want envelope.Record, wrapped []byte) (envelope.Record, error) {
			want.State, want.Wrapped = envelope.StateRetired, wrapped
			return want, p.store.Insert(p.ctx, want)
		}},
		{"Update, as what it becomes", func(want envelope.Record, wrapped []byte) (envelope.Record, error) {
			old := want
			old.Wrapped = []byte("as it was")
			if err := p.insert(&old); err != nil {
				return old, err
			}
			want.State, want.Wrapped = envelope.StateRetired, wrapped
			return changed(old, want)
		}},
		{"Update, as what it was", func(want envelope.Record, wrapped []byte) (envelope.Record, error) {
			if err := p.insert(&want); err != nil {
				return want, err
			}
			next := moved(&want, envelope.StateSuspended)
			want.Wrapped = wrapped
			return changed(want, next)
		}},
	}
}

// bufferGiven: the store neither writes to the slice it is given, nor past its
// end, nor keeps it.
func bufferGiven(p *probe) error {
	for _, w := range p.writers() {
		want := p.record(p.scope("given to "+w.method), envelope.PurposeData)
		backing := append(bytes.Clone(want.Wrapped), bytes.Repeat([]byte{0xAA}, 64)...)
		before := bytes.Clone(backing)
		stored, err := w.write(want, backing[:len(want.Wrapped)])
		if err != nil {
			return fmt.Errorf("calling %s: %w", w.method, err)
		}
		if !bytes.Equal(backing, before) {
			return fmt.Errorf("calling %s wrote to the wrapped key it was given, or past its end", w.method)
		}
		clear(backing)
		stored.Wrapped = want.Wrapped
		if err := p.still(&stored); err != nil {
			return fmt.Errorf("after the caller overwrote the slice that it had given to %s: %w", w.method, err)
		}
	}
	return nil
}

// A reader is a method that returns a record.
type reader struct {
	method string
	read   func() (envelope.Record, error)
}

func (p *probe) readers(rec *envelope.Record) []reader {
	return []reader{
		{"Active", func() (envelope.Record, error) { return p.store.Active(p.ctx, rec.Scope, rec.Purpose) }},
		{"Get", func() (envelope.Record, error) { return p.store.Get(p.ctx, rec.Scope, rec.Purpose, rec.KeyID) }},
		{"Page", func() (envelope.Record, error) {
			page, err := p.page(envelope.Filter{Tenant: rec.Scope.Tenant}, envelope.KeyName{}, 10)
			if err != nil {
				return envelope.Record{}, err
			}
			if len(page) != 1 {
				return envelope.Record{}, fmt.Errorf("%d records of a tenant who has one", len(page))
			}
			return page[0], nil
		}},
	}
}

// bufferReturned: what the caller does to a record is not seen by the next.
func bufferReturned(p *probe) error {
	rec, err := p.fresh(p.scope("returned"))
	if err != nil {
		return err
	}
	for _, r := range p.readers(&rec) {
		got, err := r.read()
		if err != nil {
			return fmt.Errorf("%s: %w", r.method, err)
		}
		clear(got.Wrapped[:cap(got.Wrapped)])
		for _, again := range p.readers(&rec) {
			got, err := again.read()
			if err == nil {
				err = same(&got, &rec, envelope.StateActive)
			}
			if err != nil {
				return fmt.Errorf("%s, after the caller overwrote what %s returned: %w", again.method, r.method, err)
			}
		}
	}
	return nil
}

// bufferReused: a record stays as it was returned while others are read.
func bufferReused(p *probe) error {
	one, err := p.fresh(p.scope("one"))
	if err != nil {
		return err
	}
	two, err := p.fresh(p.scope("two"))
	if err != nil {
		return err
	}
	for _, r := range p.readers(&one) {
		got, err := r.read()
		if err != nil {
			return fmt.Errorf("%s: %w", r.method, err)
		}
		for _, other := range p.readers(&two) {
			if _, err := other.read(); err != nil {
				return fmt.Errorf("%s: %w", other.method, err)
			}
		}
		if err := same(&got, &one, envelope.StateActive); err != nil {
			return fmt.Errorf("a record that %s returned changed while another was read: %w", r.method, err)
		}
	}
	return nil
}

// bufferLists: the same is true of lists of names, states and records.
func bufferLists(p *probe) error {
	var recs []envelope.Record
	var keys []envelope.KeyName
	var want []envelope.State
	for _, state := range []envelope.State{envelope.StateScheduled, envelope.StateRetired, envelope.StateDestroyed, envelope.StateActive} {
		rec, err := p.inState(p.scope("lists"), envelope.PurposeData, state)
		if err != nil {
			return err
		}
		recs, keys, want = append(recs, rec), append(keys, rec.Name()), append(want, state)
	}
	given := slices.Clone(keys)
	got, err := p.store.States(p.ctx, given)
	if err != nil {
		return fmt.Errorf("calling States: %w", err)
	}
	if !slices.Equal(given, keys) {
		return errors.New("calling States wrote to the names it was given")
	}
	slices.Reverse(given)
	if _, err := p.store.States(p.ctx, given); err != nil {
		return fmt.Errorf("calling States: %w", err)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("what States returned changed in a later call: %q, want %q", got, want)
	}
	clear(got)
	clear(given)
	if err := p.tells(keys, want); err != nil {
		return fmt.Errorf("after the caller overwrote the names and states: %w", err)
	}

	states := slices.Clone(want)
	f := envelope.Filter{Tenant: recs[0].Scope.Tenant, States: states}
	page, err := p.page(f, envelope.KeyName{}, plenty)
	if err != nil {
		return err
	}
	if !slices.Equal(states, want) {
		return errors.New("calling Page wrote to the states of the filter it was given")
	}
	recs = sorted(recs)
	last := recs[len(recs)-1:]
	if err := p.chooses(envelope.Filter{Tenant: f.Tenant, States: []envelope.State{last[0].State}}, envelope.KeyName{}, last); err != nil {
		return err
	}
	if err := equal(page, recs); err != nil {
		return fmt.Errorf("what Page returned changed in a later call: %w", err)
	}
	clear(page)
	clear(states)
	f.States = want
	if err := p.chooses(f, envelope.KeyName{}, recs); err != nil {
		return fmt.Errorf("after the caller overwrote the page and the filter's states: %w", err)
	}
	return nil
}
