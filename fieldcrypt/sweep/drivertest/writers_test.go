package drivertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// A traffic is what writers did while sweeps ran.
type traffic struct {
	writes int64 // acknowledged
	lost   int64 // that weren't there when their writer came again, or at the end
	sweeps int
	moved  int64 // rows that the sweeps wrote
}

// A rush is who sweeps and writes at the same time.
type rush struct {
	again func() error // gives the next sweep something to do
	table sweep.Table
	op    sweep.Operation
	write func(writer int, c *Contact) (email any, err error) // what a writer stores
}

// rotations are sweeps that re-encrypt, beside writers of envelopes.
func (s *service) rotations() rush {
	return rush{s.rotated, s.table(), sweep.Reencrypt, func(_ int, c *Contact) (any, error) {
		err := s.contacts.Encrypt(context.Background(), c)
		return c.Email, err
	}}
}

// imports are sweeps that encrypt, beside programs of which every other one is of
// before and writes plaintext.
func (s *service) imports() rush {
	r := s.rotations()
	envelopes := r.write
	r.again, r.table, r.op = func() error { return nil }, s.migrating(), sweep.Encrypt
	r.write = func(writer int, c *Contact) (any, error) {
		if writer%2 == 0 {
			text, err := c.Email.Plain()
			return []byte(text), err
		}
		return envelopes(writer, c)
	}
	return r
}

// run has writers change contacts, each of which belongs to one of them, while
// sweeps go over the table one after the other. Before it writes to a contact, and
// at the end, a writer looks whether its last write is there.
func (r rush) run(ctx context.Context, s *service, rows, writes int64, writers int) (sum traffic) {
	s.Helper()
	var wg sync.WaitGroup
	var left, lost atomic.Int64
	left.Store(writes)
	stop := make(chan struct{})
	last := make([]map[int64]string, writers)
	check := func(last map[int64]string, id int64) bool {
		c := Contact{ID: id, Tenant: made(id).Tenant}
		err := s.db.QueryRowContext(context.Background(), s.bind("SELECT email FROM contacts WHERE id = ?"), id).Scan(&c.Email)
		if err == nil {
			c, err = s.contact(c)
		}
		text, err2 := c.Email.Plain()
		if err != nil || err2 != nil {
			s.Errorf("contact %d can't be read: %v, %v", id, err, err2)
			return false
		}
		if want, wrote := last[id]; wrote && text != want {
			lost.Add(1)
		}
		return true
	}
	for w := range writers {
		last[w] = map[int64]string{}
		wg.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				id := 1 + int64(w) + int64(writers)*rand.Int64N(rows/int64(writers))
				if !check(last[w], id) {
					return
				}
				c := made(id)
				text := fmt.Sprintf("%d-%d@example.org", id, n)
				c.Email.Set(text)
				email, err := r.write(w, &c)
				if err != nil {
					s.Errorf("encrypt: %v", err)
					return
				}
				if _, err := s.db.ExecContext(context.Background(), s.bind("UPDATE contacts SET email = ? WHERE id = ?"), email, id); err != nil {
					s.Errorf("write: %v", err)
					return
				}
				last[w][id] = text
			}
		})
	}
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for ended := false; !ended; { // the last sweep begins when all is written
			select {
			case <-stop:
				ended = true
			default:
			}
			if err := r.again(); err != nil {
				s.Errorf("rotate: %v", err)
				return
			}
			report, err := s.sweeper(&sweep.Options{RangeRows: 200, Attempts: 1000}).Run(ctx, r.table, r.op, nil)
			if err != nil {
				s.Errorf("sweep: %v", err)
				return
			}
			sum.sweeps++
			sum.moved += report.Changed
		}
	}()
	wg.Wait()
	close(stop)
	<-swept
	for _, last := range last {
		for id := range last {
			check(last, id)
		}
	}
	sum.writes, sum.lost = writes, lost.Load()
	return sum
}

// TestScoreboardS9 sweeps a table while writers change its rows. In the control
// the sweep doesn't compare a row with what it read before it writes it.
func TestScoreboardS9(t *testing.T) {
	const rows, writers = 1000, 4
	for _, of := range []struct {
		name   string
		rush   func(*service) rush
		writes int
		what   string
	}{
		{"reencrypt", (*service).rotations, scoreboard.Count(100_000, 1_000_000), ""},
		{"encrypt", (*service).imports, scoreboard.Count(10_000, 100_000), ", half of which write plaintext"},
	} {
		service := func() *service {
			s := server(t).service(t)
			s.unchecked()
			s.fill(1, rows)
			return s
		}
		s := service()
		got := of.rush(s).run(t.Context(), s, rows, int64(of.writes), writers)
		cover, err := s.sweeper(nil).Coverage(t.Context(), s.table(), nil)
		require.NoError(t, err)
		require.Zero(t, cover.Plaintext+cover.Unreadable)
		require.Greater(t, got.sweeps, 2)
		require.Greater(t, got.moved, int64(rows))

		spoilt := service()
		control := of.rush(spoilt).run(hooks.With(t.Context(), hooks.Hooks{NoSwap: true}), spoilt, rows, 5000, writers)
		scoreboard.Row(t, "S9", got.lost == 0 && control.lost > 0,
			fmt.Sprintf("%s, %s, %d writers%s, %d sweeps that wrote %d rows: %d of %d acknowledged writes lost", s.Dialect, of.name, writers, of.what, got.sweeps, got.moved, got.lost, got.writes), "0",
			fmt.Sprintf("rows written without a comparison: %d of %d lost", control.lost, control.writes))
	}
}

// What S9 does on one database is done on each, with fewer writes.
func TestWritersDuringSweeps(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		const rows = 200
		s := d.service(t)
		for _, of := range []rush{s.rotations(), s.imports()} {
			s.unchecked()
			s.fill(1, rows)
			got := of.run(t.Context(), s, rows, 1500, 2)
			require.Zero(t, got.lost)
			require.Positive(t, got.moved)
		}
	})
}
