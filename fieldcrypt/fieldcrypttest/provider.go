package fieldcrypttest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// provider wraps data keys under a root key that everyone knows:
// the hash of its URI. What it wraps is no secret from anyone.
type provider struct{}

func (provider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	aead, aad, err := prepare(ctx, rootKey, ec)
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	key := make([]byte, kmsprovider.DataKeySize)
	_, _ = rand.Read(key) // never fails; see its documentation
	return kmsprovider.DataKey{Plaintext: key, Wrapped: aead.Seal(nil, nil, key, aad), RootKey: rootKey}, nil
}

func (provider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	aead, aad, err := prepare(ctx, rootKey, ec)
	if err != nil {
		return nil, err
	}
	key, err := aead.Open(nil, nil, wrapped, aad)
	if err != nil {
		return nil, fmt.Errorf("fieldcrypttest: %w", kmsprovider.ErrInvalidCiphertext)
	}
	return key, nil
}

func prepare(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (cipher.AEAD, []byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if rootKey != RootKey {
		return nil, nil, fmt.Errorf("fieldcrypttest: %w: there is only %q", kmsprovider.ErrKeyUnusable, RootKey)
	}
	canonical, err := ec.Canonical()
	if err != nil {
		return nil, nil, err
	}
	secret := sha256.Sum256([]byte(rootKey))
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, nil, fmt.Errorf("fieldcrypttest: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, nil, fmt.Errorf("fieldcrypttest: %w", err)
	}
	return aead, canonical, nil
}
