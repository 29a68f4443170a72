package sweep

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// JobOptions are about one job. The zero value of each field means its default.
type JobOptions struct {
	// Name tells jobs with the same operation on a table apart. A named job that
	// is done isn't done again: its report is returned. So workers that start
	// late, or again, don't begin a second sweep. Up to 200 bytes.
	Name string

	// Tenant narrows the job to rows of this tenant, and Class to fields of
	// this retention class. Empty for all.
	Tenant string
	Class  string

	// Workers is how many key ranges this call works on at the same time: 1 to
	// 64. Default 2.
	Workers int

	// RowsPerSecond bounds the speed of this call. Zero for no bound.
	RowsPerSecond float64

	// DryRun looks at all rows and writes nothing, also not how far it came. Its
	// report says what would be done. Values are opened as far as the operation
	// has to, and none is kept. Data keys are made where there are none.
	DryRun bool

	// Reason says who runs the job and why; it is kept with the job.
	Reason envelope.Reason

	// Progress is told how far the job is, about once a second and at the end,
	// one call at a time. It must not block.
	Progress func(Progress)
}

func (o *JobOptions) withDefaults() (JobOptions, error) {
	var out JobOptions
	if o != nil {
		out = *o
	}
	setDefault(&out.Workers, 2)
	switch {
	case len(out.Name) > 200:
		return out, fmt.Errorf("sweep: JobOptions.Name has %d bytes, it must have up to 200", len(out.Name))
	case out.Workers < 1 || out.Workers > 64:
		return out, fmt.Errorf("sweep: JobOptions.Workers is %d, it must be 1 to 64", out.Workers)
	case out.RowsPerSecond < 0:
		return out, fmt.Errorf("sweep: JobOptions.RowsPerSecond is %v, it must not be negative", out.RowsPerSecond)
	}
	return out, nil
}

// A run is a call of Run: what its workers share.
type run struct {
	*Sweeper
	queue   *queue
	reader  *reader
	op      *operation
	opts    JobOptions
	hooks   hooks.Hooks
	limiter *rate.Limiter
	began   time.Time
	atStart int64        // rows that were done when this call began
	active  atomic.Int32 // key ranges that it works on
	away    away

	mu       sync.Mutex
	progress Progress
	told     time.Time
	pausedAt time.Time     // where it is
	idle     time.Duration // of pauses that are over
}

// Run does the operation with all rows of the table, or goes on with the job
// that is under way: any number of calls and processes share one, and one that
// was killed is finished by running it again. Options may be nil.
//
// It returns when the job is done, also where others did the rest. Rows that
// can't be dealt with don't end it: they are in the report, and the error is then
// [ErrRows]. Other errors end this call and leave the job as it is: [ErrTable],
// [ErrNoKey], [ErrOtherJob], [ErrChanged], [ErrReadOnly], [ErrWrongDialect],
// [ErrNoTables], [ErrOutage], [ErrAbandoned], the context's and the database's
// own. Then the report, if there is one, says how far the job is.
//
// A pause makes Run wait; an outage of the database, the key service or the key
// store does, up to Options.Patience. If it is that of one tenant and others are
// served meanwhile, that tenant's rows are reported then, and the job goes on.
func (s *Sweeper) Run(ctx context.Context, table Table, op Operation, opts *JobOptions) (*Report, error) {
	r, err := s.prepare(ctx, &table, op, opts)
	if err != nil {
		return nil, err
	}
	if r.opts.DryRun {
		return r.dry(ctx)
	}
	return r.all(ctx)
}

// prepare checks all that can be checked before the job begins.
func (s *Sweeper) prepare(ctx context.Context, table *Table, op Operation, opts *JobOptions) (*run, error) {
	o, err := opts.withDefaults()
	switch {
	case err != nil:
		return nil, err
	case ctx == nil:
		return nil, errors.New("sweep: the context is nil: a caller that has none passes context.Background()")
	case op.op == nil:
		return nil, errors.New("sweep: there is no operation: it is sweep.Reencrypt, or one of its neighbours")
	case o.Class != "" && len(op.op.sets) > 0:
		return nil, fmt.Errorf("sweep: %s of table %s: JobOptions.Class is %q, and Rebinding.Set moves a row with all of its envelopes: those of other classes would be left behind; leave Class empty", op, table.label(), o.Class)
	}
	if err := op.op.over(); err != nil {
		return nil, fmt.Errorf("sweep: %s of table %s: %w", op, table.label(), err)
	}
	r := &run{Sweeper: s, op: op.op, opts: o, hooks: hooks.From(ctx), began: time.Now(), limiter: rate.NewLimiter(rate.Inf, 0)}
	if o.RowsPerSecond > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(o.RowsPerSecond), max(1, int(o.RowsPerSecond/10)))
	}
	var t *target
	err = r.asking(ctx, func(ctx context.Context) (err error) {
		if err := s.identify(ctx); err != nil {
			return err
		}
		t, err = s.resolve(ctx, table, op.op)
		return err
	})
	if err != nil {
		return nil, err
	}
	if t.tenant == nil && o.Tenant != "" {
		if tenant, ok := table.Rows.Tenant(); !ok || tenant != o.Tenant {
			return nil, fmt.Errorf("sweep: %s of table %s: JobOptions.Tenant is %q, and all rows are of the tenant that ForTenant names", op, t.label, o.Tenant)
		}
	}
	r.reader = &reader{target: t, tenant: o.Tenant, tenantOf: t.tenant, extras: t.extras, sets: op.op.sets}
	r.progress.Table = t.label
	return r, nil
}

// what tells jobs of the same operation apart that can't share the work.
func (r *run) what() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", r.op.what, r.opts.Tenant, r.opts.Class))
	return hex.EncodeToString(sum[:16])
}

func (r *run) fail(err error) error {
	return fmt.Errorf("sweep: %s of table %s: %w", r.op.name, r.reader.label, told(err))
}

// all makes or joins the job and works until it is done.
func (r *run) all(ctx context.Context) (*Report, error) {
	if err := r.open(ctx); err != nil {
		return nil, r.fail(err)
	}
	err := r.asking(ctx, func(ctx context.Context) error {
		report, err := r.report(ctx, r.queue.job)
		if err == nil {
			r.atStart = report.Rows
		}
		return err
	})
	if err != nil {
		return nil, r.fail(err)
	}
	working, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(working, cancel)
	}()
	var g errgroup.Group
	for n := range r.opts.Workers {
		g.Go(func() error {
			err := r.worker(working, fmt.Sprintf("%s-%d", r.queue.run, n))
			if err != nil {
				cancel(err) // the others end, too
			}
			return err
		})
	}
	err = g.Wait()
	if cause := context.Cause(working); cause != nil && ctx.Err() == nil {
		err = cause
	}
	cancel(nil)
	<-watched
	after := context.WithoutCancel(ctx)
	if err != nil {
		ending, stop := context.WithTimeout(after, 5*time.Second)
		defer stop()
		_ = r.queue.release(ending, r.queue.run+"-%") // else the leases end by themselves
		report, _ := r.Last(ending, *r.reader.Table)
		return report, r.fail(err)
	}
	var report *Report
	err = r.asking(ctx, func(ctx context.Context) (err error) {
		report, err = r.Last(ctx, *r.reader.Table)
		return err
	})
	if err != nil {
		return nil, err
	}
	if report == nil || report.Job != r.queue.job.id {
		return report, r.fail(ErrAbandoned)
	}
	r.finished(report)
	return report, report.Err()
}

// open makes the sweeper's tables and the job.
func (r *run) open(ctx context.Context) error {
	if err := r.asking(ctx, r.makeTables); err != nil {
		return err
	}
	total, err := r.estimate(ctx)
	if err != nil {
		return err
	}
	var j *job
	err = r.asking(ctx, func(ctx context.Context) (err error) {
		j, err = r.begin(ctx, job{
			table: shortened(r.reader.label, 255), name: r.opts.Name, op: r.op.name, what: r.what(), shape: r.reader.shape, estimate: total,
			by: shortened(r.opts.Reason.By, 255), why: shortened(r.opts.Reason.Why, 1024),
		})
		return err
	})
	if err != nil {
		return err
	}
	r.queue = &queue{Sweeper: r.Sweeper, reader: r.reader, job: j, run: rand.Text()}
	r.progress.Total = j.estimate
	return nil
}

// countedUpTo bounds the rows that are counted for an estimate.
const countedUpTo = 200_000

// estimate returns about how many rows the job has to look at; 0 if that would
// take long to find out, or longer than the server lets a statement.
func (r *run) estimate(ctx context.Context) (int64, error) {
	where, args := r.reader.where(bound{})
	query := fmt.Sprintf("SELECT count(*) FROM (SELECT 1 AS one FROM %s%s LIMIT %d) AS some_rows", r.reader.from, where, countedUpTo+1)
	var n int64
	var unknown bool
	err := r.asking(ctx, func(ctx context.Context) error {
		err := sqlconn.Each(ctx, r.db, bind(r.dialect, query), args, func(scan func(...any) error) error { return scan(&n) })
		if unknown = sqlerr.Ended(err) || errors.Is(ctx.Err(), context.DeadlineExceeded); unknown {
			return nil
		}
		return err
	})
	switch {
	case err != nil, !unknown && n <= countedUpTo:
		return n, err
	case where != "":
		return 0, nil
	}
	return max(r.reader.rows, n), nil
}

// oneTenant reports whether all rows of the job are of one tenant.
func (r *run) oneTenant() bool { return r.opts.Tenant != "" || r.reader.target.tenant == nil }

// options are what the operation is told.
func (r *run) options() fieldcrypt.RowOptions {
	return fieldcrypt.RowOptions{Class: r.opts.Class, Dry: r.opts.DryRun}
}
