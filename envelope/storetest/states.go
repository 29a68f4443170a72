package storetest

import (
	"fmt"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func statesChecks() []check {
	return []check{
		{name: "states-order", run: statesOrder},
		{name: "states-apart", run: statesApart},
		{name: "states-many", run: statesMany},
	}
}

// tells fails unless States returns the wanted states of the keys.
func (p *probe) tells(keys []envelope.KeyName, want []envelope.State) error {
	got, err := p.store.States(p.ctx, slices.Clone(keys))
	if err != nil {
		return fmt.Errorf("calling States of %d keys: %w", len(keys), err)
	}
	if len(got) != len(want) {
		return fmt.Errorf("calling States of %d keys: got %d states", len(keys), len(got))
	}
	for i := range want {
		if got[i] != want[i] {
			return fmt.Errorf("calling States of %d keys: state %d, of %v: got %q, want %q", len(keys), i, keys[i], got[i], want[i])
		}
	}
	return nil
}

// unknown is the name of a key that isn't there.
func (p *probe) unknown(scope envelope.Scope, purpose envelope.Purpose) envelope.KeyName {
	return envelope.KeyName{Scope: scope, Purpose: purpose, ID: envelope.KeyID(randomBytes(len(envelope.KeyID{})))}
}

// A told key is a name with the state that States must answer.
type told struct {
	key   envelope.KeyName
	state envelope.State
}

// mixed stores a key of each state in some scopes and purposes, and names
// unknown keys beside them. Neighbours differ in all.
func (p *probe) mixed() ([]told, error) {
	var all []told
	for _, state := range reached {
		for i, purpose := range purposes {
			for _, class := range []string{"crm", envelope.DefaultClass} {
				scope := envelope.Scope{Tenant: fmt.Sprintf("%s/%s %d", p.tenant, state, i%2), Class: class}
				rec, err := p.inState(scope, purpose, state)
				if err != nil {
					return nil, err
				}
				all = append(all, told{rec.Name(), state}, told{p.unknown(scope, purpose), ""})
			}
		}
	}
	const stride = 37 // has no divisor in common with the number of names
	spread := make([]told, len(all))
	for i := range all {
		spread[i] = all[i*stride%len(all)]
	}
	return spread, nil
}

func (p *probe) tellsAll(all []told) error {
	var keys []envelope.KeyName
	var want []envelope.State
	for _, one := range all {
		keys, want = append(keys, one.key), append(want, one.state)
	}
	return p.tells(keys, want)
}

// statesOrder: the answers are in the order of the names, which may come twice.
func statesOrder(p *probe) error {
	all, err := p.mixed()
	if err != nil {
		return err
	}
	if err := p.tellsAll(all); err != nil {
		return err
	}
	slices.Reverse(all)
	if err := p.tellsAll(all); err != nil {
		return fmt.Errorf("the other way round: %w", err)
	}
	if err := p.tellsAll(slices.Concat(all[:9], all[:9], all[4:5], all[4:5])); err != nil {
		return fmt.Errorf("some keys twice: %w", err)
	}
	return nil
}

// statesApart: a key isn't there under another scope or purpose, or in another
// one's place.
func statesApart(p *probe) error {
	scope := p.scope("here")
	rec, err := p.inState(scope, envelope.PurposeData, envelope.StateSuspended)
	if err != nil {
		return err
	}
	other, err := p.inState(p.scope("there"), envelope.PurposeIndex, envelope.StateActive)
	if err != nil {
		return err
	}
	all := []told{{rec.Name(), rec.State}}
	for _, tenant := range []string{
		other.Scope.Tenant, p.tenant, scope.Tenant + "\x00", scope.Tenant + " ", p.tenant + "/Here", p.tenant + "/her%", p.tenant + "/her", p.tenant + "/h\u00e9re",
	} {
		all = append(all, told{envelope.KeyName{Scope: envelope.Scope{Tenant: tenant, Class: "crm"}, Purpose: rec.Purpose, ID: rec.KeyID}, ""})
	}
	for _, class := range []string{"", "CRM", "crm ", "crm\x00", "cr_", "cr"} {
		all = append(all, told{envelope.KeyName{Scope: envelope.Scope{Tenant: scope.Tenant, Class: class}, Purpose: rec.Purpose, ID: rec.KeyID}, ""})
	}
	for _, purpose := range purposes[1:] {
		all = append(all, told{envelope.KeyName{Scope: scope, Purpose: purpose, ID: rec.KeyID}, ""})
	}
	all = append(
		all,
		// Each part of these names is that of a key which is asked for too.
		told{envelope.KeyName{Scope: scope, Purpose: rec.Purpose, ID: other.KeyID}, ""},
		told{envelope.KeyName{Scope: other.Scope, Purpose: other.Purpose, ID: rec.KeyID}, ""},
		told{envelope.KeyName{Scope: scope, Purpose: other.Purpose, ID: other.KeyID}, ""},
		told{other.Name(), other.State},
	)
	for i := range all {
		if err := p.tellsAll(all[i : i+1]); err != nil {
			return fmt.Errorf("alone: %w", err)
		}
	}
	return p.tellsAll(all)
}

// manyNames is more than some databases take parameters in one statement.
const manyNames = 2500

// statesMany: no name, one, and very many in one call.
func statesMany(p *probe) error {
	all, err := p.mixed()
	if err != nil {
		return err
	}
	if err := p.tellsAll(nil); err != nil {
		return err
	}
	if err := p.tells([]envelope.KeyName{}, nil); err != nil {
		return err
	}
	for i := range all {
		if err := p.tellsAll(all[i : i+1]); err != nil {
			return err
		}
	}
	many := make([]told, manyNames)
	for i := range many {
		if many[i] = all[i/7%len(all)]; i%7 > 0 {
			many[i] = told{p.unknown(all[i%len(all)].key.Scope, all[i%len(all)].key.Purpose), ""}
		}
	}
	many[manyNames-1] = all[slices.IndexFunc(all, func(one told) bool { return one.state != "" })]
	return p.tellsAll(many)
}
