package sweep

import "context"

// dry looks at all rows, one page after the other, and writes nothing.
func (r *run) dry(ctx context.Context) (*Report, error) {
	report := &Report{Table: r.reader.label, Operation: r.op.name, DryRun: true, Began: r.began.UTC()}
	total, err := r.estimate(ctx)
	if err != nil {
		return nil, r.fail(err)
	}
	r.progress.Total = total
	for at := (bound{}); ; {
		b, more, err := r.read(ctx, at, min(r.Sweeper.opts.MaxBatch, 500))
		if err != nil {
			return report, r.fail(err)
		}
		report.Rows += int64(len(b.records))
		report.Changed += int64(len(b.changes))
		report.Failed += int64(len(b.failed))
		for _, f := range b.reasons {
			report.Failures = fail(report.Failures, failuresKept, f)
		}
		r.count(step{seen: int64(len(b.records)), changed: int64(len(b.changes)), failed: int64(len(b.failed))})
		if !more {
			break
		}
		at.after = b.last
	}
	report.Done = true
	r.finished(report)
	return report, report.Err()
}
