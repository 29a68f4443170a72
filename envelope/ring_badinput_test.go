package envelope

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const (
	notUTF8 = "acme\xff"
	secret  = "ada@example.com"
)

// TestBadPlaces: a place that the format can't write is refused before any
// call is made, with a message that names what is wrong.
func TestBadPlaces(t *testing.T) {
	long := strings.Repeat("x", 256)
	env, _ := sealedInline(t, &plainProvider{})
	for _, c := range []struct {
		name string
		b    Binding
		says string
	}{
		{"no tenant", Binding{Field: email, Record: "42"}, "the tenant is empty"},
		{"tenant too long", Binding{Scope: Scope{long, ""}, Field: email, Record: "42"}, "the tenant is 256 bytes, the limit is 255"},
		{"tenant not UTF-8", Binding{Scope: Scope{notUTF8, ""}, Field: email, Record: "42"}, "the tenant is not UTF-8"},
		{"class too long", Binding{Scope: Scope{"acme", long}, Field: email, Record: "42"}, "the class is 256 bytes, the limit is 255"},
		{"class not UTF-8", Binding{Scope: Scope{"acme", notUTF8}, Field: email, Record: "42"}, "the class is not UTF-8"},
		{"no field", Binding{Scope: Scope{"acme", ""}, Record: "42"}, "make it with NewField"},
		{"no record", Binding{Scope: Scope{"acme", ""}, Field: email}, "Contacts.email: the record ID is empty"},
		{"record too long", Binding{Scope: Scope{"acme", ""}, Field: email, Record: strings.Repeat("x", 1025)}, "the record ID is 1025 bytes, the limit is 1024"},
		{"record not UTF-8", Binding{Scope: Scope{"acme", ""}, Field: email, Record: notUTF8}, "the record ID is not UTF-8"},
		{"unbound with a record", Binding{Scope: Scope{"acme", ""}, Field: email, Record: "42", Unbound: true}, "unbound and names a record"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for mode, store := range map[string]KeyStore{"inline": nil, "reference": NewMemoryStore()} {
				p := &plainProvider{}
				r := plainRing(t, p, &Options{Store: store, AllowInline: true})
				dst := []byte("before")
				out, err := r.AppendSeal(t.Context(), dst, &c.b, AppendString(nil, secret))
				require.ErrorIs(t, err, ErrMalformed, mode)
				require.ErrorContains(t, err, c.says)
				require.NotContains(t, err.Error(), secret)
				require.Less(t, len(err.Error()), 400, "an error repeats a name that is too long")
				require.Equal(t, "before", string(out))
				out, err = r.AppendOpen(t.Context(), dst, &c.b, env)
				require.ErrorIs(t, err, ErrMalformed, mode)
				require.ErrorContains(t, err, c.says)
				require.Equal(t, "before", string(out))
				require.Zero(t, p.generated+p.unwrapped)
			}
		})
	}
	for _, c := range []struct{ module, field, says string }{
		{"", "email", "the module is empty"},
		{long, "email", "the module is 256 bytes"},
		{notUTF8, "email", "the module is not UTF-8"},
		{"Contacts", "", "the field is empty"},
		{"Contacts", long, "the field is 256 bytes"},
		{"Contacts", notUTF8, "the field is not UTF-8"},
	} {
		f, err := NewField(c.module, c.field)
		require.ErrorIs(t, err, ErrMalformed)
		require.ErrorContains(t, err, c.says)
		require.Zero(t, f)
		require.PanicsWithValue(t, "envelope: MustField: "+err.Error(), func() { MustField(c.module, c.field) })
	}
	for _, scope := range []Scope{{}, {long, ""}, {notUTF8, ""}, {"acme", long}, {"acme", notUTF8}} {
		p := &plainProvider{}
		_, err := plainRing(t, p, nil).Rotate(t.Context(), scope)
		require.ErrorIs(t, err, ErrMalformed)
		require.Zero(t, p.generated)
	}
}

func TestBadFrames(t *testing.T) {
	for name, frame := range map[string][]byte{
		"nothing": nil, "no known type": {0x7f, 1}, "an integer of 7 bytes": {byte(TypeInt64), 1, 2, 3, 4, 5, 6, 7},
		"text that isn't UTF-8": AppendString(nil, secret+"\xff"), "padding without an end": {0x80 | byte(TypeString), 'x', 0},
		"too long": make([]byte, MaxFrame+1),
	} {
		t.Run(name, func(t *testing.T) {
			p := &plainProvider{}
			_, err := plainRing(t, p, nil).Seal(t.Context(), place("acme"), frame)
			require.ErrorIs(t, err, ErrMalformed)
			require.NotContains(t, err.Error(), secret)
			require.Zero(t, p.generated)
		})
	}
}

// TestBadEnvelopes: what isn't the very envelope of this very place is refused,
// and leaves nothing of a plaintext behind dst.
func TestBadEnvelopes(t *testing.T) {
	p := &plainProvider{}
	store := NewMemoryStore()
	inlineRing, storeRing := plainRing(t, p, nil), plainRing(t, p, &Options{Store: store})
	frame := AppendString(nil, secret)
	inline, err := inlineRing.Seal(t.Context(), place("acme"), frame)
	require.NoError(t, err)
	ref, err := storeRing.Seal(t.Context(), place("acme"), frame)
	require.NoError(t, err)
	with := func(change func(b *Binding)) *Binding {
		b := place("acme")
		change(b)
		return b
	}
	mode := func(m Mode) func(env []byte) []byte {
		return func(env []byte) []byte { env[2] = byte(m); return env }
	}
	same := func(env []byte) []byte { return env }
	for _, c := range []struct {
		name     string
		b        *Binding
		change   func(env []byte) []byte
		want     error // inline, and by reference unless the next says otherwise
		byRef    error
		mentions string
	}{
		{"nothing", place("acme"), func([]byte) []byte { return nil }, ErrMalformed, nil, "0 bytes"},
		{"a plain value", place("acme"), func([]byte) []byte { return []byte(secret) }, ErrMalformed, nil, "not an envelope"},
		{"another version", place("acme"), func(env []byte) []byte { env[1] = 2; return env }, ErrUnknownVersion, nil, "an envelope of version 2, and this release reads version 1: a newer release is needed"},
		{"a version that never was", place("acme"), func(env []byte) []byte { env[1] = 0; return env }, ErrUnknownVersion, nil, "an envelope of version 0, and this release reads version 1"},
		{"no known mode", place("acme"), mode(9), ErrMalformed, nil, "mode 0x09"},
		{"a stream", place("acme"), mode(ModeStream), ErrModeNotAllowed, ErrMalformed, "Contacts.email"},
		{"deterministic", place("acme"), mode(ModeDeterministic), ErrModeNotAllowed, nil, "deterministic envelope where a field is expected"},
		{"cut off", place("acme"), func(env []byte) []byte { return env[:len(env)-1] }, ErrNotAuthentic, nil, "altered bytes"},
		{"cut off in the header", place("acme"), func(env []byte) []byte { return env[:20] }, ErrMalformed, nil, "cut short in the key ID"},
		{"extended", place("acme"), func(env []byte) []byte { return append(env, 0) }, ErrNotAuthentic, nil, "altered bytes"},
		{"a bit flipped in the tag", place("acme"), func(env []byte) []byte { env[len(env)-1] ^= 1; return env }, ErrNotAuthentic, nil, "altered bytes"},
		{"another key ID", place("acme"), func(env []byte) []byte { env[3] ^= 1; return env }, ErrNotAuthentic, ErrKeyNotFound, `tenant "acme"`},
		{"another tenant", place("globex"), same, ErrNotAuthentic, ErrKeyNotFound, `tenant "globex"`},
		{"another class", with(func(b *Binding) { b.Scope.Class = "billing" }), same, ErrNotAuthentic, ErrKeyNotFound, `class "billing"`},
		{"another field", with(func(b *Binding) { b.Field = MustField("Contacts", "phone") }), same, ErrNotAuthentic, nil, "Contacts.phone"},
		{"another module", with(func(b *Binding) { b.Field = MustField("Leads", "email") }), same, ErrNotAuthentic, nil, "Leads.email"},
		{"names moved between module and field", with(func(b *Binding) { b.Field = MustField("Contactse", "mail") }), same, ErrNotAuthentic, nil, "Contactse.mail"},
		{"another record", with(func(b *Binding) { b.Record = "43" }), same, ErrNotAuthentic, nil, `record "43"`},
		{"no record", with(func(b *Binding) { b.Record, b.Unbound = "", true }), same, ErrNotAuthentic, nil, "unbound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.byRef == nil {
				c.byRef = c.want
			}
			for _, r := range []*KeyRing{inlineRing, storeRing, plainRing(t, p, nil), plainRing(t, p, &Options{Store: store})} {
				env, want := inline, c.want
				if r.Mode() == ModeReference {
					env, want = ref, c.byRef
				}
				dst := make([]byte, 6, 256)
				copy(dst, "before")
				env = c.change(append([]byte(nil), env...))
				out, err := r.AppendOpen(t.Context(), dst, c.b, env)
				require.ErrorIs(t, err, want)
				require.True(t, strings.HasPrefix(err.Error(), "envelope: open "+c.b.String()), "the place is named: %v", err)
				require.ErrorContains(t, err, c.mentions)
				requireAdvice(t, err, env)
				require.NotContains(t, err.Error(), secret)
				require.Equal(t, "before", string(out))
				require.NotContains(t, string(dst[:cap(dst)]), secret)
			}
		})
	}
	t.Run("modes that the configuration doesn't allow", func(t *testing.T) {
		calls := p.unwrapped
		_, err := plainRing(t, p, nil).Open(t.Context(), place("acme"), ref)
		require.ErrorIs(t, err, ErrModeNotAllowed)
		require.ErrorContains(t, err, "Options.Store")
		_, err = storeRing.Open(t.Context(), place("acme"), inline)
		require.ErrorIs(t, err, ErrModeNotAllowed)
		require.ErrorContains(t, err, "Options.AllowInline")
		require.Equal(t, calls, p.unwrapped)
		_, err = plainRing(t, p, &Options{Store: store, AllowInline: true}).Open(t.Context(), place("acme"), inline)
		require.NoError(t, err)
	})
}

// requireAdvice: once the key is known by name it is named, and the text says
// what to do.
func requireAdvice(t *testing.T, err error, env []byte) {
	t.Helper()
	advice := "; restore what was stored at this place, or find out who moved or changed it"
	switch {
	case errors.Is(err, ErrKeyNotFound):
		advice = "; use the key store that the data was sealed with, or restore this key's record"
	case !errors.Is(err, ErrNotAuthentic):
		return
	}
	info, inspectErr := Inspect(env)
	require.NoError(t, inspectErr)
	require.ErrorContains(t, err, " with key "+info.KeyID.String()+": ")
	require.True(t, strings.HasSuffix(err.Error(), advice), err)
}

func TestBadOptions(t *testing.T) {
	roots := RootKeys{Seal: plainRoot}
	for _, c := range []struct {
		name  string
		p     kmsprovider.Provider
		roots RootKeySource
		opts  *Options
		says  string
	}{
		{"no provider", nil, roots, nil, "needs a provider and the root keys"},
		{"no root keys", &plainProvider{}, nil, nil, "needs a provider and the root keys"},
		{"budget over 2^32", &plainProvider{}, roots, &Options{MessageBudget: 1<<32 + 1}, "at most 2^32"},
		{"age under a minute", &plainProvider{}, roots, &Options{KeyAge: time.Second}, "at least 1m"},
		{"negative age", &plainProvider{}, roots, &Options{KeyAge: -time.Hour}, "at least 1m"},
		{"negative cache", &plainProvider{}, roots, &Options{CacheSize: -1}, "must be positive"},
		{"negative TTL", &plainProvider{}, roots, &Options{CacheTTL: -1}, "CacheTTL is -1ns"},
		{"TTL of a moment", &plainProvider{}, roots, &Options{CacheTTL: time.Millisecond}, "CacheTTL is 1ms and StorePoll 15s, they must be at least 1s and 10ms"},
		{"poll without a pause", &plainProvider{}, roots, &Options{StorePoll: 1}, "StorePoll 1ns"},
		{"negative grace", &plainProvider{}, roots, &Options{OutageGrace: -1}, "must be positive"},
		{"negative timeout", &plainProvider{}, roots, &Options{LoadTimeout: -1}, "must be positive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewKeyRing(c.p, c.roots, c.opts)
			require.ErrorContains(t, err, c.says)
			require.Nil(t, r)
		})
	}
	r, err := NewKeyRing(&plainProvider{}, roots, &Options{MessageBudget: 1 << 32, KeyAge: time.Minute, CacheSize: 1})
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

func TestEndedContextAndClosedRing(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	frame := AppendString(nil, secret)
	for mode, store := range map[string]KeyStore{"inline": nil, "reference": NewMemoryStore()} {
		t.Run(mode, func(t *testing.T) {
			p := &plainProvider{}
			r := plainRing(t, p, &Options{Store: store})
			env, err := r.Seal(t.Context(), place("acme"), frame)
			require.NoError(t, err)
			calls := func(ctx context.Context) map[string]error {
				_, sealErr := r.Seal(ctx, place("acme"), frame)
				_, openErr := r.Open(ctx, place("acme"), env)
				_, rotateErr := r.Rotate(ctx, place("acme").Scope)
				cells := []Cell{{Binding: *place("acme"), Frame: frame, Envelope: env}}
				require.Equal(t, 1, r.OpenAll(ctx, cells))
				require.Nil(t, cells[0].Frame)
				openAllErr := cells[0].Err
				cells[0].Frame = frame
				sealAllErr := r.SealAll(ctx, cells)
				require.Nil(t, cells[0].Envelope)
				return map[string]error{"Seal": sealErr, "Open": openErr, "Rotate": rotateErr, "OpenAll": openAllErr, "SealAll": sealAllErr}
			}
			for name, err := range calls(ended) {
				require.ErrorIs(t, err, context.Canceled, name)
			}
			require.NoError(t, r.Close())
			before := p.generated + p.unwrapped
			for name, err := range calls(t.Context()) {
				require.ErrorIs(t, err, ErrClosed, name)
			}
			require.Equal(t, before, p.generated+p.unwrapped)
		})
	}
}
