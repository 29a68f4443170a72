package drivertest

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// A walk does the same random steps in two stores.
type walk struct {
	t          *testing.T
	ctx        context.Context
	rand       *rand.Rand
	store      envelope.KeyStore
	model      *envelope.MemoryStore
	known      []envelope.Record // as they were given, or last read
	outcomes   map[string]int
	statesSeen map[envelope.State]int
}

// TestAsInMemory walks at random through the life of keys, in the database and
// in memory, and wants the same answers from both.
func TestAsInMemory(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		w := newWalk(t, d.store(t))
		w.steps(scoreboard.Count(1500, 6000))
		// The control: the walk came by all that can happen.
		for _, what := range []string{
			"Activate: done", "Activate: conflict", "Insert: done", "Insert: conflict", "Update: done", "Update: conflict", "Update: not found",
			"Lease: done", "Lease: not found", "Get: done", "Get: not found", "Active: done", "Active: not found", "Claim: done", "Release: done",
			"States: done", "Page: done",
		} {
			require.NotZero(t, w.outcomes[what], what)
		}
		for _, s := range states {
			require.NotZero(t, w.statesSeen[s], s)
		}
	})
}

func newWalk(t *testing.T, store envelope.KeyStore) *walk {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return &walk{
		t: t, ctx: t.Context(), rand: rand.New(rand.NewPCG(seed, 0)), store: store, model: envelope.NewMemoryStore(),
		outcomes: map[string]int{}, statesSeen: map[envelope.State]int{},
	}
}

func (w *walk) steps(n int) {
	for range n {
		w.step()
	}
}

var states = []envelope.State{
	envelope.StatePending, envelope.StateActive, envelope.StateRetired, envelope.StateSuspended, envelope.StateScheduled, envelope.StateDestroyed,
}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

func (w *walk) name() (envelope.Scope, envelope.Purpose) {
	return envelope.Scope{Tenant: pick(w.rand, []string{"acme", "acme\x00", "Acme", "b"}), Class: pick(w.rand, []string{"", "default", "crm"})},
		pick(w.rand, []envelope.Purpose{envelope.PurposeData, envelope.PurposeIndex})
}

func (w *walk) record() envelope.Record {
	rec := made("x", w.rand.IntN(150))
	rec.Scope, rec.Purpose = w.name()
	rec.RootKey = pick(w.rand, []string{"example-kms://eu", "example-kms://us", "example-kms://us "})
	rec.Wrapped = slices.Clone(pick(w.rand, [][]byte{{1}, {1, 0}, {1, 32}, make([]byte, 6144)}))
	rec.State = pick(w.rand, states)
	rec.Budget = pick(w.rand, []uint64{0, 1, 100, 1 << 32})
	if w.rand.IntN(2) == 0 {
		rec.DestroyAfter = time.Unix(2_000_000_000, 0)
		rec.Change = envelope.Change{At: time.Unix(1_900_000_000, 0), By: "ada\x00", Why: "über \\ 'why'"}
	}
	return rec
}

// some is a record that the stores may have.
func (w *walk) some() envelope.Record {
	if len(w.known) == 0 || w.rand.IntN(10) == 0 {
		return w.record()
	}
	return pick(w.rand, w.known)
}

// agree fails unless both stores say the same, and returns whether they did it.
func (w *walk) agree(what string, got, want error) bool {
	w.t.Helper()
	outcome := ": done"
	switch {
	case errors.Is(want, envelope.ErrConflict):
		require.ErrorIs(w.t, got, envelope.ErrConflict, what)
		outcome = ": conflict"
	case errors.Is(want, envelope.ErrKeyNotFound):
		require.ErrorIs(w.t, got, envelope.ErrKeyNotFound, what)
		outcome = ": not found"
	default:
		require.NoError(w.t, want)
		require.NoError(w.t, got, what)
	}
	w.outcomes[what+outcome]++
	return want == nil
}

func (w *walk) step() {
	switch w.rand.IntN(9) {
	case 0:
		rec := w.record()
		var previous envelope.KeyID
		if active, err := w.model.Active(w.ctx, rec.Scope, rec.Purpose); err == nil && w.rand.IntN(5) > 0 {
			previous = active.KeyID
		}
		if w.agree("Activate", w.store.Activate(w.ctx, rec, previous), w.model.Activate(w.ctx, rec, previous)) {
			w.known = append(w.known, rec)
		}
	case 1:
		rec := w.record()
		if w.agree("Insert", w.store.Insert(w.ctx, rec), w.model.Insert(w.ctx, rec)) {
			w.known = append(w.known, rec)
		}
	case 2, 3:
		w.update()
	case 4:
		rec, n := w.some(), pick(w.rand, []uint64{0, 1, 60, math.MaxUint64})
		got, left, err := w.store.Lease(w.ctx, rec.Scope, rec.Purpose, rec.KeyID, n)
		wantGot, wantLeft, wantErr := w.model.Lease(w.ctx, rec.Scope, rec.Purpose, rec.KeyID, n)
		w.agree("Lease", err, wantErr)
		require.Equal(w.t, []uint64{wantGot, wantLeft}, []uint64{got, left})
	case 5:
		rec := w.some()
		got, err := w.store.Get(w.ctx, rec.Scope, rec.Purpose, rec.KeyID)
		want, wantErr := w.model.Get(w.ctx, rec.Scope, rec.Purpose, rec.KeyID)
		if w.agree("Get", err, wantErr) {
			w.same(want, got)
		}
		scope, purpose := w.name()
		got, err = w.store.Active(w.ctx, scope, purpose)
		want, wantErr = w.model.Active(w.ctx, scope, purpose)
		if w.agree("Active", err, wantErr) {
			w.same(want, got)
		}
	case 6:
		scope, purpose := w.name()
		holder := pick(w.rand, []string{"one", "two", ""})
		lease := pick(w.rand, []time.Duration{time.Hour, -time.Second})
		got, err := w.store.Claim(w.ctx, scope, purpose, holder, lease)
		want, wantErr := w.model.Claim(w.ctx, scope, purpose, holder, lease)
		w.agree("Claim", err, wantErr)
		require.Equal(w.t, want, got)
		holder = pick(w.rand, []string{"one", "two", ""})
		w.agree("Release", w.store.Release(w.ctx, scope, purpose, holder), w.model.Release(w.ctx, scope, purpose, holder))
	case 7:
		names := make([]envelope.KeyName, w.rand.IntN(250))
		for i := range names {
			rec := w.some()
			names[i] = rec.Name()
		}
		got, err := w.store.States(w.ctx, names)
		want, wantErr := w.model.States(w.ctx, names)
		w.agree("States", err, wantErr)
		require.Equal(w.t, want, got)
	case 8:
		w.page()
	}
}

func (w *walk) update() {
	old := w.some()
	if now, err := w.model.Get(w.ctx, old.Scope, old.Purpose, old.KeyID); err == nil && w.rand.IntN(4) > 0 {
		old = now
	}
	rec := w.record()
	if w.rand.IntN(2) == 0 { // a rewrap
		rec.State = old.State
	}
	if w.rand.IntN(10) == 0 { // the same again
		rec = old
	}
	if rec.State != envelope.StateDestroyed && len(rec.Wrapped) == 0 {
		return // memory has no bounds
	}
	if w.agree("Update", w.store.Update(w.ctx, old, rec), w.model.Update(w.ctx, old, rec)) {
		w.statesSeen[rec.State]++
	}
}

func (w *walk) page() {
	maybe := func(all ...string) string { return pick(w.rand, append(all, "", "")) }
	f := envelope.Filter{
		Tenant: maybe("acme", "acme\x00"), Class: maybe("default", "crm"), Purpose: envelope.Purpose(maybe("data", "index", "log")),
		RootKey: maybe("example-kms://us", "example-kms://us "),
	}
	if w.rand.IntN(2) == 0 {
		f.States = []envelope.State{pick(w.rand, states), pick(w.rand, states)}
	}
	var after envelope.KeyName
	if w.rand.IntN(3) > 0 {
		rec := w.some()
		after = rec.Name()
	}
	limit := pick(w.rand, []int{-1, 0, 1, 7, 1000, math.MaxInt})
	got, err := w.store.Page(w.ctx, f, after, limit)
	want, wantErr := w.model.Page(w.ctx, f, after, limit)
	w.agree("Page", err, wantErr)
	require.Len(w.t, got, len(want), "%+v after %v", f, after)
	for i := range want {
		w.same(want[i], got[i])
	}
}

func (w *walk) same(want, got envelope.Record) {
	w.t.Helper()
	for _, rec := range []*envelope.Record{&want, &got} {
		for _, at := range []*time.Time{&rec.Created, &rec.NotAfter, &rec.DestroyAfter, &rec.Change.At} {
			*at = at.UTC()
		}
		if len(rec.Wrapped) == 0 {
			rec.Wrapped = nil
		}
	}
	require.Equal(w.t, want, got)
}
