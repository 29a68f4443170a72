package drivertest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A spy stands between database/sql and a driver: it notes the queries, and lets
// those fail that a test wants to fail.
type spy struct {
	driver driver.Driver
	dsn    string

	mu    sync.Mutex
	asked []query
	fail  func(text string) error
}

type query struct {
	text string
	args []driver.NamedValue
}

// spied opens a pool with a spy in it.
func (d database) spied(t testing.TB) (*sql.DB, *spy) {
	t.Helper()
	plain := d.pool(t)
	s := &spy{driver: plain.Driver(), dsn: d.dsn}
	db := sql.OpenDB(s)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, s
}

func (s *spy) Driver() driver.Driver { return s.driver }

func (s *spy) Connect(context.Context) (driver.Conn, error) {
	c, err := s.driver.Open(s.dsn)
	if err != nil {
		return nil, err
	}
	return &spyConn{c, s}, nil
}

// during returns the queries that do makes.
func (s *spy) during(do func()) []query {
	s.mu.Lock()
	before := len(s.asked)
	s.mu.Unlock()
	do()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked[before:])
}

// failOnce lets the next queries that contain a text fail with errs, in order.
func (s *spy) failNext(text string, errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = func(asked string) error {
		if len(errs) == 0 || !strings.Contains(asked, text) {
			return nil
		}
		err := errs[0]
		errs = errs[1:]
		return err
	}
}

func (s *spy) note(text string, args []driver.NamedValue) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, query{text, slices.Clone(args)})
	if s.fail != nil {
		return s.fail(text)
	}
	return nil
}

type spyConn struct {
	driver.Conn
	s *spy
}

func (c *spyConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.s.note(text, args); err != nil {
		return nil, err
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, text, args)
}

func (c *spyConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.s.note(text, args); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, text, args)
}

func (c *spyConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
}

func (c *spyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := c.s.note("BEGIN", nil); err != nil {
		return nil, err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	return spyTx{tx, c.s}, err
}

func (c *spyConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *spyConn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

type spyTx struct {
	driver.Tx
	s *spy
}

func (t spyTx) Commit() error {
	if err := t.s.note("COMMIT", nil); err != nil {
		_ = t.Tx.Rollback() // as a database does that refuses to commit
		return err
	}
	return t.Tx.Commit()
}
