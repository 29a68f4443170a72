package drivertest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// Batches get smaller where rows take long to write, and larger again behind them.
func TestBatchSizes(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.SQLite { // whose triggers can't wait
			return
		}
		const largest, slowFrom, slowTo = 80, 240, 720
		s := d.service(t)
		s.fill(1, 1600)
		s.rotate()
		s.slow(fmt.Sprintf("CASE WHEN NEW.id > %d AND NEW.id <= %d THEN 0.005 ELSE 0 END", slowFrom, slowTo))
		var ends, sizes []int
		ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
			if name != "committed" {
				return
			}
			var done, before int
			require.NoError(t, s.db.QueryRow("SELECT sum(seen) FROM fieldcrypt_sweeps_ranges").Scan(&done))
			if len(ends) > 0 {
				before = ends[len(ends)-1]
			}
			ends, sizes = append(ends, done), append(sizes, done-before)
		}})
		_, err := s.sweeper(&sweep.Options{MaxBatch: largest, BatchTime: 200 * time.Millisecond}).Run(ctx, s.table(), sweep.Reencrypt, &sweep.JobOptions{Workers: 1})
		require.NoError(t, err)
		t.Log(sizes)
		last, after := 0, 0 // of the slow rows, and behind them
		for i, end := range ends {
			switch {
			case end <= slowTo:
				last = sizes[i]
			default:
				after = max(after, sizes[i])
			}
		}
		require.Equal(t, largest, sizes[0])
		require.LessOrEqual(t, last, largest/2, "a batch of as many took twice as long as it may")
		require.Equal(t, largest, after)
		s.whole(1600)
	})
}

// Pages grow also where few of their rows are written, or none.
func TestPagesOfSparseSweeps(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		const rows, largest = 6000, 1600
		s := d.service(t)
		s.gaps(rows)
		s.fill(10_000, 20)
		s.rotate()
		reads := 0
		ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
			if name == "read" {
				reads++
			}
		}})
		report, err := s.sweeper(&sweep.Options{RangeRows: 2 * rows, MaxBatch: largest, BatchTime: time.Minute}).Run(ctx, s.table(), sweep.Reencrypt, &sweep.JobOptions{Workers: 1})
		require.NoError(t, err)
		require.EqualValues(t, rows+20, report.Rows)
		require.LessOrEqual(t, reads, 20, "key ranges have 1000 rows here; in pages of 100 there are 61")
	})
}

// gaps makes contacts of NULLs, with gaps between their keys.
func (s *service) gaps(n int) {
	s.Helper()
	for from := 0; from < n; from += 500 {
		values := ""
		for i := from; i < min(n, from+500); i++ {
			id := int64(i) + 1
			if i%3 == 0 {
				id *= 1_000_000_007
			}
			values += fmt.Sprintf(", (%d, 'acme')", id)
		}
		s.exec("INSERT INTO contacts (id, tenant) VALUES " + values[2:])
	}
}

// Total is right from the beginning. The time that is left is, from the first second
// on, within a quarter and half a second: also where the call goes on with what
// another began, and after a pause.
func TestEstimates(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		t.Parallel() // it waits most of the time
		const rows, perSecond = 6000, 1000
		s := d.service(t)
		s.gaps(rows)
		opts := &sweep.Options{RangeRows: 1000, MaxBatch: 100}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		_, err := s.sweeper(opts).Run(ctx, s.table(), sweep.Verify, &sweep.JobOptions{RowsPerSecond: perSecond})
		require.ErrorIs(t, err, context.Canceled)

		var told []sweep.Progress
		time.AfterFunc(1200*time.Millisecond, func() { _ = s.sweeper(opts).Pause(context.Background(), s.table()) })
		time.AfterFunc(3500*time.Millisecond, func() { _ = s.sweeper(opts).Resume(context.Background(), s.table()) })
		_, err = s.sweeper(opts).Run(t.Context(), s.table(), sweep.Verify, &sweep.JobOptions{RowsPerSecond: perSecond, Progress: func(p sweep.Progress) { told = append(told, p) }})
		require.NoError(t, err)
		all := told[len(told)-1]
		require.True(t, all.Finished)
		require.Zero(t, all.Left)
		var pause time.Duration
		for i, p := range told[1:] {
			if told[i].Paused {
				pause += p.Elapsed - told[i].Elapsed
			}
		}
		require.Greater(t, pause, time.Second)
		checked, left := 0, all.Elapsed-pause // without the pause
		var off []float64
		for i, p := range told {
			if i > 0 && !told[i-1].Paused {
				left -= p.Elapsed - told[i-1].Elapsed
			}
			require.EqualValues(t, rows, p.Total)
			if p.Elapsed < 900*time.Millisecond || p.Finished || p.Rows == p.Total {
				continue
			}
			checked++
			off = append(off, math.Abs(left.Seconds()-p.Left.Seconds())/(0.5+left.Seconds()/4))
		}
		require.Greater(t, checked, 2)
		slices.Sort(off) // a busy machine may hold up one report or another
		require.Less(t, off[len(off)/2], 1.0, "Left, by its bound of half a second and a quarter: %.2f", off)
	})
}

// Beyond what is counted, Total comes from the database's own statistics.
func TestEstimateOfLargeTables(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect != sweep.Postgres { // which makes rows fast
			return
		}
		const rows = 230_000
		s := d.service(t)
		s.exec(fmt.Sprintf("INSERT INTO contacts (id, tenant) SELECT 7 * n, 'acme' FROM generate_series(1, %d) AS n", rows))
		total := func() (n int64) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := s.sweeper(nil).Run(ctx, s.table(), sweep.Verify, &sweep.JobOptions{DryRun: true, Progress: func(p sweep.Progress) { n = p.Total; cancel() }})
			require.ErrorIs(t, err, context.Canceled)
			return n
		}
		require.EqualValues(t, 200_001, total(), "the control: no statistics yet, so that many at least")
		s.exec("ANALYZE contacts")
		require.InDelta(t, rows, total(), rows/20)
	})
}

// asked is a key service that is slow, and tells when it is asked.
type asked struct {
	kmsprovider.Provider
	meanwhile func()
}

func (p *asked) GenerateDataKey(ctx context.Context, rootKey string, c kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	p.meanwhile()
	return p.Provider.GenerateDataKey(ctx, rootKey, c)
}

// open returns the service's transactions that are open, of which some may end by
// themselves.
func (s *service) open() map[string]bool {
	s.Helper()
	query := "SELECT CAST(pid AS text) || ' ' || CAST(xact_start AS text) FROM pg_stat_activity WHERE application_name = 'quiet' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
	if s.Dialect == sweep.MariaDB {
		query = "SELECT t.trx_id FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE()"
	}
	found := map[string]bool{}
	rows, err := s.db.Query(query)
	if err != nil {
		s.Error(err)
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			s.Error(err)
		}
		found[id] = true
	}
	if err := rows.Err(); err != nil {
		s.Error(err)
	}
	return found
}

// heldFor counts the transactions that stay open for so long.
func (s *service) heldFor(d time.Duration) (n int) {
	s.Helper()
	if s.Dialect == sweep.SQLite { // one writer at a time: is there one all the while?
		db := database{s.Dialect, s.Driver, strings.Replace(s.DSN, "10000", fmt.Sprint(d.Milliseconds()), 1)}.open(s)
		if _, err := db.Exec("CREATE TABLE quiet (n INTEGER); DROP TABLE quiet"); err != nil {
			return 1
		}
		return 0
	}
	time.Sleep(150 * time.Millisecond) // MariaDB answers from a cache that is as old as 100 ms
	before := s.open()
	time.Sleep(d)
	for id := range s.open() {
		if before[id] {
			n++
		}
	}
	return n
}

// No transaction is open for as long as a call to the key service takes, whether
// rows are sealed for the first time, or again since others changed them.
func TestNoTransactionDuringKeyCalls(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.Postgres {
			d.DSN += "&application_name=quiet"
		}
		s := d.service(t)
		s.unchecked()
		const away = 400 * time.Millisecond
		for id := range 60 {
			s.exec("INSERT INTO contacts (id, tenant, email) VALUES (?, ?, ?)", id+1, fmt.Sprint("tenant-", id/10), []byte(emailOf(int64(id+1))))
		}
		var calls, held, late atomic.Int64
		var changed sync.Once
		table := s.cold(&asked{s.kms, func() {
			calls.Add(1)
			held.Add(int64(s.heldFor(away)))
		}})
		ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
			if name == "begin" {
				changed.Do(func() {
					s.exec("UPDATE contacts SET tenant = 'another' WHERE id = 3") // whose key is made when the row is tried again
					late.Store(calls.Load())
				})
			}
		}})
		report, err := s.sweeper(&sweep.Options{MaxBatch: 10}).Run(ctx, table, sweep.Encrypt, &sweep.JobOptions{Workers: 1})
		require.NoError(t, err)
		require.EqualValues(t, 60, report.Changed)
		require.EqualValues(t, 7, calls.Load())
		require.Less(t, late.Load(), int64(7))
		require.Zero(t, held.Load())

		end := s.held("UPDATE contacts SET note = 'x' WHERE id = 1")
		defer end()
		require.Positive(t, s.heldFor(away), "the control: a transaction that is held")
	})
}
