package sweep

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// The units of work. A unit is a key range of the table; it is taken in one
// place and finished in one, so that another queue can take the place of this
// table. Ranges are made one after the other, as workers ask for them: nothing is
// counted or sorted before the work begins.

// A unit is a key range that this run holds.
type unit struct {
	n        int64
	holder   string
	bound    bound
	cursor   key // up to where it is done
	failures []Failure
}

var (
	errLost   = errors.New("the key range was given to another worker, since this one said nothing for longer than its lease")
	errPaused = errors.New("the job is paused")
	errWait   = errors.New("all key ranges are being worked on")
	errDone   = errors.New("the job is done")
)

// A queue gives out the units of a job.
type queue struct {
	*Sweeper
	reader *reader
	job    *job
	run    string // what its workers' names as holders begin with
}

// take returns a unit that nobody works on, to a holder that has none. It is the only
// place where one gets its holder. The errors are errDone, errWait, errPaused,
// ErrAbandoned.
func (qu *queue) take(ctx context.Context, holder string) (*unit, error) {
	var got *unit
	var answer error
	err := transact(ctx, qu.db, qu.dialect, func(q sqlconn.Querier) error {
		got, answer = nil, nil
		j, err := qu.state.find(ctx, q, qu.job.table, true)
		switch {
		case err != nil:
			return err
		case j == nil || j.id != qu.job.id:
			answer = ErrAbandoned
			return nil
		case j.state == jobDone:
			answer = errDone
			return nil
		case j.state == jobPaused:
			answer = errPaused
			return nil
		}
		if got, err = qu.free(ctx, q, holder); got != nil || err != nil {
			return err
		}
		if !j.planned {
			got, err = qu.plan(ctx, q, j, holder)
			return err
		}
		left := 0
		err = sqlconn.Each(ctx, q, qu.state.fill("SELECT count(*) FROM {ranges} WHERE job = ? AND done = 0"), []any{j.id}, func(scan func(...any) error) error { return scan(&left) })
		if err != nil {
			return err
		}
		if left > 0 {
			answer = errWait
			return nil
		}
		answer = errDone
		_, err = q.ExecContext(ctx, qu.state.fill("UPDATE {jobs} SET state = 'done', ended = {now} WHERE table_name = ? AND job = ?"), j.table, j.id)
		return err
	})
	if err == nil {
		err = answer
	}
	return got, err
}

// setBack is how much later than a lease given now another's must end to be taken
// for one of before the clock was set back. It is much: other processes may have
// longer leases, and the time of a statement is that of its beginning, in MariaDB
// and SQLite, while a lease that was renewed after that is in what it reads.
const setBack = 10 * time.Minute

// free takes a range whose holder is gone, or one that this holder was given by a
// call whose answer got lost.
func (qu *queue) free(ctx context.Context, q sqlconn.Querier, holder string) (*unit, error) {
	u := &unit{n: -1, holder: holder}
	var after, last, done, failures sql.NullString
	query := "SELECT n, after_key, last_key, done_key, failures FROM {ranges} WHERE job = ? AND done = 0 AND (holder IS NULL OR holder = ? OR until <= {now} OR until > {now} + ?) ORDER BY n LIMIT 1"
	err := sqlconn.Each(ctx, q, qu.state.fill(query), []any{qu.job.id, holder, (2*qu.opts.Lease + setBack).Microseconds()}, func(scan func(...any) error) error {
		return scan(&u.n, &after, &last, &done, &failures)
	})
	if err != nil || u.n < 0 {
		return nil, err
	}
	for _, k := range []struct {
		text sql.NullString
		to   *key
	}{{after, &u.bound.after}, {last, &u.bound.last}, {done, &u.cursor}} {
		if k.text.Valid {
			if *k.to, err = decodeKey(k.text.String, len(qu.reader.key)); err != nil {
				return nil, err
			}
		}
	}
	u.failures = decodeFailures(failures.String)
	_, err = q.ExecContext(ctx, qu.state.fill("UPDATE {ranges} SET holder = ?, until = {now} + ? WHERE job = ? AND n = ?"), holder, qu.opts.Lease.Microseconds(), qu.job.id, u.n)
	return u, err
}

// plan makes the next range and takes it. The last one has no end.
func (qu *queue) plan(ctx context.Context, q sqlconn.Querier, j *job, holder string) (*unit, error) {
	u := &unit{n: j.next, holder: holder}
	if j.frontier.Valid {
		k, err := decodeKey(j.frontier.String, len(qu.reader.key))
		if err != nil {
			return nil, err
		}
		u.bound.after = k
	}
	last, err := qu.reader.nth(ctx, q, bound{after: u.bound.after}, rangeRows(j.estimate, qu.opts.RangeRows))
	if err != nil {
		return nil, err
	}
	u.bound.last = last
	_, err = q.ExecContext(ctx, qu.state.fill("INSERT INTO {ranges} (job, n, after_key, last_key, holder, until, done, seen, changed, failed) VALUES (?, ?, ?, ?, ?, {now} + ?, 0, 0, 0, 0)"),
		j.id, u.n, stored(u.bound.after), stored(last), holder, qu.opts.Lease.Microseconds())
	if err != nil {
		return nil, err
	}
	planned := 0
	if last == nil {
		planned = 1
	}
	_, err = q.ExecContext(ctx, qu.state.fill("UPDATE {jobs} SET frontier = ?, planned = ?, next_range = ? WHERE table_name = ? AND job = ?"),
		stored(last), planned, u.n+1, j.table, j.id)
	return u, err
}

const (
	shares     = 32   // of a small table, so that the last of them doesn't keep one worker alone at work for long
	leastShare = 1000 // rows
)

// rangeRows is how many rows the next range has.
func rangeRows(estimate int64, most int) int {
	return min(most, int(max(leastShare, min(estimate/shares, int64(most)))))
}

func stored(k key) any {
	if k == nil {
		return nil
	}
	return k.encode()
}

// nth returns the key of the n-th row in a bound, or nil if there are fewer.
func (r *reader) nth(ctx context.Context, q sqlconn.Querier, b bound, n int) (key, error) {
	where, args := r.where(b)
	parts := make([]string, len(r.key))
	for i := range r.key {
		parts[i] = r.keyExpression(&r.key[i])
	}
	query := "SELECT " + strings.Join(parts, ", ") + " FROM " + r.from + " AS r" + where + " ORDER BY " + r.keyList("r.") + fmt.Sprintf(" LIMIT 1 OFFSET %d", n-1)
	var found key
	err := sqlconn.Each(ctx, q, bind(r.dialect, query), args, func(scan func(...any) error) error {
		values, targets := make([]any, len(r.key)), make([]any, len(r.key))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := scan(targets...); err != nil {
			return err
		}
		found = make(key, len(values))
		for i := range values {
			found[i] = normal(r.dialect, &r.key[i], values[i])
			if b, ok := found[i].([]byte); ok && r.dialect == Postgres {
				found[i] = string(b)
			}
		}
		return nil
	})
	return found, err
}

// A step is what a batch adds to its unit.
type step struct {
	cursor                key
	seen, changed, failed int64
	failures              []Failure // all of the unit's
}

// save moves a unit's cursor on, and counts the step. It does so once, also where an
// attempt's answer gets lost and it is made again, of which it tells. It fails with
// errLost where the unit isn't this run's any more, so that a transaction that holds it
// writes nothing.
func (qu *queue) save(ctx context.Context, q sqlconn.Querier, u *unit, st step) (again bool, err error) {
	failures, err := encodeFailures(st.failures)
	if err != nil {
		return false, err
	}
	before := ""
	if u.cursor != nil {
		before = u.cursor.encode()
	}
	err = qu.mine(q.ExecContext(ctx, qu.state.fill("UPDATE {ranges} SET done_key = ?, seen = seen + ?, changed = changed + ?, failed = failed + ?, failures = ?, until = {now} + ? WHERE job = ? AND n = ? AND holder = ? AND COALESCE(done_key, '') = ?"),
		stored(st.cursor), st.seen, st.changed, st.failed, failures, qu.opts.Lease.Microseconds(), qu.job.id, u.n, u.holder, before))
	if !errors.Is(err, errLost) {
		return false, err
	}
	query := "SELECT n FROM {ranges} WHERE job = ? AND n = ? AND holder = ? AND done_key = ?"
	unread := sqlconn.Each(ctx, q, qu.state.fill(query), []any{qu.job.id, u.n, u.holder, stored(st.cursor)}, func(scan func(...any) error) error {
		again = true
		return scan(new(int64))
	})
	switch {
	case unread != nil:
		return false, unread
	case again:
		return true, nil
	}
	return false, errLost
}

// finish ends a unit. It is the only place where one ends.
func (qu *queue) finish(ctx context.Context, u *unit) error {
	return qu.mine(qu.db.ExecContext(ctx, qu.state.fill("UPDATE {ranges} SET done = 1, holder = NULL WHERE job = ? AND n = ? AND holder = ?"), qu.job.id, u.n, u.holder))
}

func (qu *queue) mine(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return errLost
	}
	return err
}

// release gives the units of holders back, for others to go on with.
func (qu *queue) release(ctx context.Context, like string) error {
	_, err := qu.db.ExecContext(ctx, qu.state.fill("UPDATE {ranges} SET holder = NULL WHERE job = ? AND holder LIKE ? AND done = 0"), qu.job.id, like)
	return err
}

// renew makes the leases of this run's units longer, and reads how the job is.
func (qu *queue) renew(ctx context.Context) (jobState, error) {
	_, err := qu.db.ExecContext(ctx, qu.state.fill("UPDATE {ranges} SET until = {now} + ? WHERE job = ? AND holder LIKE ? AND done = 0"), qu.opts.Lease.Microseconds(), qu.job.id, qu.run+"-%")
	if err != nil {
		return "", err
	}
	j, err := qu.state.find(ctx, qu.db, qu.job.table, false)
	switch {
	case err != nil:
		return "", err
	case j == nil || j.id != qu.job.id:
		return "", ErrAbandoned
	}
	return j.state, nil
}
