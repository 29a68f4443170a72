package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func isolationChecks() []check {
	return []check{
		{name: "tenants-apart", run: tenantsApart},
		{name: "classes-apart", run: classesApart},
		{name: "tenant-class-boundary", run: namesNotJoined},
		{name: "default-class", run: defaultClass},
		{name: "purposes-apart", run: purposesApart},
		{name: "one-id-apart", run: oneIDApart},
	}
}

var purposes = []envelope.Purpose{
	envelope.PurposeData, envelope.PurposeDeterministic, envelope.PurposeIndex, envelope.PurposeLog,
}

// variants are names that a collation, a normalisation or a fixed width could
// take for one another. Every one starts with the prefix, of 26 letters.
func variants(prefix string) []string {
	long := prefix + strings.Repeat("x", maxName-1-len(prefix))
	names := []string{
		"acme", "Acme", "ACME",
		"acme ", "acme  ", " acme", "acme\t", "acme\n",
		"acme\x00", "acme\x00\x00", "acme\u200b", "ac\u00adme", "acme\u00a0",
		"caf\u00e9", "cafe\u0301", "cafe", "CAF\u00c9", // é composed, é decomposed, e
		"stra\u00dfe", "strasse", "i", "I", "\u0131", "\u0130", // ß; dotless and dotted i
		"\uff41cme", "\u0430cme", // full width; Cyrillic
		"\u212b", "\u00c5", "A\u030a", // Ångström sign and its equals
		"\ufb01", "fi", "\u03c3", "\u03c2", "\u03a3", // ligature; sigmas
		"\U0001F511", "\U0001F512", "?", "\ufffd", "", // beyond the basic plane
		"ac%", "ac_e", `ac\me`, `ac'me`, `ac"me`, "01", "1", "1.0", "null", "NULL",
	}
	for i := range names {
		names[i] = prefix + names[i]
	}
	return append(names, long+"1", long+"2", long) // differ past any shorter width
}

func tenantsApart(p *probe) error {
	var scopes []envelope.Scope
	for _, name := range variants(p.tenant) {
		scopes = append(scopes, envelope.Scope{Tenant: name, Class: "crm"})
	}
	return p.apart(scopes)
}

func classesApart(p *probe) error {
	var scopes []envelope.Scope
	for _, name := range variants(p.tenant) {
		scopes = append(scopes, envelope.Scope{Tenant: p.tenant, Class: name})
	}
	for _, name := range []string{envelope.DefaultClass, "Default", "default ", " ", "\x00"} {
		scopes = append(scopes, envelope.Scope{Tenant: p.tenant, Class: name})
	}
	return p.apart(scopes)
}

// namesNotJoined finds stores that join tenant and class, with or without
// something between them.
func namesNotJoined(p *probe) error {
	var scopes []envelope.Scope
	for _, sep := range []string{"", "/", ":", "|", ",", ".", "-", "_", "#", "\x00", "\x1f", " "} {
		scopes = append(
			scopes,
			envelope.Scope{Tenant: p.tenant + "t" + sep + "a", Class: "b"},
			envelope.Scope{Tenant: p.tenant + "t", Class: "a" + sep + "b"},
		)
	}
	return p.apart(slices.Compact(scopes))
}

// apart fails if one of the scopes, which all differ, acts as another.
func (p *probe) apart(scopes []envelope.Scope) error {
	stored := make([]envelope.Record, len(scopes))
	for i, scope := range scopes {
		var err error
		if stored[i], err = p.fresh(scope); err != nil {
			return fmt.Errorf("the first key of a scope of its own: %w", err)
		}
		if err := p.claims(scope, fmt.Sprintf("holder-%d", i), long, true); err != nil {
			return err
		}
	}
	for i := range stored {
		rec, other := &stored[i], &stored[(i+1)%len(stored)]
		if err := p.isActive(rec); err != nil {
			return err
		}
		if err := p.misses(other.Scope, rec.Purpose, rec.KeyID); err != nil {
			return err
		}
		_, _, err := p.store.Lease(p.ctx, other.Scope, rec.Purpose, rec.KeyID, 1)
		if err := notFound("Lease under another scope", err); err != nil {
			return err
		}
		if err := p.leases(rec, 600, 600, 400); err != nil {
			return err
		}
	}
	return p.untouched(stored)
}

// untouched gives the first record's scope a new key and its claim back, and
// fails if another record notices. 600 messages of each were leased.
func (p *probe) untouched(stored []envelope.Record) error {
	next := p.record(stored[0].Scope, stored[0].Purpose)
	if err := p.activate(&next, stored[0].KeyID); err != nil {
		return err
	}
	if err := p.store.Release(p.ctx, next.Scope, next.Purpose, "holder-0"); err != nil {
		return fmt.Errorf("calling Release of %v: %w", next.Scope, err)
	}
	for i := range stored[1:] {
		rec := &stored[i+1]
		if err := p.isActive(rec); err != nil {
			return fmt.Errorf("after another scope or purpose got a new key: %w", err)
		}
		if err := p.leases(rec, 600, 400, 0); err != nil {
			return fmt.Errorf("each of the scopes and purposes has its own budget: %w", err)
		}
		won, err := p.store.Claim(p.ctx, rec.Scope, rec.Purpose, "intruder", long)
		if err != nil {
			return fmt.Errorf("calling Claim of %v: %w", rec.Scope, err)
		}
		if won {
			return fmt.Errorf("calling Claim of %v, purpose %q: won, though only the claim of another scope or purpose was given back", rec.Scope, rec.Purpose)
		}
	}
	return nil
}

// defaultClass: the empty class and the default one are the same scope for
// every method.
func defaultClass(p *probe) error {
	for _, c := range []struct{ name, written, read string }{
		{"written empty", "", envelope.DefaultClass},
		{"read empty", envelope.DefaultClass, ""},
		{"both empty", "", ""},
	} {
		written := envelope.Scope{Tenant: p.tenant + c.name, Class: c.written}
		read := envelope.Scope{Tenant: p.tenant + c.name, Class: c.read}
		if err := p.oneScope(written, read); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (p *probe) oneScope(written, read envelope.Scope) error {
	rec, err := p.fresh(written)
	if err != nil {
		return err
	}
	seen := rec
	seen.Scope = read
	if err := p.isActive(&seen); err != nil {
		return err
	}
	if err := p.has(&seen, envelope.StateActive); err != nil {
		return err
	}
	if err := p.leases(&seen, 600, 600, 400); err != nil {
		return err
	}
	if err := p.leases(&rec, 600, 400, 0); err != nil {
		return err
	}
	if err := p.claims(written, "one", long, true); err != nil {
		return err
	}
	if err := p.claims(read, "two", long, false); err != nil {
		return err
	}
	if err := p.store.Release(p.ctx, read, envelope.PurposeData, "one"); err != nil {
		return fmt.Errorf("calling Release of %v: %w", read, err)
	}
	if err := p.claims(written, "two", long, true); err != nil {
		return err
	}
	next := p.record(read, envelope.PurposeData)
	if err := p.activate(&next, rec.KeyID); err != nil {
		return err
	}
	if err := p.has(&rec, envelope.StateRetired); err != nil {
		return err
	}
	return p.oneScopeLater(written, read)
}

// oneScopeLater: also for the methods of a key's later life.
func (p *probe) oneScopeLater(written, read envelope.Scope) error {
	rec := p.record(written, envelope.PurposeIndex)
	if err := p.insert(&rec); err != nil {
		return err
	}
	seen := rec
	seen.Scope = read
	if err := p.unmoved("Insert of the same key under both names of a class", p.store.Insert(p.ctx, seen), &seen); err != nil {
		return err
	}
	next := moved(&seen, envelope.StateSuspended)
	if err := p.update(&seen, &next); err != nil {
		return err
	}
	rec = next
	rec.Scope = written
	if err := errors.Join(p.still(&rec), p.still(&next)); err != nil {
		return err
	}
	if err := p.tells([]envelope.KeyName{rec.Name(), seen.Name()}, []envelope.State{rec.State, rec.State}); err != nil {
		return err
	}
	f := envelope.Filter{Tenant: read.Tenant, Class: envelope.DefaultClass, Purpose: rec.Purpose}
	if err := p.chooses(f, envelope.KeyName{}, []envelope.Record{rec}); err != nil {
		return err
	}
	for _, after := range []envelope.KeyName{rec.Name(), seen.Name()} {
		if err := p.chooses(f, after, nil); err != nil {
			return err
		}
	}
	return nil
}

func purposesApart(p *probe) error {
	scope := p.scope("purposes")
	stored := make([]envelope.Record, len(purposes))
	for i, purpose := range purposes {
		stored[i] = p.record(scope, purpose)
		_, err := p.store.Active(p.ctx, scope, purpose)
		if err := notFound(fmt.Sprintf("Active of the purpose %q, which has no key", purpose), err); err != nil {
			return err
		}
		if err := p.activate(&stored[i], envelope.KeyID{}); err != nil {
			return fmt.Errorf("the first key of a purpose: %w", err)
		}
		won, err := p.store.Claim(p.ctx, scope, purpose, fmt.Sprintf("holder-%d", i), long)
		if err != nil {
			return fmt.Errorf("calling Claim of the purpose %q: %w", purpose, err)
		}
		if !won {
			return fmt.Errorf("calling Claim of the purpose %q: not won, though only others are claimed", purpose)
		}
	}
	for i := range stored {
		rec := &stored[i]
		if err := p.isActive(rec); err != nil {
			return err
		}
		if err := p.leases(rec, 600, 600, 400); err != nil {
			return err
		}
		for _, other := range purposes {
			if other == rec.Purpose {
				continue
			}
			if err := p.misses(scope, other, rec.KeyID); err != nil {
				return err
			}
			_, _, err := p.store.Lease(p.ctx, scope, other, rec.KeyID, 1)
			if err := notFound("Lease under another purpose", err); err != nil {
				return err
			}
		}
	}
	return p.untouched(stored)
}

// oneIDApart: a key's ID names it within its scope and purpose only, also for
// the methods of its later life.
func oneIDApart(p *probe) error {
	var recs []envelope.Record
	add := func(scope envelope.Scope, purpose envelope.Purpose) {
		rec := p.record(scope, purpose)
		if len(recs) > 0 {
			rec.KeyID = recs[0].KeyID
		}
		recs = append(recs, rec)
	}
	for _, name := range variants(p.tenant) {
		add(envelope.Scope{Tenant: name, Class: "crm"}, envelope.PurposeData)
		add(envelope.Scope{Tenant: p.tenant + "/", Class: name}, envelope.PurposeData)
	}
	for _, sep := range []string{"", "/", "|", "\x00"} {
		add(envelope.Scope{Tenant: p.tenant + "//t" + sep, Class: "b"}, envelope.PurposeData)
		add(envelope.Scope{Tenant: p.tenant + "//t", Class: sep + "b"}, envelope.PurposeData)
	}
	for _, purpose := range purposes {
		add(p.scope("purposes"), purpose)
	}
	recs = slices.CompactFunc(recs, func(a, b envelope.Record) bool { return a.Name() == b.Name() })
	for i := range recs {
		if err := p.insert(&recs[i]); err != nil {
			return fmt.Errorf("the first key of a scope of its own: %w", err)
		}
	}
	states := []envelope.State{envelope.StateRetired, envelope.StateSuspended, envelope.StateScheduled, envelope.StateDestroyed}
	var names []envelope.KeyName
	var want []envelope.State
	for i := range recs {
		if next := moved(&recs[i], states[i%len(states)]); next.State != envelope.StateRetired {
			if err := p.update(&recs[i], &next); err != nil {
				return err
			}
			recs[i] = next
		}
		names, want = append(names, recs[i].Name()), append(want, recs[i].State)
	}
	for i := range recs {
		if err := p.still(&recs[i]); err != nil {
			return fmt.Errorf("after keys of that ID changed in other scopes or purposes: %w", err)
		}
		f := envelope.Filter{Tenant: recs[i].Scope.Tenant, Class: recs[i].Scope.Class, Purpose: recs[i].Purpose}
		if err := p.chooses(f, envelope.KeyName{}, recs[i:i+1]); err != nil {
			return fmt.Errorf("one key in each scope and purpose: %w", err)
		}
	}
	return p.tells(names, want)
}
