package residency

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
)

// A Config says which tenants are at home where, and what that means.
type Config struct {
	Regions []Region

	// Tenants lists rules, of which the first that matches a tenant wins.
	// Default is the region of tenants that none matches; if it is empty, they
	// are refused.
	Tenants []Rule
	Default string

	// Place says where a tenant is at home, in place of Tenants and Default. It
	// is asked when a data key is made or loaded, and must be safe for
	// concurrent use. An error refuses the tenant.
	Place func(tenant string) (Home, error)

	// AllowOverlaps permits rules of which only their order decides: they have
	// tenants in common, lead to different homes, and the first isn't the
	// narrower one.
	AllowOverlaps bool

	// Failover tunes what happens between several providers of a region; nil
	// means failover's defaults.
	Failover *failover.Options
}

// A Region is a root key and where it may be called.
type Region struct {
	// Name is what rules call the region: "eu", or the name of a tenant with a
	// root key of its own. It is also what Router.Region returns.
	Name string

	// RootKey is the canonical URI of the root key that wraps new data keys.
	// An alias isn't taken: what it names can change. A provider's Resolve tells
	// what it names now.
	RootKey string

	// Open lists the URIs of further root keys whose data keys may be opened,
	// such as the one used before. A root key belongs to one region.
	Open []string

	// Call lists the providers for these root keys, in the order in which they
	// are asked. Each must be able to call RootKey, and one of them each of Open.
	Call []kmsprovider.Provider

	// Within lists patterns, in the grammar of path.Match, of the locations in
	// which the root keys may be called: "eu-*". Providers of Call that are
	// elsewhere are left out. Where it is empty, all are called. One that stands
	// for several, such as a failover.Provider, must be all in one place.
	Within []string
}

// A Home says where a tenant's data is.
type Home struct {
	Region string // name of the Region whose root key wraps new data keys

	// From lists the names of Regions that the tenant has moved from, and whose
	// root keys open its data keys until these are all rewrapped.
	From []string
}

// A provider can say where its calls go, as awskms does, and so can those that a
// kmsprovider.Group stands for. One that can't is put at its place by At.
type locator interface{ Location() string }

// At is a provider with the location that its calls go to, such as
// "eu-central-1", for [Region.Call]. [New] refuses it where that isn't what the
// provider itself says, or where the provider is another At.
func At(location string, provider kmsprovider.Provider) kmsprovider.Provider {
	return placed{provider, location}
}

type placed struct {
	kmsprovider.Provider
	location string
}

// whereabouts returns the locations that a provider is known to call for some root
// keys. It is silent if there may be others.
func whereabouts(provider kmsprovider.Provider, uris []string) (known []string, silent bool) {
	switch p := provider.(type) {
	case placed:
		known, _ = whereabouts(p.Provider, uris)
		return append(known, p.location), false
	case locator:
		if location := p.Location(); location != "" {
			return []string{location}, false
		}
	case kmsprovider.Group:
		n := 0
		for _, uri := range uris {
			for _, behind := range p.Behind(uri) {
				some, more := whereabouts(behind, uris)
				known, silent = append(known, some...), silent || more
				n++
			}
		}
		slices.Sort(known)
		return slices.Compact(known), silent || n == 0
	}
	return nil, true
}

// A place is a provider that may be called for a region's root keys.
type place struct {
	provider kmsprovider.Provider
	location string
}

// permitted returns the providers of the region that may be called.
func (r *Region) permitted() ([]place, error) {
	if len(r.Call) == 0 || slices.Contains(r.Call, nil) {
		return nil, errors.New("Region.Call must list at least one provider, and none that is nil")
	}
	within := func(string) bool { return len(r.Within) == 0 }
	for _, pattern := range r.Within {
		g, err := parseGlob(pattern)
		if err != nil || pattern == "" {
			return nil, fmt.Errorf("Region.Within: %.600q: %w", pattern, errPattern)
		}
		others := within
		within = func(location string) bool { return g.match(location) || others(location) }
	}
	var all []place
	for i, provider := range r.Call {
		p := place{provider: provider}
		if at, ok := provider.(placed); ok {
			p.provider, p.location = at.Provider, at.location
			if p.provider == nil || p.location == "" {
				return nil, fmt.Errorf("Region.Call: provider %d: At needs a location and a provider", i+1)
			}
			if _, again := p.provider.(placed); again {
				return nil, fmt.Errorf("Region.Call: provider %d is an At around another At: where its calls go is said once", i+1)
			}
		}
		known, silent := whereabouts(p.provider, append([]string{r.RootKey}, r.Open...))
		for _, said := range known {
			if p.location != "" && p.location != said {
				return nil, fmt.Errorf("Region.Call: provider %d is said to be at %.600q, but its calls go to %.600q", i+1, p.location, said)
			}
		}
		switch {
		case len(r.Within) > 0 && len(known) > 1:
			return nil, fmt.Errorf("Region.Call: the calls of provider %d (%T) go to several places, %.600q: list each of those that it stands for by itself", i+1, p.provider, known)
		case p.location == "" && len(known) == 1 && !silent:
			p.location = known[0]
		}
		if len(r.Within) > 0 && p.location == "" {
			return nil, fmt.Errorf("Region.Call: nobody says where the calls of provider %d (%T) go, so that it can't be told whether that is within %q: use residency.At", i+1, p.provider, r.Within)
		}
		if within(p.location) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("Region.Call: no provider is within %q", r.Within)
	}
	return all, nil
}

// maxURI is the longest root key URI that an envelope holds, in bytes.
const maxURI = 512

// callable reports why a provider can't call a root key, as far as that can be
// told without a call: a Resolver that is asked for a canonical URI makes none,
// and with a context that has ended it can't.
func callable(p kmsprovider.Provider, uri string) error {
	r, ok := p.(kmsprovider.Resolver)
	if !ok {
		return nil
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	canonical, err := r.Resolve(ended, uri)
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("it is an alias: write the URI that the provider's Resolve returns for it")
	case err != nil:
		return err
	case canonical != uri:
		return fmt.Errorf("it isn't canonical: write %.600q", canonical)
	}
	return nil
}

// same reports whether two providers are one. Their types may be any.
func same(a, b kmsprovider.Provider) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}
