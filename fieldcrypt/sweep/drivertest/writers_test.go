package drivertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
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

// rush has writers change contacts, each of which belongs to one of them, while
// sweeps go over the table one after the other. Before it writes to a contact, and
// at the end, a writer looks whether its last write is there.
func (s *service) rush(ctx context.Context, rows, writes int64, writers int) (sum traffic) {
	s.Helper()
	var wg sync.WaitGroup
	var left, lost atomic.Int64
	left.Store(writes)
	stop := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			last := map[int64]string{}
			check := func(id int64) bool {
				c := Contact{ID: id, Tenant: made(id).Tenant}
				err := s.db.QueryRowContext(context.Background(), s.bind("SELECT email FROM contacts WHERE id = ?"), id).Scan(&c.Email)
				if err == nil {
					err = s.contacts.Decrypt(context.Background(), &c)
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
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				id := 1 + int64(w) + int64(writers)*rand.Int64N(rows/int64(writers))
				if !check(id) {
					return
				}
				c := made(id)
				text := fmt.Sprintf("%d-%d@example.org", id, n)
				c.Email.Set(text)
				if err := s.contacts.Encrypt(context.Background(), &c); err != nil {
					s.Errorf("encrypt: %v", err)
					return
				}
				if _, err := s.db.ExecContext(context.Background(), s.bind("UPDATE contacts SET email = ? WHERE id = ?"), c.Email, id); err != nil {
					s.Errorf("write: %v", err)
					return
				}
				last[id] = text
			}
			for id := range last {
				check(id)
			}
		})
	}
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, tenant := range tenants {
				if _, err := s.crypt.Rotate(ctx, fieldcrypt.Scope{Tenant: tenant}); err != nil {
					s.Errorf("rotate: %v", err)
					return
				}
			}
			report, err := s.sweeper(&sweep.Options{RangeRows: 200, Attempts: 1000}).Run(ctx, s.table(), sweep.Reencrypt, nil)
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
	sum.writes, sum.lost = writes, lost.Load()
	return sum
}

// TestScoreboardS9 sweeps a table while writers change its rows. In the control
// the sweep doesn't compare a row with what it read before it writes it.
func TestScoreboardS9(t *testing.T) {
	const rows, writers = 1000, 4
	s := server(t).service(t)
	s.fill(1, rows)
	got := s.rush(t.Context(), rows, int64(scoreboard.Count(100_000, 1_000_000)), writers)

	spoilt := server(t).service(t)
	spoilt.fill(1, rows)
	control := spoilt.rush(hooks.With(t.Context(), hooks.Hooks{NoSwap: true}), rows, 5000, writers)

	require.Greater(t, got.sweeps, 2)
	require.Greater(t, got.moved, int64(rows))
	scoreboard.Row(t, "S9", got.lost == 0 && control.lost > 0,
		fmt.Sprintf("%s, %d writers, %d sweeps that wrote %d rows: %d of %d acknowledged writes lost", s.Dialect, writers, got.sweeps, got.moved, got.lost, got.writes), "0",
		fmt.Sprintf("rows written without a comparison: %d of %d lost", control.lost, control.writes))
}

// What S9 does on one database is done on each, with fewer writes.
func TestWritersDuringSweeps(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		const rows = 200
		s := d.service(t)
		s.fill(1, rows)
		got := s.rush(t.Context(), rows, 1500, 2)
		require.Zero(t, got.lost)
		require.Positive(t, got.sweeps)
	})
}
