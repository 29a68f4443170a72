package envelope

import (
	"bytes"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// MemoryStore is a [KeyStore] that lives as long as the process. It is for
// tests, and for data that need not outlive the process: when it is gone, so
// is everything that was sealed by reference.
type MemoryStore struct {
	mu     sync.Mutex
	keys   map[storeKey]*storedKey
	names  []KeyName // of all keys
	sorted bool      // names are in order
	active map[storeScope]KeyID
	claims map[storeScope]claim
}

type storeScope struct {
	scope   Scope
	purpose Purpose
}

type storeKey struct {
	storeScope
	id KeyID
}

type storedKey struct {
	Record
	taken uint64 // messages of the budget that were leased
}

type claim struct {
	holder string
	until  time.Time
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{
		keys:   map[storeKey]*storedKey{},
		active: map[storeScope]KeyID{},
		claims: map[storeScope]claim{},
	}
}

// Active implements [KeyStore].
func (m *MemoryStore) Active(ctx context.Context, scope Scope, purpose Purpose) (Record, error) {
	at, err := m.lock(ctx, scope, purpose)
	if err != nil {
		return Record{}, err
	}
	defer m.mu.Unlock()
	id, ok := m.active[at]
	if !ok {
		return Record{}, ErrKeyNotFound
	}
	return m.keys[storeKey{at, id}].copy(), nil
}

// Get implements [KeyStore].
func (m *MemoryStore) Get(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (Record, error) {
	at, err := m.lock(ctx, scope, purpose)
	if err != nil {
		return Record{}, err
	}
	defer m.mu.Unlock()
	k, ok := m.keys[storeKey{at, id}]
	if !ok {
		return Record{}, ErrKeyNotFound
	}
	return k.copy(), nil
}

// Claim implements [KeyStore].
func (m *MemoryStore) Claim(ctx context.Context, scope Scope, purpose Purpose, holder string, lease time.Duration) (bool, error) {
	at, err := m.lock(ctx, scope, purpose)
	if err != nil {
		return false, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	if c, ok := m.claims[at]; ok && c.holder != holder && now.Before(c.until) {
		return false, nil
	}
	m.claims[at] = claim{holder, now.Add(lease)}
	return true, nil
}

// Release implements [KeyStore].
func (m *MemoryStore) Release(ctx context.Context, scope Scope, purpose Purpose, holder string) error {
	at, err := m.lock(ctx, scope, purpose)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	if m.claims[at].holder == holder {
		delete(m.claims, at)
	}
	return nil
}

// Activate implements [KeyStore].
func (m *MemoryStore) Activate(ctx context.Context, rec Record, previous KeyID) error {
	at, err := m.lock(ctx, rec.Scope, rec.Purpose)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	if _, taken := m.keys[storeKey{at, rec.KeyID}]; taken || m.active[at] != previous {
		return ErrConflict
	}
	if old, ok := m.keys[storeKey{at, previous}]; ok {
		old.State = StateRetired
	}
	m.add(at, rec, StateActive)
	m.active[at] = rec.KeyID
	return nil
}

func (m *MemoryStore) add(at storeScope, rec Record, state State) {
	k := &storedKey{Record: rec}
	k.Scope, k.State, k.Wrapped = at.scope, state, bytes.Clone(rec.Wrapped)
	m.keys[storeKey{at, rec.KeyID}] = k
	m.names, m.sorted = append(m.names, k.Name()), false
}

// Lease implements [KeyStore].
func (m *MemoryStore) Lease(ctx context.Context, scope Scope, purpose Purpose, id KeyID, n uint64) (granted, left uint64, err error) {
	at, err := m.lock(ctx, scope, purpose)
	if err != nil {
		return 0, 0, err
	}
	defer m.mu.Unlock()
	k, ok := m.keys[storeKey{at, id}]
	switch {
	case !ok:
		return 0, 0, ErrKeyNotFound
	case k.State != StateActive:
		return 0, 0, nil
	case k.Budget == 0:
		return n, math.MaxUint64, nil
	}
	granted = min(n, k.Budget-k.taken)
	k.taken += granted
	return granted, k.Budget - k.taken, nil
}

// Insert implements [KeyStore].
func (m *MemoryStore) Insert(ctx context.Context, rec Record) error {
	at, err := m.lock(ctx, rec.Scope, rec.Purpose)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	if _, taken := m.keys[storeKey{at, rec.KeyID}]; taken {
		return ErrConflict
	}
	m.add(at, rec, StateRetired)
	return nil
}

// Update implements [KeyStore].
func (m *MemoryStore) Update(ctx context.Context, old, rec Record) error {
	at, err := m.lock(ctx, old.Scope, old.Purpose)
	if err != nil {
		return err
	}
	defer m.mu.Unlock()
	k, ok := m.keys[storeKey{at, old.KeyID}]
	switch {
	case !ok:
		return ErrKeyNotFound
	case k.State == StateDestroyed, k.State != old.State, k.RootKey != old.RootKey, !bytes.Equal(k.Wrapped, old.Wrapped),
		!k.DestroyAfter.Equal(old.DestroyAfter),
		rec.State == StateActive && k.State != StateActive:
		return ErrConflict
	}
	if k.State == StateActive && rec.State != StateActive {
		delete(m.active, at)
	}
	k.RootKey, k.Wrapped, k.State = rec.RootKey, bytes.Clone(rec.Wrapped), rec.State
	k.DestroyAfter, k.Change = rec.DestroyAfter, rec.Change
	if k.State == StateDestroyed {
		k.Wrapped = nil
	}
	return nil
}

// States implements [KeyStore].
func (m *MemoryStore) States(ctx context.Context, keys []KeyName) ([]State, error) {
	states := make([]State, len(keys))
	for i, name := range keys {
		at, err := m.lock(ctx, name.Scope, name.Purpose)
		if err != nil {
			return nil, err
		}
		if k, ok := m.keys[storeKey{at, name.ID}]; ok {
			states[i] = k.State
		}
		m.mu.Unlock()
	}
	return states, nil
}

// Page implements [KeyStore].
func (m *MemoryStore) Page(ctx context.Context, f Filter, after KeyName, limit int) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.sorted {
		slices.SortFunc(m.names, KeyName.Compare)
		m.sorted = true
	}
	next, found := slices.BinarySearchFunc(m.names, after, KeyName.Compare)
	if found {
		next++
	}
	var page []Record
	for ; next < len(m.names) && len(page) < limit; next++ {
		name := m.names[next]
		if k := m.keys[storeKey{storeScope{name.Scope, name.Purpose}, name.ID}]; f.Match(&k.Record) {
			page = append(page, k.copy())
		}
	}
	return page, nil
}

// lock returns with m.mu held, unless the context has ended.
func (m *MemoryStore) lock(ctx context.Context, scope Scope, purpose Purpose) (storeScope, error) {
	if err := ctx.Err(); err != nil {
		return storeScope{}, err
	}
	m.mu.Lock()
	return storeScope{scope.withDefault(), purpose}, nil
}

func (k *storedKey) copy() Record {
	rec := k.Record
	rec.Wrapped = bytes.Clone(rec.Wrapped)
	return rec
}
