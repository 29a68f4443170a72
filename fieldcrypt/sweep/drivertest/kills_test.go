package drivertest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// steps are all that a sweep tells before it makes them.
var steps = []string{"take", "read", "seal", "begin", "written", "saved", "committed", "finish"}

// rowsKilled is how many contacts there are while sweeps are killed.
const rowsKilled = 400

// A tally is what became of a table whose sweeps were killed.
type tally struct {
	kills, sweeps int
	lost          int // rows that aren't there, or hold something else than they did
	unreadable    int // rows with a value that doesn't open
	left          int // values under a key that isn't active, when the sweep says that it is done
}

func (s *service) child() child {
	return child{
		database: s.database, Keys: s.keyFile,
		Options: sweep.Options{RangeRows: 40, MaxBatch: 15, Lease: time.Second},
	}
}

// kill runs sweeps that are killed, each time anew, until there were so many
// kills. A sweep that comes to its end is followed by a rotation and another one.
func (s *service) kill(kills int, broken bool) (sum tally) {
	s.Helper()
	s.rotate()
	for sum.kills < kills {
		c := s.child()
		c.Broken = broken
		switch n := sum.kills % (2 * len(steps)); {
		case broken:
			c.Step, c.Times = "cursor first", rand.IntN(3)
		case n < len(steps):
			c.Step, c.Times = steps[n], rand.IntN(6)
		}
		p := c.start(s)
		if c.Step == "" { // at any time
			time.AfterFunc(20*time.Millisecond+rand.N(150*time.Millisecond), func() { _ = p.Process.Kill() })
		}
		if p.killed(s) {
			sum.kills++
			continue
		}
		sum.sweeps++
		sum.left += s.underOld()
		s.rotate()
	}
	c := s.child()
	c.Broken = broken
	require.False(s, c.start(s).killed(s))
	sum.sweeps++
	sum.left += s.underOld()
	sum.lost, sum.unreadable = s.damaged(rowsKilled)
	return sum
}

func (s *service) rotate() {
	s.Helper()
	for _, tenant := range tenants {
		_, err := s.crypt.Rotate(s.Context(), fieldcrypt.Scope{Tenant: tenant})
		require.NoError(s, err)
	}
}

// underOld counts values under keys that aren't active.
func (s *service) underOld() (n int) {
	s.Helper()
	active := map[envelope.KeyID]bool{}
	for _, tenant := range tenants {
		id, err := s.crypt.KeyRing().ActiveKey(s.Context(), fieldcrypt.Scope{Tenant: tenant})
		require.NoError(s, err)
		active[id] = true
	}
	for key, values := range s.keys() {
		if !active[key] {
			n += values
		}
	}
	return n
}

// damaged counts contacts that don't hold what they were made with.
func (s *service) damaged(n int64) (lost, unreadable int) {
	s.Helper()
	all := s.scan()
	lost = int(n) - len(all)
	for i := range all {
		if err := s.contacts.Decrypt(s.Context(), &all[i]); err != nil {
			unreadable++
			continue
		}
		if email, err := all[i].Email.Plain(); err != nil || email != emailOf(all[i].ID) {
			lost++
		}
	}
	return lost, unreadable
}

// TestScoreboardS8 kills processes that sweep, at every step and at any time, and
// runs them again. In the control the cursor moves before the rows are written.
func TestScoreboardS8(t *testing.T) {
	s := server(t).service(t)
	s.fill(1, rowsKilled)
	got := s.kill(scoreboard.Count(100, 1000), false)

	spoilt := server(t).service(t)
	spoilt.fill(1, rowsKilled)
	control := spoilt.kill(4, true)

	scoreboard.Row(t, "S8", got.lost+got.unreadable+got.left == 0 && control.left > 0,
		fmt.Sprintf("%s, %d kills in %d sweeps of %d rows: %d rows lost, %d unreadable, %d values left under old keys",
			s.Dialect, got.kills, got.sweeps, rowsKilled, got.lost, got.unreadable, got.left), "0; 0; 0",
		fmt.Sprintf("a cursor that moves before the rows: %d values left in %d kills", control.left, control.kills))
}

// What S8 does on one database is done on each, with fewer kills.
func TestKilledSweeps(t *testing.T) {
	if testing.Short() {
		return
	}
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, rowsKilled)
		got := s.kill(len(steps), false)
		require.Zero(t, got.lost)
		require.Zero(t, got.unreadable)
		require.Zero(t, got.left)
	})
}
