package envelope

import (
	"context"
	"errors"
	"sync"
	"time"
)

// What other processes do to keys, this one learns from the key store and the
// tombstone log: every StorePoll it asks for the states of the keys that it has
// in memory.

type poll struct {
	mu      sync.Mutex
	timer   *time.Timer // nil while no key is in memory
	good    time.Time   // of the store's last answer
	away    bool
	stopped bool
}

// statesAtOnce is how many keys the store is asked for in one call.
const statesAtOnce = 1000

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
	p.good = time.Now()
	p.timer = time.AfterFunc(r.opts.StorePoll, r.askStore)
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

// askStore is what the poll's timer does.
func (r *KeyRing) askStore() {
	if !r.begin() {
		return
	}
	defer r.running.Done()
	keys := r.inMemory()
	ctx, cancel := context.WithTimeout(r.closed, r.opts.LoadTimeout)
	defer cancel()
	var err error
	for rest := keys; r.opts.Store != nil && len(rest) > 0 && err == nil; rest = rest[min(statesAtOnce, len(rest)):] {
		err = r.compare(ctx, rest[:min(statesAtOnce, len(rest))])
	}
	for _, k := range keys {
		dead := r.buried(ctx, k.id)
		if errors.Is(dead, ErrKeyDestroyed) {
			r.heed(k, StateDestroyed)
		} else if dead != nil {
			err = errors.Join(err, dead)
			break
		}
	}
	if r.closed.Err() != nil {
		return
	}
	r.answered(err)

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
	p.timer = time.AfterFunc(r.opts.StorePoll, r.askStore)
}

// inMemory returns the keys of both caches.
func (r *KeyRing) inMemory() []*dataKey {
	var keys []*dataKey
	for _, k := range r.opening.All() {
		keys = append(keys, k)
	}
	for _, k := range r.sealing.All() {
		if !k.openable.Load() { // else it is among those that open
			keys = append(keys, k)
		}
	}
	return keys
}

// compare asks the store for the states of some keys and heeds them.
func (r *KeyRing) compare(ctx context.Context, keys []*dataKey) error {
	names := make([]KeyName, len(keys))
	for i, k := range keys {
		names[i] = KeyName{k.scope, PurposeData, k.id}
	}
	states, err := r.opts.Store.States(ctx, names)
	if err != nil {
		return err
	}
	for i, k := range keys {
		if i < len(states) {
			r.heed(k, states[i])
		}
	}
	return nil
}

// heed does with a key in memory what its state asks for.
func (r *KeyRing) heed(k *dataKey, state State) {
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
		r.tell(Event{Kind: KeyStopped, RootKey: k.rootKey, Scope: k.scope, KeyID: k.id})
	}
}

// succeeded changes a scope over to the key that followed k, without making
// writers wait for it.
func (r *KeyRing) succeeded(k *dataKey) {
	if !k.sealable.Load() {
		return
	}
	r.ahead(k, func(ctx context.Context) (*dataKey, error) { return r.nextAhead(ctx, k) })
}

// answered notes whether the store did.
func (r *KeyRing) answered(err error) {
	p := &r.poll
	p.mu.Lock()
	was := p.away
	p.away = err != nil
	if err == nil {
		p.good = time.Now()
	}
	over := time.Since(p.good) >= r.longest()
	p.mu.Unlock()
	switch {
	case err != nil && !was:
		r.tell(Event{Kind: StoreAway, Err: err})
	case err == nil && was:
		r.tell(Event{Kind: StoreBack})
	}
	if over {
		for _, k := range r.inMemory() {
			r.drop(k)
		}
	}
}
