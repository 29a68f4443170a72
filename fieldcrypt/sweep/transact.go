package sweep

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
)

// transact runs work in a transaction of its own. No key service and no key
// store is called in one.
func (w *writer) transact(ctx context.Context, work func(q querier) error) error {
	return transact(ctx, w.db, w.dialect, work)
}

func transact(ctx context.Context, db *sql.DB, d Dialect, work func(q querier) error) error {
	if d == SQLite {
		return immediate(ctx, db, work)
	}
	opts := &sql.TxOptions{}
	if d == Postgres {
		opts.Isolation = sql.LevelReadCommitted // whatever the connection's default is
	}
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// immediate takes the right to write when the transaction begins. One that takes
// it later, as database/sql begins them in SQLite, fails if another wrote in
// between.
func immediate(ctx context.Context, db *sql.DB, work func(q querier) error) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	rollback := func() {
		_, err := c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		if err != nil && !strings.Contains(err.Error(), "no transaction is active") {
			_ = c.Raw(func(any) error { return driver.ErrBadConn }) // it doesn't go back to the pool
		}
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		if ctx.Err() != nil {
			rollback() // it may have begun
		}
		return err
	}
	err = work(c)
	if err == nil {
		_, err = c.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		rollback()
	}
	return err
}
