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
	var early error
	if len(recs) > 0 && recs[0].State == StateActive {
		writer, set.changes = r.writerOf(recs)
		if early, err = r.tooEarly(ctx, name, &recs[writer]); err != nil {
			return nil, err
		}
	}
	if makes && early != nil {
		return nil, early
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
		if i == writer && early == nil {
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
	for rec, err := range List(ctx, r.store, f) {
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

// tooEarly says why nothing may be written yet with the key that writerOf chose. A
// scope's first key is written with at once, and so is one that has settled, or
// that all processes know. But where the key before was suspended, or scheduled
// for destruction, other processes have that one alone in their sets until they
// next ask the store, and would not find what is written with the next.
func (r *KeyRing) tooEarly(ctx context.Context, name setName, writer *Record) (early, err error) {
	now := time.Now()
	settles := writer.Created.Add(r.settle())
	if !now.Before(settles) {
		return nil, nil
	}
	f := Filter{Tenant: name.scope.Tenant, Class: name.scope.Class, Purpose: name.purpose, States: []State{StateSuspended, StateScheduled}}
	for rec, err := range List(ctx, r.store, f) {
		if err != nil {
			return nil, err
		}
		known := rec.Change.At.Add(r.settle())
		if known.After(settles) { // the key itself has settled by then
			known = settles
		}
		if now.Before(known) {
			return fmt.Errorf("%w: the key before it, %s, was taken out of use less than %v ago, and other processes may not know the next one yet: they would not find what is written with it; try again in %v, and call CutOver that long before a key is taken out of use",
				ErrState, rec.KeyID, r.settle(), known.Sub(now).Round(time.Second)), nil
		}
	}
	return nil, nil
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
