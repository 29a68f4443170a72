package sweep

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// How long a transaction that writes rows waits for a lock of another one. Others
// may be waiting for the rows that it has locked by then; one that writes a single
// row keeps nobody waiting, but the sweep.
const (
	lockWait    = 2 * time.Second
	rowLockWait = 100 * time.Millisecond
)

// transact runs work in a transaction of its own. No key service and no key
// store is called in one. SQLite waits as the caller's busy timeout says.
func (w *writer) transact(ctx context.Context, wait time.Duration, work func(ctx context.Context, q sqlconn.Querier) error) error {
	w.wait = wait
	err := w.within(ctx, w.opts.AnswerTime, func(ctx context.Context) error {
		return transact(ctx, w.db, w.dialect, func(q sqlconn.Querier) error {
			if w.dialect == Postgres {
				if err := limitLocks(ctx, q, wait); err != nil {
					return err
				}
			}
			return work(ctx, q)
		})
	})
	w.unanswered = w.unanswered || errors.Is(err, errSilent)
	return err
}

// errSilent: a database that is hung, or a network that drops all, ends no
// connection.
var errSilent = errors.New("the database didn't answer")

// within has the database do something that it has to answer within limit.
func (s *Sweeper) within(ctx context.Context, limit time.Duration, do func(ctx context.Context) error) error {
	if s.dialect == SQLite {
		return do(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w within %v, which may be too short where it is only slow (Options.AnswerTime): %w", errSilent, limit, err)
	}
	return err
}

// limitLocks bounds the wait of all statements in a transaction of PostgreSQL.
func limitLocks(ctx context.Context, q sqlconn.Querier, wait time.Duration) error {
	_, err := q.ExecContext(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", wait.Milliseconds()))
	return err
}

// waiting is what MariaDB needs before a statement for the same. It knows whole
// seconds; with none it doesn't wait.
func (w *writer) waiting() string {
	if w.dialect != MariaDB {
		return ""
	}
	return fmt.Sprintf("SET STATEMENT innodb_lock_wait_timeout = %d FOR ", w.wait/time.Second)
}

func transact(ctx context.Context, db *sql.DB, d Dialect, work func(q sqlconn.Querier) error) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return sqlconn.Transact(ctx, c, sqlconn.Dialect(d), work)
}
