package residency

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
)

// ErrNoRegion says that a tenant has no home, so that there is no root key for
// its data. No call was made. It is a kmsprovider.ErrKeyUnusable, so that a key
// ring ends the keys of a tenant that lost its home.
var ErrNoRegion = fmt.Errorf("no region for this tenant: %w", kmsprovider.ErrKeyUnusable)

// RootKeys names the root keys for a tenant's data keys, by canonical URI.
// envelope.RootKeysByTenant takes the function that returns it.
type RootKeys struct {
	Seal string   // wraps new data keys
	Open []string // further ones that may open
}

// A Router says which root keys are for a tenant, and calls each where it may be
// called. It implements kmsprovider.Provider, Rewrapper, Wrapper, Checker and
// Resolver: the optional ones as far as the providers behind a root key do. It
// is a kmsprovider.Group and RootKeyLister, and safe for concurrent use.
type Router struct {
	routes atomic.Pointer[routes]
}

var (
	_ kmsprovider.Provider      = (*Router)(nil)
	_ kmsprovider.Rewrapper     = (*Router)(nil)
	_ kmsprovider.Wrapper       = (*Router)(nil)
	_ kmsprovider.Checker       = (*Router)(nil)
	_ kmsprovider.Resolver      = (*Router)(nil)
	_ kmsprovider.Group         = (*Router)(nil)
	_ kmsprovider.RootKeyLister = (*Router)(nil)
)

// New returns a Router, or an error that lists all that is wrong with the
// configuration. Nothing is called.
func New(c Config) (*Router, error) {
	r := &Router{}
	if err := r.Replace(c); err != nil {
		return nil, err
	}
	return r, nil
}

// Replace puts another configuration in the place of the Router's, as when a
// tenant comes with a root key of its own. If there is something wrong with it,
// nothing changes. Calls under way end as they began, and what was known of the
// providers' health is forgotten.
func (r *Router) Replace(c Config) error {
	rs, err := newRoutes(c)
	if err != nil {
		return fmt.Errorf("residency: %w", err)
	}
	r.routes.Store(rs)
	return nil
}

// RootKeys returns the root keys for a tenant's data keys. It fails with
// [ErrNoRegion], or with the error of [Config.Place], if the tenant has no home.
func (r *Router) RootKeys(tenant string) (RootKeys, error) {
	regions, err := r.routes.Load().homeOf(tenant)
	if err != nil {
		return RootKeys{}, err
	}
	keys := RootKeys{Seal: regions[0].RootKey}
	for _, reg := range regions {
		for _, uri := range reg.keys {
			if uri != keys.Seal && !slices.Contains(keys.Open, uri) {
				keys.Open = append(keys.Open, uri)
			}
		}
	}
	return keys, nil
}

// Region returns the name of the region in which a tenant is at home, for
// whatever else is kept by region. It fails as RootKeys does.
func (r *Router) Region(tenant string) (string, error) {
	regions, err := r.routes.Load().homeOf(tenant)
	if err != nil {
		return "", err
	}
	return regions[0].Name, nil
}

// URIs returns all root keys of the configuration, in its order.
func (r *Router) URIs() []string { return slices.Clone(r.routes.Load().uris) }

// ListRootKeys implements kmsprovider.RootKeyLister: what [Router.URIs] returns,
// by what the regions use it for.
func (r *Router) ListRootKeys() (seal, open []string) {
	rs := r.routes.Load()
	for _, uri := range rs.uris {
		if rs.regions[rs.byURI[uri].region].RootKey == uri {
			seal = append(seal, uri)
		} else {
			open = append(open, uri)
		}
	}
	return seal, open
}

// Behind implements kmsprovider.Group: the providers that may be called for a root
// key, in the order of [Region.Call].
func (r *Router) Behind(rootKey string) []kmsprovider.Provider {
	if rt := r.routes.Load().byURI[rootKey]; rt != nil {
		return slices.Clone(rt.places)
	}
	return nil
}

// Health tells how the providers of a root key have done, in the order of
// [Region.Call]. It is nil for a root key with one provider, or none.
func (r *Router) Health(rootKey string) []failover.Health {
	if rt := r.routes.Load().byURI[rootKey]; rt != nil {
		if f, ok := rt.provider.(*failover.Provider); ok {
			return f.Health()
		}
	}
	return nil
}

// route returns the route of a root key, or refuses it.
func (r *Router) route(rootKey string) (*route, error) {
	if rt := r.routes.Load().byURI[rootKey]; rt != nil {
		return rt, nil
	}
	return nil, fmt.Errorf("residency: %w: no region of the configuration has the root key %.600q; it was not called", kmsprovider.ErrKeyUnusable, rootKey)
}

// GenerateDataKey implements kmsprovider.Provider.
func (r *Router) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	rt, err := r.route(rootKey)
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	return rt.provider.GenerateDataKey(ctx, rootKey, ec)
}

// Unwrap implements kmsprovider.Provider.
func (r *Router) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	rt, err := r.route(rootKey)
	if err != nil {
		return nil, err
	}
	return rt.provider.Unwrap(ctx, rootKey, wrapped, ec)
}

// Rewrap implements kmsprovider.Rewrapper where one provider may be called for
// both root keys. Else the error matches errors.ErrUnsupported, and
// [kmsprovider.Rewrap] does it with the data key in this process's memory.
func (r *Router) Rewrap(ctx context.Context, fromRootKey string, wrapped []byte, toRootKey string, ec kmsprovider.EncryptionContext) (rewrapped []byte, rootKey string, err error) {
	from, err := r.route(fromRootKey)
	if err != nil {
		return nil, "", err
	}
	to, err := r.route(toRootKey)
	if err != nil {
		return nil, "", err
	}
	provider := from.with(to)
	if provider == nil {
		return nil, "", unsupported("no provider may be called for both root keys, %.600q and %.600q", fromRootKey, toRootKey)
	}
	w, ok := provider.(kmsprovider.Rewrapper)
	if !ok {
		return nil, "", unsupported("the provider of %.600q, %T, can't rewrap", fromRootKey, provider)
	}
	return w.Rewrap(ctx, fromRootKey, wrapped, toRootKey, ec)
}

// with returns a provider that may be called for both root keys, or nil.
func (rt *route) with(other *route) kmsprovider.Provider {
	if slices.EqualFunc(rt.places, other.places, same) {
		return rt.provider
	}
	for _, p := range rt.places {
		if slices.ContainsFunc(other.places, func(q kmsprovider.Provider) bool { return same(p, q) }) {
			return p
		}
	}
	return nil
}

// Wrap implements kmsprovider.Wrapper.
func (r *Router) Wrap(ctx context.Context, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) (wrapped []byte, canonical string, err error) {
	rt, err := r.route(rootKey)
	if err != nil {
		return nil, "", err
	}
	w, ok := rt.provider.(kmsprovider.Wrapper)
	if !ok {
		return nil, "", unsupported("the provider of %.600q, %T, can't wrap a data key that it didn't make", rootKey, rt.provider)
	}
	return w.Wrap(ctx, rootKey, plaintext, ec)
}

// Check implements kmsprovider.Checker.
func (r *Router) Check(ctx context.Context, rootKey string) error {
	rt, err := r.route(rootKey)
	if err != nil {
		return err
	}
	c, ok := rt.provider.(kmsprovider.Checker)
	if !ok {
		return unsupported("the provider of %.600q, %T, can't check a root key", rootKey, rt.provider)
	}
	return c.Check(ctx, rootKey)
}

// CheckAll checks each root key with each of its providers that is a Checker, one
// after the other, for a program's start. It joins the errors, which may be of
// several classes.
func (r *Router) CheckAll(ctx context.Context) error {
	var errs []error
	rs := r.routes.Load()
	for _, uri := range rs.uris {
		rt := rs.byURI[uri]
		for _, p := range rt.places {
			var err error
			switch c := p.(type) {
			case *failover.Provider:
				err = c.CheckEach(ctx, uri)
			case kmsprovider.Checker:
				err = c.Check(ctx, uri)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("region %.600q: %w", rt.region, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Resolve implements kmsprovider.Resolver. The configuration holds canonical
// URIs only.
func (r *Router) Resolve(_ context.Context, rootKey string) (string, error) {
	if _, err := r.route(rootKey); err != nil {
		return "", err
	}
	return rootKey, nil
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("residency: %w: %w: %s", kmsprovider.ErrKeyUnusable, errors.ErrUnsupported, fmt.Sprintf(format, args...))
}

// Format implements fmt.Formatter.
func (r *Router) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.describe()) }

// LogValue implements slog.LogValuer.
func (r *Router) LogValue() slog.Value { return slog.StringValue(r.describe()) }

func (r *Router) describe() string {
	if r == nil || r.routes.Load() == nil {
		return "residency.Router(nil)"
	}
	rs := r.routes.Load()
	names := make([]string, 0, len(rs.uris))
	for _, uri := range rs.uris {
		names = append(names, rs.byURI[uri].region+": "+uri)
	}
	return "residency.Router(" + strings.Join(names, ", ") + ")"
}
