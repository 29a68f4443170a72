package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/examine"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const (
	// replicaPatience bounds a read of the replica. It has no more than a third of
	// the time that the caller gives, so that the primary can still answer.
	replicaPatience = time.Second

	// replicaRest is how long the replica is passed over after it gave no answer:
	// else one that hangs would cost each read its patience.
	replicaRest = 5 * time.Second
)

// A replica is the database that is asked first for what opens envelopes.
type replica struct {
	db *sql.DB

	mu     sync.Mutex
	away   bool
	failed error     // why it gave no answer when that happened last; nil if it never did
	at     time.Time // when that was
	until  time.Time // while it is away, it is passed over until then
}

// turn reports whether the replica is to be asked. Of one that was passed over for
// long enough, one caller finds out whether it answers again.
func (r *replica) turn() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	switch {
	case !r.away:
		return true
	case now.Before(r.until):
		return false
	}
	r.until = now.Add(replicaRest)
	return true
}

// answered notes whether it did. That it has no such key, or a damaged record of
// it, is an answer.
func (r *replica) answered(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = err != nil && !errors.Is(err, envelope.ErrKeyNotFound) && !errors.Is(err, envelope.ErrMalformed)
	if r.away {
		r.failed, r.at = err, time.Now()
		r.until = r.at.Add(replicaRest)
	}
}

// GetForOpening implements [envelope.ReplicaReader]: see Options.Replica.
func (s *Store) GetForOpening(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID) (envelope.Record, error) {
	if p := placeOf(scope, purpose); s.replica != nil && ctx.Err() == nil && p.check() == nil && s.replica.turn() {
		patience := replicaPatience
		if deadline, ok := ctx.Deadline(); ok {
			patience = min(patience, time.Until(deadline)/3)
		}
		brief, cancel := context.WithTimeout(ctx, patience)
		rec, err := s.one(brief, s.replica.db, operation{"GetForOpening", p.name(id)}, s.query.get, p.key(id))
		cancel()
		if err != nil && over(ctx) != nil {
			return rec, err // the caller has left, which tells nothing of the replica
		}
		if err == nil || patience == replicaPatience || !errors.Is(err, context.DeadlineExceeded) { // else the caller was in a hurry
			s.replica.answered(err)
		}
		if err == nil && (rec.State == envelope.StateActive || rec.State == envelope.StateRetired) {
			return rec, nil
		}
	}
	return s.Get(ctx, scope, purpose, id)
}

// examineReplica asks the replica for a key, whether or not it is passed over, and
// looks at its connection if it answers: a service can do without it.
func (s *Store) examineReplica(ctx context.Context) []kmsprovider.Finding {
	const check = "replica"
	brief, cancel := context.WithTimeout(ctx, replicaPatience)
	defer cancel()
	began := time.Now()
	_, err := s.one(brief, s.replica.db, operation{"asking the replica for a key", s}, s.query.get, place{}.key(envelope.KeyID{}))
	if err != nil && !errors.Is(err, envelope.ErrKeyNotFound) {
		return []kmsprovider.Finding{examine.Warning(check,
			fmt.Sprintf("the primary is asked for all keys, since the replica gave no answer within %v: %v", time.Since(began).Round(time.Millisecond), err),
			"mend the replica, or take it out of Options.Replica")}
	}
	found := fmt.Sprintf("it answered within %v", time.Since(began).Round(time.Millisecond))
	s.replica.mu.Lock()
	if s.replica.failed != nil {
		found += fmt.Sprintf("; it was last passed over at %s: %v", s.replica.at.Format(time.RFC3339), s.replica.failed)
	}
	s.replica.mu.Unlock()
	return append([]kmsprovider.Finding{examine.OK(check, found)}, s.examineTLS(ctx, s.replica.db, "TLS of the replica")...)
}
