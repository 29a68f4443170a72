package drivertest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
)

// limited is the database for connections on which the server ends a statement
// that takes longer than 300 ms.
func (d database) limited() database {
	switch d.Dialect {
	case sweep.Postgres:
		d.DSN += "&statement_timeout=300"
	case sweep.MariaDB:
		d.DSN += "?max_statement_time=0.3"
	}
	return d
}

// slow has a trigger wait before a row is updated.
func (s *service) slow(seconds string) {
	s.Helper()
	switch s.Dialect {
	case sweep.Postgres:
		s.exec("CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(" + seconds + "); RETURN NEW; END'")
		s.exec("DROP TRIGGER IF EXISTS slow ON contacts")
		s.exec("CREATE TRIGGER slow BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION slow()")
	case sweep.MariaDB:
		s.exec("CREATE OR REPLACE TRIGGER slow BEFORE UPDATE ON contacts FOR EACH ROW DO SLEEP(" + seconds + ")")
	}
}

// A batch that takes longer than the server lets a statement is written in smaller
// ones; a row that alone does is reported, and holds up no other.
func TestStatementLimit(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.SQLite { // it has no such limit
			return
		}
		s := d.service(t)
		s.fill(1, 90)
		s.rotate()
		s.slow("CASE WHEN NEW.id = 40 THEN 2 ELSE 0.01 END")
		sweeper, err := sweep.New(d.limited().open(t), d.Dialect, &sweep.Options{Attempts: 2})
		require.NoError(t, err)
		report, err := sweeper.Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.ErrorIs(t, err, sweep.ErrRows)
		require.ErrorContains(t, err, "1 of 90 rows couldn't be dealt with; row 40: the database ended the statement that writes it alone, 2 times: it takes longer than the server lets one (statement_timeout, max_statement_time)")
		require.Equal(t, []int64{89, 1}, []int64{report.Changed, report.Failed})
		s.whole(90)

		s.slow("0")
		report, err = sweeper.Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.EqualValues(t, 1, report.Changed)
		require.Zero(t, s.underOld())
		s.whole(90)
	})
}

// MariaDB doesn't notice that a client which had no answer is gone: the statement runs
// on and holds its rows. That isn't another's lock, and no row is reported for it.
func TestStatementThatRunsOn(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect != sweep.MariaDB {
			return
		}
		s := d.service(t)
		s.fill(1, 5)
		s.rotate()
		hold := "SELECT GET_LOCK('" + t.Name() + "', 10)"
		c, err := s.db.Conn(t.Context())
		require.NoError(t, err)
		defer c.Close()
		var got int
		require.NoError(t, c.QueryRowContext(t.Context(), hold).Scan(&got))
		s.exec("CREATE OR REPLACE TRIGGER slow BEFORE UPDATE ON contacts FOR EACH ROW DO IF(NEW.id = 3 AND IS_USED_LOCK('" + t.Name() + "') IS NOT NULL, BENCHMARK(15000000, MD5(NEW.id)), 0)")
		time.AfterFunc(2*time.Second, func() { _, _ = c.ExecContext(context.Background(), "SELECT RELEASE_ALL_LOCKS()") })

		sweeper, err := sweep.New(d.open(t), d.Dialect, &sweep.Options{Attempts: 1, AnswerTime: 3 * time.Second})
		require.NoError(t, err)
		report, err := sweeper.Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.EqualValues(t, 5, report.Changed)
		s.whole(5)
	})
}

// shut keeps readers from contacts until one waits with such a query, and returns
// what waits for that and tells whether it came.
func (s *service) shut(like string) (came func() bool) {
	s.Helper()
	end := s.held("LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE")
	found := make(chan bool, 1)
	go func() {
		defer end()
		there := false
		for began := time.Now(); !there && time.Since(began) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
			err := s.db.QueryRow("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1", like).Scan(&there)
			if err != nil {
				s.Error(err)
				return
			}
		}
		found <- there
	}()
	return func() bool { return <-found }
}

// Where the server ends the statement that counts, there is no estimate; where it
// ends the one that reads, the next one asks for fewer rows.
func TestStatementLimitOfReads(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect != sweep.Postgres { // whose locks keep readers waiting
			return
		}
		s := d.service(t)
		s.fill(1, 400)
		sweeper, err := sweep.New(d.limited().open(t), d.Dialect, nil)
		require.NoError(t, err)
		require.NoError(t, sweeper.Migrate(t.Context()))

		s.rotate()
		came := s.shut("% OFFSET %") // it comes to the first range
		_, err = sweeper.Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.True(t, came())
		require.Zero(t, s.underOld())

		s.rotate()
		reads := 0
		ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
			if name == "read" {
				if reads++; reads == 2 {
					came = s.shut("%ORDER BY r.% LIMIT 26") // 25 rows, and a look whether there are more
				}
			}
		}})
		_, err = sweeper.Run(ctx, s.table(), sweep.Reencrypt, &sweep.JobOptions{Workers: 1})
		require.NoError(t, err)
		require.True(t, came())
		require.Zero(t, s.underOld())
		s.whole(400)

		end := s.held("LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE")
		defer end()
		impatient, err := sweep.New(d.limited().open(t), d.Dialect, &sweep.Options{Patience: time.Second})
		require.NoError(t, err)
		_, err = impatient.Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.ErrorIs(t, err, sweep.ErrOutage)
		require.ErrorContains(t, err, "since it takes longer than the server lets one (statement_timeout, max_statement_time), or somebody cancelled it: raise the limit for the sweep's role")
	})
}
