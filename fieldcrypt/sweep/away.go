package sweep

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// triedAgain is how long rows of a tenant that was given up are passed over
// without a call.
const triedAgain = 30 * time.Second

// away is the tenants whose root key or key store was away for Options.Patience,
// while those of others weren't. Their rows are reported and passed over: one
// tenant's outage doesn't keep others' rows from being swept.
type away struct {
	mu      sync.Mutex
	tenants map[string]absence
}

type absence struct {
	until time.Time // when it is tried again
	err   error
}

// note has tenants passed over from now on. a.mu is held.
func (a *away) note(gone map[string]error) {
	if a.tenants == nil {
		a.tenants = map[string]absence{}
	}
	for tenant, err := range gone {
		a.tenants[tenant] = absence{time.Now().Add(triedAgain), err}
	}
}

// passOver takes those records away that needn't be tried now.
func (a *away) passOver(b *batch, records []*record) []*record {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.tenants) == 0 {
		return records
	}
	now, left := time.Now(), records[:0]
	for _, rec := range records {
		gone, is := a.tenants[owner(rec)]
		if !is || !now.Before(gone.until) {
			left = append(left, rec)
			continue
		}
		b.fail(rec, "", fmt.Sprintf("not tried: its tenant's key service or key store was away for too long; run the sweep again when it is back (%v)", gone.err))
	}
	return left
}

// met looks at what a call answered for records, and returns the outage that has
// to be waited out. None is for a tenant that was given up.
func (r *run) met(records []*record, rows []fieldcrypt.Row) error {
	served, gone := r.answered(records, rows)
	a := &r.away
	a.mu.Lock()
	defer a.mu.Unlock()
	for tenant := range served {
		delete(a.tenants, tenant)
	}
	for tenant, err := range gone {
		if _, is := a.tenants[tenant]; !is {
			return err
		}
	}
	a.note(gone)
	return nil
}

// giveUp gives up the tenants that met an outage in these rows, and reports
// whether it did: it doesn't where nobody else is served.
func (r *run) giveUp(ctx context.Context, records []*record, rows []fieldcrypt.Row) bool {
	served, gone := r.answered(records, rows)
	if len(gone) == 0 || r.oneTenant() {
		return false
	}
	if len(served) == 0 && !r.servesOthers(ctx, gone) {
		return false
	}
	a := &r.away
	a.mu.Lock()
	defer a.mu.Unlock()
	a.note(gone)
	return true
}

// servesOthers tries the operation with rows of other tenants, and writes nothing.
func (r *run) servesOthers(ctx context.Context, gone map[string]error) bool {
	const tried = 20
	var not []any
	for tenant := range gone {
		not = append(not, tenant)
	}
	r.away.mu.Lock()
	for tenant := range r.away.tenants {
		if _, is := gone[tenant]; !is {
			not = append(not, tenant)
		}
	}
	r.away.mu.Unlock()
	var records []*record
	err := r.within(ctx, r.Sweeper.opts.AnswerTime, func(ctx context.Context) (err error) {
		records, err = r.reader.others(ctx, r.db, not, tried)
		return err
	})
	if err != nil {
		return false
	}
	rows, err := r.apply(ctx, records)
	if err != nil {
		return false
	}
	served, _ := r.answered(records, rows)
	return len(served) > 0
}

// answered returns the tenants whose rows met an outage, and those that were
// served: a value of theirs was opened or sealed.
func (r *run) answered(records []*record, rows []fieldcrypt.Row) (served map[string]bool, gone map[string]error) {
	served, gone = map[string]bool{}, map[string]error{}
	for i, rec := range records {
		tenant := owner(rec)
		for _, cells := range [][]fieldcrypt.RowCell{rows[i].Cells, rows[i].Plain, rows[i].Index} {
			for c := range cells {
				switch cell := &cells[c]; {
				case cell.Err != nil && isOutage(cell.Err):
					gone[tenant] = cell.Err
				case cell.Changed, cell.Err == nil && cell.Old != nil && r.opts.Class == "": // else it may be of another class
					served[tenant] = true
				}
			}
		}
	}
	for tenant := range gone {
		delete(served, tenant)
	}
	return served, gone
}

func owner(rec *record) string { return textOf(rec.row.Tenant) }
