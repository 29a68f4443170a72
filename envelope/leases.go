package envelope

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// With a key store, the messages of a data key's budget are leased by the
// processes that share it. What a process leased and didn't use when it ends is
// wasted, and no more than that.

// A lease is how many messages a process takes of a key at a time: what lasts
// for leaseSpan at the speed at which it used the last ones.
type lease struct {
	size  atomic.Uint64 // of the last one
	began time.Time     // when the last one was taken; of the flight that leases
}

const (
	leaseSpan  = 10 * time.Second
	firstLease = 1 << 10
	leastLease = 1 << 4
	mostLease  = 1 << 20
)

// next returns the size of the next lease, which is taken now.
func (l *lease) next(budget uint64, now time.Time) uint64 {
	most := min(max(budget/64, 1), mostLease)
	size := uint64(firstLease)
	if last := l.size.Load(); last > 0 {
		pace := float64(last) / max(now.Sub(l.began), time.Microsecond).Seconds()
		size = uint64(min(pace*leaseSpan.Seconds(), mostLease))
	}
	size = min(max(size, leastLease), most)
	l.began = now
	l.size.Store(size)
	return size
}

// drawnCounts is how many messages of each stored key this process has taken
// in all. Whoever can write to the key store can reset the shared counter, but
// not this one: a key's count is kept until the key has ended and seals no more,
// also when it has left the caches.
//
// The counts are bounded. Where there are more, those of the older keys are
// dropped, and a key that may have had one of them is sealed with no more.
type drawnCounts struct {
	mu      sync.Mutex
	most    int                   // counts that are kept; 0: mostCounts
	count   map[uint64]drawnCount // by the beginning of the key ID, which is random
	sweep   int                   // at so many counts, those of ended keys are dropped
	dropped time.Time             // keys that were made by then, and have no count, may have had one
}

type drawnCount struct {
	messages       uint64
	created, until int64 // the key's own times, which are authentic, in Unix seconds
}

const (
	fewCounts  = 1 << 10 // is not worth a search for ended ones
	mostCounts = 1 << 20 // some 50 MB
)

func countOf(k *dataKey) uint64 { return binary.BigEndian.Uint64(k.id[:8]) }

// reserve counts as many of n more messages as stay within the key's budget,
// and returns their number. Counting before the store is asked keeps two
// flights from being allowed the same messages. Fresh says that this process
// has just made the key.
func (d *drawnCounts) reserve(k *dataKey, n uint64, fresh bool) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count == nil {
		d.count, d.sweep = map[uint64]drawnCount{}, fewCounts
		setDefault(&d.most, mostCounts)
	}
	c, counted := d.count[countOf(k)]
	if !counted && !fresh && !k.seal.created.After(d.dropped) {
		return 0
	}
	if !counted && len(d.count) >= d.sweep {
		d.makeRoom()
	}
	n = min(n, k.seal.budget-min(k.seal.budget, c.messages))
	d.count[countOf(k)] = drawnCount{c.messages + n, k.seal.created.Unix(), k.seal.notAfter.Unix()}
	return n
}

// makeRoom drops the counts of ended keys and, where that leaves too many, of
// the older half of the keys.
func (d *drawnCounts) makeRoom() {
	now := time.Now().Unix()
	kept := make([]int64, 0, len(d.count))
	for id, c := range d.count {
		if now >= c.until {
			delete(d.count, id)
		} else {
			kept = append(kept, c.created)
		}
	}
	if len(kept) >= d.most {
		slices.SortFunc(kept, cmp.Compare)
		oldest := kept[len(kept)/2]
		for id, c := range d.count {
			if c.created <= oldest {
				delete(d.count, id)
			}
		}
		d.dropped = time.Unix(oldest, 0)
	}
	d.sweep = min(max(fewCounts, 2*len(d.count)), d.most)
}

// giveBack takes back a reservation that the store didn't grant.
func (d *drawnCounts) giveBack(k *dataKey, n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.count[countOf(k)]; ok {
		c.messages -= n
		d.count[countOf(k)] = c
	}
}
