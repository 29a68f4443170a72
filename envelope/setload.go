package envelope

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// How the sets of shared keys are read from the key store.

// maxLive bounds the keys of a set. Each costs a call of the key service, and
// whoever can write to the key store can add records.
const maxLive = 64

// flight names a load of a set.
func (n setName) flight(whole, makes bool) string {
	kind := byte('0')
	if whole {
		kind |= 1
	}
	if makes {
		kind |= 2
	}
	return "set" + string(kind) + string(n.purpose) + string(n.scope.canonical())
}

// loadSet reads a set once for all who ask for it at the same time.
func (r *KeyRing) loadSet(ctx context.Context, name setName, whole, makes bool) (*keySet, error) {
	return onceOf(ctx, r, name.flight(whole, makes), func(ctx context.Context) (*keySet, error) {
		return r.readSet(ctx, name, whole, makes)
	})
}

// readSet reads a set and publishes it. With makes, the scope gets an active key
// if it has none. All keys that the set is to have must load: a search that leaves
// one out would miss rows.
func (r *KeyRing) readSet(ctx context.Context, name setName, whole, makes bool) (*keySet, error) {
	s := &search{KeyRing: r, scope: name.scope, purpose: name.purpose}
	set := &keySet{setName: name, whole: whole, loaded: time.Now()}
	if makes {
		k, err := s.active(ctx)
		if err != nil {
			return nil, err
		}
		if !whole && !time.Now().Before(k.created.Add(r.settle())) {
			set.keys, set.active, set.writer = []*dataKey{k}, k, k
			return r.publishSet(set), nil
		}
	}
	recs, err := r.liveRecords(ctx, name)
	if err != nil {
		return nil, err
	}
	writer := -1
	if len(recs) > 0 && recs[0].State == StateActive {
		writer, set.changes = r.writerOf(recs)
	}
	for i := range recs {
		if !whole && i != writer {
			continue
		}
		k, err := s.live(ctx, &recs[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", recs[i].Name(), err)
		}
		if recs[i].State == StateActive {
			set.active = k
		}
		if i == writer {
			set.writer = k
		}
		set.keys = append(set.keys, k)
	}
	if makes && set.writer == nil {
		return nil, fmt.Errorf("%w: the active key of %s was taken out of use just now: try again", ErrConflict, name)
	}
	return r.publishSet(set), nil
}

// liveRecords lists the active and the retired keys of a set, in its order.
func (r *KeyRing) liveRecords(ctx context.Context, name setName) ([]Record, error) {
	var recs []Record
	f := Filter{Tenant: name.scope.Tenant, Class: name.scope.Class, Purpose: name.purpose, States: []State{StateActive, StateRetired}}
	for rec, err := range List(ctx, r.opts.Store, f) {
		if err != nil {
			return nil, err
		}
		if rec.Scope.withDefault() != name.scope || rec.Purpose != name.purpose || rec.readable() != nil {
			return nil, fmt.Errorf("the key store answers with %s when it is asked for the live keys of %s: %w", rec.Name(), name, errKeyMismatch)
		}
		switch err := r.buried(ctx, rec.KeyID); {
		case errors.Is(err, ErrKeyDestroyed): // the store was restored from before its destruction
			continue
		case err != nil:
			return nil, err
		}
		if recs = append(recs, rec); len(recs) > maxLive {
			return nil, malformed("the key store has more than %d live keys of %s: destroy those that no row needs", maxLive, name)
		}
	}
	slices.SortFunc(recs, func(a, b Record) int {
		return cmp.Or(cmp.Compare(rank(a.State), rank(b.State)), b.Created.Compare(a.Created), bytes.Compare(a.KeyID[:], b.KeyID[:]))
	})
	return recs, nil
}

// rank puts the active key first.
func rank(s State) int {
	if s == StateActive {
		return 0
	}
	return 1
}

// writerOf returns which key is written with: the newest that has settled or,
// where none has, the oldest. It also returns when the next newer one will have.
func (r *KeyRing) writerOf(recs []Record) (writer int, changes time.Time) {
	oldestFirst := make([]int, len(recs))
	for i := range recs {
		oldestFirst[i] = len(recs) - 1 - i // of those made in the same second, the active one is the last
	}
	slices.SortStableFunc(oldestFirst, func(i, j int) int { return recs[i].Created.Compare(recs[j].Created) })
	writer = oldestFirst[0]
	for _, i := range oldestFirst[1:] {
		if at := recs[i].Created.Add(r.settle()); time.Now().Before(at) {
			return writer, at
		}
		writer = i
	}
	return writer, time.Time{}
}

// live returns a record's key, from memory if it was checked against this very
// record.
func (s *search) live(ctx context.Context, rec *Record) (*dataKey, error) {
	k, err := s.known(ctx, rec)
	if k != nil || err != nil {
		return k, err
	}
	return s.load(ctx, KeyName{s.scope, s.purpose, rec.KeyID}, rec, false)
}
