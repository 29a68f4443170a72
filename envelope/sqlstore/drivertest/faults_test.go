package drivertest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

// deadlock is the error of a deadlock, whose transaction is gone.
type deadlock struct{}

func (deadlock) Error() string    { return "ERROR: deadlock detected (SQLSTATE 40P01)" }
func (deadlock) SQLState() string { return "40P01" }

// A transaction that the database gave up at any of its steps is repeated as a
// whole, and then done once.
func TestDeadlocksAreRepeated(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		ctx := t.Context()
		db, spy := d.spied(t)
		s, err := sqlstore.Open(ctx, db, d.dialect, &d.opts)
		require.NoError(t, err)
		first, second := made("acme", 1), envelope.Record{}
		require.NoError(t, s.Activate(ctx, first, envelope.KeyID{}))

		for _, at := range []string{"SELECT state, budget", "SET taken"} {
			spy.failNext(at, deadlock{}, deadlock{})
			granted, _, err := s.Lease(ctx, first.Scope, first.Purpose, first.KeyID, 10)
			require.NoError(t, err, at)
			require.Equal(t, uint64(10), granted, at)
		}
		_, left, err := s.Lease(ctx, first.Scope, first.Purpose, first.KeyID, 0)
		require.NoError(t, err)
		require.Equal(t, first.Budget-20, left, "a lease was taken twice, or not at all")

		previous := first
		for i, at := range []string{"BEGIN", "SET state", "INSERT", "COMMIT"} {
			second = made("acme", 10+i)
			spy.failNext(at, deadlock{}, deadlock{})
			require.NoError(t, s.Activate(ctx, second, previous.KeyID), "the retired key is active again when the transaction is repeated")
			active, err := s.Active(ctx, second.Scope, second.Purpose)
			require.NoError(t, err)
			require.Equal(t, second.KeyID, active.KeyID)
			previous = second
		}

		spy.failNext("INSERT", errors.New("the disk is on fire"))
		third := made("acme", 3)
		err = s.Activate(ctx, third, second.KeyID)
		require.ErrorContains(t, err, "the disk is on fire")
		active, err := s.Active(ctx, second.Scope, second.Purpose)
		require.NoError(t, err)
		require.Equal(t, second.KeyID, active.KeyID, "half of a failed Activate is left")
	})
}

// Whoever writes to the table by hand can't make two keys active.
func TestTwoActiveKeysAreRefusedByTheDatabase(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		ctx, db, s := t.Context(), d.pool(t), d.store(t)
		first, second := made("acme", 1), made("acme", 2)
		require.NoError(t, s.Activate(ctx, first, envelope.KeyID{}))
		require.NoError(t, s.Activate(ctx, second, first.KeyID))
		_, err := db.Exec("UPDATE " + keys + " SET state = 'active'")
		require.Error(t, err)
		run(t, db, "UPDATE "+keys+" SET state = 'suspended' WHERE state = 'active'")
		run(t, db, "UPDATE "+keys+" SET state = 'active' WHERE state = 'retired'") // the control
		active, err := s.Active(ctx, first.Scope, first.Purpose)
		require.NoError(t, err)
		require.Equal(t, first.KeyID, active.KeyID)
	})
}

// A destroyed key has no wrapped key in the row, and can't be given one.
func TestDestroyed(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		ctx, db, s := t.Context(), d.pool(t), d.store(t)
		rec := made("acme", 1)
		require.NoError(t, s.Insert(ctx, rec))
		gone := rec
		gone.State = envelope.StateDestroyed
		gone.Change = envelope.Change{At: time.Unix(1_900_000_000, 0), By: "ada", Why: "Article 17"}
		require.NoError(t, s.Update(ctx, rec, gone), "the wrapped key is dropped, whatever the caller leaves in the record")
		var wrapped []byte
		require.NoError(t, db.QueryRowContext(ctx, "SELECT wrapped FROM "+keys).Scan(&wrapped))
		require.Nil(t, wrapped)

		got, err := s.Get(ctx, rec.Scope, rec.Purpose, rec.KeyID)
		require.NoError(t, err)
		require.Nil(t, got.Wrapped)
		require.Equal(t, envelope.StateDestroyed, got.State)
		require.Equal(t, "Article 17", got.Change.Why)
		require.ErrorIs(t, s.Update(ctx, got, rec), envelope.ErrConflict)
		require.ErrorIs(t, s.Insert(ctx, rec), envelope.ErrConflict, "a destroyed key came back")
		_, err = db.Exec("UPDATE " + keys + " SET wrapped = root_key")
		require.Error(t, err, "the table itself keeps a destroyed key destroyed")
	})
}

// Nothing of a wrapped key is left in SQLite's files. With secure_delete that holds
// also where rows were moved.
func TestDestroyedInTheFile(t *testing.T) {
	for _, pragmas := range [][]string{
		{"journal_mode(WAL)", "secure_delete(1)"},
		{"journal_mode(WAL)"},
		{"journal_mode(DELETE)"},
	} {
		d := sqliteFile(t, pragmas...)
		ctx, db := t.Context(), d.pool(t)
		s, err := sqlstore.Open(ctx, db, d.dialect, nil)
		require.NoError(t, err)
		rec := made("acme", 1)
		rec.Wrapped = bytes.Repeat([]byte("WRAPPED-KEY-TO-BE-GONE"), 20)
		others := func(n int) {
			for i := range 50 {
				require.NoError(t, s.Insert(ctx, made("acme", n+i)))
			}
		}
		others(1000)
		require.NoError(t, s.Insert(ctx, rec))
		if len(pragmas) == 2 {
			others(2000)
		}
		inFiles := func() int {
			n := 0
			path, _, _ := strings.Cut(strings.TrimPrefix(d.dsn, "file:"), "?")
			files, err := filepath.Glob(path + "*")
			require.NoError(t, err)
			for _, name := range files {
				content, err := os.ReadFile(name)
				require.NoError(t, err)
				n += bytes.Count(content, []byte("WRAPPED-KEY-TO-BE-GONE"))
			}
			return n
		}
		require.NotZero(t, inFiles(), "the test looks in the wrong place")
		gone := rec
		gone.State = envelope.StateDestroyed
		require.NoError(t, s.Update(ctx, rec, gone))
		require.Zero(t, inFiles(), "%v", pragmas)
		var mode int
		require.NoError(t, db.QueryRow("PRAGMA secure_delete").Scan(&mode))
		require.Equal(t, len(pragmas)-1, mode&1, "the connection was not left as it was")
	}
}

// Rows that were spoilt: the error names the key and what is wrong with it.
func TestSpoiltRows(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		for _, c := range []struct{ change, says string }{
			{"tag = substr(tag, 1, 16)", "its tag is 16 bytes, it must be 32"},
			{"state = 'frozen'", `its state is "frozen", which this version doesn't know`},
			{"wrapped = substr(wrapped, 1, 0)", "its wrapped key is 0 bytes, it must be 1 to 6144"},
			{"budget = -1", "its budget is -1 messages"},
		} {
			ctx, db, s := t.Context(), d.pool(t), d.store(t)
			rec := made("acme", 1)
			require.NoError(t, s.Insert(ctx, rec))
			run(t, db, "UPDATE "+keys+" SET "+c.change)
			_, get := s.Get(ctx, rec.Scope, rec.Purpose, rec.KeyID)
			_, page := s.Page(ctx, envelope.Filter{}, envelope.KeyName{}, 10)
			errs := []error{get, page}
			if strings.HasPrefix(c.change, "state") {
				states, err := s.States(ctx, []envelope.KeyName{rec.Name()})
				require.NoError(t, err, "a row that is spoilt must not keep the others' states back")
				require.Equal(t, []envelope.State{"unknown"}, states)
			}
			for _, err := range errs {
				require.ErrorIs(t, err, envelope.ErrMalformed, c.change)
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, "malformed: the record of key "+rec.KeyID.String())
				require.ErrorContains(t, err, `tenant "acme", class "crm", purpose "data"`)
			}
			run(t, db, "DELETE FROM "+keys)
		}
	})
}

// A counter that was set back, or past the end, by hand never grants more than
// the budget at once.
func TestSpoiltCounters(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		ctx, db, s := t.Context(), d.pool(t), d.store(t)
		rec := made("acme", 1)
		require.NoError(t, s.Activate(ctx, rec, envelope.KeyID{}))
		for taken, want := range map[string]uint64{"-5000": 1000, "1000": 0, "5000": 0, "9223372036854775807": 0, "-9223372036854775808": 1000} {
			run(t, db, "UPDATE "+keys+" SET taken = "+taken)
			granted, left, err := s.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 1<<40)
			require.NoError(t, err)
			require.Equal(t, []uint64{want, 0}, []uint64{granted, left}, taken)
		}
	})
}

// The program's transaction holds the pool's only connection: the store says so
// and doesn't wait for itself.
func TestPoolOfOneInATransaction(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		db := d.pool(t)
		db.SetMaxOpenConns(1)
		s, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
		require.NoError(t, err)
		rec := made("acme", 1)
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, claim := s.Claim(t.Context(), rec.Scope, rec.Purpose, "holder", time.Minute)
		_, active := s.Active(t.Context(), rec.Scope, rec.Purpose)
		for _, err := range []error{claim, active, s.Activate(t.Context(), rec, envelope.KeyID{})} {
			require.ErrorIs(t, err, sqlstore.ErrPoolHeld)
			require.ErrorContains(t, err, "the pool's one connection is held by a transaction")
			require.ErrorContains(t, err, "call Encrypt before BeginTx, or raise SetMaxOpenConns")
		}
		began := time.Now()
		_, _ = s.Active(context.Background(), rec.Scope, rec.Purpose)
		require.InDelta(t, 0.25, time.Since(began).Seconds(), 0.2)
		require.NoError(t, tx.Commit())
		conformsInBrief(t, s)
	})
}

// A pool of one that nobody holds serves all who want it.
func TestPoolOfOne(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		open := func() *sqlstore.Store {
			db := d.pool(t)
			db.SetMaxOpenConns(1)
			s, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
			require.NoError(t, err)
			return s
		}
		behaves(t, open)
	})
}

// In memory each connection has a database of its own, so there must be one.
func TestSQLiteInMemory(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	s, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	behaves(t, func() *sqlstore.Store { return s })
}

// What the store did stays, whatever the program does with its own transaction.
func TestRollbackTakesNoKeyAway(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db := d.pool(t)
		s, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
		require.NoError(t, err)
		rec := made("acme", 1)
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, tx.QueryRow("SELECT 1").Scan(new(int)))
		require.NoError(t, s.Activate(t.Context(), rec, envelope.KeyID{}))
		require.NoError(t, tx.Rollback())
		_, err = d.store(t).Get(t.Context(), rec.Scope, rec.Purpose, rec.KeyID)
		require.NoError(t, err)
	})
}

// A caller that goes away in the middle leaves no transaction behind and no
// half of one.
func TestCanceledInTheMiddle(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		db := d.pool(t)
		db.SetMaxOpenConns(2)
		s, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
		require.NoError(t, err)
		rec := made("acme", 0)
		rec.Budget = 1 << 32
		require.NoError(t, s.Activate(t.Context(), rec, envelope.KeyID{}))
		sure, maybe := uint64(0), uint64(0)
		for i := range 120 { // the last of them have time enough to connect anew
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
			granted, _, err := s.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 10)
			cancel()
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				maybe += 10
			}
			sure += granted
		}
		require.NotZero(t, sure)
		require.NotZero(t, maybe)
		_, left, err := s.Lease(t.Context(), rec.Scope, rec.Purpose, rec.KeyID, 0)
		require.NoError(t, err)
		taken := rec.Budget - left
		require.GreaterOrEqual(t, taken, sure)
		require.LessOrEqual(t, taken, sure+maybe)
		require.NoError(t, s.Activate(t.Context(), made("acme", 1), rec.KeyID), "a lock was left behind")
	})
}
