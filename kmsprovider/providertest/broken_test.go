package providertest

import (
	"context"
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/stretchr/testify/require"
)

// broken is the memory provider with some of its methods done wrong.
type broken struct {
	*memory
	generate func(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error)
	unwrap   func(context.Context, string, []byte, kmsprovider.EncryptionContext) ([]byte, error)
	rewrap   func(context.Context, string, []byte, string, kmsprovider.EncryptionContext) ([]byte, string, error)
	wrap     func(context.Context, string, []byte, kmsprovider.EncryptionContext) ([]byte, string, error)
	check    func(context.Context, string) error
	resolve  func(context.Context, string) (string, error)
}

func (b *broken) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if b.generate != nil {
		return b.generate(ctx, rootKey, ec)
	}
	return b.memory.GenerateDataKey(ctx, rootKey, ec)
}

func (b *broken) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if b.unwrap != nil {
		return b.unwrap(ctx, rootKey, wrapped, ec)
	}
	return b.memory.Unwrap(ctx, rootKey, wrapped, ec)
}

func (b *broken) Rewrap(ctx context.Context, from string, wrapped []byte, to string, ec kmsprovider.EncryptionContext) (rewrapped []byte, rootKey string, err error) {
	if b.rewrap != nil {
		return b.rewrap(ctx, from, wrapped, to, ec)
	}
	return b.memory.Rewrap(ctx, from, wrapped, to, ec)
}

func (b *broken) Wrap(ctx context.Context, rootKey string, plain []byte, ec kmsprovider.EncryptionContext) (wrapped []byte, canonical string, err error) {
	if b.wrap != nil {
		return b.wrap(ctx, rootKey, plain, ec)
	}
	return b.memory.Wrap(ctx, rootKey, plain, ec)
}

func (b *broken) Check(ctx context.Context, rootKey string) error {
	if b.check != nil {
		return b.check(ctx, rootKey)
	}
	return b.memory.Check(ctx, rootKey)
}

func (b *broken) Resolve(ctx context.Context, rootKey string) (string, error) {
	if b.resolve != nil {
		return b.resolve(ctx, rootKey)
	}
	return b.memory.Resolve(ctx, rootKey)
}

// A flaw is one thing done wrong, the check that is there to find it, and what
// that check says.
type flaw struct {
	name  string
	check string
	says  string
	apply func(b *broken)
}

func flaws() []flaw {
	var all []flaw
	for _, some := range [][]flaw{keyFlaws(), contextFlaws(), wrappedFlaws(), bufferFlaws(), wrapFlaws(), callFlaws(), errorFlaws(), stateFlaws()} {
		all = append(all, some...)
	}
	return all
}

func TestBrokenProvidersFail(t *testing.T) {
	for _, f := range flaws() {
		t.Run(f.check+"/"+f.name, func(t *testing.T) {
			h := newService().harness(func(m *memory) kmsprovider.Provider {
				b := &broken{memory: m}
				f.apply(b)
				return b
			})
			_, err := named(t, f.check).verdict(t, h)
			require.ErrorContains(t, err, f.says)
		})
	}
}

// Every check has a provider that fails it. The redaction of DataKey isn't the
// provider's, and its check has TestShows.
func TestEveryCheckHasABrokenProvider(t *testing.T) {
	has := map[string]bool{"data-key-redacted": true, "replica-rotated": true /* TestDefects */}
	for _, f := range flaws() {
		has[f.check] = true
	}
	for _, c := range checks() {
		require.True(t, has[c.name], "no broken provider for the check %s", c.name)
	}
}
