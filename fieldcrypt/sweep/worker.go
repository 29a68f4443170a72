package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// How often a worker that has to wait for others looks again.
const (
	pollFirst = 5 * time.Millisecond
	pollLast  = 250 * time.Millisecond
)

// worker takes one key range after the other, until the job is done. Its holder is
// no other's.
func (r *run) worker(ctx context.Context, holder string) error {
	size := new(atomic.Int64) // rows in a batch; grows from here
	size.Store(int64(min(firstBatch, r.Sweeper.opts.MaxBatch)))
	for poll := pollFirst; ; {
		var u *unit
		r.hooks.Step("take")
		err := r.asking(ctx, func(ctx context.Context) (err error) {
			u, err = r.queue.take(ctx, holder)
			return err
		})
		switch {
		case errors.Is(err, errDone):
			return nil
		case errors.Is(err, errPaused), errors.Is(err, errWait):
			r.paused(errors.Is(err, errPaused))
			if errors.Is(err, errWait) && r.active.Load() == 0 {
				r.waiting("key ranges that others work on, or that a process which ended had: these are free when their lease is over")
			}
			if !sleep(ctx, poll) {
				return context.Cause(ctx)
			}
			poll = min(2*poll, pollLast)
			continue
		case err != nil:
			return err
		}
		r.paused(false)
		poll = pollFirst
		r.waiting("")
		r.active.Add(1)
		err = r.unit(ctx, u, size)
		r.active.Add(-1)
		switch {
		case errors.Is(err, errLost): // somebody else goes on with it
			continue
		case errors.Is(err, errPaused):
			if err := r.asking(ctx, func(ctx context.Context) error { return r.queue.release(ctx, holder) }); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		r.hooks.Step("finish")
		err = r.asking(ctx, func(ctx context.Context) error { return r.queue.finish(ctx, u) })
		if err != nil && !errors.Is(err, errLost) {
			return err
		}
	}
}

const firstBatch = 100

// A batch is rows on their way from the reading half of a worker to the writing
// half.
type batch struct {
	records []*record
	changes []*change
	failed  map[string]bool
	reasons []Failure
	last    key
	kept    map[string]outcome // what kept rows from being written at the last attempt, where it wasn't another's change
}

// unit sweeps one key range. While one batch is being written the next is read
// and sealed, so that the database and the processor work at the same time.
func (r *run) unit(ctx context.Context, u *unit, size *atomic.Int64) error {
	g, ctx := errgroup.WithContext(ctx)
	batches := make(chan *batch, 1)
	g.Go(func() error {
		defer close(batches)
		at := bound{after: u.bound.after, last: u.bound.last}
		if u.cursor != nil {
			at.after = u.cursor
		}
		for {
			if r.isPaused() {
				return errPaused
			}
			b, more, err := r.read(ctx, at, int(size.Load()))
			if err != nil {
				return err
			}
			if len(b.records) > 0 {
				select {
				case batches <- b:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
				at.after = b.last
			}
			if !more {
				return nil
			}
		}
	})
	g.Go(func() error {
		for b := range batches {
			if err := r.settle(ctx, u, b, size); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// read reads the next rows of a bound and finds out what is to become of them.
func (r *run) read(ctx context.Context, at bound, limit int) (*batch, bool, error) {
	b := &batch{failed: map[string]bool{}}
	var more bool
	r.hooks.Step("read")
	err := r.asking(ctx, func(ctx context.Context) (err error) {
		b.records, more, err = r.reader.page(ctx, r.db, at, limit)
		if sqlerr.Ended(err) {
			limit = max(1, limit/2)
		}
		return err
	})
	if err != nil || len(b.records) == 0 {
		return b, more, err
	}
	b.last = b.records[len(b.records)-1].key
	for left := len(b.records); left > 0; {
		n := left
		if burst := r.limiter.Burst(); burst > 0 {
			n = min(n, burst)
		}
		if err := r.limiter.WaitN(ctx, n); err != nil {
			return nil, false, err
		}
		left -= n
	}
	r.hooks.Step("seal")
	return b, more, r.decide(ctx, b, b.records)
}

// decide applies the operation to records, and adds to the batch what is to be
// written and what can't be. No transaction is open meanwhile: the key service
// and the key store may be called.
func (r *run) decide(ctx context.Context, b *batch, records []*record) error {
	ours := make([]*record, 0, len(records))
	for _, rec := range records {
		if r.reader.ours(rec) {
			ours = append(ours, rec)
		}
	}
	ours = r.away.passOver(b, ours)
	if err := r.op.over(); err != nil {
		return err
	}
	var rows []fieldcrypt.Row
	err := r.patiently(ctx, "the key service or the key store", func() (err error) {
		if rows, err = r.apply(ctx, ours); err != nil {
			return err
		}
		return r.met(ours, rows)
	})
	if err != nil && (!errors.Is(err, ErrOutage) || !r.giveUp(ctx, ours, rows)) {
		return err
	}
	for i, rec := range ours {
		c := &change{record: rec, new: append([]any(nil), rec.value...)}
		changed := false
		for at := range rows[i].Cells {
			changed = r.cell(b, c, &rows[i].Cells[at], at) || changed
			if to := r.reader.plainAt[at]; to >= 0 {
				changed = r.cell(b, c, &rows[i].Plain[at], to) || changed
			}
		}
		for n, at := range r.reader.indexAt {
			changed = r.cell(b, c, &rows[i].Index[n], at) || changed
		}
		if len(r.op.sets) > 0 {
			// A row moves as a whole or not at all.
			changed = (changed || !r.reader.isSet(rec, false)) && !b.failed[rec.key.name()]
		}
		if changed {
			b.changes = append(b.changes, c)
		}
	}
	return nil
}

// apply returns the records' rows as the operation leaves them.
func (r *run) apply(ctx context.Context, records []*record) ([]fieldcrypt.Row, error) {
	rows, extra := make([]fieldcrypt.Row, len(records)), make([][]any, len(records))
	for i, rec := range records {
		rows[i], extra[i] = rec.row, rec.extra
	}
	return rows, r.op.apply(ctx, r.reader.Rows, rows, extra, r.options())
}

// cell brings what the operation says of a cell into a change.
func (r *run) cell(b *batch, c *change, cell *fieldcrypt.RowCell, at int) (changed bool) {
	if cell.Err != nil {
		b.fail(c.record, r.reader.touched[at].name, cell.Err.Error())
		return false
	}
	if !cell.Changed {
		return false
	}
	c.new[at] = cell.New
	return true
}

func (b *batch) fail(rec *record, column, reason string) {
	b.failed[rec.key.name()] = true
	b.reasons = fail(b.reasons, failuresOfRange, Failure{Key: rec.key.String(), Column: column, Reason: reason})
}

// settle writes a batch, tries again what others changed at the same time, and
// moves the unit's cursor behind it.
func (r *run) settle(ctx context.Context, u *unit, b *batch, size *atomic.Int64) error {
	w := &writer{Sweeper: r.Sweeper, reader: r.reader, hooks: r.hooks}
	written := int64(0)
	saved := false
	made := func() step {
		failures := u.failures
		for _, f := range b.reasons {
			failures = fail(failures, failuresOfRange, f)
		}
		return step{b.last, int64(len(b.records)), written, int64(len(b.failed)), failures}
	}
	var last step // that was saved, or may have been
	save := func(ctx context.Context, q sqlconn.Querier, st step) error {
		again, err := r.queue.save(ctx, q, u, st)
		if !again {
			last = st
		}
		return err
	}
	if r.hooks.CursorFirst {
		if err := save(ctx, r.db, made()); err != nil {
			return err
		}
		r.hooks.Step("cursor first")
	}
	if len(b.changes) == 0 {
		r.adapt(size, len(b.records), 0)
	}
	for attempt := 1; len(b.changes) > 0 && !r.opts.DryRun; attempt++ {
		changes := b.changes
		if attempt > r.Sweeper.opts.Attempts {
			for _, c := range changes {
				what := "others changed it each time that it was read, %d times: run the sweep again"
				switch b.kept[c.key.name()] {
				case outcomeLocked:
					what = "others hold a lock on it, and it was tried %d times: end their transaction, and run the sweep again"
				case outcomeEnded:
					what = "the database ended the statement that writes it alone, %d times: it takes longer than the server lets one (" + statementLimits + "), or somebody cancelled it; look for a trigger that is slow, or raise the limit for the sweep's role, and run the sweep again"
				}
				b.fail(c.record, "", fmt.Sprintf(what, attempt-1))
			}
			break
		}
		var done result
		var began time.Time
		err := r.patiently(ctx, theDatabase, func() (err error) {
			began = time.Now() // an outage before isn't the batch's
			done, err = w.write(ctx, changes, func(ctx context.Context, q sqlconn.Querier) error {
				st := made()
				st.changed += int64(len(changes))
				return save(ctx, q, st)
			})
			return err
		})
		if err != nil {
			return err
		}
		if attempt == 1 { // later ones are of rows that others hold or change
			r.adapt(size, len(b.records), time.Since(began))
		}
		saved = done.saved
		again, held, err := r.sort(ctx, w, b, changes, &done, &written)
		if err != nil {
			return err
		}
		pause := time.Duration(attempt) * 2 * time.Millisecond
		if done.ended() { // a database that is slow for a while isn't the row's fault
			pause = min(100*time.Millisecond<<min(attempt, 6), longestPause)
		}
		if len(again) > 0 && attempt > 1 && !sleep(ctx, rand.N(pause)) { //nolint:gosec // jitter, not a secret
			return context.Cause(ctx)
		}
		b.changes = nil
		if err := r.decide(ctx, b, again); err != nil {
			return err
		}
		// What holds what was written, and needs nothing more, was written by an attempt
		// whose answer got lost.
		for _, c := range b.changes {
			delete(held, c.key.name())
		}
		for name := range held {
			if !b.failed[name] {
				written++
			}
		}
	}
	if !saved {
		r.hooks.Step("cursor")
		st := made()
		if err := r.asking(ctx, func(ctx context.Context) error { return save(ctx, r.db, st) }); err != nil {
			return err
		}
	}
	u.failures, u.cursor = last.failures, b.last
	r.count(last)
	return nil
}

// sort tells apart what became of changes, and returns those that others changed as
// they are now, and which of them hold what was written.
func (r *run) sort(ctx context.Context, w *writer, b *batch, changes []*change, done *result, written *int64) (again []*record, held map[string]bool, err error) {
	lost := map[string]*change{}
	b.kept = map[string]outcome{}
	for i, o := range done.outcomes {
		c := changes[i]
		switch o {
		case outcomeWritten:
			*written++
			continue
		case outcomeAltered:
			b.fail(c.record, "", "the database held something else than what was written, as where a trigger changes the row or a column is too narrow: it was taken back; change the trigger, or widen the column")
			continue
		case outcomeRefused:
			b.fail(c.record, "", "the database refused what was written ("+done.codes[i]+"): look at the column's type, size and constraints")
			continue
		case outcomeLocked, outcomeEnded:
			b.kept[c.key.name()] = o
		}
		lost[c.key.name()] = c
	}
	if len(lost) == 0 {
		return nil, nil, nil
	}
	err = r.asking(ctx, func(ctx context.Context) error {
		now, err := r.reader.many(ctx, r.db, keysOf(slices.Collect(maps.Values(lost))))
		again, held = again[:0], map[string]bool{}
		for name, rec := range now { // those that aren't there were deleted
			again = append(again, rec)
			if c, ok := lost[name]; ok && w.holds(rec, c) { // another way of writing the same key is another's change
				held[name] = true
			}
		}
		return err
	})
	return again, held, err
}

// adapt makes batches larger while they are fast, and smaller where one of n rows
// takes longer than BatchTime.
func (r *run) adapt(size *atomic.Int64, n int, took time.Duration) {
	now := size.Load()
	switch limit := r.Sweeper.opts.BatchTime; {
	case took > limit:
		size.Store(max(1, min(now, int64(n)/2))) // those that were read before are as large as this one
	case took < limit/4 && int64(n) >= now/2:
		size.Store(min(int64(r.Sweeper.opts.MaxBatch), now*2))
	}
}

// sleep waits, and reports whether ctx still runs then.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
