package sweep

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// AddChecks adds to a table that exists what a table made with
// [fieldcrypt.Records.DDL] has from the start: the CHECK that only envelopes
// pass, for each sensitive column and blind index. It runs the statements of
// [fieldcrypt.ColumnDef.CheckDDL], which says how long they keep writers waiting,
// and may be run again. On PostgreSQL and MariaDB each statement waits 2 seconds for its
// locks, lets others pass, and tries again until [Options.Patience] is over: then
// it ends with [ErrOutage]. MariaDB needs a lock at the end of its copy of the table
// too, and copies it anew when it doesn't get that one. Call it when Coverage finds no plaintext any more: where
// a row has some, the database's error says that the check is violated (on SQLite
// this call's own, after a count), and on
// PostgreSQL the check holds all the same for what is written from then on.
func (s *Sweeper) AddChecks(ctx context.Context, table Table) error {
	fail := func(err error) error {
		return fmt.Errorf("sweep: checks of table %s: %w", table.label(), err)
	}
	if err := table.Rows.Err(); err != nil {
		return fail(err)
	}
	columns, err := table.Rows.ColumnDefs(s.dialect)
	if err != nil {
		return fail(err)
	}
	for _, c := range columns {
		statements, err := c.CheckDDL(table.label())
		if err != nil {
			return fail(err)
		}
		if s.dialect == Postgres {
			there := false
			err := sqlconn.Each(ctx, s.db, "SELECT count(*) > 0 FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2",
				[]any{qualified(s.dialect, table.Schema, table.Name), c.CheckName()}, func(scan func(...any) error) error { return scan(&there) })
			if err != nil {
				return fail(err)
			}
			if there {
				statements = statements[1:]
			}
		}
		if s.dialect == SQLite { // its triggers say nothing of what is stored
			left := int64(0)
			query := "SELECT COUNT(*) FROM " + qualified(s.dialect, table.Schema, table.Name) + " WHERE NOT (" + c.Check + ")"
			if err := sqlconn.Each(ctx, s.db, query, nil, func(scan func(...any) error) error { return scan(&left) }); err != nil {
				return fail(err)
			}
			if left > 0 {
				return fail(fmt.Errorf("%w: column %s has %d values that the check wouldn't let pass: Coverage tells where, and Encrypt seals plaintext", ErrTable, c.Name, left))
			}
		}
		for _, statement := range statements {
			if err := s.alter(ctx, statement); err != nil {
				return fmt.Errorf("sweep: add the check %s to table %s: %w", c.CheckName(), table.label(), told(err))
			}
		}
	}
	return nil
}

// alter runs a statement that changes a table. It waits for its lock for a short
// time only, since all that come after it wait too, and then lets them pass, and
// tries again until Options.Patience is over. SQLite waits as the caller's busy
// timeout says.
func (s *Sweeper) alter(ctx context.Context, statement string) error {
	began := time.Now()
	for pause := alterPause; ; pause = min(2*pause, longestPause) {
		err := s.alterOnce(ctx, statement)
		switch {
		case err == nil || ctx.Err() != nil || !sqlerr.LockTimeout(err):
			return err
		case time.Since(began)+pause > s.opts.Patience:
			return fmt.Errorf("%w: others held locks on the table each time for %v, such as a transaction that was open: end it, and run this again: %w", ErrOutage, lockWait, err)
		case !sleep(ctx, pause):
			return context.Cause(ctx)
		}
	}
}

func (s *Sweeper) alterOnce(ctx context.Context, statement string) error {
	switch s.dialect {
	case Postgres:
		return transact(ctx, s.db, s.dialect, func(q sqlconn.Querier) error {
			if err := limitLocks(ctx, q, lockWait); err != nil {
				return err
			}
			_, err := q.ExecContext(ctx, statement)
			return err
		})
	case MariaDB: // its default is a day; this is the lock that any open transaction holds on the tables it has used
		statement = fmt.Sprintf("SET STATEMENT lock_wait_timeout = %d FOR %s", lockWait/time.Second, statement)
	}
	_, err := s.db.ExecContext(ctx, statement)
	return err
}

const alterPause = 500 * time.Millisecond
