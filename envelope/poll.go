package envelope

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// What other processes do to keys, this one learns from the key store and the
// tombstone log: every StorePoll it asks for the states of the keys that it has
// in memory. Of several stores behind one, each is asked by itself, so that one
// that is away, or never answers, changes nothing for the keys of the others.

type poll struct {
	mu      sync.Mutex
	timer   *time.Timer // nil while no key is in memory
	stopped bool
	turns   chan struct{}        // bounds the stores that are asked at once
	retries chan struct{}        // bounds those of them that were away when they were asked last
	asked   map[string]time.Time // since when a store is to be asked, or is being asked, by its name
	away    map[string]bool      // by its name
}

const (
	statesAtOnce     = 1000 // keys that a store is asked for in one call
	storesAtOnce     = 16
	storesAwayAtOnce = 8

	// turnTime is how long a store keeps others from being asked. What answers
	// at all has answered by then.
	turnTime = 2 * time.Second
)

func (p *poll) init() {
	p.turns, p.retries = make(chan struct{}, storesAtOnce), make(chan struct{}, storesAwayAtOnce)
	p.asked, p.away = map[string]time.Time{}, map[string]bool{}
}

// pollStore sees to it that the store is asked from time to time.
func (r *KeyRing) pollStore() {
	if r.opts.Store == nil && r.opts.Tombstones == nil {
		return
	}
	p := &r.poll
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil || p.stopped {
		return
	}
	p.timer = time.AfterFunc(r.opts.StorePoll, r.askStores)
}

func (p *poll) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// askStores is what the poll's timer does. It waits for no store.
func (r *KeyRing) askStores() {
	if !r.begin() {
		return
	}
	defer r.running.Done()
	r.renewSets()
	keys := r.inMemory()
	for name, group := range r.byStore(keys) {
		r.askOne(name, group)
	}

	p := &r.poll
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	if len(keys) == 0 {
		p.timer = nil // the next key starts it again
		if len(r.inMemory()) == 0 {
			return
		}
	}
	p.timer = time.AfterFunc(r.opts.StorePoll, r.askStores)
}

// inMemory returns the keys of all caches.
func (r *KeyRing) inMemory() []*dataKey { return slices.Collect(r.cached()) }

// cached goes through the keys of all caches.
func (r *KeyRing) cached() iter.Seq[*dataKey] {
	return func(yield func(*dataKey) bool) {
		for _, k := range r.opening.All() {
			if !yield(k) {
				return
			}
		}
		for _, k := range r.sealing.All() {
			if !k.openable.Load() && !yield(k) { // else it is among those that open
				return
			}
		}
		for _, set := range r.sets.All() {
			for _, k := range set.keys {
				if !k.openable.Load() && !yield(k) {
					return
				}
			}
		}
	}
}

// A group is the keys in memory that one store has.
type group struct {
	keys []*dataKey
	err  error // why it isn't known which store that is
}

// byStore sorts keys by the names of their stores. A store that isn't several has
// the name "", and so have the keys that none of several is named for.
func (r *KeyRing) byStore(keys []*dataKey) map[string]*group {
	several, _ := r.opts.Store.(Sharded)
	groups := map[string]*group{}
	for _, k := range keys {
		var name string
		var unnamed error
		if several != nil {
			unnamed = ofStore(func() (err error) {
				name, err = several.Shard(k.scope)
				return err
			})
			if unnamed != nil {
				name = ""
			}
		}
		g := groups[name]
		if g == nil {
			g = &group{}
			groups[name] = g
		}
		g.keys = append(g.keys, k)
		if g.err == nil {
			g.err = unnamed
		}
	}
	if several != nil && groups[""] == nil {
		r.answered("", nil, nil) // each has a store again
	}
	return groups
}

// askOne starts to ask one store, unless it is being asked since an earlier poll.
func (r *KeyRing) askOne(name string, g *group) {
	p := &r.poll
	p.mu.Lock()
	since, busy := p.asked[name]
	if !busy {
		p.asked[name] = time.Now()
	}
	p.mu.Unlock()
	switch {
	case !busy && r.begin():
		go r.waitFor(name, g)
	case busy && time.Since(since) >= 2*r.opts.LoadTimeout+lateBy:
		r.answered(name, g.keys, fmt.Errorf("%w: no answer since %v: other stores that don't answer come first, or the key store or the tombstone log doesn't heed its context",
			ErrStoreUnavailable, time.Since(since).Round(time.Second)))
	}
}

// waitFor asks one store when it is its turn. One that doesn't answer in time
// gives its turn up, and the next time waits with those that are away: they must
// not keep the others from being asked.
func (r *KeyRing) waitFor(name string, g *group) {
	defer r.running.Done()
	p := &r.poll
	p.mu.Lock()
	turns, turn := p.turns, turnTime
	if p.away[name] {
		turns, turn = p.retries, 2*r.opts.LoadTimeout+lateBy
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.asked, name)
	}()
	select {
	case turns <- struct{}{}:
	case <-r.closed.Done():
		return
	}
	end := sync.OnceFunc(func() { <-turns })
	defer end()
	defer time.AfterFunc(turn, end).Stop()
	err := r.askAbout(g)
	if r.closed.Err() == nil {
		r.answered(name, g.keys, err)
	}
}

// askAbout heeds what the key store and the tombstone log say of the keys of one
// store. Each has its own time: a store that takes all of it must not keep the log
// from being read.
func (r *KeyRing) askAbout(g *group) error {
	ctx, cancel := context.WithTimeout(r.closed, r.opts.LoadTimeout)
	defer cancel()
	err := g.err
	if r.opts.Store != nil && err == nil {
		for some := range slices.Chunk(g.keys, statesAtOnce) {
			if failed := r.compare(ctx, some); err == nil {
				err = failed
			}
		}
	}
	return errors.Join(err, r.heedTombstones(g.keys))
}

// compare asks the store for the states of some keys and heeds them.
func (r *KeyRing) compare(ctx context.Context, keys []*dataKey) error {
	names := make([]KeyName, len(keys))
	for i, k := range keys {
		names[i] = k.name()
	}
	states, err := r.store.States(ctx, names)
	if err != nil {
		return err
	}
	if len(states) != len(keys) { // whose states they are can't be told
		return fmt.Errorf("%w: it answered %d states for %d keys", ErrStoreUnavailable, len(states), len(keys))
	}
	for i, k := range keys {
		r.heed(k, states[i])
	}
	return nil
}

// heedTombstones drops the keys that the tombstone log calls destroyed.
func (r *KeyRing) heedTombstones(keys []*dataKey) error {
	ctx, cancel := context.WithTimeout(r.closed, r.opts.LoadTimeout)
	defer cancel()
	for _, k := range keys {
		dead := r.buried(ctx, k.id)
		if errors.Is(dead, ErrKeyDestroyed) {
			r.heed(k, StateDestroyed)
		} else if dead != nil {
			return dead
		}
	}
	return nil
}

// heed does with a key in memory what its state asks for.
func (r *KeyRing) heed(k *dataKey, state State) {
	if state == "" {
		r.vanished(k)
	} else if k.vanished.Load() { // it is back
		k.vanished.Store(false)
	}
	if k.purpose != PurposeData {
		r.heedShared(k, state)
		return
	}
	switch state {
	case StateActive:
	case StateRetired:
		r.succeeded(k)
	case "":
		// The record is gone, or the key was never stored: it came inline.
		// What is in memory opens, but what it would seal now could not be
		// opened by others.
		if k.sealable.Load() {
			r.endSealing(k)
		}
	default:
		r.drop(k)
		r.tell(Event{Kind: KeyStopped, RootKey: k.watch.rootKey, Scope: k.scope, KeyID: k.id})
	}
}

// errVanished is what is told of a key whose record the key store has lost.
var errVanished = fmt.Errorf("%w: its record is gone from the key store: this process opens with it for as long as it is in memory, and others can't: restore the record", ErrKeyNotFound)

// vanished tells, once, that the record of a key which the store had is gone. A
// key that came inside an envelope may never have had one.
func (r *KeyRing) vanished(k *dataKey) {
	if k.created.IsZero() || !k.vanished.CompareAndSwap(false, true) {
		return
	}
	r.tell(Event{Kind: KeyStopped, RootKey: k.watch.rootKey, Scope: k.scope, KeyID: k.id, Err: errVanished})
}

// succeeded changes a scope over to the key that followed k, without making
// writers wait for it.
func (r *KeyRing) succeeded(k *dataKey) {
	if !k.sealable.Load() {
		return
	}
	r.ahead(k, func(ctx context.Context) (*dataKey, error) { return r.nextAhead(ctx, k) })
}

// answered notes whether a store did, and drops those of its keys that it hasn't
// answered about for too long.
func (r *KeyRing) answered(name string, keys []*dataKey, err error) {
	p := &r.poll
	var over []*dataKey
	p.mu.Lock()
	was := p.away[name]
	if err != nil {
		p.away[name] = true
	} else {
		delete(p.away, name)
	}
	for _, k := range keys {
		if err == nil {
			k.answered = time.Now()
		} else if time.Since(k.answered) >= r.longest() {
			over = append(over, k)
		}
	}
	p.mu.Unlock()
	switch {
	case err != nil && !was:
		r.tell(Event{Kind: StoreAway, Store: name, Err: err})
	case err == nil && was:
		r.tell(Event{Kind: StoreBack, Store: name})
	}
	for _, k := range over {
		r.drop(k)
	}
}
