package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// stopped runs a sweep that ends in the middle.
func (s *service) stopped(op sweep.Operation, o *sweep.JobOptions) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	var n atomic.Int32
	ctx = hooks.With(ctx, hooks.Hooks{Step: func(name string) {
		if name == "committed" || name == "cursor" {
			if n.Add(1) == 3 {
				cancel()
			}
		}
	}})
	_, err := s.sweeper(&sweep.Options{RangeRows: 50, MaxBatch: 10, Lease: 5 * time.Second}).Run(ctx, s.table(), op, o) // a statement that was cancelled may still be done, and give a lease
	require.ErrorIs(s, err, context.Canceled)
}

// One table has one job at a time; the same one is shared, another is refused.
func TestOtherJobs(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 300)
		s.rotate()
		s.stopped(sweep.Reencrypt, nil)
		for name, try := range map[string]func() error{
			"another operation": func() error { _, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Verify, nil); return err },
			"another tenant": func() error {
				_, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, &sweep.JobOptions{Tenant: "acme"})
				return err
			},
			"another name": func() error {
				_, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, &sweep.JobOptions{Name: "x"})
				return err
			},
		} {
			err := try()
			require.ErrorIs(t, err, sweep.ErrOtherJob, name)
			require.ErrorContains(t, err, "run that one to its end, or Abandon it", name)
		}
		report, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.EqualValues(t, 300, report.Rows)
		require.Zero(t, s.underOld())

		s.rotate()
		s.stopped(sweep.Reencrypt, nil)
		require.NoError(t, s.sweeper(nil).Abandon(t.Context(), s.table()))
		_, err = s.sweeper(nil).Run(t.Context(), s.table(), sweep.Verify, nil)
		require.NoError(t, err)
		s.whole(300)
	})
}

// Several calls share one job, and each row is done once.
func TestSharedJobs(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 900)
		s.rotate()
		errs := make(chan error)
		for range 3 {
			go func() {
				report, err := s.sweeper(&sweep.Options{RangeRows: 60}).Run(t.Context(), s.table(), sweep.Reencrypt, &sweep.JobOptions{Name: "together"})
				if err == nil && (report.Rows != 900 || report.Changed != 900) {
					err = fmt.Errorf("a report of %d rows, %d changed", report.Rows, report.Changed)
				}
				errs <- err
			}()
		}
		for range 3 {
			require.NoError(t, <-errs)
		}
		require.Zero(t, s.underOld())
		late, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, &sweep.JobOptions{Name: "together"})
		require.NoError(t, err)
		require.EqualValues(t, 900, late.Changed, "a late worker gets the report of the job that is done")
	})
}

// The table changes while its job is under way.
func TestChangedTables(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 200)
		s.rotate()
		s.stopped(sweep.Reencrypt, nil)
		type renamed struct {
			ID     int64             `fieldcrypt:"id"`
			Tenant string            `fieldcrypt:"tenant"`
			Email  fieldcrypt.String `fieldcrypt:"Contacts.mail,max=320"`
		}
		records, err := fieldcrypt.For[renamed](s.crypt)
		require.NoError(t, err)
		_, err = s.sweeper(nil).Run(t.Context(), sweep.Table{Name: "contacts", Rows: records.Rows()}, sweep.Reencrypt, nil)
		require.ErrorIs(t, err, sweep.ErrChanged)
		require.ErrorContains(t, err, "bring back what was changed, or Abandon the sweep and begin again, which loses nothing")
		if d.Dialect != sweep.SQLite {
			s.exec("ALTER TABLE contacts DROP COLUMN phone")
			_, err = s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
			require.ErrorIs(t, err, sweep.ErrTable)
		}
	})
}

// Leases end by the database's clock; one that was set back leaves none that
// last too long.
func TestClockOfTheDatabase(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 200)
		s.rotate()
		for _, until := range []string{"0", "9000000000000000"} { // long ago, and centuries away
			s.stopped(sweep.Reencrypt, nil)
			s.exec("UPDATE fieldcrypt_sweeps_ranges SET holder = 'a worker that is gone', until = " + until + " WHERE done = 0")
			began := time.Now()
			_, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
			require.NoError(t, err)
			require.Less(t, time.Since(began), 20*time.Second, "less than a lease")
			require.Zero(t, s.underOld())
			s.rotate()
		}
	})
}

// Somebody writes nonsense into the sweeper's own tables.
func TestSpoiledState(t *testing.T) {
	s := sqlite(t).service(t)
	s.fill(1, 200)
	s.rotate()
	s.stopped(sweep.Reencrypt, nil)
	s.exec("UPDATE fieldcrypt_sweeps_ranges SET done_key = 'nonsense', holder = NULL WHERE done = 0")
	_, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
	require.ErrorContains(t, err, "a key in the table of ranges can't be read: somebody changed it; abandon the sweep and begin again")
	s.whole(200)
}

// away is a key service that can be away, for all tenants or for one.
type away struct {
	kmsprovider.Provider
	until  atomic.Pointer[time.Time]
	tenant string
}

func (p *away) Unwrap(ctx context.Context, rootKey string, wrapped []byte, c kmsprovider.EncryptionContext) ([]byte, error) {
	if until := p.until.Load(); until != nil && time.Now().Before(*until) && (p.tenant == "" || p.tenant == c["fieldcrypt:tenant"]) {
		return nil, fmt.Errorf("%w: the cable is cut", kmsprovider.ErrUnavailable)
	}
	return p.Provider.Unwrap(ctx, rootKey, wrapped, c)
}

// cold is the service's table in a program that has no data key in memory.
func (s *service) cold(kms kmsprovider.Provider) sweep.Table {
	s.Helper()
	keys, err := sqlstore.Open(context.Background(), s.db, sqlstore.Dialect(s.Dialect), nil)
	require.NoError(s, err)
	crypt, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: s.kms.RootKey()}, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys}})
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, crypt.Close()) })
	contacts, err := fieldcrypt.For[Contact](crypt)
	require.NoError(s, err)
	return sweep.Table{Name: "contacts", Rows: contacts.Rows()}
}

// An outage of the key service is waited out, or ends the call and no row.
func TestKeyServiceAway(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 100)
		s.rotate()
		kms := &away{Provider: s.kms}
		table := s.cold(kms)
		later := time.Now().Add(time.Hour)
		kms.until.Store(&later)
		report, err := s.sweeper(&sweep.Options{Patience: 300 * time.Millisecond}).Run(t.Context(), table, sweep.Reencrypt, nil)
		require.ErrorIs(t, err, sweep.ErrOutage)
		require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
		require.Zero(t, report.Failed, "an outage is no row's fault")
		require.Zero(t, report.Changed)
		soon := time.Now().Add(1500 * time.Millisecond)
		kms.until.Store(&soon)
		report, err = s.sweeper(nil).Run(t.Context(), table, sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.EqualValues(t, 100, report.Changed)
		s.whole(100)
	})
}

// Where one tenant's root key is away, the others' rows are swept, whether a
// batch has rows of several tenants or of one. Where those of all are, the job
// ends, and no row is passed over.
func TestOneTenantAway(t *testing.T) {
	for _, batch := range []int{1, 50} {
		t.Run(fmt.Sprint("batches of ", batch), func(t *testing.T) {
			everywhere(t, func(t *testing.T, d database) {
				s := d.service(t)
				s.fill(1, 90)
				s.rotate()
				kms := &away{Provider: s.kms, tenant: "globex"}
				later := time.Now().Add(time.Hour)
				kms.until.Store(&later)
				opts := &sweep.Options{Patience: 300 * time.Millisecond, MaxBatch: batch, RangeRows: max(10, batch)}
				table := s.cold(kms)

				_, err := s.sweeper(opts).Run(t.Context(), table, sweep.Reencrypt, &sweep.JobOptions{Tenant: "globex"})
				require.ErrorIs(t, err, sweep.ErrOutage, "a job of one tenant has nobody else to go on with")
				require.NoError(t, s.sweeper(nil).Abandon(t.Context(), table))

				report, err := s.sweeper(opts).Run(t.Context(), table, sweep.Reencrypt, nil)
				require.ErrorIs(t, err, sweep.ErrRows)
				require.EqualValues(t, 30, report.Failed)
				require.EqualValues(t, 60, report.Changed)
				says := func(part string) bool {
					return slices.ContainsFunc(report.Failures, func(f sweep.Failure) bool { return strings.Contains(f.Reason, part) })
				}
				require.True(t, says(`: key service unavailable: the cable is cut`))
				if batch == 1 { // of two ranges of 50 rows both can be under way when it is given up
					require.True(t, says("not tried: its tenant's key service or key store was away for too long; run the sweep again when it is back"))
				}
				require.NotZero(t, s.underOld())

				kms.until.Store(&time.Time{})
				report, err = s.sweeper(opts).Run(t.Context(), table, sweep.Reencrypt, nil)
				require.NoError(t, err)
				require.EqualValues(t, 30, report.Changed)
				require.Zero(t, s.underOld())
				s.whole(90)

				s.rotate()
				kms = &away{Provider: s.kms}
				kms.until.Store(&later)
				report, err = s.sweeper(opts).Run(t.Context(), s.cold(kms), sweep.Reencrypt, &sweep.JobOptions{Workers: 1})
				require.ErrorIs(t, err, sweep.ErrOutage)
				require.Zero(t, report.Failed)
				s.whole(90)
			})
		})
	}
}

// A database that takes no writes.
func TestReadOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 10)
		require.NoError(t, s.sweeper(nil).Migrate(t.Context()))
		s.rotate()
		read := d
		switch d.Dialect {
		case sweep.SQLite:
			read.DSN += "&_pragma=query_only(1)"
		case sweep.MariaDB:
			read.DSN += "?tx_read_only=1"
		case sweep.Postgres:
			read.DSN += "&default_transaction_read_only=on"
		}
		db, err := sql.Open(read.Driver, read.DSN)
		require.NoError(t, err)
		defer db.Close()
		sweeper, err := sweep.New(db, d.Dialect, nil)
		require.NoError(t, err)
		_, err = sweeper.Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.ErrorIs(t, err, sweep.ErrReadOnly)
		require.ErrorContains(t, err, "sweep on the primary, with a role that may write")
		cover, err := sweeper.Coverage(t.Context(), s.table(), nil)
		require.NoError(t, err)
		require.EqualValues(t, 10, cover.Rows, "coverage needs no right to write")
		s.whole(10)
	})
}

// The context ends while the job runs, or has ended before.
func TestContextEnds(t *testing.T) {
	s := sqlite(t).service(t)
	s.fill(1, 10)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("shutting down"))
	_, err := s.sweeper(nil).Run(ctx, s.table(), sweep.Reencrypt, nil)
	require.Error(t, err)
	_, err = s.sweeper(nil).Run(nil, s.table(), sweep.Reencrypt, nil) //nolint:staticcheck // on purpose
	require.ErrorContains(t, err, "the context is nil")
}

// A pause lasts until somebody ends it, whoever began it.
func TestPause(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 600)
		s.rotate()
		sweeper := s.sweeper(&sweep.Options{RangeRows: 50, MaxBatch: 10})
		table := s.table()
		var paused sync.Once
		ended := make(chan error, 1)
		seen := make(chan struct{})
		go func() {
			_, err := sweeper.Run(t.Context(), table, sweep.Reencrypt, &sweep.JobOptions{RowsPerSecond: 400, Progress: func(p sweep.Progress) {
				if p.Paused {
					paused.Do(func() { close(seen) })
				}
			}})
			ended <- err
		}()
		require.Eventually(t, func() bool { r, err := sweeper.Last(t.Context(), table); return err == nil && r != nil && r.Rows > 0 }, 10*time.Second, 10*time.Millisecond)
		require.NoError(t, s.sweeper(nil).Pause(t.Context(), table))
		<-seen
		time.Sleep(300 * time.Millisecond) // what was under way has ended
		before, err := sweeper.Last(t.Context(), table)
		require.NoError(t, err)
		time.Sleep(700 * time.Millisecond)
		after, err := sweeper.Last(t.Context(), table)
		require.NoError(t, err)
		require.Equal(t, before.Rows, after.Rows)
		require.Less(t, after.Rows, int64(600))
		select {
		case err := <-ended:
			t.Fatalf("Run ended during the pause: %v", err)
		default:
		}
		require.NoError(t, s.sweeper(nil).Resume(t.Context(), table))
		require.NoError(t, <-ended)
		require.Zero(t, s.underOld())
	})
}
