package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func fakeStore(t testing.TB, d Dialect, f *fake) *Store {
	t.Helper()
	s, err := newStore(f.open(t), d, nil)
	require.NoError(t, err)
	return s
}

// The errors that databases ask for a repetition with, as their drivers put it.
var repetitions = map[string]struct {
	dialect Dialect
	err     error
}{
	"a deadlock in PostgreSQL":              {Postgres, stateError("40P01")},
	"a serialization failure in PostgreSQL": {Postgres, stateError("40001")},
	"a deadlock in MariaDB":                 {MariaDB, errors.New("Error 1213 (40001): Deadlock found when trying to get lock; try restarting transaction")},
	"a lock in MariaDB":                     {MariaDB, errors.New("Error 1205 (HY000): Lock wait timeout exceeded; try restarting transaction")},
	"a locked file in SQLite":               {SQLite, codeError(5)},
	"a changed snapshot in SQLite":          {SQLite, codeError(5 | 2<<8)},
}

// writes are the methods that write, on a database where they would succeed.
func writes(ctx context.Context, s *Store) map[string]func() error {
	rec := envelope.Record{Scope: acme, Purpose: "data", Wrapped: []byte{1}, State: envelope.StateRetired}
	return map[string]func() error{
		"Claim": func() error {
			_, err := s.Claim(ctx, acme, "data", "holder", time.Second)
			return err
		},
		"Release":  func() error { return s.Release(ctx, acme, "data", "holder") },
		"Activate": func() error { return s.Activate(ctx, rec, envelope.KeyID{9}) },
		"Insert":   func() error { return s.Insert(ctx, rec) },
		"Update":   func() error { return s.Update(ctx, rec, rec) },
		"Lease": func() error {
			_, _, err := s.Lease(ctx, acme, "data", envelope.KeyID{}, 1)
			return err
		},
	}
}

// works answers every query as a database does in which all that is asked for
// is there.
func works(query string) (reply, error) {
	switch {
	case strings.HasPrefix(query, "WITH was"):
		return reply{rows: [][]driver.Value{{"active", int64(10), int64(0), int64(1)}}}, nil
	case strings.HasPrefix(query, "SELECT state, budget, taken"):
		return reply{rows: [][]driver.Value{{"active", int64(10), int64(0)}}}, nil
	}
	return reply{affected: 1}, nil
}

// failing answers with err as often as it is told to, at one kind of query.
func failing(at string, times int64, err error) func(string) (reply, error) {
	var n atomic.Int64
	return func(query string) (reply, error) {
		if strings.Contains(query, at) && n.Add(1) <= times {
			return reply{}, err
		}
		return works(query)
	}
}

func TestRepeatedUntilItWorks(t *testing.T) {
	for name, c := range repetitions {
		for _, at := range []string{"INSERT", "UPDATE", "DELETE", "COMMIT", "BEGIN"} {
			for method := range writes(t.Context(), nil) {
				f := &fake{answer: failing(at, 3, c.err)}
				s := fakeStore(t, c.dialect, f)
				require.NoError(t, writes(t.Context(), s)[method](), "%s at %s in %s", name, at, method)
			}
		}
		f := &fake{answer: failing("SET taken", 3, c.err)}
		s := fakeStore(t, c.dialect, f)
		granted, left, err := s.Lease(t.Context(), acme, "data", envelope.KeyID{}, 4)
		require.NoError(t, err)
		require.Equal(t, []uint64{4, 6}, []uint64{granted, left})
		require.Equal(t, 4, f.asked("SET taken"), name)
		require.Zero(t, f.asked("BEGIN"), "a lease holds no lock over round trips")

		f = &fake{answer: failing("SET state = 'retired'", 3, c.err)}
		s = fakeStore(t, c.dialect, f)
		require.NoError(t, writes(t.Context(), s)["Activate"]())
		require.Equal(t, 4, f.asked("SET state = 'retired'"), name)
		require.Equal(t, 4, f.asked("BEGIN"), "the whole transaction is repeated")
		require.Equal(t, 3, f.asked("ROLLBACK"))
		require.Equal(t, 1, f.asked("COMMIT"))
	}
}

// Another process takes some of the budget between the reading and the taking: it
// is read again, and what doesn't end is an error.
func TestLeasesThatMiss(t *testing.T) {
	for _, d := range []Dialect{Postgres, MariaDB, SQLite} {
		missing := func(times int) *fake {
			taken, misses := int64(0), 0
			return &fake{answer: func(query string) (reply, error) {
				if strings.Contains(query, "SET taken") {
					if misses++; misses <= times {
						taken += 3
						return reply{rows: [][]driver.Value{{"active", int64(10), taken, int64(0)}}}, nil
					}
					return reply{affected: 1, rows: [][]driver.Value{{"active", int64(10), taken, int64(1)}}}, nil
				}
				return reply{rows: [][]driver.Value{{"active", int64(10), taken}}}, nil
			}}
		}
		granted, left, err := fakeStore(t, d, missing(2)).Lease(t.Context(), acme, "data", envelope.KeyID{}, 9)
		require.NoError(t, err)
		require.Equal(t, []uint64{4, 0}, []uint64{granted, left}, d)

		s := fakeStore(t, d, missing(1<<60))
		s.retryFor = 0
		granted, _, err = s.Lease(t.Context(), acme, "data", envelope.KeyID{}, 1)
		require.ErrorIs(t, err, ErrBusy)
		require.ErrorContains(t, err, "another process changed the key meanwhile")
		require.Zero(t, granted)
	}
}

// The control: what is no reason to repeat isn't repeated.
func TestNotRepeated(t *testing.T) {
	for _, err := range []error{
		errors.New("syntax error"), stateError("42501"), stateError("23514"), stateError("25006"),
		codeError(8), codeError(14), codeError(275), errors.New("Error 1290 (HY000): --read-only"),
	} {
		f := &fake{answer: failing("SET taken", 1, err)}
		s := fakeStore(t, Postgres, f)
		_, _, got := s.Lease(t.Context(), acme, "data", envelope.KeyID{}, 4)
		require.ErrorIs(t, got, err)
		require.Equal(t, 1, f.asked("SET taken"), "%v", err)
	}
}

func TestRepetitionEnds(t *testing.T) {
	for name, c := range repetitions {
		f := &fake{answer: failing("SET taken", 1<<60, c.err)}
		s := fakeStore(t, c.dialect, f)
		s.retryFor = 100 * time.Millisecond
		began := time.Now()
		_, _, err := s.Lease(t.Context(), acme, "data", envelope.KeyID{0xAB}, 4)
		require.Less(t, time.Since(began), 2*time.Second)
		require.ErrorIs(t, err, ErrBusy, name)
		require.ErrorIs(t, err, c.err, name)
		require.ErrorContains(t, err, "sqlstore: Lease of key ab0", name)
		require.ErrorContains(t, err, `tenant "acme"`, name)
		require.Regexp(t, `the database is busy: gave up after \d+ attempts in \d+ms: `, err.Error(), name)
		n := f.asked("SET taken")
		require.Greater(t, n, 3, name)
		require.Less(t, n, 60, "the pauses grow")
	}
}

// A caller's deadline ends the repetitions too, and is then the error.
func TestRepetitionEndsWithTheContext(t *testing.T) {
	f := &fake{answer: failing("SET taken", 1<<60, stateError("40P01"))}
	s := fakeStore(t, Postgres, f)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err := s.Lease(ctx, acme, "data", envelope.KeyID{}, 4)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, ErrBusy)
}

// Connections that died in the pool are passed over; a database that gives only
// such ones can't be reached.
func TestDeadConnections(t *testing.T) {
	f := &fake{answer: failing("SET taken", 3, driver.ErrBadConn)}
	_, _, err := fakeStore(t, Postgres, f).Lease(t.Context(), acme, "data", envelope.KeyID{}, 4)
	require.NoError(t, err)

	f = &fake{answer: failing("SET taken", 1<<60, driver.ErrBadConn)}
	_, _, err = fakeStore(t, Postgres, f).Lease(t.Context(), acme, "data", envelope.KeyID{}, 4)
	require.ErrorIs(t, err, ErrUnreachable)
	require.Equal(t, staleAttempts+1, f.asked("SET taken"))
}

func TestUnreachable(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connect: connection refused")}
	f := &fake{dial: func(context.Context) error { return refused }}
	s := fakeStore(t, Postgres, f)
	for method, call := range writes(t.Context(), s) {
		err := call()
		require.ErrorIs(t, err, ErrUnreachable, method)
		require.ErrorIs(t, err, refused, method)
		require.ErrorContains(t, err, "sqlstore: "+method+" of ", method)
		require.ErrorContains(t, err, "the database can't be reached: dial tcp: connect: connection refused", method)
	}
	_, err := Open(t.Context(), f.open(t), MariaDB, nil)
	require.ErrorIs(t, err, ErrUnreachable)
	require.ErrorContains(t, err, "sqlstore: opening the key store of `fieldcrypt_keys` (MariaDB): the database can't be reached")
}

func TestReadOnly(t *testing.T) {
	for _, c := range []struct {
		dialect Dialect
		err     error
	}{
		{Postgres, stateError("25006")},
		{MariaDB, errors.New("Error 1290 (HY000): The MariaDB server is running with the --read-only option so it cannot execute this statement")},
		{SQLite, codeError(8)},
	} {
		f := &fake{answer: func(query string) (reply, error) {
			if strings.HasPrefix(query, "SELECT") || strings.HasPrefix(query, "PRAGMA") {
				return works(query)
			}
			return reply{}, c.err
		}}
		for method, call := range writes(t.Context(), fakeStore(t, c.dialect, f)) {
			err := call()
			require.ErrorIs(t, err, ErrReadOnly, method)
			require.ErrorIs(t, err, c.err, method)
			require.ErrorContains(t, err, ": the database is read-only: ", method)
		}
	}
}

// held returns a store on a pool of one connection, and that connection.
func held(t *testing.T, f *fake) (*Store, *sql.Conn) {
	t.Helper()
	s := fakeStore(t, Postgres, f)
	s.db.SetMaxOpenConns(1)
	c, err := s.db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return s, c
}

func TestPoolOfOneThatIsHeld(t *testing.T) {
	s, c := held(t, &fake{answer: works})
	for method, call := range writes(t.Context(), s) {
		began := time.Now()
		err := call()
		require.ErrorIs(t, err, ErrPoolHeld, method)
		require.NotErrorIs(t, err, context.Canceled, method)
		require.ErrorContains(t, err, "sqlstore: "+method+" of ", method)
		require.ErrorContains(t, err, "the pool's one connection is held by a transaction", method)
		require.ErrorContains(t, err, "call Encrypt before BeginTx, or raise SetMaxOpenConns", method)
		took := time.Since(began)
		require.GreaterOrEqual(t, took, poolPatience, method)
		require.Less(t, took, 4*poolPatience, method)
	}
	require.NoError(t, c.Close())
	for method, call := range writes(t.Context(), s) {
		require.NoError(t, call(), method)
	}
}

// Many calls at once don't keep one another waiting: those that give up aren't
// taken for progress.
func TestPoolOfOneThatIsHeldFromMany(t *testing.T) {
	s, _ := held(t, &fake{answer: works})
	began := time.Now()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			_, err := s.Claim(t.Context(), acme, "data", "holder", time.Second)
			if !errors.Is(err, ErrPoolHeld) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Less(t, time.Since(began), 6*poolPatience)
}

// A pool of one that is busy and not stuck serves all who wait, however long
// that takes.
func TestPoolOfOneThatIsBusy(t *testing.T) {
	f := &fake{answer: func(query string) (reply, error) {
		time.Sleep(20 * time.Millisecond)
		return works(query)
	}}
	s := fakeStore(t, Postgres, f)
	s.db.SetMaxOpenConns(1)
	began := time.Now()
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if _, err := s.Claim(t.Context(), acme, "data", "holder", time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Greater(t, time.Since(began), 2*poolPatience, "the test waits too shortly to show anything")
}

// One call of the store that takes long holds the connection: the others wait for
// it, since it doesn't wait for them.
func TestPoolOfOneWithASlowCall(t *testing.T) {
	var calls atomic.Int64
	f := &fake{answer: func(query string) (reply, error) {
		if calls.Add(1) == 1 {
			time.Sleep(3 * poolPatience)
		}
		return works(query)
	}}
	s := fakeStore(t, Postgres, f)
	s.db.SetMaxOpenConns(1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Claim(t.Context(), acme, "data", "holder", time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Making the only connection may take its time.
func TestPoolOfOneThatIsEmpty(t *testing.T) {
	f := &fake{answer: works, dial: func(context.Context) error {
		time.Sleep(2 * poolPatience)
		return nil
	}}
	s := fakeStore(t, Postgres, f)
	s.db.SetMaxOpenConns(1)
	_, err := s.Claim(t.Context(), acme, "data", "holder", time.Second)
	require.NoError(t, err)
}

// With more connections than one it is the caller's deadline that ends the
// waiting; the error says what it waited for.
func TestPoolOfTwoThatIsHeld(t *testing.T) {
	s := fakeStore(t, Postgres, &fake{answer: works})
	s.db.SetMaxOpenConns(2)
	for range 2 {
		c, err := s.db.Conn(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Claim(ctx, acme, "data", "holder", time.Second)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "all 2 connections of the pool are in use")
}

func TestWrongDialect(t *testing.T) {
	says := func(version string, asked string) *fake {
		return &fake{answer: func(query string) (reply, error) {
			if query == asked {
				return reply{rows: [][]driver.Value{{version}}}, nil
			}
			return reply{}, errors.New("no such function")
		}}
	}
	for _, c := range []struct {
		f      *fake
		given  Dialect
		errors string
	}{
		{says("PostgreSQL 15.18", "SELECT version()"), SQLite, "wrong dialect: the database is PostgreSQL 15.18 and not SQLite: pass sqlstore.Postgres"},
		{says("PostgreSQL 15.18", "SELECT version()"), MariaDB, "and not MariaDB: pass sqlstore.Postgres"},
		{says("10.11.19-MariaDB", "SELECT version()"), Postgres, "the database is MariaDB or MySQL 10.11.19-MariaDB and not PostgreSQL: pass sqlstore.MariaDB"},
		{says("3.53.0", "SELECT sqlite_version()"), Postgres, "the database is SQLite 3.53.0 and not PostgreSQL: pass sqlstore.SQLite"},
		{says("", "nothing"), MariaDB, "neither PostgreSQL, MariaDB, MySQL nor SQLite: no such function"},
	} {
		_, err := Open(t.Context(), c.f.open(t), c.given, nil)
		require.ErrorIs(t, err, ErrWrongDialect)
		require.ErrorContains(t, err, c.errors)
		require.ErrorContains(t, err, "sqlstore: opening the key store of ")
		require.ErrorIs(t, Migrate(t.Context(), c.f.open(t), c.given, nil), ErrWrongDialect)
		require.Zero(t, c.f.asked("CREATE"))
	}
}
