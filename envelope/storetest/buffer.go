package storetest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func bufferChecks() []check {
	return []check{
		{name: "buffer-given", run: bufferGiven},
		{name: "buffer-returned", run: bufferReturned},
		{name: "buffer-reused", run: bufferReused},
	}
}

// bufferGiven: the store neither writes to the slice it is given, nor past its
// end, nor keeps it.
func bufferGiven(p *probe) error {
	want := p.record(p.scope("given"), envelope.PurposeData)
	backing := append(bytes.Clone(want.Wrapped), bytes.Repeat([]byte{0xAA}, 64)...)
	before := bytes.Clone(backing)
	given := want
	given.Wrapped = backing[:len(want.Wrapped)]
	if err := p.store.Activate(p.ctx, given, envelope.KeyID{}); err != nil {
		return fmt.Errorf("calling Activate: %w", err)
	}
	if !bytes.Equal(backing, before) {
		return errors.New("calling Activate wrote to the wrapped key it was given, or past its end")
	}
	clear(backing)
	if err := p.isActive(&want); err != nil {
		return fmt.Errorf("after the caller overwrote the slice that it had given to Activate: %w", err)
	}
	return p.has(&want, envelope.StateActive)
}

// readers are the methods that return a record.
func (p *probe) readers(rec *envelope.Record) map[string]func() (envelope.Record, error) {
	return map[string]func() (envelope.Record, error){
		"Active": func() (envelope.Record, error) { return p.store.Active(p.ctx, rec.Scope, rec.Purpose) },
		"Get":    func() (envelope.Record, error) { return p.store.Get(p.ctx, rec.Scope, rec.Purpose, rec.KeyID) },
	}
}

// bufferReturned: what the caller does to a record is not seen by the next.
func bufferReturned(p *probe) error {
	rec, err := p.fresh(p.scope("returned"))
	if err != nil {
		return err
	}
	for name, read := range p.readers(&rec) {
		got, err := read()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		clear(got.Wrapped[:cap(got.Wrapped)])
		if err := p.isActive(&rec); err != nil {
			return fmt.Errorf("after the caller overwrote what %s returned: %w", name, err)
		}
		if err := p.has(&rec, envelope.StateActive); err != nil {
			return fmt.Errorf("after the caller overwrote what %s returned: %w", name, err)
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
	for name, read := range p.readers(&one) {
		got, err := read()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := errors.Join(p.isActive(&two), p.has(&two, envelope.StateActive)); err != nil {
			return err
		}
		if err := same(&got, &one, envelope.StateActive); err != nil {
			return fmt.Errorf("a record that %s returned changed while another was read: %w", name, err)
		}
	}
	return nil
}
