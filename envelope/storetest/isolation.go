package storetest

import (
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
	return p.has(&rec, envelope.StateRetired)
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
