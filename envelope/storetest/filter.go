package storetest

import (
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func filterChecks() []check {
	return []check{
		{name: "filter-alone", run: filterAlone},
		{name: "filter-combined", run: filterCombined},
		{name: "filter-bytes", run: filterBytes},
	}
}

const (
	rootOne = "example-kms://eu/root-1"
	rootTwo = "example-kms://eu/root-2"
)

// census stores a key for each pair of the values that a filter chooses by, and
// returns the keys in order.
func (p *probe) census() ([]envelope.Record, error) {
	var recs []envelope.Record
	for _, tenant := range []string{"/one", "/two"} {
		for _, class := range []string{"crm", ""} {
			for _, purpose := range purposes[:3] {
				for _, state := range reached {
					scope := envelope.Scope{Tenant: p.tenant + tenant, Class: class}
					rec, err := p.inState(scope, purpose, state)
					if err != nil {
						return nil, err
					}
					next := rec
					if next.RootKey = rootOne; len(recs)%2 > 0 {
						next.RootKey = rootTwo
					}
					if state != envelope.StateDestroyed {
						if err := p.update(&rec, &next); err != nil {
							return nil, err
						}
						rec = next
					}
					recs = append(recs, rec)
				}
			}
		}
	}
	return sorted(recs), nil
}

// chosen says which records a filter chooses, from the words of the interface.
func chosen(f envelope.Filter, recs []envelope.Record) []envelope.Record {
	var some []envelope.Record
	for _, rec := range recs {
		switch {
		case f.Tenant != "" && f.Tenant != rec.Scope.Tenant,
			f.Class != "" && f.Class != defaulted(rec.Name()).Scope.Class,
			f.Purpose != "" && f.Purpose != rec.Purpose,
			f.RootKey != "" && f.RootKey != rec.RootKey,
			len(f.States) > 0 && !slices.Contains(f.States, rec.State):
		default:
			some = append(some, rec)
		}
	}
	return some
}

// wants asks for what a filter chooses of the records.
func (p *probe) wants(f envelope.Filter, recs []envelope.Record) error {
	return p.chooses(f, p.edge(), chosen(f, recs))
}

func filterAlone(p *probe) error {
	recs, err := p.census()
	if err != nil {
		return err
	}
	var fs []envelope.Filter
	for _, tenant := range []string{recs[0].Scope.Tenant, recs[len(recs)-1].Scope.Tenant, p.tenant, p.tenant + "/onetwo"} {
		fs = append(fs, envelope.Filter{Tenant: tenant})
	}
	for _, class := range []string{"crm", envelope.DefaultClass, "crmdefault"} {
		fs = append(fs, envelope.Filter{Class: class})
	}
	for _, purpose := range purposes {
		fs = append(fs, envelope.Filter{Purpose: purpose})
	}
	for _, uri := range []string{rootOne, rootTwo, "example-kms://eu/root-3"} {
		fs = append(fs, envelope.Filter{RootKey: uri})
	}
	fs = append(fs, envelope.Filter{}, envelope.Filter{States: []envelope.State{}}, envelope.Filter{States: []envelope.State{envelope.StatePending}})
	for i, state := range reached {
		other := reached[(i+3)%len(reached)]
		fs = append(
			fs,
			envelope.Filter{States: []envelope.State{state}},
			envelope.Filter{States: []envelope.State{state, other}},
			envelope.Filter{States: []envelope.State{state, envelope.StatePending, state, other, state}},
			envelope.Filter{States: slices.DeleteFunc(slices.Clone(reached), func(s envelope.State) bool { return s == state })},
		)
	}
	fs = append(fs, envelope.Filter{States: reached})
	for _, f := range fs {
		if err := p.wants(f, recs); err != nil {
			return err
		}
	}
	return nil
}

// filterCombined: a record is chosen if all parts of the filter choose it.
func filterCombined(p *probe) error {
	recs, err := p.census()
	if err != nil {
		return err
	}
	for _, tenant := range []string{"", p.tenant + "/two"} {
		for _, class := range []string{"", "crm", envelope.DefaultClass} {
			for _, purpose := range []envelope.Purpose{"", envelope.PurposeDeterministic, envelope.PurposeLog} {
				for _, uri := range []string{"", rootTwo} {
					for _, states := range [][]envelope.State{nil, {envelope.StateRetired}, {envelope.StateScheduled, envelope.StateActive}, {envelope.StatePending}} {
						f := envelope.Filter{Tenant: tenant, Class: class, Purpose: purpose, RootKey: uri, States: states}
						if err := p.wants(f, recs); err != nil {
							return err
						}
						if err := p.inSteps(f, p.edge(), 2, chosen(f, recs)); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return nil
}

// filterBytes: what a filter names is compared byte by byte and holds no
// patterns.
func filterBytes(p *probe) error {
	var recs []envelope.Record
	for _, name := range variants(p.tenant) {
		recs = append(
			recs,
			p.record(envelope.Scope{Tenant: name, Class: "crm"}, envelope.PurposeData),
			p.record(envelope.Scope{Tenant: p.tenant + "/", Class: name}, envelope.PurposeData),
		)
	}
	for _, uri := range []string{
		"example-kms://eu/root-1", "example-kms://eu/Root-1", "EXAMPLE-KMS://EU/ROOT-1", "example-kms://eu/root-10", "example-kms://eu/root-", "example-kms://eu/root-1 ",
		"example-kms://eu/root_1", "example-kms://eu/root%1", "example-kms://eu/%", "%", "example-kms://eu/root-1/", `example-kms://eu/root\-1`, "example-kms://eu/root'1",
		long512("example-kms://eu/"), long512("example-kms://eu/")[:maxURI-1],
	} {
		rec := p.record(p.scope("roots"), envelope.PurposeData)
		rec.RootKey = uri
		recs = append(recs, rec)
	}
	for i := range recs {
		if err := p.insert(&recs[i]); err != nil {
			return err
		}
	}
	recs = sorted(recs)
	for i := range recs {
		rec := &recs[i]
		for _, f := range []envelope.Filter{
			{Tenant: rec.Scope.Tenant},
			{Tenant: rec.Scope.Tenant, Class: rec.Scope.Class},
			{Tenant: rec.Scope.Tenant, RootKey: rec.RootKey},
		} {
			if err := p.wants(f, recs); err != nil {
				return err
			}
		}
	}
	return nil
}
