package drivertest

import (
	"context"
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
	left          int // what a sweep that says it is done hasn't dealt with
}

func (s *service) child() child {
	return child{
		database: s.database, Keys: s.keyFile,
		Options: sweep.Options{RangeRows: 40, MaxBatch: 15, Lease: time.Second},
	}
}

// A deed is what sweeps do that are killed: each has all rows to deal with anew.
type deed struct {
	name  string
	again func(s *service) task // gives the next sweep something to do
	left  func(s *service) int
	what  string // is left
}

// deeds are those of all operations that write. Those that have plaintext in the
// place of envelopes need a table without checks.
func deeds() []deed {
	from, to := "umbrella", "acme"
	back := func(s *service, op sweep.Operation) {
		_, err := s.sweeper(nil).Run(s.Context(), s.migrating(), op, nil)
		require.NoError(s, err)
	}
	cover := func(s *service) *sweep.Coverage {
		c, err := s.sweeper(nil).Coverage(s.Context(), s.table(), nil)
		require.NoError(s, err)
		return c
	}
	return []deed{
		{"reencrypt", func(s *service) task { s.rotate(); return task{Does: "reencrypt"} }, (*service).underOld, "values left under old keys"},
		{"encrypt", func(s *service) task {
			back(s, sweep.DecryptToPlaintext)
			return task{Does: "encrypt"}
		}, func(s *service) int { c := cover(s); return int(c.Plaintext + c.Unreadable) }, "values left in plaintext"},
		{"decrypt", func(s *service) task {
			back(s, sweep.Encrypt)
			return task{Does: "decrypt"}
		}, func(s *service) int { c := cover(s); return int(c.Sealed + c.Unreadable) }, "values left in envelopes"},
		{"rebind", func(s *service) task {
			from, to = to, from
			return task{Does: "rebind", From: from, To: to}
		}, func(s *service) (n int) {
			require.NoError(s, s.db.QueryRow(s.bind("SELECT count(*) FROM contacts WHERE tenant = ?"), from).Scan(&n))
			return n
		}, "rows left with the old tenant"},
	}
}

// unchecked makes the table of contacts anew, without checks: any column takes
// plaintext.
func (s *service) unchecked() {
	s.Helper()
	s.exec("DROP TABLE contacts")
	s.exec("CREATE TABLE contacts (id BIGINT PRIMARY KEY, tenant VARCHAR(100) NOT NULL, note VARCHAR(100), " + s.columnsOf() + ")")
}

// kill runs sweeps that are killed, each time anew, until there were so many
// kills. A sweep that comes to its end is followed by another one.
func (s *service) kill(d deed, kills int, broken bool) (sum tally) {
	s.Helper()
	s.unchecked()
	s.fill(1, rowsKilled)
	next := d.again(s)
	for sum.kills < kills {
		c := s.child()
		c.task, c.Broken = next, broken
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
		sum.left += d.left(s)
		next = d.again(s)
	}
	c := s.child()
	c.task, c.Broken = next, broken
	require.False(s, c.start(s).killed(s))
	sum.sweeps++
	sum.left += d.left(s)
	sum.lost, sum.unreadable = s.damaged(rowsKilled)
	return sum
}

func (s *service) rotate() {
	s.Helper()
	require.NoError(s, s.rotated())
}

// rotated is rotate, for any goroutine.
func (s *service) rotated() error {
	for _, tenant := range tenants {
		if _, err := s.crypt.Rotate(context.Background(), fieldcrypt.Scope{Tenant: tenant}); err != nil {
			return err
		}
	}
	return nil
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

// damaged counts contacts that don't hold what they were made with, in envelopes or
// in plaintext.
func (s *service) damaged(n int64) (lost, unreadable int) {
	s.Helper()
	all := s.scan()
	lost = int(n) - len(all)
	for i := range all {
		c, err := s.contact(all[i])
		switch {
		case err != nil:
			unreadable++
		case differs(made(c.ID), c) != "":
			lost++
		}
	}
	return lost, unreadable
}

// TestScoreboardS8 kills processes that sweep, at every step and at any time, and
// runs them again. In the control the cursor moves before the rows are written.
func TestScoreboardS8(t *testing.T) {
	for _, d := range deeds() {
		kills, broken := scoreboard.Count(10, 200), 2
		if d.name == "reencrypt" {
			kills, broken = scoreboard.Count(100, 1000), 4
		}
		s := server(t).service(t)
		got := s.kill(d, kills, false)
		control := server(t).service(t).kill(d, broken, true)
		scoreboard.Row(t, "S8", got.lost+got.unreadable+got.left == 0 && control.left > 0,
			fmt.Sprintf("%s, %s, %d kills in %d sweeps of %d rows: %d rows lost, %d unreadable, %d %s",
				s.Dialect, d.name, got.kills, got.sweeps, rowsKilled, got.lost, got.unreadable, got.left, d.what), "0; 0; 0",
			fmt.Sprintf("a cursor that moves before the rows: %d left in %d kills", control.left, control.kills))
	}
}

// What S8 does on one database is done on the others, with fewer kills.
func TestKilledSweeps(t *testing.T) {
	if testing.Short() {
		return
	}
	everywhere(t, func(t *testing.T, d database) {
		if d.Driver == server(t).Driver {
			return
		}
		s := d.service(t)
		for _, deed := range deeds() {
			got := s.kill(deed, len(steps), false)
			require.Zero(t, got.lost+got.unreadable+got.left, deed.name)
		}
	})
}
