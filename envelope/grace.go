package envelope

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// longest is how long keys serve after the last yes, if there is no answer.
func (r *KeyRing) longest() time.Duration { return max(r.opts.CacheTTL, r.opts.OutageGrace) }

// leastRound is the least time between two rounds of endOverdue: each goes through
// the whole cache.
const leastRound = time.Second / 10

// endOverdue ends the watches that have had no yes for the longest time. That is
// no part of a check, which may be waiting for a turn or for an answer.
func (r *KeyRing) endOverdue() {
	if !r.begin() {
		return
	}
	defer r.running.Done()
	r.watches.mu.Lock()
	now, next := time.Now(), r.longest()
	var events []Event
	for name, w := range r.watches.byName {
		if left := w.good.Add(r.longest()).Sub(now); left > 0 {
			next = min(next, left)
			continue
		}
		if !w.ended.Swap(true) {
			err := w.away
			if err == nil {
				err = fmt.Errorf("%w: no answer within %v", kmsprovider.ErrUnavailable, r.longest())
			}
			events = append(events, Event{Kind: GraceEnded, RootKey: w.rootKey, Err: err})
		}
		w.timer.Stop()
		delete(r.watches.byName, name)
	}
	if len(r.watches.byName) > 0 {
		r.watches.overdue.Reset(max(next, leastRound))
	}
	r.watches.mu.Unlock()
	if len(events) == 0 {
		return
	}
	for k := range r.cached() {
		if k.watch.ended.Load() {
			r.drop(k)
		}
	}
	for _, e := range events {
		r.tell(e)
	}
}

// RootKeyHealth tells when a root key was last answered for.
type RootKeyHealth struct {
	RootKey string    // URI
	Good    time.Time // of the last yes
	Away    error     // why the last check had no answer; nil if it had
	Until   time.Time // the data keys under it serve until then, if no yes comes before
}

func (h RootKeyHealth) String() string {
	if h.Away == nil {
		return fmt.Sprintf("%s: answered at %s", h.RootKey, h.Good.Format(time.RFC3339))
	}
	return fmt.Sprintf("%s: away since its answer at %s, keys in memory serve until %s: %v",
		h.RootKey, h.Good.Format(time.RFC3339), h.Until.Format(time.RFC3339), h.Away)
}

// Health tells of the root keys whose data keys are in memory, by URI. With
// CheckEachKey it has the worst of a root key's data keys.
func (r *KeyRing) Health() []RootKeyHealth {
	r.watches.mu.Lock()
	defer r.watches.mu.Unlock()
	worst := map[string]RootKeyHealth{}
	for _, w := range r.watches.byName {
		h := RootKeyHealth{RootKey: w.rootKey, Good: w.good, Away: w.away, Until: w.good.Add(r.longest())}
		if seen, ok := worst[w.rootKey]; !ok || h.Good.Before(seen.Good) {
			worst[w.rootKey] = h
		}
	}
	all := make([]RootKeyHealth, 0, len(worst))
	for _, h := range worst {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b RootKeyHealth) int { return cmp.Compare(a.RootKey, b.RootKey) })
	return all
}
