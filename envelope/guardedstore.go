package envelope

import (
	"context"
	"time"
)

// guardedStore is how a ring calls its key store: a panic of the store is an
// outage of the store, ErrStoreUnavailable, wherever it is called. Most calls are
// made in goroutines of the ring's own, in which a panic would end the process or
// be taken for the key service's. What a store can do besides being a KeyStore is
// asked of Options.Store.
type guardedStore struct{ store KeyStore }

var _ KeyStore = guardedStore{}

func ofStore(call func() error) error { return caught(ErrStoreUnavailable, "the key store", call) }

func (g guardedStore) Active(ctx context.Context, scope Scope, purpose Purpose) (rec Record, err error) {
	err = ofStore(func() (err error) {
		rec, err = g.store.Active(ctx, scope, purpose)
		return err
	})
	return rec, err
}

func (g guardedStore) Get(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (rec Record, err error) {
	err = ofStore(func() (err error) {
		rec, err = g.store.Get(ctx, scope, purpose, id)
		return err
	})
	return rec, err
}

// GetForOpening reads from the store's replica, if it has one.
func (g guardedStore) GetForOpening(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (rec Record, err error) {
	err = ofStore(func() (err error) {
		rec, err = getForOpening(ctx, g.store, scope, purpose, id)
		return err
	})
	return rec, err
}

func (g guardedStore) Claim(ctx context.Context, scope Scope, purpose Purpose, holder string, lease time.Duration) (won bool, err error) {
	err = ofStore(func() (err error) {
		won, err = g.store.Claim(ctx, scope, purpose, holder, lease)
		return err
	})
	return won, err
}

func (g guardedStore) Release(ctx context.Context, scope Scope, purpose Purpose, holder string) error {
	return ofStore(func() error { return g.store.Release(ctx, scope, purpose, holder) })
}

func (g guardedStore) Activate(ctx context.Context, rec Record, previous KeyID) error {
	return ofStore(func() error { return g.store.Activate(ctx, rec, previous) })
}

func (g guardedStore) Lease(ctx context.Context, scope Scope, purpose Purpose, id KeyID, n uint64) (granted, left uint64, err error) {
	err = ofStore(func() (err error) {
		granted, left, err = g.store.Lease(ctx, scope, purpose, id, n)
		return err
	})
	return granted, left, err
}

func (g guardedStore) Insert(ctx context.Context, rec Record) error {
	return ofStore(func() error { return g.store.Insert(ctx, rec) })
}

func (g guardedStore) Update(ctx context.Context, old, rec Record) error {
	return ofStore(func() error { return g.store.Update(ctx, old, rec) })
}

func (g guardedStore) States(ctx context.Context, keys []KeyName) (states []State, err error) {
	err = ofStore(func() (err error) {
		states, err = g.store.States(ctx, keys)
		return err
	})
	return states, err
}

func (g guardedStore) Page(ctx context.Context, f Filter, after KeyName, limit int) (page []Record, err error) {
	err = ofStore(func() (err error) {
		page, err = g.store.Page(ctx, f, after, limit)
		return err
	})
	return page, err
}
