package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"strings"
	"sync"
	"testing"
)

// A fake is a database that answers what a test tells it to. It runs no SQL.
type fake struct {
	dial   func(ctx context.Context) error
	answer func(query string) (reply, error)

	mu      sync.Mutex
	queries []string
}

type reply struct {
	rows     [][]driver.Value
	affected int64
}

func (f *fake) open(t testing.TB) *sql.DB {
	db := sql.OpenDB(f)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// asked returns the queries that contain a text.
func (f *fake) asked(text string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, q := range f.queries {
		if strings.Contains(q, text) {
			n++
		}
	}
	return n
}

func (f *fake) Driver() driver.Driver { return nil }

func (f *fake) Connect(ctx context.Context) (driver.Conn, error) {
	if f.dial != nil {
		if err := f.dial(ctx); err != nil {
			return nil, err
		}
	}
	return &fakeConn{f}, nil
}

type fakeConn struct{ f *fake }

func (c *fakeConn) Prepare(string) (driver.Stmt, error) { panic("the fake prepares nothing") }
func (c *fakeConn) Close() error                        { return nil }
func (c *fakeConn) Begin() (driver.Tx, error)           { panic("BeginTx is asked first") }

func (c *fakeConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	_, err := c.ask("BEGIN")
	return fakeTx{c}, err
}

func (c *fakeConn) ask(query string) (reply, error) {
	c.f.mu.Lock()
	c.f.queries = append(c.f.queries, query)
	c.f.mu.Unlock()
	if c.f.answer == nil {
		return reply{}, nil
	}
	return c.f.answer(query)
}

func (c *fakeConn) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	r, err := c.ask(query)
	return driver.RowsAffected(r.affected), err
}

func (c *fakeConn) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	r, err := c.ask(query)
	if err != nil {
		return nil, err
	}
	rows := &fakeRows{rows: r.rows}
	if len(r.rows) > 0 {
		rows.columns = make([]string, len(r.rows[0]))
	}
	return rows, nil
}

type fakeTx struct{ c *fakeConn }

func (t fakeTx) Commit() error {
	_, err := t.c.ask("COMMIT")
	return err
}

func (t fakeTx) Rollback() error {
	_, err := t.c.ask("ROLLBACK")
	return err
}

type fakeRows struct {
	columns []string
	rows    [][]driver.Value
}

func (r *fakeRows) Columns() []string { return r.columns }
func (r *fakeRows) Close() error      { return nil }

func (r *fakeRows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}

// stateError is an error as pgx and lib/pq have them.
type stateError string

func (e stateError) Error() string    { return "ERROR: made up (SQLSTATE " + string(e) + ")" }
func (e stateError) SQLState() string { return string(e) }

// codeError is an error as modernc.org/sqlite has them.
type codeError int

func (e codeError) Error() string { return "made up" }
func (e codeError) Code() int     { return int(e) }
