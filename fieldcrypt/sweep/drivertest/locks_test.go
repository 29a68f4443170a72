package drivertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
)

// held begins a transaction that does something, and returns what ends it.
func (s *service) held(query string) (end func()) {
	s.Helper()
	tx, err := s.db.Begin()
	require.NoError(s, err)
	_, err = tx.Exec(query)
	require.NoError(s, err)
	return sync.OnceFunc(func() { _ = tx.Rollback() })
}

// slowest runs a statement again and again while do runs, and returns the longest
// time that one took.
func (s *service) slowest(query string, do func()) (longest time.Duration) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			if _, err := s.db.ExecContext(context.WithoutCancel(ctx), query); err != nil {
				s.Error(err)
				return
			}
			longest = max(longest, time.Since(began))
			time.Sleep(5 * time.Millisecond)
		}
	})
	do()
	cancel()
	wg.Wait()
	return longest
}

const tooLong = 4 * time.Second // on a busy machine; the limit is 2 s

// A row that a transaction holds keeps neither the sweep nor those who write other
// rows of its batch.
func TestLockedRow(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.SQLite { // one writer at a time
			return
		}
		s := d.service(t)
		s.fill(1, 90)
		s.rotate()
		end := s.held("SELECT id FROM contacts WHERE id IN (40, 41) FOR UPDATE")
		defer end()
		var report *sweep.Report
		var err error
		longest := s.slowest("UPDATE contacts SET note = 'x' WHERE id = 7", func() {
			report, err = s.sweeper(&sweep.Options{Attempts: 2}).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		})
		t.Log("a writer waited for ", longest)
		require.Less(t, longest, tooLong)
		require.ErrorIs(t, err, sweep.ErrRows)
		require.ErrorContains(t, err, "row 40: others hold a lock on it, and it was tried 2 times")
		require.Equal(t, []int64{88, 2}, []int64{report.Changed, report.Failed})

		time.AfterFunc(3*time.Second, end)
		report, err = s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.EqualValues(t, 2, report.Changed)
		s.whole(90)
	})
}

// A long reader keeps AddChecks waiting, and nobody behind it.
func TestAddChecksBesideReader(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.SQLite { // a reader keeps nobody waiting there
			return
		}
		s := d.service(t)
		table, _ := s.leads(20)
		_, err := s.sweeper(nil).Run(t.Context(), table, sweep.Encrypt, nil)
		require.NoError(t, err)
		end := s.held("SELECT id FROM leads")
		defer end()
		longest := s.slowest("UPDATE leads SET born = NULL WHERE id = 7", func() {
			err := s.sweeper(&sweep.Options{Patience: -1}).AddChecks(t.Context(), table)
			require.ErrorIs(t, err, sweep.ErrOutage)
			require.ErrorContains(t, err, "to table leads: waited for too long: others held locks on the table each time for 2s, such as a transaction that was open: end it, and run this again")
			time.AfterFunc(3*time.Second, end)
			require.NoError(t, s.sweeper(nil).AddChecks(t.Context(), table))
		})
		t.Log("a writer waited for ", longest)
		require.Less(t, longest, tooLong)
		_, err = s.db.Exec("UPDATE leads SET email = 'plaintext' WHERE id = 1")
		require.Error(t, err)
	})
}

// A row that a trigger alters is taken back also where somebody wrote to another
// row what the sweep was to write.
func TestAlteredBesideSame(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect != sweep.MariaDB {
			return
		}
		s := d.service(t)
		samples, err := fieldcrypt.For[lone[string]](s.crypt)
		require.NoError(t, err)
		samples = samples.ForTenant("acme")
		s.exec("CREATE TABLE samples (id BIGINT PRIMARY KEY, v VARCHAR(1000), plain VARCHAR(100))")
		for id := int64(1); id <= 3; id++ {
			row := lone[string]{ID: id, V: fieldcrypt.Of("ada")}
			require.NoError(t, samples.Encrypt(t.Context(), &row))
			s.exec("INSERT INTO samples (id, v) VALUES (?, ?)", row.ID, row.V)
		}
		s.exec("CREATE TRIGGER spoil BEFORE UPDATE ON samples FOR EACH ROW SET NEW.plain = IF(NEW.id = 1, 'spoiled', NEW.plain)")
		var once sync.Once
		ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
			if name == "begin" {
				once.Do(func() { s.exec("UPDATE samples SET plain = 'ada' WHERE id = 2") })
			}
		}})
		report, err := s.sweeper(nil).Run(ctx, sweep.Table{Name: "samples", Rows: samples.Rows(), Plain: map[string]string{"v": "plain"}}, sweep.DecryptToPlaintext, nil)
		require.ErrorIs(t, err, sweep.ErrRows)
		require.Equal(t, []string{"1"}, []string{report.Failures[0].Key})
		var none bool
		require.NoError(t, s.db.QueryRow("SELECT plain IS NULL FROM samples WHERE id = 1").Scan(&none))
		require.True(t, none)
	})
}
