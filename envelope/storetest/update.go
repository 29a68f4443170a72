package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func updateChecks() []check {
	return []check{
		{name: "update-compares", run: updateCompares},
		{name: "update-nothing-new", run: updateNothingNew},
		{name: "update-not-found", run: updateNotFound},
		{name: "update-race", run: updateRace},
		{name: "update-activate-race", run: updateActivateRace},
		{name: "update-lease-race", run: updateLeaseRace},
		{name: "update-one-step", run: updateOneStep},
	}
}

// A stale record differs from the stored one in one of the members that Update
// compares.
type stale struct {
	name string
	edit func(r *envelope.Record)
}

func stales(rec *envelope.Record) []stale {
	all := []stale{
		{"another root key", func(r *envelope.Record) { r.RootKey = "example-kms://eu/root-7" }},
		{"the root key in upper case", func(r *envelope.Record) { r.RootKey = strings.ToUpper(r.RootKey) }},
		{"a space after the root key", func(r *envelope.Record) { r.RootKey += " " }},
		{"no root key", func(r *envelope.Record) { r.RootKey = "" }},
		{"another wrapped key", func(r *envelope.Record) { r.Wrapped = randomBytes(len(r.Wrapped)) }},
		{"another last bit of the wrapped key", func(r *envelope.Record) { r.Wrapped[len(r.Wrapped)-1] ^= 1 }},
		{"the start of the wrapped key", func(r *envelope.Record) { r.Wrapped = r.Wrapped[:len(r.Wrapped)-1] }},
		{"a longer wrapped key", func(r *envelope.Record) { r.Wrapped = append(r.Wrapped, 0) }},
		{"no wrapped key", func(r *envelope.Record) { r.Wrapped = nil }},
	}
	if rec.State == envelope.StateScheduled {
		all = append(all,
			stale{"an earlier time to destroy it", func(r *envelope.Record) { r.DestroyAfter = r.DestroyAfter.Add(-time.Second) }},
			stale{"no time to destroy it", func(r *envelope.Record) { r.DestroyAfter = time.Time{} }},
		)
	} else {
		all = append(all, stale{"a time to destroy it", func(r *envelope.Record) { r.DestroyAfter = r.Created }})
	}
	for _, state := range append([]envelope.State{"", envelope.StatePending}, reached...) {
		if state != rec.State {
			all = append(all, stale{fmt.Sprintf("the state %q", state), func(r *envelope.Record) { r.State = state }})
		}
	}
	return all
}

// updateCompares: RootKey, Wrapped, State and DestroyAfter must be what the store
// has, and no other member need be.
func updateCompares(p *probe) error {
	for _, state := range living {
		rec, err := p.inState(p.scope("is "+string(state)), envelope.PurposeData, state)
		if err != nil {
			return err
		}
		next := rewrapped(&rec)
		for _, c := range stales(&rec) {
			old := rec
			old.Wrapped = bytes.Clone(rec.Wrapped)
			c.edit(&old)
			what := fmt.Sprintf("Update of a key that is %s, with %s", state, c.name)
			if err := p.unmoved(what, p.store.Update(p.ctx, old, next), &rec); err != nil {
				return err
			}
		}
		old := p.record(rec.Scope, rec.Purpose)
		old.KeyID, old.RootKey, old.Wrapped, old.State = rec.KeyID, rec.RootKey, rec.Wrapped, rec.State
		old.Created, old.NotAfter, old.Budget = old.Created.Add(-time.Hour), time.Time{}, 7
		old.DestroyAfter, old.Change = rec.DestroyAfter, envelope.Change{By: "nobody"}
		if err := p.update(&old, &next); err != nil {
			return fmt.Errorf("members that aren't compared differ: %w", err)
		}
		if err := p.still(&next); err != nil {
			return fmt.Errorf("members that aren't compared differ: %w", err)
		}
		if err := p.unmoved("Update for the second time", p.store.Update(p.ctx, old, next), &next); err != nil {
			return err
		}
	}
	return nil
}

// updateNothingNew: a change to what is there already is accepted. Some
// databases don't count a row that was written and didn't change.
func updateNothingNew(p *probe) error {
	for _, state := range living {
		rec, err := p.inState(p.scope("is "+string(state)), envelope.PurposeData, state)
		if err != nil {
			return err
		}
		for range 2 {
			if err := p.update(&rec, &rec); err != nil {
				return fmt.Errorf("nothing changes: %w", err)
			}
			if err := p.still(&rec); err != nil {
				return fmt.Errorf("nothing changed: %w", err)
			}
		}
		told := rec
		told.Change.Why += ", once more"
		if err := p.update(&rec, &told); err != nil {
			return fmt.Errorf("only Change changes: %w", err)
		}
		if err := p.still(&told); err != nil {
			return fmt.Errorf("only Change changed: %w", err)
		}
	}
	return nil
}

// updateNotFound: a key that isn't there is neither made nor taken for another.
func updateNotFound(p *probe) error {
	rec, err := p.inState(p.scope("known"), envelope.PurposeData, envelope.StateRetired)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		edit func(r *envelope.Record)
	}{
		{"an unknown key", func(r *envelope.Record) { r.KeyID = envelope.KeyID(randomBytes(len(r.KeyID))) }},
		{"the zero ID", func(r *envelope.Record) { r.KeyID = envelope.KeyID{} }},
		{"an unknown tenant", func(r *envelope.Record) { r.Scope.Tenant += "." }},
		{"an unknown class", func(r *envelope.Record) { r.Scope.Class = "unknown" }},
		{"another purpose", func(r *envelope.Record) { r.Purpose = envelope.PurposeIndex }},
	} {
		old := rec
		c.edit(&old)
		for _, to := range []envelope.State{envelope.StateRetired, envelope.StateSuspended, envelope.StateDestroyed} {
			next := rewrapped(&old)
			next = moved(&next, to)
			what := fmt.Sprintf("Update of %s to %s", c.name, to)
			if err := notFound(what, p.store.Update(p.ctx, old, next)); err != nil {
				return err
			}
			if err := errors.Join(p.misses(old.Scope, old.Purpose, old.KeyID), p.still(&rec)); err != nil {
				return fmt.Errorf("after %s: %w", what, err)
			}
		}
	}
	return nil
}

// updateRace: of many that start from the same record, one makes its own of it.
func updateRace(p *probe) error {
	for _, from := range living {
		rec, err := p.inState(p.scope("is "+string(from)), envelope.PurposeData, from)
		if err != nil {
			return err
		}
		recs := make([]envelope.Record, racers)
		for i := range recs {
			recs[i] = rewrapped(&rec)
			if i%4 > 0 { // the others only wrap anew
				recs[i] = moved(&recs[i], living[i%4])
			}
			recs[i].Change.By = fmt.Sprintf("racer-%d", i)
		}
		won, err := p.oneAccepted("Update", func(s envelope.KeyStore, i int) error { return s.Update(p.ctx, rec, recs[i]) })
		if err != nil {
			return err
		}
		if err := p.still(&recs[won]); err != nil {
			return fmt.Errorf("the change that won the race: %w", err)
		}
	}
	return nil
}

// updateActivateRace: while some suspend the active key, others put the next
// one in its place. Either leaves the others with a key that isn't active.
func updateActivateRace(p *probe) error {
	for round := range 3 {
		updates := func(i int) bool { return (i/2+round)%2 == 0 }
		rec, err := p.inState(p.scope(fmt.Sprintf("round %d", round)), envelope.PurposeData, envelope.StateActive)
		if err != nil {
			return err
		}
		recs := make([]envelope.Record, racers)
		for i := range recs {
			recs[i] = moved(&rec, envelope.StateSuspended)
			recs[i].Change.By = fmt.Sprintf("racer-%d", i)
			if !updates(i) {
				recs[i] = p.record(rec.Scope, rec.Purpose)
				recs[i].State = envelope.StateActive
			}
		}
		won, err := p.oneAccepted("Update and Activate", func(s envelope.KeyStore, i int) error {
			if updates(i) {
				return s.Update(p.ctx, rec, recs[i])
			}
			return s.Activate(p.ctx, recs[i], rec.KeyID)
		})
		if err != nil {
			return err
		}
		if updates(won) {
			err = p.noneActive(rec.Scope, rec.Purpose)
		} else {
			err = p.has(&rec, envelope.StateRetired)
		}
		if err := errors.Join(p.still(&recs[won]), err); err != nil {
			return fmt.Errorf("after the race: %w", err)
		}
	}
	return nil
}

// updateLeaseRace: what is leased while the key is wrapped anew counts.
func updateLeaseRace(p *probe) error {
	const budget, block, turns = 1009, 7, 8
	rec, err := p.withBudget("race", budget)
	if err != nil {
		return err
	}
	took, err := race(p, func(s envelope.KeyStore, i int) (sum uint64, err error) {
		for range turns {
			if i/2%2 == 0 {
				n, _, err := s.Lease(p.ctx, rec.Scope, rec.Purpose, rec.KeyID, block)
				if err != nil {
					return sum, err
				}
				sum += n
				continue
			}
			now, err := s.Get(p.ctx, rec.Scope, rec.Purpose, rec.KeyID)
			if err != nil {
				return sum, err
			}
			if err := s.Update(p.ctx, now, rewrapped(&now)); err != nil && !errors.Is(err, envelope.ErrConflict) {
				return sum, err
			}
		}
		return sum, nil
	})
	if err != nil {
		return fmt.Errorf("%d racing calls of Lease and Update: %w", racers, err)
	}
	var sum uint64
	for _, n := range took {
		sum += n
	}
	if sum != budget {
		return fmt.Errorf("while a key was wrapped anew, its callers were granted %d messages in all, the budget is %d", sum, budget)
	}
	return p.sealsNothing(&rec)
}

// updateOneStep: a reader sees a record before a change or after it, and not in
// between.
func updateOneStep(p *probe) error {
	rec, err := p.inState(p.scope("seen"), envelope.PurposeData, envelope.StateRetired)
	if err != nil {
		return err
	}
	next := rewrapped(&rec)
	next = moved(&next, envelope.StateScheduled)
	// The writer goes on until each reader has looked so many times, and the
	// readers until the writer has ended.
	const turns = 12
	var behind atomic.Int64
	behind.Store(racers - 1)
	ended := make(chan struct{})
	_, err = race(p, func(s envelope.KeyStore, i int) (struct{}, error) {
		if i == 0 {
			defer close(ended)
			for turn := 0; turn < turns || behind.Load() > 0; turn++ {
				if err := s.Update(p.ctx, rec, next); err != nil {
					return struct{}{}, err
				}
				if err := s.Update(p.ctx, next, rec); err != nil {
					return struct{}{}, err
				}
			}
			return struct{}{}, nil
		}
		isBehind := true
		caughtUp := func() {
			if isBehind {
				isBehind = false
				behind.Add(-1)
			}
		}
		defer caughtUp()
		for turn := 0; ; turn++ {
			select {
			case <-ended:
				return struct{}{}, nil
			default:
			}
			got, err := p.seen(s, &rec, (i+turn)%2 == 0)
			if err != nil {
				return struct{}{}, err
			}
			if before, after := same(got, &rec, rec.State), same(got, &next, next.State); before != nil && after != nil {
				return struct{}{}, fmt.Errorf("a record was seen half changed: as it was before, %w; as it is after, %w", before, after)
			}
			if turn >= turns {
				caughtUp()
				time.Sleep(time.Millisecond) // leaves the store to the writer
			}
		}
	})
	if err != nil {
		return fmt.Errorf("%d racing calls of Update, Get and Page: %w", racers, err)
	}
	return p.still(&rec)
}

// seen is the record as Get or Page has it.
func (p *probe) seen(s envelope.KeyStore, rec *envelope.Record, byPage bool) (*envelope.Record, error) {
	if !byPage {
		got, err := s.Get(p.ctx, rec.Scope, rec.Purpose, rec.KeyID)
		return &got, err
	}
	page, err := s.Page(p.ctx, envelope.Filter{Tenant: rec.Scope.Tenant}, envelope.KeyName{}, 2)
	if err != nil {
		return nil, err
	}
	if len(page) != 1 {
		return nil, fmt.Errorf("%d records of a tenant who has one", len(page))
	}
	return &page[0], nil
}
