package residency

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Rule says where the tenants that match a pattern are at home.
type Rule struct {
	// Tenant is a pattern in the grammar of path.Match: "acme", "us-*". A star
	// matches anything but a slash.
	Tenant string

	Region string   // name of a Region
	From   []string // names of Regions that they have moved from; see Home
}

func (r *Rule) home() Home { return Home{r.Region, r.From} }

// A table holds rules, of which the first that matches a tenant wins.
type table struct {
	rules    []Rule
	literals map[string]int // the first rule with a tenant's own name
	globs    []numbered     // the others
}

type numbered struct {
	*glob
	rule int // index
}

func newTable(rules []Rule) (*table, error) {
	t := &table{literals: map[string]int{}}
	var errs []error
	for i, r := range rules {
		r.From = slices.Clone(r.From)
		t.rules = append(t.rules, r)
		g, err := parseGlob(r.Tenant)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", t.name(i), err))
		case r.Tenant == "":
			errs = append(errs, fmt.Errorf("rule %d has no Tenant", i+1))
		case !g.literal():
			t.globs = append(t.globs, numbered{g, i})
		default:
			if _, ok := t.literals[r.Tenant]; !ok {
				t.literals[r.Tenant] = i
			}
		}
	}
	return t, errors.Join(errs...)
}

// name is how a rule is named in errors.
func (t *table) name(i int) string { return fmt.Sprintf("rule %d (%.600q)", i+1, t.rules[i].Tenant) }

// find returns the rule for a tenant, nil if there is none.
func (t *table) find(tenant string) *Rule {
	i, ok := t.literals[tenant]
	for _, g := range t.globs {
		if ok && g.rule > i {
			break
		}
		if g.match(tenant) {
			return &t.rules[g.rule]
		}
	}
	if !ok {
		return nil
	}
	return &t.rules[i]
}

// unreachable reports each rule that no tenant gets to, since the rules before
// it take all that match it.
func (t *table) unreachable() error {
	var errs []error
	for i, r := range t.rules {
		if first, ok := t.literals[r.Tenant]; ok {
			if first < i {
				errs = append(errs, t.never(i, first))
			} else if g := t.globBefore(i, r.Tenant); g >= 0 {
				errs = append(errs, t.never(i, g))
			}
		}
	}
	for n, g := range t.globs {
		if err := t.covered(g, t.globs[:n]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (t *table) never(i int, by ...int) error {
	var names []string
	for _, j := range by {
		names = append(names, t.name(j))
	}
	return fmt.Errorf("%s is never reached: %s before it takes all its tenants", t.name(i), strings.Join(names, " and "))
}

// globBefore returns the first rule before the i-th whose glob matches, or -1.
func (t *table) globBefore(i int, tenant string) int {
	for _, g := range t.globs {
		if g.rule < i && g.match(tenant) {
			return g.rule
		}
	}
	return -1
}

// covered reports a glob all of whose tenants are taken by rules before it.
func (t *table) covered(g numbered, before []numbered) error {
	var by []int
	var none []*glob
	for _, b := range before {
		if !disjoint(g.glob, b.glob) {
			if _, ok := example([]*glob{g.glob}, []*glob{b.glob}); !ok {
				return t.never(g.rule, b.rule)
			}
			by, none = append(by, b.rule), append(none, b.glob)
		}
	}
	for tenant, i := range t.literals {
		if i < g.rule && g.match(tenant) {
			literal, err := parseGlob(tenant)
			if err != nil {
				return err
			}
			by, none = append(by, i), append(none, literal)
		}
	}
	if _, ok := example([]*glob{g.glob}, none); !ok {
		slices.Sort(by)
		return t.never(g.rule, by...)
	}
	return nil
}

// overlaps reports each pair of rules that lead to different homes and have
// tenants in common, of which the first isn't the narrower one. That is where
// the order of the rules decides about a tenant.
func (t *table) overlaps() error {
	var errs []error
	for n, later := range t.globs {
		for _, first := range t.globs[:n] {
			a, b := &t.rules[first.rule], &t.rules[later.rule]
			if a.Region == b.Region && slices.Equal(a.From, b.From) || disjoint(first.glob, later.glob) {
				continue
			}
			if _, ok := example([]*glob{first.glob}, []*glob{later.glob}); !ok {
				continue // an exception to the later one
			}
			tenant, _ := example([]*glob{first.glob, later.glob}, nil)
			errs = append(errs, fmt.Errorf("%s and %s overlap: a tenant like %.600q is at home in %q by the first, which wins, and in %q by the other; make one the narrower and write it first, or set Config.AllowOverlaps",
				t.name(first.rule), t.name(later.rule), tenant, a.Region, b.Region))
		}
	}
	return errors.Join(errs...)
}

// disjoint reports whether no string matches both.
func disjoint(a, b *glob) bool {
	if !strings.HasPrefix(a.prefix, b.prefix) && !strings.HasPrefix(b.prefix, a.prefix) {
		return true // as most do
	}
	_, ok := example([]*glob{a, b}, nil)
	return !ok
}
