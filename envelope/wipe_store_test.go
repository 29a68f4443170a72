package envelope

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A lookedAtProvider keeps the plain key that it gave away last.
type lookedAtProvider struct {
	*plainProvider
	last []byte
}

func (p *lookedAtProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	made, err := p.plainProvider.GenerateDataKey(ctx, rootKey, ec)
	p.last = made.Plaintext
	return made, err
}

func (p *lookedAtProvider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	secret, err := p.plainProvider.Unwrap(ctx, rootKey, wrapped, ec)
	p.last = secret
	return secret, err
}

// A lookingStore looks at that key when it is to store its record.
type lookingStore struct {
	*MemoryStore
	p    *lookedAtProvider
	seen [][]byte
}

func (s *lookingStore) Activate(ctx context.Context, rec Record, previous KeyID) error {
	s.seen = append(s.seen, append([]byte(nil), s.p.last...))
	return s.MemoryStore.Activate(ctx, rec, previous)
}

func (s *lookingStore) Insert(ctx context.Context, rec Record) error {
	s.seen = append(s.seen, append([]byte(nil), s.p.last...))
	return s.MemoryStore.Insert(ctx, rec)
}

// A plain key isn't in memory for as long as a key store takes.
func TestPlainKeysDontWaitForTheStore(t *testing.T) {
	p := &lookedAtProvider{plainProvider: &plainProvider{}}
	store := &lookingStore{MemoryStore: NewMemoryStore(), p: p}
	r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, &Options{Store: store})
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	env, _ := sealFor(t, r, place("acme"))
	_, err = r.Open(t.Context(), place("acme"), env)
	require.NoError(t, err)

	inline, _ := sealFor(t, plainRing(t, p.plainProvider, nil), place("acme"))
	_, err = r.Compact(t.Context(), place("acme").Scope, inline)
	require.NoError(t, err)
	require.Equal(t, [][]byte{make([]byte, 32), make([]byte, 32)}, store.seen)
}
