package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// Claim implements [envelope.KeyStore]. Its clock is the database's, which all
// processes share.
func (s *Store) Claim(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, holder string, lease time.Duration) (won bool, err error) {
	p := placeOf(scope, purpose)
	what := operation{"Claim", p}
	if err := p.check(); err != nil {
		return false, fail(what, other, err)
	}
	if len(holder) > maxName {
		return false, fail(what, other, malformed("the holder is %d bytes, the limit is %d", len(holder), maxName))
	}
	err = s.run(ctx, s.db, what, func(c *sql.Conn) error {
		won, err = s.claim(ctx, c, p, []byte(holder), lease.Microseconds())
		return err
	})
	return won, err
}

func (s *Store) claim(ctx context.Context, c *sql.Conn, p place, holder []byte, lease int64) (bool, error) {
	if s.dialect == MariaDB {
		// It can't be told from what INSERT ... ON DUPLICATE KEY UPDATE answers
		// whether it changed the row, in all of its drivers' settings.
		n, err := affected(ctx, c, s.query.renew, append(append([]any{holder, lease}, p.args()...), holder))
		if n > 0 || err != nil {
			return n > 0, err
		}
	}
	n, err := affected(ctx, c, s.query.claim, append(p.args(), holder, lease))
	if kindOf(err) == duplicate {
		return false, nil
	}
	return n > 0, err
}

// affected runs a statement and answers how many rows it changed.
func affected(ctx context.Context, q sqlconn.Querier, query string, args []any) (int64, error) {
	done, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// Release implements [envelope.KeyStore].
func (s *Store) Release(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, holder string) error {
	p := placeOf(scope, purpose)
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.check() != nil || len(holder) > maxName {
		return nil //nolint:nilerr // nothing of that name can be claimed
	}
	return s.run(ctx, s.db, operation{"Release", p}, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, s.query.release, append(p.args(), []byte(holder))...)
		return err
	})
}

// Activate implements [envelope.KeyStore].
func (s *Store) Activate(ctx context.Context, rec envelope.Record, previous envelope.KeyID) error {
	p := placeOf(rec.Scope, rec.Purpose)
	return s.store(ctx, "Activate", p, &rec, func(c *sql.Conn) error {
		if previous == (envelope.KeyID{}) {
			return s.insert(ctx, c, &rec, p, envelope.StateActive)
		}
		return s.transact(ctx, c, func(q sqlconn.Querier) error {
			n, err := affected(ctx, q, s.query.retire, p.key(previous))
			switch {
			case err != nil:
				return err
			case n == 0:
				return envelope.ErrConflict
			}
			return s.insert(ctx, q, &rec, p, envelope.StateActive)
		})
	})
}

// Insert implements [envelope.KeyStore].
func (s *Store) Insert(ctx context.Context, rec envelope.Record) error {
	p := placeOf(rec.Scope, rec.Purpose)
	return s.store(ctx, "Insert", p, &rec, func(c *sql.Conn) error {
		return s.insert(ctx, c, &rec, p, envelope.StateRetired)
	})
}

// store checks a new record before it runs work.
func (s *Store) store(ctx context.Context, method string, p place, rec *envelope.Record, work func(c *sql.Conn) error) error {
	what := operation{method, p.name(rec.KeyID)}
	if err := p.check(); err != nil {
		return fail(what, other, err)
	}
	if rec.State == envelope.StateDestroyed {
		rec.State = "" // it is stored in another state, and needs its wrapped key
	}
	if err := checkRecord(rec); err != nil {
		return fail(what, other, err)
	}
	return s.run(ctx, s.db, what, work)
}

// insert stores a record in a state. The unique indexes decide whether it may:
// that of names, and that of active keys.
func (s *Store) insert(ctx context.Context, q sqlconn.Querier, rec *envelope.Record, p place, state envelope.State) error {
	n, err := affected(ctx, q, s.query.insert, inserted(rec, p, state))
	if kindOf(err) == duplicate || err == nil && n == 0 {
		return envelope.ErrConflict
	}
	return err
}

// errTakenMeanwhile has a lease tried again: another process took some of the
// budget, or moved the key, after it was read.
var errTakenMeanwhile = errors.New("another process changed the key meanwhile")

// Lease implements [envelope.KeyStore]. It holds no lock while the database waits
// for this process, which may be stopped at any time.
func (s *Store) Lease(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID, n uint64) (granted, left uint64, err error) {
	p := placeOf(scope, purpose)
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	if p.check() != nil {
		return 0, 0, envelope.ErrKeyNotFound
	}
	err = s.run(ctx, s.db, operation{"Lease", p.name(id)}, func(c *sql.Conn) (err error) {
		granted, left, err = s.lease(ctx, c, p, id, n)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	return granted, left, nil
}

// lease takes messages of a key in one statement, or none.
func (s *Store) lease(ctx context.Context, c *sql.Conn, p place, id envelope.KeyID, n uint64) (granted, left uint64, err error) {
	var b budget
	if s.dialect == Postgres && n > 0 {
		key, changed := p.key(id), int64(0)
		args := append(append([]any{int64(min(n, math.MaxInt64))}, key...), key...)
		if err := b.read(ctx, c, s.query.take, args, p.name(id), &changed); err != nil {
			return 0, 0, err
		}
		granted, left = b.grant(n)
		if b.counted() && granted > 0 && changed != 1 {
			return 0, 0, errTakenMeanwhile
		}
		return granted, left, nil
	}
	if err := b.read(ctx, c, s.query.look, p.key(id), p.name(id)); err != nil {
		return 0, 0, err
	}
	granted, left = b.grant(n)
	if !b.counted() || granted == 0 {
		return granted, left, nil
	}
	args := append(append([]any{b.size - int64(left)}, p.key(id)...), b.taken)
	changed, err := affected(ctx, c, s.query.take, args)
	if err == nil && changed == 0 {
		err = errTakenMeanwhile
	}
	return granted, left, err
}

// A budget is what a record says of its messages.
type budget struct {
	state       envelope.State
	size, taken int64
}

// read reads the budget of a key, and what else the query answers into more.
func (b *budget) read(ctx context.Context, q sqlconn.Querier, query string, args []any, key fmt.Stringer, more ...any) error {
	var state string
	found := false
	err := sqlconn.Each(ctx, q, query, args, func(scan func(...any) error) error {
		found = true
		if err := scan(append([]any{&state, &b.size, &b.taken}, more...)...); err != nil {
			return malformed("the record of %s: %v", key, err)
		}
		return nil
	})
	b.state = envelope.State(state)
	if err == nil && !found {
		return envelope.ErrKeyNotFound
	}
	return err
}

// counted reports whether messages are taken of it.
func (b *budget) counted() bool { return b.state == envelope.StateActive && b.size != 0 }

// grant is what a lease of n messages is given.
func (b *budget) grant(n uint64) (granted, left uint64) {
	switch {
	case b.state != envelope.StateActive:
		return 0, 0
	case b.size == 0:
		return n, math.MaxUint64
	}
	left = uint64(max(b.size-max(b.taken, 0), 0))
	granted = min(n, left)
	return granted, left - granted
}

// Update implements [envelope.KeyStore].
func (s *Store) Update(ctx context.Context, old, rec envelope.Record) error {
	p := placeOf(old.Scope, old.Purpose)
	what := operation{"Update", p.name(old.KeyID)}
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.check() != nil {
		return envelope.ErrKeyNotFound
	}
	if err := checkRecord(&rec); err != nil {
		return fail(what, other, err)
	}
	if !knownState(rec.State) {
		return fail(what, other, malformed("there is no state %.20q", string(rec.State)))
	}
	return s.run(ctx, s.db, what, func(c *sql.Conn) error {
		return s.update(ctx, c, p, &old, &rec)
	})
}

func (s *Store) update(ctx context.Context, c *sql.Conn, p place, old, rec *envelope.Record) error {
	destroy := rec.State == envelope.StateDestroyed
	if old.State != envelope.StateDestroyed && (rec.State != envelope.StateActive || old.State == envelope.StateActive) {
		var wrapped any
		if !destroy {
			wrapped = rec.Wrapped
		}
		args := []any{
			[]byte(rec.RootKey), wrapped, string(rec.State), seconds(rec.DestroyAfter),
			seconds(rec.Change.At), text(rec.Change.By), text(rec.Change.Why),
		}
		was := int64(0)
		if !old.DestroyAfter.IsZero() {
			was = old.DestroyAfter.Unix()
		}
		args = append(append(args, p.key(old.KeyID)...), string(old.State), []byte(old.RootKey), old.Wrapped, was)
		restore := func() {}
		if s.dialect == SQLite {
			restore = secureDelete(ctx, c)
		}
		n, err := affected(ctx, c, s.query.update, args)
		restore()
		if n > 0 && destroy && s.dialect == SQLite {
			emptyWAL(ctx, c)
		}
		if n > 0 || err != nil {
			return err
		}
	}
	found := false
	err := sqlconn.Each(ctx, c, s.query.exists, p.key(old.KeyID), func(func(...any) error) error {
		found = true
		return nil
	})
	switch {
	case err != nil:
		return err
	case !found:
		return envelope.ErrKeyNotFound
	}
	return envelope.ErrConflict
}

// What follows has SQLite leave less of a wrapped key in its files. It is an effort
// and no promise: copies of a row that were moved before remain until VACUUM.

// emptyWAL writes the write-ahead log into the database and cuts it off, if there
// is one and nobody reads from it.
func emptyWAL(ctx context.Context, c *sql.Conn) {
	_ = pragma(ctx, c, "wal_checkpoint(TRUNCATE)")
}

// secureDelete has SQLite overwrite what is deleted on this connection, until
// the function it returns is called.
func secureDelete(ctx context.Context, c *sql.Conn) (restore func()) {
	before := int64(-1)
	_ = sqlconn.Each(ctx, c, "PRAGMA secure_delete", nil, func(scan func(...any) error) error { return scan(&before) })
	if before < 0 || before == 1 {
		return func() {}
	}
	_ = pragma(ctx, c, "secure_delete = ON")
	return func() {
		value := "OFF"
		if before == 2 {
			value = "FAST"
		}
		_ = pragma(context.WithoutCancel(ctx), c, "secure_delete = "+value)
	}
}

func pragma(ctx context.Context, c *sql.Conn, text string) error {
	return sqlconn.Each(ctx, c, "PRAGMA "+text, nil, func(func(...any) error) error { return nil })
}
