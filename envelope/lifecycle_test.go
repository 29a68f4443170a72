package envelope

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

var ops = Reason{By: "ops@example.com", Why: "a made-up ticket"}

// nameOf is a key of tenant acme.
func nameOf(id KeyID) KeyName { return KeyName{place("acme").Scope.withDefault(), PurposeData, id} }

// retired returns a ring, an envelope and the retired key that it is sealed with.
func retired(t *testing.T, opts *Options) (*KeyRing, []byte, KeyName) {
	t.Helper()
	r := plainRing(t, &plainProvider{}, opts)
	env, id := sealFor(t, r, place("acme"))
	_, err := r.Rotate(t.Context(), place("acme").Scope)
	require.NoError(t, err)
	return r, env, nameOf(id)
}

func stateOf(t *testing.T, r *KeyRing, key KeyName) State {
	t.Helper()
	states, err := r.opts.Store.States(t.Context(), []KeyName{key})
	require.NoError(t, err)
	return states[0]
}

// confirmed is the destruction of a key that nothing refers to.
func confirmed(key KeyName) Destruction {
	return Destruction{
		Reason: ops, Word: "destroy " + key.ID.String(),
		References: func(context.Context, KeyName) (int64, error) { return 0, nil },
	}
}

// TestMoves makes every move from every state.
func TestMoves(t *testing.T) {
	states := []State{StatePending, StateActive, StateRetired, StateSuspended, StateScheduled, StateDestroyed}
	for _, move := range []struct {
		name string
		do   func(r *KeyRing, key KeyName) error
		from map[State]State
	}{
		{
			"retire", func(r *KeyRing, key KeyName) error { return r.Retire(t.Context(), key, ops) },
			map[State]State{StatePending: StateRetired, StateActive: StateRetired, StateRetired: StateRetired},
		},
		{
			"suspend", func(r *KeyRing, key KeyName) error { return r.Suspend(t.Context(), key, ops) },
			map[State]State{StatePending: StateSuspended, StateActive: StateSuspended, StateRetired: StateSuspended, StateSuspended: StateSuspended},
		},
		{
			"resume", func(r *KeyRing, key KeyName) error { return r.Resume(t.Context(), key, ops) },
			map[State]State{StateSuspended: StateRetired, StateRetired: StateRetired},
		},
		{
			"schedule", func(r *KeyRing, key KeyName) error { return r.ScheduleDestroy(t.Context(), key, LeastWait, ops) },
			map[State]State{StateRetired: StateScheduled, StateSuspended: StateScheduled, StateScheduled: StateScheduled},
		},
		{
			"cancel", func(r *KeyRing, key KeyName) error { return r.CancelDestroy(t.Context(), key, ops) },
			map[State]State{StateScheduled: StateRetired, StateRetired: StateRetired},
		},
		{
			"destroy", func(r *KeyRing, key KeyName) error { return r.Destroy(t.Context(), key, confirmed(key)) },
			map[State]State{StateScheduled: StateDestroyed, StateDestroyed: StateDestroyed},
		},
	} {
		for _, from := range states {
			t.Run(fmt.Sprintf("%s from %s", move.name, from), func(t *testing.T) {
				store := NewMemoryStore()
				r := plainRing(t, &plainProvider{}, &Options{Store: store})
				_, id := sealFor(t, r, place("acme"))
				key := nameOf(id)
				at := store.keys[storeKey{storeScope{key.Scope, key.Purpose}, id}]
				at.State = from
				if from == StateScheduled {
					at.DestroyAfter = time.Now().Add(-time.Minute)
				}
				if from != StateActive {
					clear(store.active)
				}
				err := move.do(r, key)
				to, allowed := move.from[from]
				if !allowed {
					require.ErrorIs(t, err, ErrState)
					require.ErrorContains(t, err, key.ID.String())
					require.ErrorContains(t, err, "it is "+string(from))
					require.Equal(t, from, stateOf(t, r, key), "a refused move changed the state")
					return
				}
				require.NoError(t, err)
				require.Equal(t, to, stateOf(t, r, key))
				if from != to {
					rec, err := store.Get(t.Context(), key.Scope, key.Purpose, id)
					require.NoError(t, err)
					require.Equal(t, ops.By, rec.Change.By)
					require.Equal(t, ops.Why, rec.Change.Why)
					require.WithinDuration(t, time.Now(), rec.Change.At, 2*time.Second)
				}
			})
		}
	}
}

// What a state allows holds at once in the process that made the move.
func TestMovesHoldAtOnce(t *testing.T) {
	r, env, key := retired(t, &Options{Store: NewMemoryStore()})
	opens := func(want error) {
		t.Helper()
		_, err := r.Open(t.Context(), place("acme"), env)
		require.ErrorIs(t, err, want)
	}
	opens(nil)
	require.NoError(t, r.Suspend(t.Context(), key, ops))
	opens(ErrKeyNotFound)
	require.NoError(t, r.Resume(t.Context(), key, ops))
	opens(nil)
	require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
	opens(ErrKeyNotFound)
	require.NoError(t, r.CancelDestroy(t.Context(), key, ops))
	opens(nil)

	// The active key: suspended, the scope goes on with another.
	_, active := sealFor(t, r, place("acme"))
	require.NoError(t, r.Suspend(t.Context(), nameOf(active), ops))
	_, next := sealFor(t, r, place("acme"))
	require.NotEqual(t, active, next)
	require.NoError(t, r.Resume(t.Context(), nameOf(active), ops))
	_, still := sealFor(t, r, place("acme"))
	require.Equal(t, next, still, "a resumed key seals")
}

func TestDestroy(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := NewMemoryStore()
		r, env, key := retired(t, &Options{Store: store})
		require.NoError(t, r.ScheduleDestroy(t.Context(), key, 48*time.Hour, ops))
		refused := func(change func(d *Destruction), want error, says string) {
			t.Helper()
			d := confirmed(key)
			change(&d)
			err := r.Destroy(t.Context(), key, d)
			require.ErrorIs(t, err, want)
			require.ErrorContains(t, err, says)
			require.Equal(t, StateScheduled, stateOf(t, r, key))
		}
		refused(func(*Destruction) {}, ErrState, "in 48h0m0s")
		time.Sleep(47 * time.Hour)
		refused(func(*Destruction) {}, ErrState, "in 1h0m0s")
		time.Sleep(time.Hour)
		refused(func(d *Destruction) { d.Word = "" }, ErrNotConfirmed, `must be "destroy `+key.ID.String()+`"`)
		refused(func(d *Destruction) { d.Word = "destroy" }, ErrNotConfirmed, "Destruction.Word")
		refused(func(d *Destruction) { d.References = nil }, ErrReferenced, "count the envelopes")
		refused(func(d *Destruction) {
			d.References = func(context.Context, KeyName) (int64, error) { return 3, nil }
		}, ErrReferenced, "3 envelopes refer to it")
		broken := errors.New("made-up failure")
		refused(func(d *Destruction) {
			d.References = func(context.Context, KeyName) (int64, error) { return 0, broken }
		}, broken, "counting the envelopes")
		refused(func(d *Destruction) { d.By = "" }, ErrMalformed, "say who does it")

		require.NoError(t, r.Destroy(t.Context(), key, confirmed(key)))
		rec, err := store.Get(t.Context(), key.Scope, key.Purpose, key.ID)
		require.NoError(t, err)
		require.Empty(t, rec.Wrapped, "the wrapped key is still there")
		require.Equal(t, Change{time.Now().Truncate(time.Second), ops.By, ops.Why}, rec.Change)
		_, err = r.Open(t.Context(), place("acme"), env)
		require.ErrorIs(t, err, ErrKeyDestroyed)
		require.ErrorIs(t, r.CancelDestroy(t.Context(), key, ops), ErrState)
	})
}

// A key that is scheduled twice has the longer wait.
func TestScheduleAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, _, key := retired(t, &Options{Store: NewMemoryStore()})
		require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
		require.NoError(t, r.ScheduleDestroy(t.Context(), key, 720*time.Hour, ops))
		require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
		time.Sleep(719 * time.Hour)
		err := r.Destroy(t.Context(), key, confirmed(key))
		require.ErrorIs(t, err, ErrState)
		require.ErrorContains(t, err, "in 1h0m0s")
		time.Sleep(time.Hour)
		require.NoError(t, r.Destroy(t.Context(), key, confirmed(key)))
	})
}

// An interruptedStore lets others act just before a key is destroyed.
type interruptedStore struct {
	*MemoryStore
	meanwhile func()
}

func (s *interruptedStore) Update(ctx context.Context, old, rec Record) error {
	if act := s.meanwhile; act != nil && rec.State == StateDestroyed {
		s.meanwhile = nil
		act()
	}
	return s.MemoryStore.Update(ctx, old, rec)
}

// A process that is held up in Destroy doesn't destroy a key whose destruction
// was cancelled meanwhile, or put off, and scheduled for later.
func TestDestroyHeldUp(t *testing.T) {
	for name, cancel := range map[string]bool{"cancelled and scheduled": true, "put off": false} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				store := &interruptedStore{MemoryStore: NewMemoryStore()}
				r, _, key := retired(t, &Options{Store: store})
				other := plainRing(t, &plainProvider{}, &Options{Store: store.MemoryStore})
				require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
				time.Sleep(LeastWait)
				store.meanwhile = func() {
					if cancel {
						require.NoError(t, other.CancelDestroy(t.Context(), key, ops))
					}
					require.NoError(t, other.ScheduleDestroy(t.Context(), key, 720*time.Hour, ops))
				}
				err := r.Destroy(t.Context(), key, confirmed(key))
				require.ErrorIs(t, err, ErrState)
				require.ErrorContains(t, err, "in 720h0m0s")
				require.Equal(t, StateScheduled, stateOf(t, r, key))
			})
		})
	}
}

func TestLoseReferencedData(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, _, key := retired(t, &Options{Store: NewMemoryStore()})
		require.NoError(t, r.ScheduleDestroy(t.Context(), key, LeastWait, ops))
		time.Sleep(LeastWait)
		d := confirmed(key)
		d.References, d.LoseReferencedData = nil, true
		require.NoError(t, r.Destroy(t.Context(), key, d))
	})
}

func TestRefusedMoves(t *testing.T) {
	r, _, key := retired(t, &Options{Store: NewMemoryStore()})
	unknown := key
	unknown.ID[0] ^= 1
	require.ErrorIs(t, r.Suspend(t.Context(), unknown, ops), ErrKeyNotFound)
	foreign := key
	foreign.Scope.Tenant = "globex"
	require.ErrorIs(t, r.Suspend(t.Context(), foreign, ops), ErrKeyNotFound)
	require.ErrorContains(t, r.ScheduleDestroy(t.Context(), key, time.Hour, ops), "at least 24h0m0s")
	require.ErrorContains(t, r.Suspend(t.Context(), key, Reason{By: string(make([]byte, 256))}), "Reason.By")
	require.ErrorContains(t, r.Suspend(t.Context(), key, Reason{By: "ops", Why: "\xff"}), "Reason.Why")
	require.Equal(t, StateRetired, stateOf(t, r, key))

	inline := plainRing(t, &plainProvider{}, nil)
	require.ErrorIs(t, inline.Suspend(t.Context(), key, ops), ErrModeNotAllowed)
	_, err := inline.RotateAll(t.Context(), Filter{}, nil)
	require.ErrorContains(t, err, "set Options.Store")
}

// conflictStore lets another process change a key just before each update.
type conflictStore struct {
	*MemoryStore
	times int
}

func (s *conflictStore) Update(ctx context.Context, old, rec Record) error {
	if s.times--; s.times >= 0 {
		return ErrConflict
	}
	return s.MemoryStore.Update(ctx, old, rec)
}

func TestMovesMeetOthers(t *testing.T) {
	store := &conflictStore{MemoryStore: NewMemoryStore()}
	r, _, key := retired(t, &Options{Store: store})
	store.times = moveAttempts - 1
	require.NoError(t, r.Suspend(t.Context(), key, ops))
	store.times = moveAttempts
	require.ErrorIs(t, r.Resume(t.Context(), key, ops), ErrConflict)
}

func TestRotateAll(t *testing.T) {
	const tenants = 60
	p := &moodyProvider{tenant: "tenant-7"}
	store := NewMemoryStore()
	r, _ := moodyRing(t, p, &Options{Store: store})
	before := map[string]KeyID{}
	for i := range tenants {
		b := place(fmt.Sprint("tenant-", i))
		_, before[b.Scope.Tenant] = sealFor(t, r, b)
	}
	p.set(errDenied)
	last := 0
	report, err := r.RotateAll(t.Context(), Filter{Class: DefaultClass}, func(done int) {
		require.Equal(t, last+1, done)
		last = done
	})
	require.ErrorIs(t, err, kmsprovider.ErrDenied)
	require.ErrorContains(t, err, "1 keys failed")
	require.ErrorContains(t, err, "tenant-7")
	require.Equal(t, tenants-1, report.Rotated)
	require.Equal(t, tenants, last)
	require.Len(t, report.Failed, 1)
	require.Equal(t, before["tenant-7"], report.Failed[0].Key.ID)
	for tenant, old := range before {
		_, now := sealFor(t, r, place(tenant))
		require.Equal(t, tenant == "tenant-7", old == now, tenant)
	}
	require.Equal(t, 2*tenants-1, p.made(), "each scope once")

	p.set(nil)
	report, err = r.RotateAll(t.Context(), Filter{Tenant: "tenant-3"}, nil)
	require.NoError(t, err)
	require.Equal(t, RotateReport{Rotated: 1}, report)
}
