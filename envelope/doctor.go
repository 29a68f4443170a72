package envelope

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// DoctorOptions tune [KeyRing.Doctor]. The zero value of each field means its
// default.
type DoctorOptions struct {
	// Scopes are the scopes whose root keys are checked, and for each of which
	// one value is sealed and opened as the values of its records are. Where the
	// source of root keys is [RootKeys], or the provider lists its root keys
	// (kmsprovider.RootKeyLister), as a residency.Router does, all of these are
	// checked in any case, and no scope need be named.
	Scopes []Scope

	// Timeout bounds each check. Default 5 seconds.
	Timeout time.Duration
}

const (
	defaultDoctorTimeout = 5 * time.Second
	doctorAtOnce         = 8 // chains of checks
)

// doctorScope stands for a tenant where none was named. It is what the key
// service's log shows.
var doctorScope = Scope{Tenant: "fieldcrypt doctor", Class: DefaultClass}

// Doctor tries what the ring depends on, for a program's start or an operator's
// command, and reports what it found; [DoctorReport.Err] tells whether something
// failed. It asks nothing of the ring's own keys: all is done as by a process
// that has just started.
//
// With the key service it does what it is to be permitted: for each root key that
// wraps, it generates a data key, unwraps it, and rewraps it where the provider
// can; for each that only opens, it unwraps a data key that the store has under
// it, or if there is none, one that it generates where that is permitted. Each
// provider of a kmsprovider.Group is tried by itself. What providers and
// stores tell about themselves (kmsprovider.Examiner) is in the report: where
// credentials come from, TLS, the clock, the tables. So is the least policy for
// each provider that can write one (kmsprovider.PolicyWriter).
//
// Data keys that were generated to try a root key are wiped and stored nowhere.
// The round trip of a value in a scope that was named is that of the scope's
// first record after a start: it takes a lease of the active data key's messages,
// and with a store makes the scope's data key if there is none. Without named
// scopes nothing is left in the store; a claim is made and released to see that it
// takes writes, and the value is sealed inline, for the tenant "fieldcrypt doctor".
//
// Each check has a deadline and up to 8 go on at a time, so that Doctor returns
// even if a provider or store doesn't heed its context, whose call it then leaves
// behind. When ctx ends it returns at once; what was not done has failed. A panic
// of a provider or store is a failed check. The report holds no secret. Doctor is
// safe for concurrent use; options may be nil.
func (r *KeyRing) Doctor(ctx context.Context, opts *DoctorOptions) *DoctorReport {
	d := doctor{ring: r, timeout: defaultDoctorTimeout, slots: make(chan struct{}, doctorAtOnce)}
	if opts != nil {
		for _, s := range opts.Scopes {
			d.scopes = append(d.scopes, s.withDefault())
		}
		if opts.Timeout != 0 {
			d.timeout = opts.Timeout
		}
	}
	switch {
	case r.closed.Err() != nil:
		return refused(ErrClosed, "call Doctor before Close")
	case d.timeout < 0:
		return refused(fmt.Errorf("DoctorOptions.Timeout is %v", d.timeout), "leave it zero, or set a positive one")
	}
	return d.examine(ctx)
}

func refused(err error, mend string) *DoctorReport {
	return &DoctorReport{Findings: []kmsprovider.Finding{failed("key ring", "examine", err, mend)}}
}

type doctor struct {
	ring    *KeyRing
	scopes  []Scope
	timeout time.Duration
	slots   chan struct{}
	keys    []*configured
}

// A chain is checks that follow on each other. It ends early when ctx does.
type chain func(ctx context.Context) []kmsprovider.Finding

func (d *doctor) examine(ctx context.Context) *DoctorReport {
	keys, found := d.rootKeys(ctx)
	d.keys = keys
	report := &DoctorReport{Findings: found}
	leaves := d.leaves(ctx, keys)

	var chains []chain
	for _, p := range leaves {
		if e, ok := p.(kmsprovider.Examiner); ok {
			chains = append(chains, func(ctx context.Context) []kmsprovider.Finding {
				return d.ask(ctx, e, "key service "+printedName(p), kmsprovider.ErrUnavailable)
			})
		}
	}
	for _, k := range keys {
		for _, p := range k.behind {
			chains = append(chains, func(ctx context.Context) []kmsprovider.Finding { return d.rootKey(ctx, k, p) })
		}
	}
	chains = append(chains, d.store, d.tombstones)
	chains = append(chains, d.roundTrips(keys)...)
	policies := make([]*DoctorPolicy, len(leaves))
	for i, p := range leaves {
		if w, ok := p.(kmsprovider.PolicyWriter); ok {
			chains = append(chains, func(ctx context.Context) (found []kmsprovider.Finding) {
				policies[i], found = d.policy(ctx, w, p, keys)
				return found
			})
		}
	}
	report.Findings = append(report.Findings, d.run(ctx, chains)...)
	for _, p := range policies {
		if p != nil {
			report.Policies = append(report.Policies, *p)
		}
	}
	if len(report.Policies) > 0 {
		for i := range report.Findings {
			if f := &report.Findings[i]; errors.Is(f.Err, kmsprovider.ErrDenied) && f.Status == kmsprovider.StatusFailed {
				f.Mend += "; the report's policy has all that are needed"
			}
		}
	}
	return report
}

// run runs chains, a bounded number at once, and returns what they found in
// their order.
func (d *doctor) run(ctx context.Context, chains []chain) []kmsprovider.Finding {
	found := make([][]kmsprovider.Finding, len(chains))
	var all sync.WaitGroup
	for i, c := range chains {
		select {
		case d.slots <- struct{}{}:
		case <-ctx.Done(): // the chain still says what it would have done, and does nothing
			found[i] = c(ctx)
			continue
		}
		all.Go(func() {
			defer func() { <-d.slots }()
			found[i] = c(ctx)
		})
	}
	all.Wait()
	return slices.Concat(found...)
}

// A configured is a root key of the configuration.
type configured struct {
	uri    string
	scope  Scope
	seals  bool                   // it wraps new data keys
	to     string                 // where it doesn't, one that does so for the same scope
	behind []kmsprovider.Provider // those that may be called for it
}

// rootKeys asks the configuration, for the scopes that were named and without
// one, and finds fault with what it says.
func (d *doctor) rootKeys(ctx context.Context) (keys []*configured, found []kmsprovider.Finding) {
	const subject = "root keys"
	add := func(scope Scope, seal string, open []string) {
		keys = addRootKey(keys, configured{uri: seal, scope: scope, seals: true})
		for _, uri := range open {
			keys = addRootKey(keys, configured{uri: uri, scope: scope, to: seal})
		}
	}
	asked := make([]RootKeys, len(d.scopes))
	chains := make([]chain, len(d.scopes))
	for i, scope := range d.scopes {
		chains[i] = func(ctx context.Context) []kmsprovider.Finding {
			err := scope.validate()
			if err == nil {
				asked[i], err = attempt(ctx, d.timeout, kmsprovider.ErrUnavailable, func(context.Context) (RootKeys, error) {
					return d.ring.rootKeysFor(scope)
				}, nil)
			}
			if err != nil {
				return []kmsprovider.Finding{failed(subject, "of "+scope.String(), err, "name the scope's root keys in the configuration, or another scope in DoctorOptions.Scopes")}
			}
			return nil
		}
	}
	found = d.run(ctx, chains)
	for i, k := range asked {
		if k.Seal != "" {
			add(d.scopes[i], k.Seal, k.Open)
		}
	}
	scope := doctorScope
	if len(d.scopes) > 0 {
		scope = d.scopes[0]
	}
	if fixed, ok := d.ring.roots.(RootKeys); ok && fixed.Seal != "" {
		add(scope, fixed.Seal, fixed.Open)
	}
	if l, ok := d.ring.provider.(kmsprovider.RootKeyLister); ok {
		listed, err := attempt(ctx, d.timeout, kmsprovider.ErrUnavailable, func(context.Context) ([2][]string, error) {
			seal, open := l.ListRootKeys()
			return [2][]string{seal, open}, nil
		}, nil)
		if err != nil {
			found = append(found, failed(subject, "list them", err, mendOf(err)))
		}
		for _, uri := range listed[0] {
			keys = addRootKey(keys, configured{uri: uri, scope: scope, seals: true})
		}
		for _, uri := range listed[1] {
			keys = addRootKey(keys, configured{uri: uri, scope: scope})
		}
	}
	if len(keys) == 0 && len(found) == 0 {
		found = append(found, failed(subject, "list them", errors.New("no root key was checked: they depend on the scope, and none was named"),
			"name a scope in DoctorOptions.Scopes"))
	}
	return keys, found
}

// addRootKey adds a root key once. One that wraps for some scope is tried as
// that.
func addRootKey(keys []*configured, k configured) []*configured {
	i := slices.IndexFunc(keys, func(other *configured) bool { return other.uri == k.uri })
	switch {
	case i < 0:
		return append(keys, &k)
	case k.seals && !keys[i].seals:
		*keys[i] = k
	}
	return keys
}

// leaves finds who may be called for each root key, and returns all of them.
func (d *doctor) leaves(ctx context.Context, keys []*configured) (all []kmsprovider.Provider) {
	if len(keys) == 0 {
		return []kmsprovider.Provider{d.ring.provider}
	}
	chains := make([]chain, len(keys))
	for i, k := range keys {
		chains[i] = func(ctx context.Context) []kmsprovider.Finding {
			var err error
			k.behind, err = attempt(ctx, d.timeout, kmsprovider.ErrUnavailable, func(context.Context) ([]kmsprovider.Provider, error) {
				return behind(d.ring.provider, k.uri, 0), nil
			}, nil)
			if err != nil { // then it is tried as it is
				k.behind = []kmsprovider.Provider{d.ring.provider}
			}
			return nil
		}
	}
	d.run(ctx, chains)
	for _, k := range keys {
		for _, p := range k.behind {
			if !slices.ContainsFunc(all, func(q kmsprovider.Provider) bool { return same(p, q) }) {
				all = append(all, p)
			}
		}
	}
	return all
}

// maxGroups is how deep groups may stand in groups: one that stands for itself
// must not be walked for ever.
const maxGroups = 8

func behind(p kmsprovider.Provider, uri string, depth int) []kmsprovider.Provider {
	g, ok := p.(kmsprovider.Group)
	if !ok || depth == maxGroups {
		return []kmsprovider.Provider{p}
	}
	var all []kmsprovider.Provider
	for _, q := range g.Behind(uri) {
		if q != nil {
			all = append(all, behind(q, uri, depth+1)...)
		}
	}
	if len(all) == 0 {
		return []kmsprovider.Provider{p}
	}
	return all
}

// same reports whether two providers are one. Their types may be any.
func same(a, b kmsprovider.Provider) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// printedName is what a provider or store calls itself. One that has no say in how it
// is printed may have fields that must not be.
func printedName(v any) string {
	switch v.(type) {
	case fmt.Formatter, fmt.Stringer:
		return oneLine(fmt.Sprint(v))
	}
	return fmt.Sprintf("%T", v)
}
