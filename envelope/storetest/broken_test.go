package storetest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Short names for the tables of flaws.
type (
	bg    = context.Context
	scope = envelope.Scope
	pur   = envelope.Purpose
	rec   = envelope.Record
	keyID = envelope.KeyID

	keyName  = envelope.KeyName
	keyState = envelope.State
	filter   = envelope.Filter
)

// broken is the memory store with some of its methods done wrong.
type broken struct {
	*envelope.MemoryStore
	active   func(bg, scope, pur) (rec, error)
	get      func(bg, scope, pur, keyID) (rec, error)
	claim    func(bg, scope, pur, string, time.Duration) (bool, error)
	release  func(bg, scope, pur, string) error
	activate func(bg, rec, keyID) error
	lease    func(bg, scope, pur, keyID, uint64) (uint64, error)
	left     func(uint64) uint64
	insert   func(bg, rec) error
	update   func(ctx bg, old, r rec) error
	states   func(bg, []keyName) ([]keyState, error)
	page     func(bg, filter, keyName, int) ([]rec, error)
}

// newBroken returns a store with nothing wrong yet.
func newBroken() *broken {
	m := envelope.NewMemoryStore()
	b := &broken{
		MemoryStore: m,
		active:      m.Active, get: m.Get, claim: m.Claim, release: m.Release, activate: m.Activate,
		left:   func(left uint64) uint64 { return left },
		insert: m.Insert, update: m.Update, states: m.States, page: m.Page,
	}
	b.lease = b.grants
	return b
}

// grants is what MemoryStore's Lease grants.
func (b *broken) grants(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
	granted, _, err := b.MemoryStore.Lease(ctx, s, p, id, n)
	return granted, err
}

func (b *broken) Active(ctx bg, s scope, p pur) (rec, error) { return b.active(ctx, s, p) }

func (b *broken) Get(ctx bg, s scope, p pur, id keyID) (rec, error) { return b.get(ctx, s, p, id) }

func (b *broken) Claim(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
	return b.claim(ctx, s, p, holder, lease)
}

func (b *broken) Release(ctx bg, s scope, p pur, holder string) error {
	return b.release(ctx, s, p, holder)
}

func (b *broken) Activate(ctx bg, r rec, previous keyID) error { return b.activate(ctx, r, previous) }

func (b *broken) Lease(ctx bg, s scope, p pur, id keyID, n uint64) (granted, left uint64, err error) {
	if granted, err = b.lease(ctx, s, p, id, n); err != nil {
		return granted, 0, err
	}
	_, left, _ = b.MemoryStore.Lease(context.Background(), s, p, id, 0)
	return granted, b.left(left), nil
}

func (b *broken) Insert(ctx bg, r rec) error { return b.insert(ctx, r) }

func (b *broken) Update(ctx bg, old, r rec) error { return b.update(ctx, old, r) }

func (b *broken) States(ctx bg, keys []keyName) ([]keyState, error) { return b.states(ctx, keys) }

func (b *broken) Page(ctx bg, f filter, after keyName, limit int) ([]rec, error) {
	return b.page(ctx, f, after, limit)
}

// reads has every record pass through edit on its way out.
func (b *broken) reads(edit func(r *rec)) {
	b.active = func(ctx bg, s scope, p pur) (rec, error) {
		r, err := b.MemoryStore.Active(ctx, s, p)
		edit(&r)
		return r, err
	}
	b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
		r, err := b.MemoryStore.Get(ctx, s, p, id)
		edit(&r)
		return r, err
	}
	b.pages(edit)
}

// pages has the records of Page alone pass through edit on their way out.
func (b *broken) pages(edit func(r *rec)) {
	b.page = func(ctx bg, f filter, after keyName, limit int) ([]rec, error) {
		page, err := b.MemoryStore.Page(ctx, f, after, limit)
		for i := range page {
			edit(&page[i])
		}
		return page, err
	}
}

// writes has every new record pass through edit on its way in.
func (b *broken) writes(edit func(r *rec)) {
	b.activate = func(ctx bg, r rec, previous keyID) error {
		edit(&r)
		return b.MemoryStore.Activate(ctx, r, previous)
	}
	b.inserts(edit)
}

// inserts has the records of Insert alone pass through edit on their way in.
func (b *broken) inserts(edit func(r *rec)) {
	b.insert = func(ctx bg, r rec) error {
		edit(&r)
		return b.MemoryStore.Insert(ctx, r)
	}
}

// mixes takes scopes and purposes for one another where fold makes them equal.
// It answers with the names that it was asked with. Page, which is asked for
// names, tells them all apart.
func (b *broken) mixes(fold func(scope, pur) (scope, pur)) {
	m := b.MemoryStore
	b.active = func(ctx bg, s scope, p pur) (rec, error) {
		fs, fp := fold(s, p)
		r, err := m.Active(ctx, fs, fp)
		r.Scope, r.Purpose = withDefault(s), p
		return r, err
	}
	b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
		fs, fp := fold(s, p)
		r, err := m.Get(ctx, fs, fp, id)
		r.Scope, r.Purpose = withDefault(s), p
		return r, err
	}
	b.claim = func(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
		fs, fp := fold(s, p)
		return m.Claim(ctx, fs, fp, holder, lease)
	}
	b.release = func(ctx bg, s scope, p pur, holder string) error {
		fs, fp := fold(s, p)
		return m.Release(ctx, fs, fp, holder)
	}
	b.writes(func(r *rec) { r.Scope, r.Purpose = fold(r.Scope, r.Purpose) })
	b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
		fs, fp := fold(s, p)
		return b.grants(ctx, fs, fp, id, n)
	}
	b.update = func(ctx bg, old, r rec) error {
		old.Scope, old.Purpose = fold(old.Scope, old.Purpose)
		return m.Update(ctx, old, r)
	}
	b.states = func(ctx bg, keys []keyName) ([]keyState, error) {
		folded := slices.Clone(keys)
		for i := range folded {
			folded[i].Scope, folded[i].Purpose = fold(folded[i].Scope, folded[i].Purpose)
		}
		return m.States(ctx, folded)
	}
}

// A flaw is one thing done wrong, the check that is there to find it, and what
// that check says.
type flaw struct {
	name  string
	check string
	says  string
	apply func(b *broken)
}

func flaws() []flaw {
	var all []flaw
	for _, some := range [][]flaw{
		recordFlaws(), isolationFlaws(), bufferFlaws(), activateFlaws(), claimFlaws(), leaseFlaws(),
		insertFlaws(), updateFlaws(), moveFlaws(), statesFlaws(), pageFlaws(), filterFlaws(), listFlaws(), contextFlaws(),
	} {
		all = append(all, some...)
	}
	return all
}

// shared is the harness of a store that is its own storage.
func shared(store func() envelope.KeyStore) Harness {
	return Harness{
		New:        func(testing.TB) envelope.KeyStore { return store() },
		Reopen:     func(_ testing.TB, s envelope.KeyStore) envelope.KeyStore { return s },
		ShortLease: 100 * time.Millisecond,
	}
}

func TestBrokenStoresFail(t *testing.T) {
	for _, f := range flaws() {
		t.Run(f.check+"/"+f.name, func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting for leases
			h := shared(func() envelope.KeyStore {
				b := newBroken()
				f.apply(b)
				return b
			})
			h.ShortLease = defaultShortLease // a claim that ends early must be seen to on a busy machine
			c := named(t, f.check)
			err := c.verdict(t, h)
			require.ErrorContains(t, err, f.says)
		})
	}
}

// The one flaw that takes a second store to show.
func TestStoresOfOneProcessEachFail(t *testing.T) {
	h := shared(func() envelope.KeyStore { return envelope.NewMemoryStore() })
	h.Reopen = func(testing.TB, envelope.KeyStore) envelope.KeyStore { return envelope.NewMemoryStore() }
	for _, name := range []string{"reopened", "activate-race", "claim-race", "claim-race-expired", "lease-concurrent", "insert-race", "insert-activate-race", "update-race", "update-activate-race", "update-lease-race", "update-one-step", "list-changing"} {
		c := named(t, name)
		require.Error(t, c.verdict(t, h), name)
	}
}

// The control of all the broken stores: the one they wrap passes.
func TestGoodStorePasses(t *testing.T) {
	Run(t, shared(func() envelope.KeyStore { return newBroken() }))
}

// The control of mixes: with a fold that tells all names apart the store passes.
func TestGoodFoldPasses(t *testing.T) {
	Run(t, shared(func() envelope.KeyStore {
		b := newBroken()
		b.mixes(func(s scope, p pur) (scope, pur) { return withDefault(s), p })
		return b
	}))
}

func withDefault(s scope) scope {
	if s.Class == "" {
		s.Class = envelope.DefaultClass
	}
	return s
}

func TestEveryCheckHasBrokenStores(t *testing.T) {
	has := map[string]int{}
	for _, f := range flaws() {
		has[f.check]++
	}
	for _, c := range checks() {
		require.GreaterOrEqual(t, has[c.name], 2, "too few broken stores for the check %s", c.name)
	}
}

func TestChecksHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range checks() {
		require.False(t, seen[c.name], c.name)
		seen[c.name] = true
	}
	require.Greater(t, len(seen), 20)
}

// What is said to be in order or within a limit is.
func TestOrderAndLengths(t *testing.T) {
	require.True(t, slices.IsSorted(ascending()))
	require.Len(t, slices.Compact(ascending()), len(ascending()))
	require.True(t, slices.IsSortedFunc(keyIDs(), func(a, b keyID) int { return bytes.Compare(a[:], b[:]) }))
	require.LessOrEqual(t, len(characters()), maxWhy)
	require.True(t, utf8.ValidString(characters()))
}

// Two equal names would fail a good store.
func TestVariantsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range variants("PREFIX-OF-26-LETTERS-ABCDE") {
		require.False(t, seen[name], "%q", name)
		require.LessOrEqual(t, len(name), maxName)
		seen[name] = true
	}
}

func TestWithoutReopen(t *testing.T) {
	h := shared(func() envelope.KeyStore { return envelope.NewMemoryStore() })
	h.Reopen = nil
	Run(t, h)
	var left []string
	for _, c := range checks() {
		if c.leftOut(h) != "" {
			left = append(left, c.name)
		}
	}
	require.Equal(t, []string{"reopened"}, left)
}

func TestValidate(t *testing.T) {
	h := shared(func() envelope.KeyStore { return envelope.NewMemoryStore() })
	require.NoError(t, h.validate())
	h.ShortLease = -1
	require.ErrorContains(t, h.validate(), "ShortLease")
	h = Harness{}
	require.ErrorContains(t, h.validate(), "needs New")
}

func named(t *testing.T, name string) check {
	t.Helper()
	for _, c := range checks() {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("there is no check named %q", name)
	return check{}
}
