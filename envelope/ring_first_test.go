package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

var email = MustField("Contacts", "email")

func testRing(t testing.TB, opts *Options) *KeyRing {
	t.Helper()
	kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
	require.NoError(t, err)
	t.Cleanup(func() { kms.Close() })
	r, err := NewKeyRing(kms, RootKeys{Seal: kms.RootKey()}, opts)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRoundTrip(t *testing.T) {
	for name, opts := range map[string]*Options{"inline": nil, "reference": {Store: NewMemoryStore()}} {
		t.Run(name, func(t *testing.T) {
			r := testRing(t, opts)
			b := &Binding{Scope: Scope{Tenant: "acme"}, Field: email, Record: "42"}
			env, err := r.Seal(t.Context(), b, AppendString(nil, "ada@example.com"))
			require.NoError(t, err)
			frame, err := r.Open(t.Context(), b, env)
			require.NoError(t, err)
			typ, p, err := ParseFrame(frame)
			require.NoError(t, err)
			require.Equal(t, TypeString, typ)
			require.Equal(t, "ada@example.com", string(p))
			b.Record = "43"
			_, err = r.Open(t.Context(), b, env)
			require.ErrorIs(t, err, ErrNotAuthentic)
		})
	}
}

func benchLimit(b *testing.B) (cipher.AEAD, []byte, []byte) {
	blk, _ := aes.NewCipher(make([]byte, 32))
	g, _ := cipher.NewGCMWithRandomNonce(blk)
	bd := benchBinding()
	k, _ := newDataKey(make([]byte, 32), bd.Scope.withDefault())
	return g, bd.appendPlace(k.prefix), AppendString(nil, "0123456789abcdef0123456789abcdef")
}

func benchBinding() *Binding {
	return &Binding{Scope: Scope{Tenant: "tenant-0001", Class: "crm"}, Field: email, Record: "7f3a1c2e-1111-4222-8333-944455556666"}
}

func BenchmarkSealLimit(b *testing.B) {
	g, aad, f := benchLimit(b)
	b.ReportAllocs()
	for b.Loop() {
		g.Seal(nil, nil, f, aad)
	}
}

func BenchmarkSealRing(b *testing.B) {
	r := testRing(b, &Options{Store: NewMemoryStore()})
	_, _, f := benchLimit(b)
	bd := benchBinding()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Seal(b.Context(), bd, f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenLimit(b *testing.B) {
	g, aad, f := benchLimit(b)
	c := g.Seal(nil, nil, f, aad)
	b.ReportAllocs()
	for b.Loop() {
		g.Open(nil, nil, c, aad)
	}
}

func BenchmarkOpenRing(b *testing.B) {
	r := testRing(b, &Options{Store: NewMemoryStore()})
	_, _, f := benchLimit(b)
	bd := benchBinding()
	c, _ := r.Seal(b.Context(), bd, f)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(b.Context(), bd, c); err != nil {
			b.Fatal(err)
		}
	}
}
