package envelope

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A lease is as large as what the process seals in ten seconds.
func TestLeaseFollowsSpeed(t *testing.T) {
	const budget = 1 << 31
	start := time.Now()
	at := start.Add
	for name, c := range map[string]struct {
		budget uint64
		used   time.Duration // how long the first lease lasted
		want   uint64
	}{
		"as planned":      {budget, leaseSpan, firstLease},
		"twice as fast":   {budget, leaseSpan / 2, 2 * firstLease},
		"four times slow": {budget, 4 * leaseSpan, firstLease / 4},
		"after a day":     {budget, 24 * time.Hour, leastLease},
		"at once":         {budget, 0, mostLease},
		"clock went back": {budget, -time.Hour, mostLease},
		"small budget":    {1 << 13, leaseSpan / 100, 1 << 7},
		"least budget":    {1, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var l lease
			first := l.next(c.budget, start)
			require.Equal(t, min(firstLease, max(c.budget/64, 1)), first)
			if first < firstLease {
				c.used = min(c.used, time.Millisecond)
			}
			require.Equal(t, c.want, l.next(c.budget, at(c.used)))
		})
	}
}

// Where there are too many counts the older ones go, and a key that may have had
// one of them is sealed with no more, unless this process has just made it.
func TestDroppedCountsEndTheirKeys(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	key := func(i int) *dataKey {
		k := &dataKey{seal: &sealing{budget: 100, created: start.Add(time.Duration(i) * time.Second), notAfter: start.Add(1 << 20 * time.Hour)}}
		binary.BigEndian.PutUint64(k.id[:], uint64(i))
		return k
	}
	var d drawnCounts
	for i := range mostCounts {
		_ = d.reserve(key(i), 60, false)
	}
	require.Len(t, d.count, mostCounts)
	require.EqualValues(t, 40, d.reserve(key(7), 60, false), "the count of a key that is there needs no room")
	require.EqualValues(t, 60, d.reserve(key(mostCounts), 60, false))
	require.LessOrEqual(t, len(d.count), mostCounts/2+1)

	for name, c := range map[string]struct {
		i     int
		fresh bool
		want  uint64
	}{
		"dropped":          {7, false, 0},
		"the newest of it": {mostCounts / 2, false, 0},
		"kept":             {mostCounts - 1, false, 40},
		"new":              {mostCounts + 1, false, 60},
		"made just now by a clock that went back": {8, true, 60},
	} {
		require.Equal(t, c.want, d.reserve(key(c.i), 60, c.fresh), name)
	}
	d.giveBack(key(9), 60) // has none
	require.EqualValues(t, 0, d.reserve(key(9), 60, false))
}
