package envelope

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// willingProvider is the worst case: a service that unwraps whatever it is
// given under any root key that is named to it, because the caller's
// credentials reach them all. It wraps by storing the key in the clear.
type willingProvider struct{ calls atomic.Int64 }

func (p *willingProvider) GenerateDataKey(_ context.Context, rootKey string, _ kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	n := p.calls.Add(1)
	secret := fmt.Appendf(nil, "%-32d", n)
	return kmsprovider.DataKey{Plaintext: secret, Wrapped: append([]byte(nil), secret...), RootKey: rootKey}, nil
}

func (p *willingProvider) Unwrap(_ context.Context, _ string, wrapped []byte, _ kmsprovider.EncryptionContext) ([]byte, error) {
	p.calls.Add(1)
	return append([]byte(nil), wrapped...), nil
}

// rootOf is the one root key of a tenant.
func rootOf(tenant string) string { return "willing://" + tenant }

func ownRoot(s Scope) (RootKeys, error) { return RootKeys{Seal: rootOf(s.Tenant)}, nil }

// whatItSees is a source of root keys that allows everything. It is the control's.
func whatItSees(uri string) RootKeySource {
	return RootKeysFunc(func(s Scope) (RootKeys, error) {
		return RootKeys{Seal: rootOf(s.Tenant), Open: []string{uri}}, nil
	})
}

// foreignRoots are root keys that nobody configured for tenant acme.
func foreignRoots(n int) string {
	own := rootOf("acme")
	return [...]string{
		rootOf("globex"), // configured, for another tenant
		fmt.Sprintf("willing://attacker/%d", n),
		own + "/", own + "\x00", " " + own, own[:len(own)-1], "Willing://acme", "willing://ACME",
		"willing:///acme", own + "?x", own + fmt.Sprint(n),
	}[n%11]
}

// forged is an envelope, or a record and an envelope that refers to it, which
// an attacker made with a data key of their own under a root key of their own.
func forged(t *testing.T, n int, rootKey string, b *Binding) (inline, reference []byte, rec Record) {
	t.Helper()
	secret := fmt.Appendf(nil, "attacker's key %-17d", n)
	require.Len(t, secret, kmsprovider.DataKeySize)
	scope := b.Scope.withDefault()
	wrapped := append([]byte(nil), secret...)
	rec = Record{
		KeyID: deriveKeyID(secret, scope, PurposeData), Scope: scope, Purpose: PurposeData,
		RootKey: rootKey, Wrapped: wrapped, State: StateActive, Created: testDay, NotAfter: testDay.AddDate(100, 0, 0), Budget: 1 << 20,
	}
	rec.Tag = recordTag(secret, scope, PurposeData, rec.Created, rec.NotAfter, rec.Budget)
	k, err := newDataKey(secret, scope)
	require.NoError(t, err)
	s := scratch{share: new(share)}
	s.hold(k)
	h := header{mode: ModeInline, keyID: &k.id, rootKey: []byte(rootKey), wrapped: wrapped}
	inline = k.sealFrame(h.bytes(), AppendString(nil, "pay to the attacker"), s.additionalData(b))
	h = header{mode: ModeReference, keyID: &k.id}
	reference = k.sealFrame(h.bytes(), AppendString(nil, "pay to the attacker"), s.additionalData(b))
	return inline, reference, rec
}

// TestScoreboardS25: what names a root key that isn't configured for its scope
// costs no call and is not accepted, for opening or sealing, cold or warm.
func TestScoreboardS25(t *testing.T) {
	const kinds = 4
	n := 10_000 / kinds
	b := place("acme")
	accepted, controls, controlAccepted, controlCalls := 0, 0, 0, int64(0)
	p := &willingProvider{}
	ring := func(p *willingProvider, roots RootKeySource, store KeyStore) *KeyRing {
		r, err := NewKeyRing(p, roots, &Options{Store: store})
		require.NoError(t, err)
		return r
	}
	inline := ring(p, RootKeysFunc(ownRoot), nil)
	defer inline.Close()
	warm := ring(p, RootKeysFunc(ownRoot), nil)
	defer warm.Close()
	honest, err := warm.Seal(t.Context(), b, AppendString(nil, "x"))
	require.NoError(t, err)
	store := NewMemoryStore()
	byReference := ring(p, RootKeysFunc(ownRoot), store)
	defer byReference.Close()
	own, err := byReference.Seal(t.Context(), place("globex"), AppendString(nil, "x"))
	require.NoError(t, err)
	calls := p.calls.Load() // both made a key

	try := func(err error) {
		if err == nil {
			accepted++
		} else {
			require.ErrorIs(t, err, ErrRootKeyNotAllowed)
		}
	}
	for i := range n {
		rootKey := foreignRoots(i)
		env, ref, rec := forged(t, i, rootKey, b)

		_, err := inline.Open(t.Context(), b, env)
		try(err)

		// The right key is in memory, and the envelope names another root key.
		_, err = warm.Open(t.Context(), b, withRootKey(t, honest, rootKey))
		try(err)

		require.NoError(t, store.Activate(t.Context(), rec, previousKey(t, store, b.Scope)))
		_, err = byReference.Open(t.Context(), b, ref)
		try(err)
		_, err = byReference.Seal(t.Context(), b, AppendString(nil, "secret"))
		try(err)

		if i%10 != 0 {
			continue
		}
		// The control: the same bytes, with the allow-list off.
		cp := &willingProvider{}
		for _, r := range []*KeyRing{ring(cp, whatItSees(rootKey), nil), ring(cp, whatItSees(rootKey), store)} {
			what := env
			if r.Mode() == ModeReference {
				what = ref
			}
			controls++
			if _, err := r.Open(t.Context(), b, what); err == nil {
				controlAccepted++
			}
			require.NoError(t, r.Close())
		}
		controlCalls += cp.calls.Load()
	}
	calls = p.calls.Load() - calls
	// What is configured is still opened, from the same rings.
	_, err = warm.Open(t.Context(), b, honest)
	require.NoError(t, err)
	_, err = byReference.Open(t.Context(), place("globex"), own)
	require.NoError(t, err)

	scoreboard.Row(t, "S25", accepted == 0 && calls == 0 && controlAccepted == controls && controlCalls > 0,
		fmt.Sprintf("%d calls, %d of %d accepted", calls, accepted, n*kinds), "0 calls, 0 accepted",
		fmt.Sprintf("allow-list off: %d calls, %d of %d accepted", controlCalls, controlAccepted, controls))
}

func previousKey(t *testing.T, store KeyStore, scope Scope) KeyID {
	t.Helper()
	rec, err := store.Active(t.Context(), scope, PurposeData)
	if err != nil {
		require.ErrorIs(t, err, ErrKeyNotFound)
	}
	return rec.KeyID
}

// withRootKey is an inline envelope with another root key in its header.
func withRootKey(t *testing.T, env []byte, rootKey string) []byte {
	t.Helper()
	h, err := parseHeader(env)
	require.NoError(t, err)
	h.rootKey = []byte(rootKey)
	return append(h.bytes(), h.body...)
}

// resolvingProvider knows one alias.
type resolvingProvider struct {
	willingProvider
	resolved atomic.Int64
	err      error
}

func (p *resolvingProvider) Resolve(_ context.Context, name string) (string, error) {
	p.resolved.Add(1)
	if name == "alias" {
		return "willing://canonical", p.err
	}
	return name, p.err
}

func (p *resolvingProvider) GenerateDataKey(ctx context.Context, name string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	k, err := p.willingProvider.GenerateDataKey(ctx, name, ec)
	k.RootKey = "willing://canonical"
	return k, err
}

func TestRootKeys(t *testing.T) {
	frame := AppendString(nil, "x")
	canonical := "willing://canonical"
	sealed := func() []byte {
		r, err := NewKeyRing(&resolvingProvider{}, RootKeys{Seal: canonical}, nil)
		require.NoError(t, err)
		defer r.Close()
		env, err := r.Seal(t.Context(), place("acme"), frame)
		require.NoError(t, err)
		return env
	}()
	away := fmt.Errorf("%w: made-up outage", kmsprovider.ErrUnavailable)
	for _, c := range []struct {
		name     string
		p        *resolvingProvider
		roots    RootKeySource
		want     error
		resolved int64
	}{
		{"the root key that seals", &resolvingProvider{}, RootKeys{Seal: canonical}, nil, 0},
		{"one of those that open", &resolvingProvider{}, RootKeys{Seal: "willing://new", Open: []string{"willing://a", canonical}}, nil, 0},
		{"by the alias of the one that seals", &resolvingProvider{}, RootKeys{Seal: "alias"}, nil, 1},
		{"another", &resolvingProvider{}, RootKeys{Seal: "willing://new"}, ErrRootKeyNotAllowed, 1},
		{"none for the scope", &resolvingProvider{}, RootKeys{}, ErrRootKeyNotAllowed, 0},
		{"only ones that open", &resolvingProvider{}, RootKeys{Open: []string{canonical}}, ErrRootKeyNotAllowed, 0},
		{"the alias can't be resolved", &resolvingProvider{err: away}, RootKeys{Seal: "alias"}, kmsprovider.ErrUnavailable, 1},
		{"the configuration fails", &resolvingProvider{}, RootKeysFunc(func(Scope) (RootKeys, error) { return RootKeys{}, away }), away, 0},
		{"the configuration fails and names keys", &resolvingProvider{}, RootKeysFunc(func(Scope) (RootKeys, error) { return RootKeys{Seal: canonical}, away }), away, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewKeyRing(c.p, c.roots, nil)
			require.NoError(t, err)
			defer r.Close()
			_, err = r.Open(t.Context(), place("acme"), sealed)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.resolved, c.p.resolved.Load())
			if c.want != nil {
				require.Zero(t, c.p.calls.Load(), "a root key that isn't allowed was called")
				require.Contains(t, err.Error(), `tenant "acme"`)
			}
		})
	}
}

// The refusal prints the configuration that would allow the root key, with all
// that is in it already.
func TestRefusedRootKeyMessage(t *testing.T) {
	sealer, err := NewKeyRing(&willingProvider{}, RootKeys{Seal: "willing://old"}, nil)
	require.NoError(t, err)
	defer sealer.Close()
	env, err := sealer.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.NoError(t, err)
	for _, c := range []struct {
		roots RootKeys
		line  string
	}{
		{RootKeys{Seal: "willing://new"}, `RootKeys{Seal: "willing://new", Open: []string{"willing://old"}}`},
		{RootKeys{Seal: "willing://new", Open: []string{"willing://older"}}, `RootKeys{Seal: "willing://new", Open: []string{"willing://older", "willing://old"}}`},
	} {
		r, err := NewKeyRing(&willingProvider{}, c.roots, nil)
		require.NoError(t, err)
		_, err = r.Open(t.Context(), place("acme"), env)
		require.ErrorContains(t, err, `"willing://old" is not configured for tenant "acme", class "default"; if data keys of this root key are yours to open, add it: `+c.line)
		require.ErrorContains(t, err, `open Contacts.email (tenant "acme", class "default", record "42")`)
		require.NoError(t, r.Close())
	}
}

// A provider that wraps under another root key than it was told to would make
// envelopes that the same configuration refuses to open.
func TestProviderThatSealsUnderAnotherRootKey(t *testing.T) {
	for mode, store := range map[string]KeyStore{"inline": nil, "reference": NewMemoryStore()} {
		t.Run(mode, func(t *testing.T) {
			r, err := NewKeyRing(&resolvingProvider{}, RootKeys{Seal: "willing://own"}, &Options{Store: store})
			require.NoError(t, err)
			defer r.Close()
			_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
			require.ErrorIs(t, err, ErrRootKeyNotAllowed)
			if store != nil {
				_, err = store.Active(t.Context(), place("acme").Scope, PurposeData)
				require.ErrorIs(t, err, ErrKeyNotFound, "a key that can't be used was stored")
			}
		})
	}
}
