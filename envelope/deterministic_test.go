package envelope

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// column is where the deterministic envelopes of a tenant belong.
func column(tenant string) *Binding {
	return &Binding{Scope: Scope{Tenant: tenant}, Field: email, Unbound: true}
}

func sharedRing(tb testing.TB) *KeyRing {
	tb.Helper()
	return plainRing(tb, &plainProvider{}, &Options{Store: NewMemoryStore()})
}

func mustSealDet(tb testing.TB, r *KeyRing, b *Binding, frame []byte) []byte {
	tb.Helper()
	env, err := r.SealDeterministic(tb.Context(), b, frame)
	require.NoError(tb, err)
	return env
}

func TestDeterministic(t *testing.T) {
	store, p := NewMemoryStore(), &plainProvider{}
	r, other := plainRing(t, p, &Options{Store: store}), plainRing(t, p, &Options{Store: store})
	date, err := AppendDate(nil, 1815, time.December, 10)
	require.NoError(t, err)
	decimal, err := AppendDecimal(nil, "10.50")
	require.NoError(t, err)
	seen := map[string]string{}
	for name, frame := range map[string][]byte{
		"empty": AppendString(nil, ""), "string": AppendString(nil, "ada@example.com"), "bytes": AppendFrame(nil, TypeBytes, []byte("ada@example.com")),
		"int64": AppendInt64(nil, -1), "uint64": AppendUint64(nil, 1), "bool": AppendBool(nil, true), "date": date, "decimal": decimal,
		"long": AppendString(nil, strings.Repeat("x", 5000)),
	} {
		env := mustSealDet(t, r, column("acme"), frame)
		require.Equal(t, env, mustSealDet(t, other, column("acme"), frame), "equal values in two processes")
		require.Emptyf(t, seen[string(env)], "%s is the same", name)
		seen[string(env)] = name
		require.Len(t, env, 3+32+16+len(frame))
		info, err := Inspect(env)
		require.NoError(t, err)
		require.Equal(t, ModeDeterministic, info.Mode)
		back, err := other.OpenDeterministic(t.Context(), column("acme"), env)
		require.NoError(t, err)
		require.Equal(t, frame, back)
		found, err := other.QueryDeterministic(t.Context(), column("acme"), frame)
		require.NoError(t, err)
		require.Equal(t, [][]byte{env}, found)
		text, err := AppendText(nil, env)
		require.NoError(t, err)
		decoded, err := DecodeText(string(text))
		require.NoError(t, err)
		require.Equal(t, env, decoded)
	}
	got, err := r.AppendSealDeterministic(t.Context(), []byte("before"), column("acme"), decimal)
	require.NoError(t, err)
	require.Equal(t, "before"+string(mustSealDet(t, r, column("acme"), decimal)), string(got))
	require.Equal(t, 1, p.made(), "the key is shared")
}

// TestDeterministicTenantsAreApart: equal values of two scopes or fields have
// nothing in common, and no envelope opens elsewhere.
func TestDeterministicTenantsAreApart(t *testing.T) {
	r := sharedRing(t)
	frame := AppendString(nil, "ada@example.com")
	places := []*Binding{
		column("acme"), column("globex"),
		{Scope: Scope{"acme", "billing"}, Field: email, Unbound: true},
		{Scope: Scope{Tenant: "acme"}, Field: MustField("Leads", "email"), Unbound: true},
		{Scope: Scope{Tenant: "acme"}, Field: MustField("Contacts", "mail"), Unbound: true},
	}
	for i, b := range places {
		env := mustSealDet(t, r, b, frame)
		for j, other := range places {
			if i == j {
				continue
			}
			theirs := mustSealDet(t, r, other, frame)
			same := 0
			for at := fixedHeader; at < len(env); at++ {
				if env[at] == theirs[at] {
					same++
				}
			}
			require.Less(t, same, 8, "bytes in common")
			_, err := r.OpenDeterministic(t.Context(), other, env)
			require.Truef(t, errors.Is(err, ErrNotAuthentic) || errors.Is(err, ErrKeyNotFound), "%v", err)
		}
	}
}

func TestDeterministicRefusals(t *testing.T) {
	r := sharedRing(t)
	clock, err := AppendTime(nil, testDay)
	require.NoError(t, err)
	padded, err := PadFrame(AppendString(nil, "ada"), 16)
	require.NoError(t, err)
	good := AppendString(nil, "ada")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	closed := sharedRing(t)
	mustSealDet(t, closed, column("acme"), good)
	require.NoError(t, closed.Close())
	for name, c := range map[string]struct {
		ring  *KeyRing
		ctx   context.Context
		b     *Binding
		frame []byte
		is    error
		text  string
	}{
		"no key store":      {plainRing(t, &plainProvider{}, nil), nil, column("acme"), good, ErrModeNotAllowed, "Options.Store"},
		"no binding":        {r, nil, nil, good, ErrMalformed, "binding is nil"},
		"bound to a record": {r, nil, place("acme"), good, ErrMalformed, "Binding.Unbound"},
		"both":              {r, nil, &Binding{Scope: Scope{Tenant: "acme"}, Field: email, Record: "42", Unbound: true}, good, ErrMalformed, "names a record"},
		"no field":          {r, nil, &Binding{Scope: Scope{Tenant: "acme"}, Unbound: true}, good, ErrMalformed, "NewField"},
		"no tenant":         {r, nil, column(""), good, ErrMalformed, "tenant is empty"},
		"a float64":         {r, nil, column("acme"), AppendFloat64(nil, 1), ErrMalformed, "float64"},
		"a time":            {r, nil, column("acme"), clock, ErrMalformed, "type time"},
		"JSON":              {r, nil, column("acme"), AppendFrame(nil, TypeJSON, []byte("{}")), ErrMalformed, "JSON"},
		"padding":           {r, nil, column("acme"), padded, ErrMalformed, "padding"},
		"no frame":          {r, nil, column("acme"), nil, ErrMalformed, "not a framed plaintext"},
		"an unknown type":   {r, nil, column("acme"), []byte{77}, ErrMalformed, "not a framed plaintext"},
		"too long":          {r, nil, column("acme"), make([]byte, MaxFrame+1), ErrMalformed, "limit"},
		"an ended context":  {r, ended, column("acme"), good, context.Canceled, "canceled"},
		"a closed ring":     {closed, nil, column("acme"), good, ErrClosed, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			out, err := c.ring.AppendSealDeterministic(ctx, []byte("before"), c.b, c.frame)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.text)
			require.NotContains(t, err.Error(), "ada")
			require.Equal(t, "before", string(out))
			all, err := c.ring.QueryDeterministic(ctx, c.b, c.frame)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.text)
			require.Empty(t, all)
		})
	}
}

// TestDeterministicFramesThatMustNotOpen: whoever holds the key and breaks the
// rule of frames is refused by readers too.
func TestDeterministicFramesThatMustNotOpen(t *testing.T) {
	r := sharedRing(t)
	mustSealDet(t, r, column("acme"), AppendString(nil, "ada"))
	set, ok := r.sets.GetIfPresent(setName{column("acme").Scope.withDefault(), PurposeDeterministic})
	require.True(t, ok)
	clock, err := AppendTime(nil, testDay)
	require.NoError(t, err)
	padded, err := PadFrame(AppendString(nil, "ada"), 16)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		frame []byte
		class string
	}{
		"control": {AppendString(nil, "ada"), ""}, "float64": {AppendFloat64(nil, 1), "bad-frame"}, "time": {clock, "bad-frame"},
		"JSON": {AppendFrame(nil, TypeJSON, nil), "bad-frame"}, "padding": {padded, "bad-frame"}, "a bad bool": {[]byte{4, 2}, "bad-frame"},
	} {
		t.Run(name, func(t *testing.T) {
			env, err := new(scratch).sealDeterministic(nil, set.writer, column("acme"), c.frame)
			require.NoError(t, err)
			out, err := r.OpenDeterministic(t.Context(), column("acme"), env)
			require.Equal(t, c.class, class(err))
			if c.class != "" {
				require.ErrorIs(t, err, ErrNotAuthentic)
				require.Nil(t, out)
			}
		})
	}
}

// TestModesAreApart: each call opens its own mode only, also when the key is in
// memory.
func TestModesAreApart(t *testing.T) {
	r := sharedRing(t)
	frame := AppendString(nil, "ada")
	b := column("acme")
	det := mustSealDet(t, r, b, frame)
	ref, err := r.Seal(t.Context(), b, frame)
	require.NoError(t, err)
	_, err = r.Open(t.Context(), b, det)
	require.ErrorIs(t, err, ErrModeNotAllowed)
	require.ErrorContains(t, err, "OpenDeterministic")
	_, err = r.OpenDeterministic(t.Context(), b, ref)
	require.ErrorIs(t, err, ErrModeNotAllowed)
	require.ErrorContains(t, err, "reference envelope where a deterministic one is expected")
	_, err = r.OpenDeterministic(t.Context(), place("acme"), det)
	require.ErrorContains(t, err, "Binding.Unbound")
	_, err = plainRing(t, &plainProvider{}, nil).OpenDeterministic(t.Context(), b, det)
	require.ErrorIs(t, err, ErrModeNotAllowed)
	require.ErrorContains(t, err, "key store")

	// A key ID of the other purpose, whose key is in memory.
	for _, swap := range []struct {
		env  []byte
		mode Mode
		open func(context.Context, *Binding, []byte) ([]byte, error)
	}{{det, ModeReference, r.Open}, {ref, ModeDeterministic, r.OpenDeterministic}} {
		env := append([]byte(nil), swap.env...)
		env = append(env, make([]byte, 32)...)
		env[2] = byte(swap.mode)
		_, err := swap.open(t.Context(), b, env)
		require.ErrorIs(t, err, ErrKeyNotFound)
	}
	cells := []Cell{{Binding: *b, Envelope: det}, {Binding: *b, Envelope: ref, Deterministic: true}}
	require.Equal(t, 2, r.OpenAll(t.Context(), cells))
	for _, c := range cells {
		require.ErrorIs(t, c.Err, ErrModeNotAllowed)
	}
}

// TestDeterministicCells: calls over many cells take both kinds, with one load a
// key.
func TestDeterministicCells(t *testing.T) {
	store, p := NewMemoryStore(), &plainProvider{}
	cells := func() (all []Cell) {
		for i := range 12 {
			b := *column(fmt.Sprint("tenant-", i%3))
			all = append(all, Cell{Binding: b, Frame: AppendString(nil, fmt.Sprint("value ", i/6)), Deterministic: i%2 == 0})
		}
		return all
	}
	first, second := cells(), cells()
	require.NoError(t, plainRing(t, p, &Options{Store: store}).SealAll(t.Context(), first))
	require.NoError(t, plainRing(t, p, &Options{Store: store}).SealAll(t.Context(), second))
	require.Equal(t, 6, p.made())
	for i := range first {
		require.Equal(t, i%2 == 0, string(first[i].Envelope) == string(second[i].Envelope))
	}
	before := p.unwrapped
	for _, warm := range []bool{false, true} {
		r := plainRing(t, p, &Options{Store: store})
		for range map[bool]int{false: 1, true: 2}[warm] {
			opened := append([]Cell(nil), first...)
			opened[1].Deterministic, opened[2].Envelope = true, opened[2].Envelope[:50]
			require.Equal(t, 2, r.OpenAll(t.Context(), opened))
			require.ErrorIs(t, opened[1].Err, ErrModeNotAllowed)
			require.ErrorIs(t, opened[2].Err, ErrMalformed)
			for i, c := range opened {
				if i != 1 && i != 2 {
					require.NoError(t, c.Err)
					require.Equal(t, cells()[i].Frame, c.Frame)
				}
			}
		}
	}
	require.Equal(t, before+12, p.unwrapped)
	bad := cells()
	bad[4].Frame = AppendFloat64(nil, 1)
	require.ErrorIs(t, sharedRing(t).SealAll(t.Context(), bad), ErrMalformed)
	require.ErrorIs(t, bad[4].Err, ErrMalformed)
	for _, c := range bad {
		require.Nil(t, c.Envelope)
	}
}

// FuzzOpenDeterministic: what opens is a frame that may be sealed, and sealing it
// gives the same bytes.
func FuzzOpenDeterministic(f *testing.F) {
	r := sharedRing(f)
	b := column("acme")
	good := mustSealDet(f, r, b, AppendString(nil, "ada"))
	f.Add(good)
	f.Add(good[:51])
	f.Add(good[:len(good)-1])
	f.Add(append(append([]byte(nil), good...), 0))
	f.Add(append(append([]byte(nil), good[:2]...), append([]byte{1}, good[3:]...)...))
	f.Fuzz(func(t *testing.T, env []byte) {
		frame, err := r.OpenDeterministic(t.Context(), b, env)
		if err != nil {
			require.Nil(t, frame)
			return
		}
		require.Equal(t, env, mustSealDet(t, r, b, frame))
	})
}
