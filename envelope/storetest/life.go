package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// living are the states of keys that can still change.
var living = []envelope.State{
	envelope.StateActive, envelope.StateRetired, envelope.StateSuspended, envelope.StateScheduled,
}

// reached are the states that the suite brings keys into.
var reached = append(living[:len(living):len(living)], envelope.StateDestroyed)

// insert stores rec, which must be accepted and is then retired.
func (p *probe) insert(rec *envelope.Record) error {
	given := *rec
	given.Wrapped = bytes.Clone(rec.Wrapped)
	if err := p.store.Insert(p.ctx, given); err != nil {
		return fmt.Errorf("calling Insert of %v: %w", rec.Name(), err)
	}
	rec.State = envelope.StateRetired
	return nil
}

// update makes rec of old, which must be accepted. A destroyed rec then has no
// wrapped key.
func (p *probe) update(old, rec *envelope.Record) error {
	was, given := *old, *rec
	was.Wrapped, given.Wrapped = bytes.Clone(old.Wrapped), bytes.Clone(rec.Wrapped)
	if err := p.store.Update(p.ctx, was, given); err != nil {
		return fmt.Errorf("calling Update of %v from %s to %s: %w", rec.Name(), old.State, rec.State, err)
	}
	if rec.State == envelope.StateDestroyed {
		rec.Wrapped = nil
	}
	return nil
}

// becomes brings rec into another state.
func (p *probe) becomes(rec *envelope.Record, state envelope.State) error {
	old := *rec
	*rec = moved(&old, state)
	return p.update(&old, rec)
}

// still fails unless the store has just this record, in its state.
func (p *probe) still(rec *envelope.Record) error {
	if err := p.has(rec, rec.State); err != nil {
		return err
	}
	if rec.State == envelope.StateActive {
		return p.isActive(rec)
	}
	return nil
}

// noneActive fails if the scope and purpose have an active key.
func (p *probe) noneActive(scope envelope.Scope, purpose envelope.Purpose) error {
	_, err := p.store.Active(p.ctx, scope, purpose)
	return notFound(fmt.Sprintf("Active of %v, purpose %q, none of whose keys is active", scope, purpose), err)
}

// inState stores a new key and brings it into one of the states reached.
func (p *probe) inState(scope envelope.Scope, purpose envelope.Purpose, state envelope.State) (envelope.Record, error) {
	rec := p.record(scope, purpose)
	if state == envelope.StateActive {
		err := p.activate(&rec, envelope.KeyID{})
		return rec, err
	}
	err := p.insert(&rec)
	if err == nil && state != envelope.StateRetired {
		err = p.becomes(&rec, state)
	}
	return rec, err
}

// moved is rec in another state, with what a record of that state says.
func moved(rec *envelope.Record, to envelope.State) envelope.Record {
	now := time.Now().Truncate(time.Second)
	next := *rec
	next.State, next.DestroyAfter = to, time.Time{}
	if to == envelope.StateScheduled {
		next.DestroyAfter = now.Add(30 * 24 * time.Hour)
	}
	if rec.State == envelope.StateDestroyed && to != envelope.StateDestroyed {
		next.Wrapped = randomBytes(100) // what is wrong with it is the move alone
	}
	next.Change = envelope.Change{At: now, By: "keeper", Why: fmt.Sprintf("from %s to %s", rec.State, to)}
	return next
}

// rewrapped is rec wrapped anew by another root key.
func rewrapped(rec *envelope.Record) envelope.Record {
	next := *rec
	next.RootKey, next.Wrapped = "example-kms://eu/root-2", randomBytes(200)
	return next
}

// unmoved fails unless the store refuses a change with ErrConflict and still
// has the record.
func (p *probe) unmoved(what string, answer error, rec *envelope.Record) error {
	if err := refused(what, answer, envelope.ErrConflict); err != nil {
		return err
	}
	if err := p.still(rec); err != nil {
		return fmt.Errorf("after a refused %s: %w", what, err)
	}
	return nil
}

// sealsNothing fails unless Lease grants and leaves nothing of the key.
func (p *probe) sealsNothing(rec *envelope.Record) error {
	return errors.Join(p.leases(rec, 10, 0, 0), p.leases(rec, 0, 0, 0))
}
