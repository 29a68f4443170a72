package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

var (
	_ envelope.KeyStore      = (*Router)(nil)
	_ envelope.ReplicaReader = (*Router)(nil)
	_ envelope.Sharded       = (*Router)(nil)
)

// A Router is an [envelope.KeyStore] made of several: one for each region, or
// one for each tenant. It opens them when they are first needed, and keeps a
// bounded number of them open. It is safe for concurrent use.
type Router struct {
	route func(envelope.Scope) (string, error)
	list  func(context.Context) ([]string, error)
	shelf shelf
}

// RouterOptions tune a router. The zero value of each field means its default.
type RouterOptions struct {
	// Stores lists the names of all stores, for [Router.Page]. Without it, a
	// page is an error unless its filter names a tenant and a class.
	Stores func(ctx context.Context) ([]string, error)

	// MaxOpen is how many stores stay open. When another one has been opened, the
	// one that was not used for the longest time is closed; one in use never is,
	// so that a call may have to wait. Half as many are opened at once; a store
	// that takes longer than a second keeps no other from being opened, and as
	// many such as MaxOpen are waited for. While some take the place of others,
	// up to twice as many are open for a moment, and where openings take long
	// half as many more: plan connections and files for that. Default 64.
	MaxOpen int

	// OpenTimeout bounds the opening of one store, whoever waits for it. A
	// store that could not be opened is tried again after a second at the
	// earliest, then after two, and so on up to 30; until then its calls fail
	// with the error of that time. Default 30 seconds.
	OpenTimeout time.Duration
}

// NewRouter returns a router. For a scope, whose class is never empty, route
// names the store that has its keys: always the same one, until they are moved.
// It is called for every call of the router. Open opens a store by its name; if
// the store has a Close method, the router closes it. Options may be nil.
//
//	keys, err := sqlstore.NewRouter(
//		func(s envelope.Scope) (string, error) { return regionOf(s.Tenant) },
//		func(ctx context.Context, region string) (envelope.KeyStore, error) {
//			return sqlstore.Open(ctx, databases[region], sqlstore.Postgres, nil)
//		}, nil)
func NewRouter(
	route func(scope envelope.Scope) (name string, err error),
	open func(ctx context.Context, name string) (envelope.KeyStore, error),
	opts *RouterOptions,
) (*Router, error) {
	var o RouterOptions
	if opts != nil {
		o = *opts
	}
	if o.MaxOpen == 0 {
		o.MaxOpen = 64
	}
	if o.OpenTimeout == 0 {
		o.OpenTimeout = 30 * time.Second
	}
	switch {
	case route == nil || open == nil:
		return nil, errors.New("sqlstore: NewRouter needs a function that names the store of a scope, and one that opens it")
	case o.MaxOpen < 1 || o.OpenTimeout < 0:
		return nil, errors.New("sqlstore: RouterOptions.MaxOpen and OpenTimeout must be positive")
	}
	r := &Router{route: route, list: o.Stores}
	r.shelf.init(open, o.MaxOpen, o.OpenTimeout)
	return r, nil
}

// Close closes all stores, once the calls that use them have returned. Later
// calls fail. It returns the first error that closing a store, now or before, met
// with.
func (r *Router) Close() error { return r.shelf.close() }

// Shard implements [envelope.Sharded]: the name of the store that has a scope's
// keys.
func (r *Router) Shard(scope envelope.Scope) (name string, err error) { return r.name(scope) }

// name is where a scope's keys are.
func (r *Router) name(scope envelope.Scope) (string, error) {
	scope = placeOf(scope, "").scope
	name, err := r.route(scope)
	if err == nil && name == "" {
		err = errors.New("the function names no store")
	}
	if err != nil {
		return "", fmt.Errorf("sqlstore: the store of %s: %w", scope, err)
	}
	return name, nil
}

func (r *Router) in(ctx context.Context, scope envelope.Scope, do func(store envelope.KeyStore) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := r.name(scope)
	if err != nil {
		return err
	}
	return r.shelf.with(ctx, name, do)
}

// Active implements [envelope.KeyStore].
func (r *Router) Active(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose) (rec envelope.Record, err error) {
	err = r.in(ctx, scope, func(store envelope.KeyStore) error {
		rec, err = store.Active(ctx, scope, purpose)
		return err
	})
	return rec, err
}

// Get implements [envelope.KeyStore].
func (r *Router) Get(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID) (rec envelope.Record, err error) {
	err = r.in(ctx, scope, func(store envelope.KeyStore) error {
		rec, err = store.Get(ctx, scope, purpose, id)
		return err
	})
	return rec, err
}

// GetForOpening implements [envelope.ReplicaReader], for the stores that do.
func (r *Router) GetForOpening(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID) (rec envelope.Record, err error) {
	err = r.in(ctx, scope, func(store envelope.KeyStore) error {
		if replicated, ok := store.(envelope.ReplicaReader); ok {
			rec, err = replicated.GetForOpening(ctx, scope, purpose, id)
		} else {
			rec, err = store.Get(ctx, scope, purpose, id)
		}
		return err
	})
	return rec, err
}

// Claim implements [envelope.KeyStore].
func (r *Router) Claim(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, holder string, lease time.Duration) (won bool, err error) {
	err = r.in(ctx, scope, func(store envelope.KeyStore) error {
		won, err = store.Claim(ctx, scope, purpose, holder, lease)
		return err
	})
	return won, err
}

// Release implements [envelope.KeyStore].
func (r *Router) Release(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, holder string) error {
	return r.in(ctx, scope, func(store envelope.KeyStore) error { return store.Release(ctx, scope, purpose, holder) })
}

// Activate implements [envelope.KeyStore].
func (r *Router) Activate(ctx context.Context, rec envelope.Record, previous envelope.KeyID) error {
	return r.in(ctx, rec.Scope, func(store envelope.KeyStore) error { return store.Activate(ctx, rec, previous) })
}

// Lease implements [envelope.KeyStore].
func (r *Router) Lease(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID, n uint64) (granted, left uint64, err error) {
	err = r.in(ctx, scope, func(store envelope.KeyStore) error {
		granted, left, err = store.Lease(ctx, scope, purpose, id, n)
		return err
	})
	return granted, left, err
}

// Insert implements [envelope.KeyStore].
func (r *Router) Insert(ctx context.Context, rec envelope.Record) error {
	return r.in(ctx, rec.Scope, func(store envelope.KeyStore) error { return store.Insert(ctx, rec) })
}

// Update implements [envelope.KeyStore].
func (r *Router) Update(ctx context.Context, old, rec envelope.Record) error {
	return r.in(ctx, old.Scope, func(store envelope.KeyStore) error { return store.Update(ctx, old, rec) })
}

// States implements [envelope.KeyStore]. It asks each store once.
func (r *Router) States(ctx context.Context, keys []envelope.KeyName) ([]envelope.State, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	where := map[string][]int{}
	for i := range keys {
		name, err := r.name(keys[i].Scope)
		if err != nil {
			return nil, err
		}
		where[name] = append(where[name], i)
	}
	states := make([]envelope.State, len(keys))
	for name, indices := range where {
		some := make([]envelope.KeyName, len(indices))
		for i, at := range indices {
			some[i] = keys[at]
		}
		err := r.shelf.with(ctx, name, func(store envelope.KeyStore) error {
			got, err := store.States(ctx, some)
			if err == nil && len(got) != len(some) {
				err = fmt.Errorf("sqlstore: the store %.80q answered %d states for %d keys", name, len(got), len(some))
			}
			for i := range got[:min(len(got), len(some))] {
				states[indices[i]] = got[i]
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return states, nil
}

// Page implements [envelope.KeyStore]. It asks all stores, unless the filter
// names a tenant and a class, and merges what they answer. A record that lies
// in another store than the one that its scope is routed to, where a move left
// it behind, isn't listed.
func (r *Router) Page(ctx context.Context, f envelope.Filter, after envelope.KeyName, limit int) ([]envelope.Record, error) {
	if err := ctx.Err(); err != nil || limit <= 0 {
		return nil, err
	}
	names, err := r.stores(ctx, &f)
	if err != nil {
		return nil, err
	}
	var page []envelope.Record
	for _, name := range names {
		err := r.shelf.with(ctx, name, func(store envelope.KeyStore) error {
			some, err := r.pageOf(ctx, store, name, f, after, limit)
			page = append(page, some...)
			return err
		})
		if err != nil {
			return nil, err
		}
		slices.SortFunc(page, func(a, b envelope.Record) int { return a.Name().Compare(b.Name()) })
		page = page[:min(len(page), limit)]
	}
	return page, nil
}

// stores are the names of those that may have what the filter chooses.
func (r *Router) stores(ctx context.Context, f *envelope.Filter) ([]string, error) {
	switch {
	case f.Tenant != "" && f.Class != "":
		name, err := r.name(envelope.Scope{Tenant: f.Tenant, Class: f.Class})
		return []string{name}, err
	case r.list == nil:
		return nil, errors.New("sqlstore: this router can't list the keys of all its stores: set RouterOptions.Stores")
	}
	names, err := r.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: listing the stores: %w", err)
	}
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// pageOf is a page of those records of one store that belong there.
func (r *Router) pageOf(ctx context.Context, store envelope.KeyStore, name string, f envelope.Filter, after envelope.KeyName, limit int) ([]envelope.Record, error) {
	var page []envelope.Record
	for len(page) < limit {
		some, err := store.Page(ctx, f, after, limit)
		if err != nil {
			return nil, fmt.Errorf("sqlstore: listing the keys of the store %.80q: %w", name, err)
		}
		for _, rec := range some {
			// One whose scope is routed nowhere is listed, to be seen.
			if belongs, err := r.name(rec.Scope); err != nil || belongs == name {
				page = append(page, rec)
			}
		}
		if len(some) < limit {
			break
		}
		after = some[len(some)-1].Name()
	}
	return page, nil
}
