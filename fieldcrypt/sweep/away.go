package sweep

import (
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
	nobody  bool // was served since the last one was given up
}

type absence struct {
	until time.Time // when it is tried again
	err   error
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
func (a *away) met(records []*record, rows []fieldcrypt.Row) error {
	served, gone := answered(records, rows)
	a.mu.Lock()
	defer a.mu.Unlock()
	for tenant := range served {
		delete(a.tenants, tenant)
		a.nobody = false
	}
	for tenant, err := range gone {
		if _, is := a.tenants[tenant]; !is {
			return err
		}
	}
	for tenant, err := range gone {
		a.tenants[tenant] = absence{time.Now().Add(triedAgain), err}
	}
	return nil
}

// giveUp gives up the tenants that met an outage in these rows, and reports
// whether it did: it doesn't where nobody else was served, and all seem to be
// away. For one tenant alone that needs a second one.
func (a *away) giveUp(records []*record, rows []fieldcrypt.Row) bool {
	served, gone := answered(records, rows)
	if len(gone) == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for tenant := range gone {
		if _, is := a.tenants[tenant]; is {
			delete(gone, tenant)
		}
	}
	if len(gone) == 0 { // another worker gave them up
		return true
	}
	if len(served) == 0 && (a.nobody || len(gone) > 1) {
		return false
	}
	if a.tenants == nil {
		a.tenants = map[string]absence{}
	}
	for tenant, err := range gone {
		a.tenants[tenant] = absence{time.Now().Add(triedAgain), err}
	}
	a.nobody = len(served) == 0
	return true
}

// answered returns the tenants whose rows met an outage, and those whose rows
// didn't. Rows with nothing in them tell neither.
func answered(records []*record, rows []fieldcrypt.Row) (served map[string]bool, gone map[string]error) {
	served, gone = map[string]bool{}, map[string]error{}
	for i, rec := range records {
		tenant := owner(rec)
		for _, cells := range [][]fieldcrypt.RowCell{rows[i].Cells, rows[i].Plain, rows[i].Index} {
			for c := range cells {
				switch err := cells[c].Err; {
				case err != nil && isOutage(err):
					gone[tenant] = err
				case cells[c].Old != nil:
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

func owner(rec *record) string {
	if b, is := rec.row.Tenant.([]byte); is {
		return string(b)
	}
	return fmt.Sprint(rec.row.Tenant)
}
