package envelope

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// Data keys in memory serve for as long as the key service says yes to their
// root key. It isn't asked about each of them: for each root key, one data key
// is unwrapped again in the background before CacheTTL has passed since the last
// yes. A no ends all keys under the root key at once. No answer ends them when
// OutageGrace has passed since the last yes, and not before (grace.go).

// A watch is what the service is asked about: a root key or, with
// Options.CheckEachKey, one data key.
type watch struct {
	name    string
	rootKey string
	ended   atomic.Bool // its keys are to be dropped, also those that come late

	// Under watches.mu:
	key   KeyName // of the data key that is unwrapped again
	wrap  []byte
	last  weak.Pointer[dataKey] // that came under it
	good  time.Time             // of the last yes
	away  error                 // why the last check had no answer; nil if it had
	timer *time.Timer
}

type watches struct {
	mu      sync.Mutex
	byName  map[string]*watch
	overdue *time.Timer  // runs while there are watches
	waiting atomic.Int64 // checks that wait for one of checksAtOnce turns
}

const (
	checksAtOnce = 8
	awayAtOnce   = 2               // of those, beside them, that had no answer the last time
	checkTime    = 5 * time.Second // for an answer, at most
	leastTime    = time.Second / 10
	idleTime     = 24 * time.Hour // a key that nobody used for so long is dropped
	leastRetry   = time.Second    // between checks of a service that is away
	mostRetry    = time.Minute
)

// watchOver puts k under the watch of its root key, and keeps what k is wrapped
// in. With unwrapped, the service has just said yes: it unwrapped the key.
func (r *KeyRing) watchOver(k *dataKey, rootKey string, wrapped []byte, unwrapped bool) {
	name := rootKey
	if r.opts.CheckEachKey {
		name += "\x00" + string(k.id[:])
	}
	r.watches.mu.Lock()
	w := r.watches.byName[name]
	if w == nil || w.ended.Load() {
		w = &watch{name: name, rootKey: rootKey, good: time.Now()}
		w.timer = time.AfterFunc(never, func() { r.check(w) })
		w.timer.Reset(r.untilCheck())
		if len(r.watches.byName) == 0 {
			r.watches.overdue.Reset(r.longest())
		}
		r.watches.byName[name] = w
	}
	k.wrapped = wrapped
	w.key, w.wrap, w.last = k.name(), k.wrapped, weak.Make(k)
	back := false
	if unwrapped {
		w.good = time.Now()
		back, w.away = w.away != nil, nil
	}
	k.watch = w
	r.watches.mu.Unlock()
	if back {
		r.tell(Event{Kind: RootKeyBack, RootKey: w.rootKey})
	}
}

// untilCheck is a part of CacheTTL that leaves time for the check itself.
// Checks that began together drift apart.
func (r *KeyRing) untilCheck() time.Duration {
	ttl := r.opts.CacheTTL
	return ttl*3/4 - rand.N(ttl/16+1) //nolint:gosec // jitter, not a secret
}

// check is what a watch's timer does: it asks the key service and looks for the
// watch's keys that nobody uses.
func (r *KeyRing) check(w *watch) {
	if !r.begin() {
		return
	}
	defer r.running.Done()
	r.watches.mu.Lock()
	if w.ended.Load() {
		r.watches.mu.Unlock()
		return
	}
	if left := r.opts.CacheTTL*5/8 - time.Since(w.good); left > 0 { // loads of other keys have asked already
		w.timer.Reset(max(left, leastRetry/10))
		r.watches.mu.Unlock()
		return
	}
	name, wrapped := w.key, w.wrap
	q := &question{watch: w, good: w.good, turns: r.checks, before: time.Now().Add(r.opts.CacheTTL * 3 / 16)}
	if w.away != nil { // those that wait for an answer in vain keep no others waiting
		q.turns = r.awayChecks
	}
	r.watches.mu.Unlock()

	r.dropForbidden(w)
	if r.inUse(w) == 0 {
		r.end(w)
		return
	}
	err := r.ask(q, name, wrapped)
	if _, ours := errors.AsType[*scopeError](err); ours {
		err = r.askForOthers(q, name.Scope, err)
	}
	if r.closed.Err() != nil || w.ended.Load() {
		return
	}
	switch {
	case err == nil:
		r.watches.mu.Lock()
		back := w.away != nil
		w.good, w.away = time.Now(), nil
		w.timer.Reset(r.untilCheck())
		r.watches.mu.Unlock()
		if back {
			r.tell(Event{Kind: RootKeyBack, RootKey: w.rootKey})
		}
	case isNo(err):
		r.end(w)
		r.tell(Event{Kind: RootKeyRefused, RootKey: w.rootKey, Scope: name.Scope, KeyID: name.ID, Err: err})
	default:
		r.watches.mu.Lock()
		if !w.good.Equal(q.good) { // a load has had the answer meanwhile
			w.timer.Reset(r.untilCheck())
			r.watches.mu.Unlock()
			return
		}
		first := w.away == nil
		w.away = err
		w.timer.Reset(min(max(r.opts.CacheTTL/16, leastRetry), mostRetry))
		r.watches.mu.Unlock()
		if first {
			r.tell(Event{Kind: RootKeyAway, RootKey: w.rootKey, Err: err})
		}
	}
}

// isNo tells a refusal from an outage.
func isNo(err error) bool {
	return errors.Is(err, kmsprovider.ErrDenied) || errors.Is(err, kmsprovider.ErrKeyUnusable) ||
		errors.Is(err, kmsprovider.ErrInvalidCiphertext) || errors.Is(err, ErrNotAuthentic) || errors.Is(err, ErrRootKeyNotAllowed)
}

// A question is what a check asks: about one data key of its watch or, where the
// configuration says nothing of that one's scope, about several.
type question struct {
	watch  *watch
	good   time.Time     // of the last yes, when it began
	turns  chan struct{} // bounds those that are asked at once
	before time.Time     // it is to have been asked by then
}

var errNoTurn = fmt.Errorf("%w: no answer to others, and so not asked", kmsprovider.ErrUnavailable)

// ask unwraps a data key again and forgets it.
func (r *KeyRing) ask(q *question, name KeyName, wrapped []byte) error {
	ctx, cancel := context.WithDeadline(r.closed, q.good.Add(r.longest()))
	defer cancel()
	if err := r.turnToAsk(ctx, q); err != nil {
		return err
	}
	defer func() { <-q.turns }()
	limit := r.answerTime(q)
	ctx, cancelAnswer := context.WithTimeout(ctx, limit)
	defer cancelAnswer()
	err := caught(kmsprovider.ErrUnavailable, "the provider or the source of root keys", func() error {
		secret, err := r.unwrap(ctx, name.Scope, name.Purpose, q.watch.rootKey, wrapped)
		if err != nil {
			return err
		}
		defer clear(secret)
		if deriveKeyID(secret, name.Scope, name.Purpose) != name.ID {
			return errKeyMismatch
		}
		return nil
	})
	if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, kmsprovider.ErrThrottled) {
		return fmt.Errorf("%w: no answer within %v: %w", kmsprovider.ErrUnavailable, limit, err)
	}
	return err
}

// turnToAsk waits for one of the question's turns, for as long as its watch lasts.
func (r *KeyRing) turnToAsk(ctx context.Context, q *question) error {
	if q.turns != r.awayChecks {
		r.watches.waiting.Add(1)
		defer r.watches.waiting.Add(-1)
	}
	select {
	case q.turns <- struct{}{}:
	case <-ctx.Done():
		return errNoTurn
	}
	if q.watch.ended.Load() {
		<-q.turns
		return errNoTurn
	}
	return nil
}

// answerTime is how long an answer is waited for. If others wait for a turn, it is
// this one's share of the time that is left: else those that hang would use up the
// time of a root key behind them that is denied. Turns come in the order in which
// they were waited for, so that those ahead have no more time than that one.
func (r *KeyRing) answerTime(q *question) time.Duration {
	longest := min(checkTime, r.opts.LoadTimeout)
	if q.turns == r.awayChecks {
		return longest
	}
	share := time.Until(q.before) * time.Duration(cap(q.turns)) / time.Duration(1+r.watches.waiting.Load())
	return min(max(share, leastTime), longest)
}

// askForOthers asks about other data keys of a watch until the service is heard,
// after the configuration had no word for the one of a scope: that a tenant has
// left, or can't be looked up, is no answer about the root key. The keys of those
// scopes that may not use it any more are dropped.
func (r *KeyRing) askForOthers(q *question, scope Scope, err error) error {
	w := q.watch
	keys, tried, end := slices.Collect(r.under(w)), map[Scope]bool{}, time.Now().Add(r.opts.LoadTimeout)
	for {
		tried[scope] = true
		var next *dataKey
		for _, k := range keys {
			if k.scope == scope && isNo(err) {
				r.drop(k)
			} else if next == nil && !tried[k.scope] {
				next = k
			}
		}
		if next == nil || time.Now().After(end) || r.closed.Err() != nil {
			return err
		}
		scope = next.scope
		err = r.ask(q, next.name(), next.wrapped)
		if _, ours := errors.AsType[*scopeError](err); !ours {
			r.watches.mu.Lock()
			w.key, w.wrap = next.name(), next.wrapped
			r.watches.mu.Unlock()
			return err
		}
	}
}

// dropForbidden drops the keys under a watch of the scopes that may not use its
// root key any more, such as those of a tenant that was moved to another region.
// What can't be found out changes nothing.
func (r *KeyRing) dropForbidden(w *watch) {
	ctx, cancel := context.WithTimeout(r.closed, checkTime)
	defer cancel()
	forbidden := map[Scope]bool{}
	for k := range r.under(w) {
		no, asked := forbidden[k.scope]
		if !asked {
			no = r.isForbidden(ctx, k.scope, w.rootKey)
			forbidden[k.scope] = no
		}
		if no {
			r.drop(k)
		}
	}
}

func (r *KeyRing) isForbidden(ctx context.Context, scope Scope, rootKey string) bool {
	return isNo(caught(kmsprovider.ErrUnavailable, "the source of root keys", func() error {
		return r.checkRootKey(ctx, scope, rootKey)
	}))
}

// under goes through the keys in memory that are under a watch.
func (r *KeyRing) under(w *watch) iter.Seq[*dataKey] {
	return func(yield func(*dataKey) bool) {
		for k := range r.cached() {
			if k.watch == w && !yield(k) {
				return
			}
		}
	}
}

// inUse counts the keys under a watch, and drops those that were not used for
// long.
func (r *KeyRing) inUse(w *watch) (n int) {
	now := time.Now()
	for k := range r.under(w) {
		if r.used(k, now) {
			n++
		}
	}
	return n
}

// used reports whether k is still of use. Only the check of its watch calls it.
func (r *KeyRing) used(k *dataKey, now time.Time) bool {
	if set := r.setWith(k); k.purpose != PurposeData && set != nil {
		set.used.Store(false) // the next use is noted again
	}
	switch {
	case k.used.Swap(false) || k.idleSince == 0:
		k.idleSince = now.UnixNano()
	case now.Sub(time.Unix(0, k.idleSince)) >= idleTime:
		r.drop(k)
		return false
	}
	return true
}

// end drops all keys under a watch.
func (r *KeyRing) end(w *watch) {
	w.ended.Store(true)
	r.watches.mu.Lock()
	if r.watches.byName[w.name] == w {
		delete(r.watches.byName, w.name)
	}
	w.timer.Stop()
	r.watches.mu.Unlock()
	for k := range r.under(w) {
		r.drop(k)
	}
}

// drop takes a key out of all caches.
func (r *KeyRing) drop(k *dataKey) {
	k.openable.Store(false)
	if now, ok := r.opening.GetEntryQuietly(k.id); ok && now.Value == k {
		r.opening.Invalidate(k.id)
	}
	if k.sealable.Load() { // and so k.seal is set
		r.endSealing(k)
	}
	r.forget(k)
}

// serves notes that k opens or seals from now on. Whoever calls it looks at the
// watch's end afterwards: unwatch may come before, but not between.
func (r *KeyRing) serves(as *atomic.Bool) {
	r.watches.mu.Lock()
	defer r.watches.mu.Unlock()
	as.Store(true)
}

// unwatch ends the watch of a key that has left a cache, if it is of this key
// alone: else there would be a watch for each key of the last CacheTTL. The other
// cache may have the same key, loaded at another time, under the same watch.
func (r *KeyRing) unwatch(k *dataKey, other func() *dataKey) {
	if !r.opts.CheckEachKey {
		return
	}
	same := other()
	r.watches.mu.Lock()
	defer r.watches.mu.Unlock()
	w := k.watch
	switch {
	case k.openable.Load() || k.sealable.Load() || k.sets.Load() > 0 || r.watches.byName[w.name] != w || w.last != weak.Make(k):
	case same != nil && same != k && same.watch == w && (same.openable.Load() || same.sealable.Load() || same.sets.Load() > 0):
		w.last = weak.Make(same)
	default:
		w.ended.Store(true)
		w.timer.Stop()
		delete(r.watches.byName, w.name)
	}
}

// endWatches stops the timers of all watches.
func (r *KeyRing) endWatches() {
	r.watches.mu.Lock()
	defer r.watches.mu.Unlock()
	for _, w := range r.watches.byName {
		w.ended.Store(true)
		w.timer.Stop()
	}
	clear(r.watches.byName)
	r.watches.overdue.Stop()
}
