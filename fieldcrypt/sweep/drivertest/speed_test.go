package drivertest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// A statement is one that wrote many rows.
type statement struct {
	query string
	args  []any
}

// TestScoreboardP10 compares a sweep with nothing but its own UPDATE statements:
// the limit runs them again with the values that an earlier sweep has made, as
// many at the same time, each in a transaction. Both begin with the same table.
func TestScoreboardP10(t *testing.T) {
	rows := int64(scoreboard.Count(40_000, 300_000))
	rounds := 5
	if testing.Short() || scoreboard.UnderRace() {
		rows, rounds = 1000, 1
	}
	const workers = 1
	s := server(t).service(t)
	s.db.SetMaxIdleConns(8)
	s.fill(1, rows)
	s.exec("CREATE TABLE before_sweep AS SELECT * FROM contacts")
	restore := func() {
		s.exec("DELETE FROM contacts")
		if s.Dialect == sweep.Postgres {
			s.exec("TRUNCATE contacts")
		}
		s.exec("INSERT INTO contacts SELECT * FROM before_sweep")
		if s.Dialect == sweep.Postgres {
			s.exec("VACUUM ANALYZE contacts")
			s.exec("CHECKPOINT")
		}
	}
	s.rotate()

	var mu sync.Mutex
	var made []statement
	run := func(h hooks.Hooks) time.Duration {
		began := time.Now()
		report, err := s.sweeper(nil).Run(hooks.With(t.Context(), h), s.table(), sweep.Reencrypt, &sweep.JobOptions{Workers: workers})
		took := time.Since(began)
		require.NoError(t, err)
		require.Equal(t, rows, report.Changed)
		return took
	}
	run(hooks.Hooks{Statement: func(query string, args []any) {
		mu.Lock()
		defer mu.Unlock()
		made = append(made, statement{query, args})
	}})
	if len(made) == 0 {
		t.Logf("%s has no statement for many rows: there is nothing to compare with", s.Dialect)
		return
	}
	replay := func() time.Duration {
		began := time.Now()
		var g errgroup.Group
		for w := range workers {
			g.Go(func() error {
				for i := w; i < len(made); i += workers {
					tx, err := s.db.BeginTx(t.Context(), nil)
					if err != nil {
						return err
					}
					answer, err := tx.ExecContext(t.Context(), made[i].query, made[i].args...)
					if err != nil {
						return err
					}
					if n, err := answer.RowsAffected(); err != nil || n == 0 {
						return fmt.Errorf("a statement wrote %d rows: %w", n, err)
					}
					if err := tx.Commit(); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, g.Wait())
		return time.Since(began)
	}
	var sweeps, limits []time.Duration
	for range rounds {
		restore()
		limits = append(limits, replay())
		restore()
		sweeps = append(sweeps, run(hooks.Hooks{}))
	}
	slices.Sort(sweeps)
	slices.Sort(limits)
	ratio := limits[len(limits)/2].Seconds() / sweeps[len(sweeps)/2].Seconds()
	perSecond := func(d time.Duration) float64 { return float64(rows) / d.Seconds() }
	scoreboard.Row(t, "P10", ratio >= 0.85,
		fmt.Sprintf("%s, rows of %d columns: %.2f of what its UPDATE statements reach", s.Dialect, 3, ratio), ">= 0.85",
		fmt.Sprintf("%.0f rows/s, limit %.0f rows/s", perSecond(sweeps[len(sweeps)/2]), perSecond(limits[len(limits)/2])))
}
