package storetest

import (
	"fmt"
	"iter"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func listChecks() []check {
	return []check{
		{name: "list-walk", run: listWalk},
		{name: "list-changing", run: listChanging},
	}
}

// crowd is more than two pages of envelope.List.
const crowd = 1200

// listed fails unless envelope.List walks over the wanted records.
func (p *probe) listed(f envelope.Filter, want []envelope.Record) error {
	var got []envelope.Record
	for rec, err := range envelope.List(p.ctx, p.store, f) {
		if err != nil {
			return fmt.Errorf("after %d records of List: %w", len(got), err)
		}
		if got = append(got, rec); len(got) > len(want)+10 {
			break // it might never end
		}
	}
	if err := equal(got, want); err != nil {
		return fmt.Errorf("calling List of %+q: %w", f, err)
	}
	return nil
}

// listWalk: of more records than come at once, each comes once.
func listWalk(p *probe) error {
	recs := make([]envelope.Record, crowd)
	for i := range recs {
		recs[i] = p.record(envelope.Scope{Tenant: p.tenant + "/crowd", Class: fmt.Sprintf("class %d", i%3)}, purposes[i/3%len(purposes)])
		recs[i].Wrapped = recs[i].Wrapped[:32]
		if err := p.insert(&recs[i]); err != nil {
			return err
		}
	}
	recs = sorted(recs)
	f := envelope.Filter{Tenant: p.tenant + "/crowd"}
	if err := p.listed(f, recs); err != nil {
		return err
	}
	f.Class = "class 1"
	f.States = []envelope.State{envelope.StateRetired}
	return p.listed(f, chosen(f, recs))
}

// walk is like envelope.List with small pages.
func (p *probe) walk(f envelope.Filter, limit int) iter.Seq2[envelope.Record, error] {
	return func(yield func(envelope.Record, error) bool) {
		var after envelope.KeyName
		for {
			page, err := p.page(f, after, limit)
			if err != nil {
				yield(envelope.Record{}, err)
				return
			}
			for i := range page {
				if page[i].Name().Compare(after) <= 0 {
					yield(envelope.Record{}, fmt.Errorf("a walk came to %v after it had come to %v", page[i].Name(), after))
					return
				}
				if after = page[i].Name(); !yield(page[i], nil) {
					return
				}
			}
			if len(page) < limit {
				return
			}
		}
	}
}

// listChanging: whatever happens to other records while some are walked over,
// each that stays as it is comes once, and each that changes comes at most once
// and as it was at some time.
func listChanging(p *probe) error {
	const limit, total = 5, 60
	scope := p.scope("changing")
	var recs []envelope.Record
	for i := range total {
		rec := p.record(scope, envelope.PurposeData)
		rec.KeyID[0] = byte(2*i + 1)
		if err := p.insert(&rec); err != nil {
			return err
		}
		recs = append(recs, rec)
	}
	versions := map[envelope.KeyID][]envelope.Record{}
	for _, rec := range recs {
		versions[rec.KeyID] = []envelope.Record{rec}
	}
	elsewhere := *p
	elsewhere.store = p.stores[len(p.stores)-1]
	change := func(i int) error {
		rec := &recs[i]
		next := rewrapped(rec)
		next = moved(&next, reached[1:][i/2%4])
		if err := elsewhere.update(rec, &next); err != nil {
			return err
		}
		*rec = next
		versions[next.KeyID] = append(versions[next.KeyID], next)
		return nil
	}
	add := func(first int) error {
		rec := elsewhere.record(scope, envelope.PurposeData)
		rec.KeyID[0] = byte(first)
		if err := elsewhere.insert(&rec); err != nil {
			return err
		}
		versions[rec.KeyID] = []envelope.Record{rec}
		return nil
	}
	came := map[envelope.KeyID]bool{}
	at := 0
	for rec, err := range p.walk(envelope.Filter{Tenant: scope.Tenant, States: []envelope.State{envelope.StateRetired}}, limit) {
		if err != nil {
			return err
		}
		known := versions[rec.KeyID]
		if !slices.ContainsFunc(known, func(v envelope.Record) bool { return same(&rec, &v, envelope.StateRetired) == nil }) {
			return fmt.Errorf("a walk came to %v, which never was as it comes: %v", rec.Name(), rec.State)
		}
		came[rec.KeyID] = true
		at = int(rec.KeyID[0]) / 2
		// Behind the walk and ahead of it; the odd records stay as they are.
		for _, i := range []int{at - 3, at - 1, at, at + 2, at + 7} {
			if i >= 0 && i < total && i%2 == 0 && recs[i].State == envelope.StateRetired {
				if err := change(i); err != nil {
					return err
				}
			}
		}
		if len(versions) < 2*total {
			if err := add(int(rec.KeyID[0]) - 1); err != nil {
				return err
			}
			if err := add(int(rec.KeyID[0]) + 3); err != nil {
				return err
			}
		}
	}
	for i := 1; i < total; i += 2 {
		if !came[recs[i].KeyID] {
			return fmt.Errorf("a walk left out %v, which didn't change meanwhile; it ended at record %d of %d", recs[i].Name(), at, total)
		}
	}
	return nil
}
