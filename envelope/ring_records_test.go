package envelope

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

// tamperedStore changes each record that it hands out.
type tamperedStore struct {
	*MemoryStore
	change func(rec *Record)
}

func (s *tamperedStore) Active(ctx context.Context, scope Scope, purpose Purpose) (Record, error) {
	rec, err := s.MemoryStore.Active(ctx, scope, purpose)
	if err == nil {
		s.change(&rec)
	}
	return rec, err
}

func (s *tamperedStore) Get(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (Record, error) {
	rec, err := s.MemoryStore.Get(ctx, scope, purpose, id)
	if err == nil {
		s.change(&rec)
	}
	return rec, err
}

// TestTamperedRecords: whoever writes to the key store has nothing sealed or
// opened against what a record was made with.
func TestTamperedRecords(t *testing.T) {
	p := &plainProvider{}
	store := NewMemoryStore()
	honest := plainRing(t, p, &Options{Store: store})
	older, err := honest.Rotate(t.Context(), place("acme").Scope)
	require.NoError(t, err)
	_, err = honest.Rotate(t.Context(), place("acme").Scope)
	require.NoError(t, err)
	env, err := honest.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.NoError(t, err)
	_, err = honest.Rotate(t.Context(), place("globex").Scope)
	require.NoError(t, err)
	sibling, err := store.Get(t.Context(), place("acme").Scope, PurposeData, older)
	require.NoError(t, err)
	foreign, err := store.Active(t.Context(), place("globex").Scope, PurposeData)
	require.NoError(t, err)

	for _, c := range []struct {
		name       string
		change     func(rec *Record)
		seal, open error // nil: allowed
		naive      bool  // accepted if only the key service were asked
	}{
		{"nothing changed", func(*Record) {}, nil, nil, true},
		{"end put off", func(rec *Record) { rec.NotAfter = rec.NotAfter.Add(time.Second) }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"end brought forward", func(rec *Record) { rec.NotAfter = time.Now().Truncate(time.Second) }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"end taken away", func(rec *Record) { rec.NotAfter = time.Time{} }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"made later", func(rec *Record) { rec.Created = rec.Created.Add(time.Hour) }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"day of making taken away", func(rec *Record) { rec.Created = time.Time{} }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"budget raised", func(rec *Record) { rec.Budget++ }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"budget lowered", func(rec *Record) { rec.Budget-- }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"budget not counted", func(rec *Record) { rec.Budget = 0 }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"budget without bound", func(rec *Record) { rec.Budget = 1<<64 - 1 }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"tag altered", func(rec *Record) { rec.Tag[31] ^= 1 }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"tag taken away", func(rec *Record) { rec.Tag = [32]byte{} }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"dates, budget and tag of another key", func(rec *Record) { rec.Budget, rec.Tag = foreign.Budget, foreign.Tag }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"key ID altered", func(rec *Record) { rec.KeyID[0] ^= 1 }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"key ID of another key", func(rec *Record) { rec.KeyID = older }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"wrapped key of an older key", func(rec *Record) { rec.Wrapped = sibling.Wrapped }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"wrapped key of another tenant", func(rec *Record) { rec.Wrapped = foreign.Wrapped }, ErrNotAuthentic, ErrNotAuthentic, false},
		{"another tenant's record", func(rec *Record) { *rec = foreign }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"another tenant's record under this name", func(rec *Record) { scope := rec.Scope; *rec = foreign; rec.Scope = scope }, ErrNotAuthentic, ErrNotAuthentic, false},
		{"another tenant", func(rec *Record) { rec.Scope.Tenant = "globex" }, ErrNotAuthentic, ErrNotAuthentic, false},
		{"another class", func(rec *Record) { rec.Scope.Class = "billing" }, ErrNotAuthentic, ErrNotAuthentic, false},
		{"another purpose", func(rec *Record) { rec.Purpose = PurposeIndex }, ErrNotAuthentic, ErrNotAuthentic, true},
		{"wrapped key altered", func(rec *Record) { rec.Wrapped[0] ^= 1 }, ErrNotAuthentic, ErrNotAuthentic, false},
		{"wrapped key taken away", func(rec *Record) { rec.Wrapped = nil }, ErrMalformed, ErrMalformed, false},
		{"wrapped key too long", func(rec *Record) { rec.Wrapped = make([]byte, maxWrapped+1) }, ErrMalformed, ErrMalformed, false},
		{"another root key", func(rec *Record) { rec.RootKey = "plain://other" }, ErrRootKeyNotAllowed, ErrRootKeyNotAllowed, true},
		{"no root key", func(rec *Record) { rec.RootKey = "" }, ErrRootKeyNotAllowed, ErrRootKeyNotAllowed, true},
		{"an empty record", func(rec *Record) { *rec = Record{} }, ErrNotAuthentic, ErrNotAuthentic, false},
		{"pending", func(rec *Record) { rec.State = StatePending }, ErrNotAuthentic, ErrKeyNotFound, true},
		{"retired", func(rec *Record) { rec.State = StateRetired }, ErrNotAuthentic, nil, true},
		{"suspended", func(rec *Record) { rec.State = StateSuspended }, ErrNotAuthentic, ErrKeyNotFound, true},
		{"scheduled", func(rec *Record) { rec.State = StateScheduled }, ErrNotAuthentic, ErrKeyNotFound, true},
		{"destroyed", func(rec *Record) { rec.State = StateDestroyed }, ErrNotAuthentic, ErrKeyDestroyed, true},
		{"no state", func(rec *Record) { rec.State = "" }, ErrNotAuthentic, ErrKeyNotFound, true},
		{"no known state", func(rec *Record) { rec.State = "Active" }, ErrNotAuthentic, ErrKeyNotFound, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tampered := &tamperedStore{store, c.change}
			_, err := plainRing(t, p, &Options{Store: tampered}).Seal(t.Context(), place("acme"), AppendString(nil, "x"))
			require.ErrorIs(t, err, c.seal)
			_, err = plainRing(t, p, &Options{Store: tampered}).Open(t.Context(), place("acme"), env)
			require.ErrorIs(t, err, c.open)

			// The control: a reader that trusts the store and asks the key
			// service only.
			rec, err := tampered.Active(t.Context(), place("acme").Scope, PurposeData)
			require.NoError(t, err)
			_, err = p.Unwrap(t.Context(), rec.RootKey, rec.Wrapped, encryptionContext(rec.Scope, PurposeData))
			require.Equal(t, c.naive, err == nil)
		})
	}
}

// What was made for another purpose, without an end or a count, seals no data,
// though its record is authentic. It opens all the same.
func TestSealerWantsAnEndAndABudget(t *testing.T) {
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	for _, c := range []struct {
		name     string
		notAfter time.Time
		budget   uint64
		says     string
	}{
		{"no end", time.Time{}, 1000, "has no end: it can't seal"},
		{"no budget", end, 0, "has a budget of 0 messages: a key seals 1 to 2^32"},
		{"neither", time.Time{}, 0, "has no end: it can't seal"},
		{"budget past 2^32", end, 1<<32 + 1, "has a budget of 4294967297 messages: a key seals 1 to 2^32"},
		{"the control: both", end, 1 << 32, ""},
		{"the control: one message", end, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &plainProvider{}
			made := NewMemoryStore()
			env, err := plainRing(t, p, &Options{Store: made}).Seal(t.Context(), place("acme"), AppendString(nil, "x"))
			require.NoError(t, err)
			rec, err := made.Active(t.Context(), place("acme").Scope, PurposeData)
			require.NoError(t, err)
			secret, err := p.Unwrap(t.Context(), rec.RootKey, rec.Wrapped, encryptionContext(rec.Scope, PurposeData))
			require.NoError(t, err)
			rec.NotAfter, rec.Budget = c.notAfter, c.budget
			rec.Tag = recordTag(secret, rec.Scope, PurposeData, rec.Created, rec.NotAfter, rec.Budget)
			store := NewMemoryStore()
			require.NoError(t, store.Activate(t.Context(), rec, KeyID{}))

			generated := p.generated
			r := plainRing(t, p, &Options{Store: store})
			_, err = r.Open(t.Context(), place("acme"), env)
			require.NoError(t, err)
			_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrMalformed)
				require.ErrorContains(t, err, "the record of key "+rec.KeyID.String()+" "+c.says)
			}
			require.Equal(t, generated, p.generated, "another key was made")
		})
	}
}

// A store that calls an expired key active gets nothing sealed with it.
func TestStoreThatOffersAnExpiredKey(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &plainProvider{}
		store := NewMemoryStore()
		opts := &Options{Store: store, KeyAge: time.Hour}
		first, err := plainRing(t, p, opts).Rotate(t.Context(), place("acme").Scope)
		require.NoError(t, err)
		old, err := store.Get(t.Context(), place("acme").Scope, PurposeData, first)
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		_, err = plainRing(t, p, opts).Rotate(t.Context(), place("acme").Scope)
		require.NoError(t, err)

		calls := p.generated
		r := plainRing(t, p, &Options{Store: &tamperedStore{store, func(rec *Record) { *rec = old }}, KeyAge: time.Hour})
		_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		require.Error(t, err)
		require.LessOrEqual(t, p.generated-calls, 1, "a store that contradicts itself costs one key after the other")
	})
}

// brokenStore fails each of its calls with one error.
type brokenStore struct {
	KeyStore
	err error
}

func (s brokenStore) Active(context.Context, Scope, Purpose) (Record, error) { return Record{}, s.err }

func (s brokenStore) Get(context.Context, Scope, Purpose, KeyID) (Record, error) {
	return Record{}, s.err
}

func TestBrokenStore(t *testing.T) {
	broken := errors.New("made-up failure of the database")
	p := &plainProvider{}
	store := NewMemoryStore()
	env, err := plainRing(t, p, &Options{Store: store}).Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.NoError(t, err)
	inline, _ := sealedInline(t, p)
	calls := p.generated + p.unwrapped
	r := plainRing(t, p, &Options{Store: brokenStore{store, broken}, AllowInline: true})
	_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.ErrorIs(t, err, broken)
	require.ErrorIs(t, err, ErrStoreUnavailable)
	require.ErrorContains(t, err, "key store unavailable: ")
	_, err = r.Open(t.Context(), place("acme"), env)
	require.ErrorIs(t, err, broken)
	_, err = r.Open(t.Context(), place("acme"), inline)
	require.ErrorIs(t, err, broken, "an inline envelope was opened, though nobody could say whether its key was destroyed")
	_, err = r.Rotate(t.Context(), place("acme").Scope)
	require.ErrorIs(t, err, broken)
	require.Equal(t, calls, p.generated+p.unwrapped)
}

// A key that the store knows as destroyed doesn't come back inside an inline
// envelope.
func TestInlineEnvelopeOfADestroyedKey(t *testing.T) {
	p := &plainProvider{}
	store := NewMemoryStore()
	ring := plainRing(t, p, &Options{Store: store})
	id, err := ring.Rotate(t.Context(), place("acme").Scope)
	require.NoError(t, err)
	rec, err := store.Get(t.Context(), place("acme").Scope, PurposeData, id)
	require.NoError(t, err)
	env, err := ring.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.NoError(t, err)
	h, err := parseHeader(env)
	require.NoError(t, err)
	inline := rebuild(h, func(h *header) { h.mode, h.rootKey, h.wrapped = ModeInline, []byte(rec.RootKey), rec.Wrapped })

	for state, want := range map[State]error{
		StateActive: nil, StateRetired: nil, StateDestroyed: ErrKeyDestroyed, StateSuspended: ErrKeyNotFound, StateScheduled: ErrKeyNotFound, "": ErrKeyNotFound,
	} {
		t.Run(string(state), func(t *testing.T) {
			r := plainRing(t, p, &Options{Store: &tamperedStore{store, func(rec *Record) { rec.State = state }}, AllowInline: true})
			_, err := r.Open(t.Context(), place("acme"), inline)
			require.ErrorIs(t, err, want)
		})
	}
}
