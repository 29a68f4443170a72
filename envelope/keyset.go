package envelope

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// The keys of the purposes det and index are shared by all processes and have no
// end: what was made with one is searched with it. While one follows another,
// both are in use, so a scope has a set of them.
//
// A process learns within StorePoll that the active key was followed by another.
// So that no search misses what is written meanwhile, a new key is searched with
// from the start, and written with only once it has settled: until then all
// processes write with the one before it, although it is retired.

// settle is how old a key must be to be written with, if there is an older one:
// two polls, since the first may meet a load that began before the key was
// there, and the part of a second that Record.Created leaves out.
func (r *KeyRing) settle() time.Duration { return 2*r.opts.StorePoll + time.Second }

type setName struct {
	scope   Scope
	purpose Purpose
}

func (n setName) String() string { return fmt.Sprintf("%s, purpose %q", n.scope, n.purpose) }

// A keySet is the keys that a scope has for a purpose. It is replaced, and never
// changed. One that is whole is for searches and for writing, any other for
// writing alone: a writer needn't wait for keys that were retired.
type keySet struct {
	setName
	whole   bool
	keys    []*dataKey  // the active one first, then the retired ones, the newest first; else the writer alone
	active  *dataKey    // nil: none of keys
	writer  *dataKey    // nil: there is no active key, and before a value is written one must be made
	changes time.Time   // when another one becomes the writer; zero: not by itself
	loaded  time.Time   // when the store was asked
	current atomic.Bool // in the cache
	used    atomic.Bool // since a watch last looked at its keys
}

// errShared is for calls that need keys which all processes share.
var errShared = fmt.Errorf("%w: blind indexes and deterministic envelopes need a key store, since all processes must share their keys: set Options.Store", ErrModeNotAllowed)

// searches reports whether the set does for a search.
func (set *keySet) searches() bool { return set.whole && set.current.Load() }

// writes reports whether the set does for writing.
func (set *keySet) writes() bool {
	return set.writer != nil && set.current.Load() && (set.changes.IsZero() || time.Now().Before(set.changes))
}

// use notes for the watches that all keys of the set are of use.
func (set *keySet) use() {
	for _, k := range set.keys {
		k.used.Store(true)
	}
	set.used.Store(true)
}

// of reports whether the set is that of a purpose and a scope, whose class may be
// left out.
func (set *keySet) of(scope Scope, purpose Purpose) bool {
	return set.purpose == purpose && set.scope.Tenant == scope.Tenant &&
		(set.scope.Class == scope.Class || (scope.Class == "" && set.scope.Class == DefaultClass))
}

// keysToSearch returns all keys of a scope that something may have been written
// with: none if the scope has none yet.
func (r *KeyRing) keysToSearch(ctx context.Context, s *scratch, scope Scope, purpose Purpose) (*keySet, error) {
	if set := s.set; set != nil && set.of(scope, purpose) && set.searches() {
		return set, nil
	}
	name, err := r.setName(scope, purpose)
	if err != nil {
		return nil, err
	}
	set, ok := r.sets.GetIfPresent(name)
	if !ok || !set.searches() {
		set, err = r.loadSet(ctx, name, true, false)
		if err == nil && len(set.keys) == 0 { // of a load that may have begun before this call
			set, err = r.readSet(ctx, name, true, false)
		}
		if err != nil {
			return nil, err
		}
	}
	s.set = set
	return set, nil
}

// keyToWrite returns the set of a scope, whose writer is not nil: if there is no
// active key, one is made.
func (r *KeyRing) keyToWrite(ctx context.Context, s *scratch, scope Scope, purpose Purpose) (*keySet, error) {
	if set := s.set; set != nil && set.of(scope, purpose) && set.writes() {
		return set, nil
	}
	name, err := r.setName(scope, purpose)
	if err != nil {
		return nil, err
	}
	set, ok := r.sets.GetIfPresent(name)
	if !ok || !set.writes() {
		set, err = r.loadSet(ctx, name, ok && set.whole, true)
		if err != nil {
			return nil, err
		}
	}
	s.set = set
	return set, nil
}

func (r *KeyRing) setName(scope Scope, purpose Purpose) (setName, error) {
	if r.opts.Store == nil {
		return setName{}, errShared
	}
	scope = scope.withDefault()
	return setName{scope, purpose}, scope.validate()
}

// publishSet puts a set into the cache. An empty one isn't kept: the first key
// must be found at once.
func (r *KeyRing) publishSet(set *keySet) *keySet {
	if len(set.keys) == 0 {
		r.sets.Invalidate(set.setName)
		return set
	}
	r.watches.mu.Lock()
	for _, k := range set.keys {
		k.sets.Add(1)
	}
	r.watches.mu.Unlock()
	set.current.Store(true)
	r.sets.Set(set.setName, set)
	keepWithin(r.sets, r.opts.CacheSize)
	for _, k := range set.keys {
		if k.watch.ended.Load() { // the end may have come before the set was in place
			r.drop(k)
		}
	}
	r.pollStore()
	return set
}

// leftCache is called when a set was evicted or replaced.
func (r *KeyRing) leftCache(set *keySet) {
	set.current.Store(false)
	for _, k := range set.keys {
		k.sets.Add(-1)
		r.unwatch(k, func() *dataKey { e, _ := r.opening.GetEntryQuietly(k.id); return e.Value })
	}
}

// setWith returns the set in the cache that has a key, or nil.
func (r *KeyRing) setWith(k *dataKey) *keySet {
	e, ok := r.sets.GetEntryQuietly(setName{k.scope, k.purpose})
	if !ok || !slices.Contains(e.Value.keys, k) {
		return nil
	}
	return e.Value
}

// forget drops the set that has a key, so that the next call asks the store.
func (r *KeyRing) forget(k *dataKey) {
	if set := r.setWith(k); set != nil {
		r.sets.Invalidate(set.setName)
	}
}

// refresh replaces a set in the background. What fails leaves it as it is.
func (r *KeyRing) refresh(set *keySet) {
	startOf(context.Background(), r, "refresh"+set.flight(set.whole, false), func(ctx context.Context) (*keySet, error) {
		if !set.current.Load() {
			return nil, nil
		}
		return r.readSet(ctx, set.setName, set.whole, false)
	})
}

// heedShared is heed for a key that may be one of a set.
func (r *KeyRing) heedShared(k *dataKey, state State) {
	set := r.setWith(k)
	switch state {
	case StateActive, StateRetired:
		if set != nil && (state == StateActive) != (k == set.active) { // another took its place
			r.refresh(set)
		}
	case "":
		// The record is gone: what is written with this key can't be found by
		// others.
		r.forget(k)
	default:
		r.drop(k)
		r.tell(Event{Kind: KeyStopped, RootKey: k.watch.rootKey, Scope: k.scope, KeyID: k.id})
	}
}

// renewSets has the store asked about what no state of a key in memory tells:
// where there is no active key one may have been made, and keys that were
// suspended may have been resumed.
func (r *KeyRing) renewSets() {
	for _, set := range r.sets.All() {
		if set.active == nil || time.Since(set.loaded) >= r.opts.CacheTTL {
			r.refresh(set)
		}
	}
}
