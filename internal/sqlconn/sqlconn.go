// Package sqlconn is how sqlstore and sweep use database/sql: transactions as each
// database takes them, queries row by row, and the database's clock.
package sqlconn

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// A Dialect is the SQL of a database. Its numbers are those of sqlstore.Dialect and
// fieldcrypt.Dialect.
type Dialect uint8

// The dialects.
const (
	Postgres Dialect = iota + 1
	MariaDB
	SQLite
)

// A Querier is a pool, a connection or a transaction.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Each calls take for every row that a query answers.
func Each(ctx context.Context, q Querier, query string, args []any, take func(scan func(...any) error) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows.Scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return rows.Close()
}

// IdleInTransaction is how long a server waits for the next statement of a
// transaction: one whose client is stopped or gone then ends, and its locks with
// it.
const IdleInTransaction = 10 * time.Second

// Transact runs work in a transaction on c. Work must not wait for anything but
// the database.
func Transact(ctx context.Context, c *sql.Conn, d Dialect, work func(q Querier) error) error {
	switch d {
	case SQLite:
		// The right to write is taken at the beginning. A transaction that takes it
		// later, as database/sql begins them, fails if another wrote in between.
		return byStatements(ctx, c, "BEGIN IMMEDIATE", work)
	case MariaDB:
		// A Commit of its driver heeds no context, and never returns where the
		// server doesn't answer.
		return limitingIdle(ctx, c, func() error { return byStatements(ctx, c, "BEGIN", work) })
	}
	tx, err := c.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}) // whatever the connection's default is
	if err != nil {
		return err
	}
	defer tx.Rollback()
	limit := fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", IdleInTransaction.Milliseconds())
	if _, err := tx.ExecContext(ctx, limit); err != nil {
		return err
	}
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// limitingIdle sets IdleInTransaction in MariaDB, which has no such setting for one
// transaction, and afterwards what the connection had before. A shorter time stays.
// MySQL has no such settings at all.
func limitingIdle(ctx context.Context, c *sql.Conn, do func() error) error {
	if _, err := c.ExecContext(ctx, limitIdle); err != nil {
		if sqlerr.Code(err) == unknownVariable {
			return do()
		}
		return err
	}
	defer afterwards(ctx, c, restoreIdle)
	return do()
}

var limitIdle, restoreIdle = idleStatements()

func idleStatements() (limit, restore string) {
	most := int(IdleInTransaction / time.Second)
	otherwise := most // the first holds for all that are 0
	var keeps, sets, restores []string
	for _, name := range []string{"idle_transaction_timeout", "idle_write_transaction_timeout", "idle_readonly_transaction_timeout"} {
		keeps = append(keeps, fmt.Sprintf("@fieldcrypt_%s = @@SESSION.%s", name, name))
		sets = append(sets, fmt.Sprintf("SESSION %s = IF(@@SESSION.%s BETWEEN 1 AND %d, @@SESSION.%s, %d)", name, name, most, name, otherwise))
		restores = append(restores, fmt.Sprintf("SESSION %s = @fieldcrypt_%s", name, name))
		otherwise = 0
	}
	return "SET " + strings.Join(append(keeps, sets...), ", "), "SET " + strings.Join(restores, ", ")
}

const unknownVariable = "error 1193"

// byStatements runs work in a transaction that statements begin and end.
func byStatements(ctx context.Context, c *sql.Conn, begin string, work func(q Querier) error) error {
	if _, err := c.ExecContext(ctx, begin); err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			rollback(ctx, c) // it may have begun
		}
		return err
	}
	committed := false
	defer func() { // also when work panics
		if !committed {
			rollback(ctx, c)
		}
	}()
	if err := work(c); err != nil {
		return err
	}
	_, err := c.ExecContext(ctx, "COMMIT")
	committed = err == nil
	return err
}

// rollback ends a transaction, if there still is one.
func rollback(ctx context.Context, c *sql.Conn) { afterwards(ctx, c, "ROLLBACK") }

// afterwardsWithin is how long a database may take for what restores a connection:
// a rollback changes nothing that a lost connection doesn't.
const afterwardsWithin = 5 * time.Second

// afterwards runs a statement even when ctx has ended. A connection on which that
// fails doesn't go back to the pool.
func afterwards(ctx context.Context, c *sql.Conn, statement string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwardsWithin)
	defer cancel()
	_, err := c.ExecContext(ctx, statement)
	if err != nil && !strings.Contains(err.Error(), "no transaction is active") {
		Discard(c)
	}
}

// Discard keeps a connection from going back to its pool.
func Discard(c *sql.Conn) {
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
}

// Clock is the database's time in microseconds since 1970, whatever the time zone
// of the connection: of the statement in MariaDB and SQLite, of its evaluation in
// PostgreSQL.
func Clock(d Dialect) string {
	switch d {
	case Postgres:
		return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
	case MariaDB:
		return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
	}
	// A Julian day number counts milliseconds without loss.
	return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"
}
