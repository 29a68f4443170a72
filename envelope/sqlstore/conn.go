package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

const (
	// poolPatience is how long a pool's only connection may be in use by the
	// same caller before that is an error: a caller that holds it in a
	// transaction and waits for a key waits for itself.
	poolPatience = 250 * time.Millisecond

	// dialPatience is for a pool that has no connection yet: it must be made.
	dialPatience = 5 * time.Second

	// retryFor bounds how long a transaction is tried again that the database
	// rolled back.
	retryFor = 10 * time.Second

	// staleAttempts is how many dead connections in a row are passed over.
	staleAttempts = 4
)

// run does one piece of work on a connection of its own, again if the database
// asks for that, and says in its errors what was attempted.
func (s *Store) run(ctx context.Context, db *sql.DB, what fmt.Stringer, work func(c *sql.Conn) error) error {
	began, dead := time.Now(), 0
	for attempt := 1; ; attempt++ {
		err := s.attempt(ctx, db, work)
		if err == nil || isAnswer(err) {
			return err
		}
		if over(ctx) != nil {
			return s.interrupted(ctx, db, what)
		}
		switch k := kindOf(err); {
		case k == stale && dead < staleAttempts:
			dead++
			continue
		case k == again && time.Since(began) < s.retryFor:
			if !pause(ctx, attempt) {
				return s.interrupted(ctx, db, what)
			}
			continue
		case k == again:
			return fmt.Errorf("sqlstore: %s: %w: gave up after %d attempts in %v: %w",
				what, ErrBusy, attempt, time.Since(began).Round(time.Millisecond), err)
		default:
			return fail(what, k, err)
		}
	}
}

// isAnswer tells what the contract of a key store says from what went wrong.
func isAnswer(err error) bool {
	return errors.Is(err, envelope.ErrKeyNotFound) || errors.Is(err, envelope.ErrConflict)
}

func fail(what fmt.Stringer, k kind, err error) error {
	if is := k.sentinel(); is != nil && !errors.Is(err, is) {
		return fmt.Errorf("sqlstore: %s: %w: %w", what, is, err)
	}
	return fmt.Errorf("sqlstore: %s: %w", what, err)
}

// interrupted is the error of a call whose context has ended, and of nothing
// else: what the driver makes of that differs.
func (s *Store) interrupted(ctx context.Context, db *sql.DB, what fmt.Stringer) error {
	if stats := db.Stats(); stats.MaxOpenConnections > 0 && stats.InUse >= stats.MaxOpenConnections {
		return fmt.Errorf("sqlstore: %s: all %d connections of the pool are in use: %w", what, stats.MaxOpenConnections, over(ctx))
	}
	return fmt.Errorf("sqlstore: %s: %w", what, over(ctx))
}

// over is ctx.Err, and doesn't come later than the deadline: what a driver hands
// the deadline to may give up a moment before the context does.
func over(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// pause waits a random time that grows with the attempts, and reports whether
// ctx still runs then.
func pause(ctx context.Context, attempt int) bool {
	limit := min(time.Millisecond<<min(attempt, 6), 50*time.Millisecond)
	timer := time.NewTimer(limit/4 + rand.N(limit)) //nolint:gosec // jitter, not a secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Store) attempt(ctx context.Context, db *sql.DB, work func(c *sql.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := s.conn(ctx, db)
	if err != nil {
		return err
	}
	defer c.Close()
	if db == s.db {
		s.atWork.Add(1)
		defer func() {
			s.workedAt.Store(time.Now().UnixNano())
			s.atWork.Add(-1)
		}()
	}
	return work(c)
}

// conn takes a connection out of the pool. It doesn't wait for a pool's only
// connection while that is held.
func (s *Store) conn(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	before := db.Stats()
	if before.MaxOpenConnections != 1 {
		return db.Conn(ctx)
	}
	patience := poolPatience
	if before.OpenConnections == 0 {
		patience = dialPatience
	}
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go s.watchPool(waiting, cancel, db, before.WaitDuration, patience)
	c, err := db.Conn(waiting)
	if err != nil && errors.Is(context.Cause(waiting), ErrPoolHeld) {
		return nil, ErrPoolHeld
	}
	return c, err
}

// watchPool ends the waiting for a pool's only connection if nobody gets it. As
// long as others do, the pool is busy and not stuck, and so it is while a call of
// the store itself has it, which waits for nobody here.
func (s *Store) watchPool(waiting context.Context, cancel context.CancelCauseFunc, db *sql.DB, waited, patience time.Duration) {
	for {
		began := time.Now().UnixNano()
		timer := time.NewTimer(patience)
		select {
		case <-waiting.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		now := db.Stats().WaitDuration
		// Those who give up waiting count as if they had got the connection.
		busy := db == s.db && (s.atWork.Load() > 0 || s.workedAt.Load() >= began)
		if !busy && (now == waited || s.heldAt.Load() >= began) {
			s.heldAt.Store(time.Now().UnixNano())
			cancel(ErrPoolHeld)
			return
		}
		waited, patience = now, poolPatience
	}
}

// transact runs work in a transaction on c. It is never the caller's.
func (s *Store) transact(ctx context.Context, c *sql.Conn, work func(q sqlconn.Querier) error) error {
	return sqlconn.Transact(ctx, c, sqlconn.Dialect(s.dialect), work)
}
