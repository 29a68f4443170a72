package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func pageChecks() []check {
	return []check{
		{name: "page-order", run: pageOrder},
		{name: "page-after", run: pageAfter},
		{name: "page-limit", run: pageLimit},
		{name: "page-whole", run: pageWhole},
	}
}

// plenty is a limit that no check's own records reach.
const plenty = 1500

// edge is a name before all of this check's own, which lie next to one another
// in any store: their tenants begin with the same random letters.
func (p *probe) edge() envelope.KeyName {
	return envelope.KeyName{Scope: envelope.Scope{Tenant: p.tenant, Class: "\x00"}}
}

// own leaves out the records of others.
func (p *probe) own(page []envelope.Record) []envelope.Record {
	return slices.DeleteFunc(page, func(rec envelope.Record) bool { return !strings.HasPrefix(rec.Scope.Tenant, p.tenant) })
}

func (p *probe) page(f envelope.Filter, after envelope.KeyName, limit int) ([]envelope.Record, error) {
	page, err := p.store.Page(p.ctx, f, after, limit)
	if err != nil {
		return nil, fmt.Errorf("calling Page of %+q after %v: %w", f, after, err)
	}
	if len(page) > limit {
		return nil, fmt.Errorf("calling Page of %+q after %v: %d records, the limit is %d", f, after, len(page), limit)
	}
	return page, nil
}

// chooses fails unless Page returns the wanted records in their order, whole,
// and none else of this check's own.
func (p *probe) chooses(f envelope.Filter, after envelope.KeyName, want []envelope.Record) error {
	page, err := p.page(f, after, plenty)
	if err != nil {
		return err
	}
	if err := equal(p.own(page), want); err != nil {
		return fmt.Errorf("calling Page of %+q after %v: %w", f, after, err)
	}
	return nil
}

// equal compares records one by one.
func equal(got, want []envelope.Record) error {
	for i := range min(len(got), len(want)) {
		if got[i].Name() != defaulted(want[i].Name()) {
			return fmt.Errorf("record %d of %d is %v, want %v of %d", i, len(got), got[i].Name(), want[i].Name(), len(want))
		}
		if err := same(&got[i], &want[i], want[i].State); err != nil {
			return fmt.Errorf("record %d of %d, %v: %w", i, len(got), want[i].Name(), err)
		}
	}
	switch {
	case len(got) < len(want):
		return fmt.Errorf("%d records, want %d: %v is missing", len(got), len(want), want[len(got)].Name())
	case len(got) > len(want):
		return fmt.Errorf("%d records, want %d: %v is one too many", len(got), len(want), got[len(want)].Name())
	}
	return nil
}

func defaulted(n envelope.KeyName) envelope.KeyName {
	if n.Scope.Class == "" {
		n.Scope.Class = envelope.DefaultClass
	}
	return n
}

// sorted has the records in the order that the interface tells in words, which
// is not made with the means that a store may use.
func sorted(recs []envelope.Record) []envelope.Record {
	return slices.SortedFunc(slices.Values(recs), func(a, b envelope.Record) int {
		left, right := defaulted(a.Name()), defaulted(b.Name())
		return cmp.Or(
			strings.Compare(left.Scope.Tenant, right.Scope.Tenant),
			strings.Compare(left.Scope.Class, right.Scope.Class),
			strings.Compare(string(left.Purpose), string(right.Purpose)),
			slices.Compare(left.ID[:], right.ID[:]),
		)
	})
}

// ascending are names in the order of their bytes. Letter cases, accents,
// control characters and what lies beyond the basic plane (whose halves in
// UTF-16 come before U+E000) change places in other orders.
func ascending() []string {
	return []string{
		"\x00", "\x00\x00", "\x00a", "\x01", "\t", " ", " a", "!", "%", "-", "0", "01", "1", "10", "2", "9",
		"A", "A\x00", "A\x00B", "A ", "AB", "Aa", "B", "Z", "\\", "_",
		"a", "a\x00", "a\x00\x00", "a\x00z", "a\x01", "a\t", "a ", "a b", "a!", "a-b", "a/b", "aB", "aa", "ab", "ab\x00", "abc", "ae", "a\x7f", "a\u0301",
		"b", "e", "e\u0301", "f", "ss", "z", "zz", "{", "|", "~", "\x7f", "\x7fa", "\u0080", "\u00a0",
		"\u00c4", "\u00c9", "\u00df", "\u00e4", "\u00e9", "\u00e9\x00", "\u00e9a", "\u0430", "\u07ff", "\u0800", "\u200b", "\ud7ff", "\ue000", "\ufb01", "\uff41", "\uffff",
		"\U00010000", "\U0001F511", "\U0001F511\U0001F511", "\U0001F512", "\U0010ffff",
	}
}

// keyIDs are in the order of their bytes.
func keyIDs() []envelope.KeyID {
	var ids []envelope.KeyID
	for _, first := range []byte{0, ' ', '0', '9', 'A', 'Z', 'a', 'z', 0x7f, 0x80, 0xc3, 0xfe, 0xff} {
		for _, last := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			if id := (envelope.KeyID{0: first, 31: last}); id != (envelope.KeyID{}) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// pageOrder: tenant, class, purpose and ID, each as bytes.
func pageOrder(p *probe) error {
	scope := p.scope("ids")
	var recs []envelope.Record
	add := func(scope envelope.Scope, purpose envelope.Purpose) *envelope.Record {
		recs = append(recs, p.record(scope, purpose))
		return &recs[len(recs)-1]
	}
	for _, name := range ascending() {
		add(envelope.Scope{Tenant: p.tenant + name, Class: "crm"}, envelope.PurposeData)
		add(envelope.Scope{Tenant: p.tenant + "/classes", Class: name}, envelope.PurposeData)
	}
	for _, id := range keyIDs() {
		add(scope, envelope.PurposeData).KeyID = id
	}
	for i, purpose := range purposes {
		add(scope, purpose).KeyID[0] = byte(0xf0 - i) // falls where purposes rise
	}
	// Classes fall where tenants rise, and nothing is between the two.
	for _, tenant := range []string{"", "\x00", "\x00a", "/", "a"} {
		for _, class := range []string{"z", "a\x00", "/", "\x00z", "\x00\x00", ""} {
			add(envelope.Scope{Tenant: p.tenant + "/joined" + tenant, Class: class}, envelope.PurposeData)
		}
	}
	// Stored in the order of their wrapped keys, which is none.
	slices.SortFunc(recs, func(a, b envelope.Record) int { return slices.Compare(a.Wrapped, b.Wrapped) })
	for i := range recs {
		if err := p.insert(&recs[i]); err != nil {
			return err
		}
	}
	recs = sorted(recs)
	if err := p.chooses(envelope.Filter{}, p.edge(), recs); err != nil {
		return err
	}
	for _, tenant := range []string{p.tenant + "/classes", scope.Tenant} {
		var want []envelope.Record
		for _, rec := range recs {
			if rec.Scope.Tenant == tenant {
				want = append(want, rec)
			}
		}
		if err := p.chooses(envelope.Filter{Tenant: tenant}, envelope.KeyName{}, want); err != nil {
			return err
		}
	}
	return p.inSteps(envelope.Filter{}, p.edge(), 7, recs)
}

// inSteps walks over the wanted records, so many at a time.
func (p *probe) inSteps(f envelope.Filter, after envelope.KeyName, limit int, want []envelope.Record) error {
	for len(want) > 0 {
		next := want[:min(limit, len(want))]
		page, err := p.page(f, after, limit)
		if err != nil {
			return err
		}
		if err := equal(p.own(page), next); err != nil {
			return fmt.Errorf("calling Page of %+q after %v, limit %d: %w", f, after, limit, err)
		}
		after, want = next[len(next)-1].Name(), want[len(next):]
	}
	return p.chooses(f, after, nil)
}

// grid stores a key for each of some scopes, purposes and IDs that are close to
// one another, and returns them in order.
func (p *probe) grid() ([]envelope.Record, error) {
	var recs []envelope.Record
	for _, class := range []string{"crm", "crm\x00", ""} {
		for _, purpose := range purposes[:2] {
			for _, first := range []byte{0x10, 0x80} {
				rec := p.record(envelope.Scope{Tenant: p.tenant + "/grid", Class: class}, purpose)
				rec.KeyID = envelope.KeyID{first, 31: first}
				recs = append(recs, rec)
				if err := p.insert(&recs[len(recs)-1]); err != nil {
					return nil, err
				}
			}
		}
	}
	return sorted(recs), nil
}

// pageAfter: a page begins with the first name that is greater, whether or not
// there is a key of the name that it comes after.
func pageAfter(p *probe) error {
	recs, err := p.grid()
	if err != nil {
		return err
	}
	f := envelope.Filter{Tenant: recs[0].Scope.Tenant}
	for i := range recs {
		at, less, more := recs[i].Name(), recs[i].Name(), recs[i].Name()
		less.ID[31]--
		more.ID[31]++
		for _, c := range []struct {
			after envelope.KeyName
			want  []envelope.Record
		}{{at, recs[i+1:]}, {less, recs[i:]}, {more, recs[i+1:]}} {
			if err := p.chooses(f, c.after, c.want); err != nil {
				return err
			}
		}
		// The filter needn't choose what the page comes after.
		one := envelope.Filter{Tenant: f.Tenant, Purpose: envelope.PurposeDeterministic}
		later := slices.DeleteFunc(slices.Clone(recs[i+1:]), func(rec envelope.Record) bool { return rec.Purpose != one.Purpose })
		if err := p.chooses(one, at, later); err != nil {
			return err
		}
	}
	name := func(tenant, class string, purpose envelope.Purpose) envelope.KeyName {
		return envelope.KeyName{Scope: envelope.Scope{Tenant: tenant, Class: class}, Purpose: purpose}
	}
	for _, c := range []struct {
		after envelope.KeyName
		left  int // how many of the records come after it
	}{
		{envelope.KeyName{}, 12},
		{name(f.Tenant, "\x00", ""), 12},
		{name(f.Tenant[:len(f.Tenant)-1], "z", "z"), 12},
		{name(f.Tenant, "Crm", "z"), 12},
		{name(f.Tenant, "crm", ""), 12},
		{name(f.Tenant, "crm", envelope.PurposeData), 12},
		{name(f.Tenant, "crm", envelope.PurposeDeterministic), 10},
		{name(f.Tenant, "crm", envelope.PurposeLog), 8},
		{name(f.Tenant, "crm\x00", "z"), 4},
		{name(f.Tenant, "crm\x01", ""), 4},
		{name(f.Tenant, "", ""), 4}, // the class "default"
		{name(f.Tenant, envelope.DefaultClass, envelope.PurposeDeterministic), 2},
		{name(f.Tenant, "\U0001F511", ""), 0},
		{name(f.Tenant+"\x00", "\x00", ""), 0},
		{name(f.Tenant+"a", "", ""), 0},
		{name("\U0010ffff", "", ""), 0},
	} {
		if err := p.chooses(f, c.after, recs[len(recs)-c.left:]); err != nil {
			return err
		}
	}
	return nil
}

// pageLimit: no more records than asked for, and no fewer while there are some.
func pageLimit(p *probe) error {
	recs, err := p.grid()
	if err != nil {
		return err
	}
	all := envelope.Filter{Tenant: recs[0].Scope.Tenant}
	some := all
	some.Purpose = envelope.PurposeDeterministic
	chosen := slices.DeleteFunc(slices.Clone(recs), func(rec envelope.Record) bool { return rec.Purpose != some.Purpose })
	for _, limit := range []int{0, 1, 2, 3, len(chosen) - 1, len(chosen), len(chosen) + 1, len(recs) - 1, len(recs), len(recs) + 1, 100_000} {
		for _, c := range []struct {
			f    envelope.Filter
			want []envelope.Record
		}{{all, recs}, {some, chosen}} {
			page, err := p.page(c.f, envelope.KeyName{}, limit)
			if err != nil {
				return err
			}
			if err := equal(page, c.want[:min(limit, len(c.want))]); err != nil {
				return fmt.Errorf("calling Page with the limit %d: %w", limit, err)
			}
			if limit == 0 {
				continue
			}
			if err := p.inSteps(c.f, envelope.KeyName{}, limit, c.want); err != nil {
				return err
			}
		}
	}
	return nil
}

// pageWhole: records come with all that Get has of them.
func pageWhole(p *probe) error {
	var recs []envelope.Record
	for _, c := range shapes() {
		rec := p.record(p.scope(c.name), envelope.PurposeData)
		c.edit(&rec)
		if err := p.insert(&rec); err != nil {
			return err
		}
		recs = append(recs, rec)
	}
	for _, state := range reached {
		rec, err := p.inState(p.scope("is "+string(state)), envelope.PurposeIndex, state)
		if err != nil {
			return err
		}
		if state == envelope.StateActive {
			// What was leased isn't taken from the record's budget.
			if err := p.leases(&rec, 100, 100, rec.Budget-100); err != nil {
				return err
			}
		}
		recs = append(recs, rec)
	}
	for i := range recs {
		if err := p.chooses(envelope.Filter{Tenant: recs[i].Scope.Tenant}, envelope.KeyName{}, recs[i:i+1]); err != nil {
			return err
		}
	}
	return p.chooses(envelope.Filter{}, p.edge(), sorted(recs))
}
