package drivertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// A process that is stopped in the middle of a lease keeps no other waiting, and
// takes nothing twice when it goes on.
func TestStoppedInALease(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db, spy := d.spied(t)
		stopped, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
		require.NoError(t, err)
		other, rec := d.store(t), made("acme", 1)
		require.NoError(t, other.Activate(t.Context(), rec, envelope.KeyID{}))

		reached, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		spy.mu.Lock()
		spy.fail = func(asked string) error {
			if strings.Contains(asked, "SET taken") {
				once.Do(func() { close(reached); <-goOn })
			}
			return nil
		}
		spy.mu.Unlock()
		var granted, left uint64
		done := make(chan error)
		go func() {
			var err error
			granted, left, err = stopped.Lease(t.Context(), rec.Scope, rec.Purpose, rec.KeyID, 700)
			done <- err
		}()
		<-reached
		ctx, cancel := context.WithTimeout(t.Context(), eventually)
		defer cancel()
		got, _, err := other.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 600)
		require.NoError(t, err)
		require.Equal(t, uint64(600), got)
		close(goOn)
		require.NoError(t, <-done)
		require.Equal(t, []uint64{400, 0}, []uint64{granted, left})

		for _, q := range spy.during(func() {
			_, _, err := stopped.Lease(t.Context(), rec.Scope, rec.Purpose, rec.KeyID, 1)
			require.NoError(t, err)
		}) {
			require.NotContains(t, q.text, "BEGIN")
		}
	})
}

// Leases at once grant the budget, and no message more.
func TestLeasesAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		rec := made("acme", 1)
		require.NoError(t, d.store(t).Activate(t.Context(), rec, envelope.KeyID{}))
		var all atomic.Uint64
		var wg sync.WaitGroup
		for i := range uint64(8) {
			s := d.store(t)
			wg.Go(func() {
				for n := i; ; n += 3 {
					granted, left, err := s.Lease(t.Context(), rec.Scope, rec.Purpose, rec.KeyID, 1+n%11)
					if err != nil {
						t.Error(err)
						return
					}
					all.Add(granted)
					if granted == 0 && left == 0 {
						return
					}
				}
			})
		}
		wg.Wait()
		require.Equal(t, rec.Budget, all.Load())
	})
}

// A client that goes away inside a transaction frees its locks: the server ends
// the transaction.
func TestGoneInATransaction(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite { // where the client is in the same process as the file's lock
			return
		}
		s, rec := d.store(t), made("acme", 1)
		require.NoError(t, s.Activate(t.Context(), rec, envelope.KeyID{}))
		c, err := d.pool(t).Conn(t.Context())
		require.NoError(t, err)
		if d.dialect == sqlstore.MariaDB { // which would hold for a transaction that has written
			_, err = c.ExecContext(t.Context(), "SET SESSION idle_write_transaction_timeout = 60")
			require.NoError(t, err)
		}
		locked, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- sqlconn.Transact(t.Context(), c, sqlconn.Dialect(d.dialect), func(q sqlconn.Querier) error {
				_, err := q.ExecContext(t.Context(), "UPDATE "+keys+" SET state = 'retired'")
				close(locked)
				<-goOn
				return err
			})
		}()
		<-locked
		began := time.Now()
		granted, _, err := s.Lease(t.Context(), rec.Scope, rec.Purpose, rec.KeyID, 10)
		require.NoError(t, err)
		require.Equal(t, uint64(10), granted, "the transaction was rolled back")
		took := time.Since(began)
		t.Logf("a lease waited %v for a client that was gone", took)
		require.Greater(t, took, sqlconn.IdleInTransaction/2, "nothing was locked: the test shows nothing")
		require.Less(t, took, 2*sqlconn.IdleInTransaction)
		close(goOn)
		require.Error(t, <-ended)
		_ = c.Close()

		db := d.pool(t)
		db.SetMaxOpenConns(1)
		query, set, want := "SHOW idle_in_transaction_session_timeout", "SET idle_in_transaction_session_timeout = 77000", "77s"
		if d.dialect == sqlstore.MariaDB {
			query = "SELECT CONCAT_WS(' ', @@SESSION.idle_transaction_timeout, @@SESSION.idle_write_transaction_timeout, @@SESSION.idle_readonly_transaction_timeout)"
			set, want = "SET SESSION idle_transaction_timeout = 77, SESSION idle_write_transaction_timeout = 5, SESSION idle_readonly_transaction_timeout = 78", "77 5 78"
		}
		_, err = db.ExecContext(t.Context(), set)
		require.NoError(t, err)
		for _, fails := range []error{nil, errors.New("no")} {
			c, err := db.Conn(t.Context())
			require.NoError(t, err)
			require.ErrorIs(t, sqlconn.Transact(t.Context(), c, sqlconn.Dialect(d.dialect), func(sqlconn.Querier) error { return fails }), fails)
			require.NoError(t, c.Close())
			var limit string
			require.NoError(t, db.QueryRow(query).Scan(&limit))
			require.Equal(t, want, limit, "the program's own transactions are left alone")
		}
	})
}

// Work that panics leaves no transaction on the connection that goes back to the
// pool.
func TestPanicInATransaction(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s, rec := d.store(t), made("acme", 1)
		require.NoError(t, s.Activate(t.Context(), rec, envelope.KeyID{}))
		db := d.pool(t)
		db.SetMaxOpenConns(1)
		transact := func(work func()) {
			c, err := db.Conn(t.Context())
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, sqlconn.Transact(t.Context(), c, sqlconn.Dialect(d.dialect), func(q sqlconn.Querier) error {
				_, err := q.ExecContext(t.Context(), "UPDATE "+keys+" SET taken = taken + 10")
				work()
				return err
			}))
		}
		require.PanicsWithValue(t, "a made-up mistake", func() { transact(func() { panic("a made-up mistake") }) })
		ctx, cancel := context.WithTimeout(t.Context(), eventually)
		defer cancel()
		_, left, err := s.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 1)
		require.NoError(t, err)
		require.Equal(t, rec.Budget-1, left)
		transact(func() {}) // the control, on the same connection
		_, left, err = s.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 1)
		require.NoError(t, err)
		require.Equal(t, rec.Budget-12, left)
	})
}
