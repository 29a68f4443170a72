package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func activateChecks() []check {
	return []check{
		{name: "activate-retires", run: activateRetires},
		{name: "activate-wrong-previous", run: activateWrongPrevious},
		{name: "activate-duplicate", run: activateDuplicate},
		{name: "activate-race", run: activateRace},
	}
}

// activateRetires: of a chain of keys the last is active and all others are
// retired, for each purpose, whose chains don't know each other.
func activateRetires(p *probe) error {
	for _, purpose := range purposes {
		if err := p.chain(purpose); err != nil {
			return fmt.Errorf("purpose %q: %w", purpose, err)
		}
	}
	return nil
}

func (p *probe) chain(purpose envelope.Purpose) error {
	var chain []envelope.Record
	var previous envelope.KeyID
	for range 5 {
		next := p.record(p.scope("chain"), purpose)
		if purpose == envelope.PurposeDeterministic || purpose == envelope.PurposeIndex { // as key rings make them
			next.NotAfter, next.Budget = time.Time{}, 0
		}
		if err := p.activate(&next, previous); err != nil {
			return err
		}
		for i := range chain {
			if err := p.has(&chain[i], envelope.StateRetired); err != nil {
				return fmt.Errorf("an earlier key: %w", err)
			}
		}
		if err := p.isActive(&next); err != nil {
			return err
		}
		chain, previous = append(chain, next), next.KeyID
	}
	return nil
}

// conflicts fails unless the store refuses rec and still has the records it
// had: the first ones retired, the last one active.
func (p *probe) conflicts(what string, rec envelope.Record, previous envelope.KeyID, had ...envelope.Record) error {
	if err := refused("Activate with "+what, p.store.Activate(p.ctx, rec, previous), envelope.ErrConflict); err != nil {
		return err
	}
	known := false
	for i := range had {
		known = known || had[i].KeyID == rec.KeyID
		state := envelope.StateRetired
		if i == len(had)-1 {
			state = envelope.StateActive
			if err := p.isActive(&had[i]); err != nil {
				return fmt.Errorf("after a refused Activate with %s: %w", what, err)
			}
		}
		if err := p.has(&had[i], state); err != nil {
			return fmt.Errorf("after a refused Activate with %s: %w", what, err)
		}
	}
	if !known {
		if err := p.misses(rec.Scope, rec.Purpose, rec.KeyID); err != nil {
			return fmt.Errorf("after a refused Activate with %s: %w", what, err)
		}
	}
	if len(had) == 0 {
		_, err := p.store.Active(p.ctx, rec.Scope, rec.Purpose)
		return notFound("Active after a refused Activate with "+what, err)
	}
	return nil
}

func activateWrongPrevious(p *probe) error {
	scope := p.scope("previous")
	elsewhere, err := p.fresh(p.scope("elsewhere"))
	if err != nil {
		return err
	}
	newKey := func() envelope.Record { return p.record(scope, envelope.PurposeData) }
	unknown := newKey().KeyID
	own := newKey()
	if err := errors.Join(
		p.conflicts("a previous key where there is none", newKey(), unknown),
		p.conflicts("the key itself as the previous one", own, own.KeyID),
		p.conflicts("another scope's key as the previous one", newKey(), elsewhere.KeyID),
	); err != nil {
		return err
	}
	first, second := newKey(), newKey()
	if err := p.activate(&first, envelope.KeyID{}); err != nil {
		return err
	}
	if err := errors.Join(
		p.conflicts("no previous key where there is one", newKey(), envelope.KeyID{}, first),
		p.conflicts("an unknown previous key", newKey(), unknown, first),
		p.conflicts("another scope's key as the previous one", newKey(), elsewhere.KeyID, first),
	); err != nil {
		return err
	}
	if err := p.activate(&second, first.KeyID); err != nil {
		return err
	}
	return errors.Join(
		p.conflicts("a retired key as the previous one", newKey(), first.KeyID, first, second),
		p.conflicts("no previous key where there are two", newKey(), envelope.KeyID{}, first, second),
		p.isActive(&elsewhere),
	)
}

// activateDuplicate: an ID that the store has is refused, and neither the
// record of that ID nor what was leased of it changes.
func activateDuplicate(p *probe) error {
	scope := p.scope("duplicate")
	first, err := p.fresh(scope)
	if err != nil {
		return err
	}
	if err := p.leases(&first, 600, 600, 400); err != nil {
		return err
	}
	again := p.record(scope, envelope.PurposeData)
	again.KeyID, again.RootKey = first.KeyID, "example-kms://eu/root-2"
	if err := errors.Join(
		p.conflicts("the active key's ID, after itself", again, first.KeyID, first),
		p.conflicts("the active key's ID, after none", again, envelope.KeyID{}, first),
	); err != nil {
		return err
	}
	if err := p.leases(&first, 600, 400, 0); err != nil {
		return fmt.Errorf("after a refused Activate of the same ID: %w", err)
	}
	second := p.record(scope, envelope.PurposeData)
	if err := p.activate(&second, first.KeyID); err != nil {
		return err
	}
	return errors.Join(
		p.conflicts("a retired key's ID, after the active key", again, second.KeyID, first, second),
		p.conflicts("a retired key's ID, after itself", again, first.KeyID, first, second),
	)
}

// activateRace: of many that would follow the same key, one does, at the first
// key and at a later one.
func activateRace(p *probe) error {
	scope := p.scope("race")
	var retired []envelope.Record
	var previous envelope.KeyID
	for range 3 {
		recs := make([]envelope.Record, racers)
		for i := range recs {
			recs[i] = p.record(scope, envelope.PurposeData)
		}
		won, err := p.oneAccepted("Activate", func(s envelope.KeyStore, i int) error {
			return s.Activate(p.ctx, recs[i], previous)
		})
		if err != nil {
			return err
		}
		for i := range recs {
			if i != won {
				if err := p.misses(scope, envelope.PurposeData, recs[i].KeyID); err != nil {
					return fmt.Errorf("a key that lost the race: %w", err)
				}
				continue
			}
			if err := errors.Join(p.isActive(&recs[i]), p.has(&recs[i], envelope.StateActive)); err != nil {
				return fmt.Errorf("the key that won the race: %w", err)
			}
			retired, previous = append(retired, recs[i]), recs[i].KeyID
		}
		for i := range retired[:len(retired)-1] {
			if err := p.has(&retired[i], envelope.StateRetired); err != nil {
				return fmt.Errorf("the key that won an earlier race: %w", err)
			}
		}
	}
	return nil
}
