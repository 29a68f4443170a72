package storetest

import (
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func insertChecks() []check {
	return []check{
		{name: "insert-retired", run: insertRetired},
		{name: "insert-round-trip", run: insertRoundTrip},
		{name: "insert-duplicate", run: insertDuplicate},
		{name: "insert-race", run: insertRace},
		{name: "insert-activate-race", run: insertActivateRace},
	}
}

// insertRetired: in whatever state a key is given, it opens and doesn't seal,
// and is neither the active key nor in its way.
func insertRetired(p *probe) error {
	for _, state := range append([]envelope.State{"", envelope.StatePending}, reached...) {
		scope := p.scope("given as " + string(state))
		inserted := func() (envelope.Record, error) {
			rec := p.record(scope, envelope.PurposeData)
			rec.State = state
			err := p.insert(&rec)
			return rec, err
		}
		rec, err := inserted()
		if err != nil {
			return err
		}
		if err := errors.Join(p.still(&rec), p.noneActive(scope, rec.Purpose), p.sealsNothing(&rec)); err != nil {
			return fmt.Errorf("inserted as %q: %w", state, err)
		}
		first := p.record(scope, envelope.PurposeData)
		if err := p.conflicts("an inserted key as the previous one", first, rec.KeyID); err != nil {
			return err
		}
		if err := p.activate(&first, envelope.KeyID{}); err != nil {
			return fmt.Errorf("the first active key, beside one inserted as %q: %w", state, err)
		}
		late, err := inserted()
		if err != nil {
			return err
		}
		if err := errors.Join(p.isActive(&first), p.still(&rec), p.still(&late), p.sealsNothing(&late)); err != nil {
			return fmt.Errorf("inserted as %q beside an active key: %w", state, err)
		}
		if err := p.leases(&first, 1000, 1000, 0); err != nil {
			return fmt.Errorf("the active key beside inserted ones: %w", err)
		}
	}
	return nil
}

func insertRoundTrip(p *probe) error {
	for _, c := range shapes() {
		for _, purpose := range purposes {
			rec := p.record(p.scope(c.name), purpose)
			c.edit(&rec)
			if err := p.misses(rec.Scope, rec.Purpose, rec.KeyID); err != nil {
				return err
			}
			if err := p.insert(&rec); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if err := p.still(&rec); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// insertDuplicate: a name that the store has is refused, whatever state its key
// is in, and nothing about that key changes.
func insertDuplicate(p *probe) error {
	for _, state := range reached {
		scope := p.scope("has one that is " + string(state))
		rec, err := p.inState(scope, envelope.PurposeData, state)
		if err != nil {
			return err
		}
		if state == envelope.StateActive {
			if err := p.leases(&rec, 600, 600, 400); err != nil {
				return err
			}
		}
		same := rec
		if same.Wrapped == nil {
			same.Wrapped = randomBytes(100) // of a destroyed key: what is wrong is the name alone
		}
		other := p.record(scope, envelope.PurposeData)
		other.KeyID, other.RootKey, other.Budget = rec.KeyID, "example-kms://eu/root-2", 77
		for _, c := range []struct {
			name string
			rec  envelope.Record
		}{
			{"the same record", same},
			{"another record of that name", other},
		} {
			what := fmt.Sprintf("Insert of %s, whose key is %s", c.name, state)
			if err := p.unmoved(what, p.store.Insert(p.ctx, c.rec), &rec); err != nil {
				return err
			}
		}
		if state != envelope.StateActive {
			if err := p.noneActive(scope, rec.Purpose); err != nil {
				return err
			}
			continue
		}
		if err := p.leases(&rec, 600, 400, 0); err != nil {
			return fmt.Errorf("after a refused Insert of the active key: %w", err)
		}
	}
	return nil
}

// namesakes are records of one name with different contents.
func (p *probe) namesakes(name string) []envelope.Record {
	recs := make([]envelope.Record, racers)
	for i := range recs {
		recs[i] = p.record(p.scope(name), envelope.PurposeData)
		recs[i].KeyID = recs[0].KeyID
		recs[i].RootKey = fmt.Sprintf("example-kms://eu/root-%d", i)
	}
	return recs
}

// insertRace: many bring one key, one of them stores it.
func insertRace(p *probe) error {
	for round := range 3 {
		recs := p.namesakes(fmt.Sprintf("round %d", round))
		won, err := p.oneAccepted("Insert", func(s envelope.KeyStore, i int) error { return s.Insert(p.ctx, recs[i]) })
		if err != nil {
			return err
		}
		if err := p.has(&recs[won], envelope.StateRetired); err != nil {
			return fmt.Errorf("the key that won the race: %w", err)
		}
	}
	return nil
}

// insertActivateRace: while some bring a key inside an envelope, others make it
// the active one.
func insertActivateRace(p *probe) error {
	for round := range 3 {
		inserts := func(i int) bool { return (i/2+round)%2 == 0 }
		recs := p.namesakes(fmt.Sprintf("round %d", round))
		won, err := p.oneAccepted("Insert and Activate", func(s envelope.KeyStore, i int) error {
			if inserts(i) {
				return s.Insert(p.ctx, recs[i])
			}
			return s.Activate(p.ctx, recs[i], envelope.KeyID{})
		})
		if err != nil {
			return err
		}
		rec := recs[won]
		rec.State = envelope.StateActive
		if inserts(won) {
			rec.State = envelope.StateRetired
			err = p.noneActive(rec.Scope, rec.Purpose)
		}
		if err := errors.Join(err, p.still(&rec)); err != nil {
			return fmt.Errorf("the key that won the race: %w", err)
		}
	}
	return nil
}
