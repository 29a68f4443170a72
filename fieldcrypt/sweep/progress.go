package sweep

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// tellEvery is how often the callback is told.
const tellEvery = time.Second

// watch renews the leases, and heeds what was decided elsewhere: a pause, or the
// end of the job.
func (r *run) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	every := min(time.Second, r.Sweeper.opts.Lease/3)
	limit := max(every, r.Sweeper.opts.Lease/3) // other processes wait no longer than the lease
	for sleep(ctx, every) {
		var state jobState
		err := r.within(ctx, limit, func(ctx context.Context) (err error) {
			state, err = r.queue.renew(ctx)
			return err
		})
		switch {
		case errors.Is(err, ErrAbandoned):
			cancel(ErrAbandoned)
			return
		case err != nil: // the workers meet it themselves
			continue
		}
		r.paused(state == jobPaused)
		var report *Report
		err = r.within(ctx, limit, func(ctx context.Context) (err error) {
			report, err = r.report(ctx, r.queue.job)
			return err
		})
		if err == nil {
			r.mu.Lock()
			p := &r.progress
			p.Rows, p.Changed, p.Failed = max(p.Rows, report.Rows), max(p.Changed, report.Changed), max(p.Failed, report.Failed)
			r.tell()
			r.mu.Unlock()
		}
	}
}

func (r *run) paused(paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress.Paused != paused {
		if paused {
			r.pausedAt = time.Now()
		} else {
			r.idle += time.Since(r.pausedAt)
		}
		r.progress.Paused, r.told = paused, time.Time{}
		r.tell()
	}
}

func (r *run) isPaused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress.Paused
}

// count adds what a batch of this call did, until the next look at all of it.
func (r *run) count(st step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.progress
	p.Rows, p.Changed, p.Failed = p.Rows+st.seen, p.Changed+st.changed, p.Failed+st.failed
	r.tell()
}

// finished tells the end.
func (r *run) finished(report *Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.progress
	p.Rows, p.Changed, p.Failed, p.Finished = report.Rows, report.Changed, report.Failed, true
	p.Total, p.Workers, p.Waiting, p.Paused = max(p.Total, p.Rows), 0, "", false
	r.told = time.Time{}
	r.tell()
}

// tell calls the callback, at most once in tellEvery. r.mu is held: calls come
// one at a time.
func (r *run) tell() {
	now := time.Now()
	if r.opts.Progress == nil || now.Sub(r.told) < tellEvery {
		return
	}
	r.told = now
	p := r.progress
	p.Elapsed = now.Sub(r.began)
	if here := p.Rows - r.atStart; here > 0 && p.Total > p.Rows && !p.Finished {
		worked := p.Elapsed - r.idle
		if p.Paused {
			worked -= now.Sub(r.pausedAt)
		}
		p.Left = time.Duration(float64(worked) * float64(p.Total-p.Rows) / float64(here))
	}
	if !p.Finished {
		p.Workers = int(r.active.Load())
	}
	r.opts.Progress(p)
}

const (
	firstPause   = 20 * time.Millisecond
	longestPause = 5 * time.Second
)

// patiently tries again what an outage made fail, with growing pauses, until
// Options.Patience is over.
func (r *run) patiently(ctx context.Context, what string, do func() error) error {
	var since time.Time
	pause := firstPause
	for {
		err := do()
		if err == nil || ctx.Err() != nil || !passes(err) && !isOutage(err) {
			if !since.IsZero() {
				r.waiting("")
			}
			if err != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since)+pause > r.Sweeper.opts.Patience {
			if sqlerr.Ended(err) {
				return fmt.Errorf("%w: %s ended the statement each time for %v, since it takes longer than the server lets one (%s), or somebody cancelled it: raise the limit for the sweep's role, or set a smaller Options.RangeRows: %w", ErrOutage, what, time.Since(since).Round(time.Millisecond), statementLimits, err)
			}
			return fmt.Errorf("%w: %s was away for %v: %w", ErrOutage, what, time.Since(since).Round(time.Millisecond), err)
		}
		if pause > time.Second {
			r.waiting(what)
		}
		if !sleep(ctx, pause/2+rand.N(pause)) { //nolint:gosec // jitter, not a secret
			return context.Cause(ctx)
		}
		pause = min(2*pause, longestPause)
	}
}

// asking has the database do something, with patience. What it does has to be short
// enough to begin again when there was no answer.
func (r *run) asking(ctx context.Context, do func(ctx context.Context) error) error {
	return r.patiently(ctx, theDatabase, func() error { return r.within(ctx, r.Sweeper.opts.AnswerTime, do) })
}

const theDatabase = "the database"

func (r *run) waiting(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress.Waiting != what {
		r.progress.Waiting, r.told = what, time.Time{}
		r.tell()
	}
}
