package sweep

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// A job is a row of the table of jobs: the sweep of one table, the only one at a
// time.
type job struct {
	id       string
	table    string
	name     string
	op       string
	what     string // operation and options, as far as they have to be the same everywhere
	shape    string
	state    jobState
	frontier sql.NullString // up to where key ranges were made
	planned  bool           // to the end
	next     int64          // number of the next range
	estimate int64
	began    int64
	ended    sql.NullInt64
	by, why  string
}

type jobState string

const (
	jobRunning jobState = "running"
	jobPaused  jobState = "paused"
	jobDone    jobState = "done"
)

const jobColumns = "table_name, job, name, operation, what, shape, state, frontier, planned, next_range, estimate, began, ended, changed_by, changed_why"

// find reads the job of a table, and with lock keeps others from changing it
// until the transaction ends. It returns nil if there is none.
func (n names) find(ctx context.Context, q sqlconn.Querier, table string, lock bool) (*job, error) {
	query := "SELECT " + jobColumns + " FROM {jobs} WHERE table_name = ?"
	if lock && n.dialect != SQLite { // where the transaction has the only right to write
		query += " FOR UPDATE"
	}
	var found *job
	err := sqlconn.Each(ctx, q, n.fill(query), []any{table}, func(scan func(...any) error) error {
		j := &job{}
		found = j
		return scan(&j.table, &j.id, &j.name, &j.op, &j.what, &j.shape, &j.state, &j.frontier, &j.planned, &j.next, &j.estimate, &j.began, &j.ended, &j.by, &j.why)
	})
	return found, err
}

// begin makes the job, or joins the one that is under way. A job that is done is
// replaced, unless it is the very one that was asked for by its name.
func (s *Sweeper) begin(ctx context.Context, want job) (*job, error) {
	var got *job
	for attempt := 0; ; attempt++ {
		err := transact(ctx, s.db, s.dialect, func(q sqlconn.Querier) error {
			found, err := s.state.find(ctx, q, want.table, true)
			if err != nil {
				return err
			}
			switch {
			case found == nil:
				got = &want
				return s.insert(ctx, q, got)
			case found.state != jobDone:
				got = found
				return want.joins(found)
			case want.name != "" && found.name == want.name && found.what == want.what && found.op == want.op:
				got = found
				return nil
			}
			if err := s.state.remove(ctx, q, found); err != nil {
				return err
			}
			got = &want
			return s.insert(ctx, q, got)
		})
		if err == nil {
			return got, nil
		}
		if sqlerr.Of(err) != sqlerr.Duplicate || attempt == 3 { // another process was faster
			return nil, err
		}
	}
}

// joins says why a job can't be joined.
func (j *job) joins(found *job) error {
	switch {
	case found.op != j.op || found.what != j.what || found.name != j.name:
		name := ""
		if found.name != "" {
			name = fmt.Sprintf(" %q", found.name)
		}
		return fmt.Errorf("%w: a job%s that does %q, with other options or another name than this one, is %s: run that one to its end, or Abandon it", ErrOtherJob, name, found.op, found.state)
	case found.shape != j.shape:
		return fmt.Errorf("%w: its columns, or the record type, aren't those that it began with: bring back what was changed, or Abandon the sweep and begin again, which loses nothing", ErrChanged)
	}
	return nil
}

func (s *Sweeper) insert(ctx context.Context, q sqlconn.Querier, j *job) error {
	j.id, j.state = rand.Text(), jobRunning
	_, err := q.ExecContext(ctx, s.state.fill("INSERT INTO {jobs} ("+jobColumns+") VALUES ("+marks(11)+", {now}, NULL, ?, ?)"),
		j.table, j.id, j.name, j.op, j.what, j.shape, string(j.state), nil, 0, 0, j.estimate, j.by, j.why)
	if err != nil {
		return err
	}
	return sqlconn.Each(ctx, q, s.state.fill("SELECT began FROM {jobs} WHERE table_name = ?"), []any{j.table}, func(scan func(...any) error) error { return scan(&j.began) })
}

func (n names) remove(ctx context.Context, q sqlconn.Querier, j *job) error {
	if _, err := q.ExecContext(ctx, n.fill("DELETE FROM {ranges} WHERE job = ?"), j.id); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, n.fill("DELETE FROM {jobs} WHERE table_name = ? AND job = ?"), j.table, j.id)
	return err
}

// Pause makes all workers of the table's job wait, in all processes, until
// Resume. They notice within a second or so. It lasts beyond the end of the
// process that asked for it.
func (s *Sweeper) Pause(ctx context.Context, table Table) error {
	return s.turn(ctx, &table, "pause", jobRunning, jobPaused)
}

// Resume ends a pause.
func (s *Sweeper) Resume(ctx context.Context, table Table) error {
	return s.turn(ctx, &table, "resume", jobPaused, jobRunning)
}

func (s *Sweeper) turn(ctx context.Context, table *Table, what string, from, to jobState) error {
	fail := func(err error) error {
		return fmt.Errorf("sweep: %s the job on table %s: %w", what, table.label(), told(err))
	}
	return s.withJob(ctx, table, fail, func(q sqlconn.Querier, j *job) error {
		switch {
		case j.state == to:
			return nil
		case j.state != from:
			return fmt.Errorf("the job is %s", j.state)
		}
		_, err := q.ExecContext(ctx, s.state.fill("UPDATE {jobs} SET state = ? WHERE table_name = ?"), string(to), j.table)
		return err
	})
}

// Abandon forgets the table's job, and how far it came. Rows keep what was
// written. Workers of the job end with [ErrAbandoned].
func (s *Sweeper) Abandon(ctx context.Context, table Table) error {
	fail := func(err error) error {
		return fmt.Errorf("sweep: abandon the job on table %s: %w", table.label(), told(err))
	}
	return s.withJob(ctx, &table, fail, func(q sqlconn.Querier, j *job) error { return s.state.remove(ctx, q, j) })
}

func (s *Sweeper) withJob(ctx context.Context, table *Table, fail func(error) error, do func(q sqlconn.Querier, j *job) error) error {
	err := transact(ctx, s.db, s.dialect, func(q sqlconn.Querier) error {
		j, err := s.state.find(ctx, q, table.label(), true)
		if err != nil {
			return err
		}
		if j == nil {
			return errors.New("there is none")
		}
		return do(q, j)
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// Last returns the report of the table's job, done or under way, or nil if there
// was none.
func (s *Sweeper) Last(ctx context.Context, table Table) (*Report, error) {
	j, err := s.state.find(ctx, s.db, table.label(), false)
	if err == nil && j != nil {
		var r *Report
		if r, err = s.report(ctx, j); err == nil {
			return r, nil
		}
	}
	if err != nil && sqlerr.Of(err) != sqlerr.NoTable {
		return nil, fmt.Errorf("sweep: read the job of table %s: %w", table.label(), told(err))
	}
	return nil, nil
}

// report sums up the ranges of a job.
func (s *Sweeper) report(ctx context.Context, j *job) (*Report, error) {
	r := &Report{Job: j.id, Table: j.table, Operation: j.op, Done: j.state == jobDone, Began: time.UnixMicro(j.began).UTC()}
	if j.ended.Valid {
		r.Ended = time.UnixMicro(j.ended.Int64).UTC()
	}
	query := s.state.fill("SELECT COALESCE(SUM(seen), 0), COALESCE(SUM(changed), 0), COALESCE(SUM(failed), 0) FROM {ranges} WHERE job = ?")
	err := sqlconn.Each(ctx, s.db, query, []any{j.id}, func(scan func(...any) error) error { return scan(&r.Rows, &r.Changed, &r.Failed) })
	if err != nil || r.Failed == 0 {
		return r, err
	}
	query = s.state.fill(fmt.Sprintf("SELECT failures FROM {ranges} WHERE job = ? AND failures IS NOT NULL ORDER BY n LIMIT %d", failuresKept))
	return r, sqlconn.Each(ctx, s.db, query, []any{j.id}, func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		for _, f := range decodeFailures(text) {
			r.Failures = fail(r.Failures, failuresKept, f)
		}
		return nil
	})
}

// shortened bounds what goes into a short column.
func shortened(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "")
	}
	return text
}
