package kmsprovider_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

var ec = kmsprovider.EncryptionContext{"tenant": "acme"}

func localKey(t *testing.T) *localkms.Provider {
	t.Helper()
	p, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// A pair stands for two key services, and remembers the plain data keys that
// crossed from one to the other.
type pair struct {
	from, to kmsprovider.Provider
	seen     [][]byte
}

func (p *pair) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	return p.from.GenerateDataKey(ctx, rootKey, ec)
}

func (p *pair) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	plain, err := p.from.Unwrap(ctx, rootKey, wrapped, ec)
	if err == nil {
		p.seen = append(p.seen, plain)
	}
	return plain, err
}

func (p *pair) Wrap(ctx context.Context, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) (wrapped []byte, canonical string, err error) {
	return p.to.(kmsprovider.Wrapper).Wrap(ctx, rootKey, plaintext, ec)
}

// A choosy pair is a Rewrapper too, but not between these root keys.
type choosy struct {
	*pair
	err error
}

func (c choosy) Rewrap(context.Context, string, []byte, string, kmsprovider.EncryptionContext) (rewrapped []byte, rootKey string, err error) {
	return nil, "", c.err
}

func TestRewrapFromFileToAWS(t *testing.T) {
	srv := fakekms.New(fakekms.Options{})
	t.Cleanup(srv.Close)
	aws, err := awskms.New(srv.Config(), nil)
	require.NoError(t, err)
	file := localKey(t)
	to := "aws-kms://" + srv.CreateKey(fakekms.KeyOptions{})
	dk, err := file.GenerateDataKey(t.Context(), file.RootKey(), ec)
	require.NoError(t, err)

	both := &pair{from: file, to: aws}
	unsupported := errors.Join(kmsprovider.ErrKeyUnusable, errors.ErrUnsupported)
	for name, p := range map[string]kmsprovider.Provider{"no Rewrapper": both, "not between these": choosy{both, unsupported}} {
		t.Run(name, func(t *testing.T) {
			both.seen = nil
			wrapped, rootKey, err := kmsprovider.Rewrap(t.Context(), p, dk.RootKey, dk.Wrapped, to, ec)
			require.NoError(t, err)
			require.Equal(t, to, rootKey)
			plain, err := aws.Unwrap(t.Context(), rootKey, wrapped, ec)
			require.NoError(t, err)
			require.Equal(t, dk.Plaintext, plain)
			require.Len(t, both.seen, 1)
			require.Equal(t, make([]byte, kmsprovider.DataKeySize), both.seen[0], "the data key was wiped")
		})
	}
	t.Run("wiped when it can't be wrapped", func(t *testing.T) {
		both.seen = nil
		srv.Deny("", "Encrypt")
		_, _, err := kmsprovider.Rewrap(t.Context(), both, dk.RootKey, dk.Wrapped, to, ec)
		require.Equal(t, kmsprovider.ErrDenied, providertest.ClassOf(err), "%v", err)
		require.ErrorContains(t, err, "grant kms:Encrypt")
		require.Equal(t, make([]byte, kmsprovider.DataKeySize), both.seen[0])
	})
}

func TestRewrapInside(t *testing.T) {
	file := localKey(t)
	other, err := file.AddRootKey(t.Context(), "other")
	require.NoError(t, err)
	dk, err := file.GenerateDataKey(t.Context(), file.RootKey(), ec)
	require.NoError(t, err)
	wrapped, rootKey, err := kmsprovider.Rewrap(t.Context(), file, dk.RootKey, dk.Wrapped, other, ec)
	require.NoError(t, err)
	require.Equal(t, other, rootKey)
	plain, err := file.Unwrap(t.Context(), other, wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, dk.Plaintext, plain)
}

func TestRewrapRefusals(t *testing.T) {
	file := localKey(t)
	dk, err := file.GenerateDataKey(t.Context(), file.RootKey(), ec)
	require.NoError(t, err)
	both := &pair{from: file, to: localKey(t)}
	for _, c := range []struct {
		name  string
		p     kmsprovider.Provider
		ec    kmsprovider.EncryptionContext
		class error
		says  string
	}{
		{"a provider that can do neither", struct{ kmsprovider.Provider }{file}, ec, kmsprovider.ErrKeyUnusable, "can't wrap a data key that it didn't make"},
		{"a Rewrapper that says no", choosy{both, kmsprovider.ErrDenied}, ec, kmsprovider.ErrDenied, "denied"},
		{"a Rewrapper that is away", choosy{both, kmsprovider.ErrUnavailable}, ec, kmsprovider.ErrUnavailable, "unavailable"},
		{"another encryption context", both, nil, kmsprovider.ErrInvalidCiphertext, "unwrapping"},
		{"a root key of another service", both, ec, kmsprovider.ErrKeyUnusable, "wrapping"},
	} {
		t.Run(c.name, func(t *testing.T) {
			both.seen = nil
			wrapped, rootKey, err := kmsprovider.Rewrap(t.Context(), c.p, dk.RootKey, bytes.Clone(dk.Wrapped), dk.RootKey, c.ec)
			require.Equal(t, c.class, providertest.ClassOf(err), "%v", err)
			require.ErrorContains(t, err, c.says)
			require.Nil(t, wrapped)
			require.Empty(t, rootKey)
			require.Equal(t, c.name == "a provider that can do neither", errors.Is(err, errors.ErrUnsupported))
			if c.p == kmsprovider.Provider(both) && c.ec != nil {
				require.Len(t, both.seen, 1)
			} else {
				require.Empty(t, both.seen, "the data key left its service for nothing")
			}
		})
	}
}
