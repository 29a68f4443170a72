package residency

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
)

// routes is a configuration made ready. It never changes.
type routes struct {
	regions map[string]*region
	byURI   map[string]*route
	uris    []string // in the configuration's order
	home    func(tenant string) (Home, error)
}

type region struct {
	Region
	keys []string // RootKey, then Open
}

// A route is a root key and how it is called.
type route struct {
	uri      string
	region   string
	places   []kmsprovider.Provider // in the order in which they are asked
	provider kmsprovider.Provider   // all of them, or the only one
}

func newRoutes(c Config) (*routes, error) {
	rs := &routes{regions: map[string]*region{}, byURI: map[string]*route{}}
	var errs []error
	for i, r := range c.Regions {
		name := fmt.Sprintf("region %d (%.600q)", i+1, r.Name)
		if err := rs.add(r, c.Failover); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if len(c.Regions) == 0 {
		errs = append(errs, errors.New("Config.Regions is empty"))
	}
	errs = append(errs, rs.placeTenants(c))
	return rs, errors.Join(errs...)
}

func (rs *routes) add(r Region, o *failover.Options) error {
	switch {
	case r.Name == "":
		return errors.New("it has no Name")
	case rs.regions[r.Name] != nil:
		return errors.New("another region has that Name")
	}
	r.Open, r.Call, r.Within = slices.Clone(r.Open), slices.Clone(r.Call), slices.Clone(r.Within)
	reg := &region{r, append([]string{r.RootKey}, r.Open...)}
	rs.regions[r.Name] = reg
	places, err := r.permitted()
	if err != nil {
		return err
	}
	var errs []error
	var before *route
	for _, uri := range reg.keys {
		rt, err := newRoute(reg, uri, places, before, o)
		switch {
		case err != nil:
		case rs.byURI[uri] != nil:
			err = fmt.Errorf("the root key %.600q is listed already, in the region %.600q: it belongs to one, once; a tenant that moves lists the region it comes from", uri, rs.byURI[uri].region)
		default:
			rs.byURI[uri], before = rt, rt
			rs.uris = append(rs.uris, uri)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// newRoute finds out who can call a root key. It shares a provider, and with it
// what is known of its health, with the region's root key before if the same can.
func newRoute(r *region, uri string, places []place, before *route, o *failover.Options) (*route, error) {
	if uri == "" || len(uri) > maxURI {
		return nil, fmt.Errorf("a root key's URI has 1 to %d bytes, not %d: %.600q", maxURI, len(uri), uri)
	}
	rt := &route{uri: uri, region: r.Name}
	var errs []error
	for _, p := range places {
		if err := callable(p.provider, uri); err != nil {
			errs = append(errs, fmt.Errorf("the root key %.600q: %w", uri, err))
			continue
		}
		rt.places = append(rt.places, p.provider)
	}
	if len(errs) > 0 && (uri == r.RootKey || len(rt.places) == 0) {
		return nil, errors.Join(errs...)
	}
	if before != nil && slices.EqualFunc(before.places, rt.places, same) {
		rt.provider = before.provider
		return rt, nil
	}
	if len(rt.places) == 1 {
		rt.provider = rt.places[0]
		return rt, nil
	}
	p, err := failover.New(rt.places, o)
	rt.provider = p
	return rt, err
}

// placeTenants makes ready what says where a tenant is at home.
func (rs *routes) placeTenants(c Config) error {
	if c.Place != nil {
		if len(c.Tenants) > 0 || c.Default != "" {
			return errors.New("Config.Place takes the place of Tenants and Default: set it or them")
		}
		rs.home = c.Place
		return nil
	}
	if len(c.Tenants) == 0 && c.Default == "" {
		return errors.New("no tenant has a home: set Config.Tenants, Default or Place")
	}
	t, err := newTable(c.Tenants)
	if err != nil {
		return err
	}
	errs := []error{t.unreachable()}
	if !c.AllowOverlaps {
		errs = append(errs, t.overlaps())
	}
	used := map[string]bool{}
	for i := range t.rules {
		home := t.rules[i].home()
		errs = append(errs, rs.known(home, t.name(i), used))
	}
	if c.Default != "" {
		errs = append(errs, rs.known(Home{Region: c.Default}, "Config.Default", used))
	}
	for _, r := range c.Regions {
		if r.Name != "" && !used[r.Name] {
			errs = append(errs, fmt.Errorf("the region %.600q is nobody's: no rule leads to it", r.Name))
		}
	}
	rs.home = func(tenant string) (Home, error) {
		if r := t.find(tenant); r != nil {
			return r.home(), nil
		}
		return Home{Region: c.Default}, nil
	}
	return errors.Join(errs...)
}

// known reports regions of a home that aren't configured.
func (rs *routes) known(h Home, where string, used map[string]bool) error {
	var errs []error
	for i, name := range append([]string{h.Region}, h.From...) {
		switch {
		case rs.regions[name] == nil:
			errs = append(errs, fmt.Errorf("%s: there is no region %.600q", where, name))
		case i > 0 && name == h.Region:
			errs = append(errs, fmt.Errorf("%s: From lists the region %.600q itself", where, name))
		}
		used[name] = true
	}
	return errors.Join(errs...)
}

// homeOf returns where a tenant is at home, and the regions whose root keys may
// open for it: that one first.
func (rs *routes) homeOf(tenant string) ([]*region, error) {
	fail := func(err error) ([]*region, error) {
		return nil, fmt.Errorf("residency: tenant %.600q: %w", tenant, err)
	}
	if tenant == "" {
		return fail(fmt.Errorf("%w: it has no name", ErrNoRegion))
	}
	home, err := rs.home(tenant)
	switch {
	case err != nil:
		return fail(err)
	case home.Region == "":
		return fail(fmt.Errorf("%w: no rule matches it, and there is no default", ErrNoRegion))
	}
	var regions []*region
	for _, name := range append([]string{home.Region}, home.From...) {
		r := rs.regions[name]
		if r == nil {
			return fail(fmt.Errorf("%w: there is no region %.600q", ErrNoRegion, name))
		}
		regions = append(regions, r)
	}
	return regions, nil
}
