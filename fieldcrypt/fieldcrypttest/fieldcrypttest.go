// Package fieldcrypttest lets a program's own tests run its real encryption
// code without a key service: values are really sealed, bound and opened, by
// reference to an in-memory key store or inline, but under a root key that is
// written in this package and known to everyone.
//
//	func TestSave(t *testing.T) {
//		contacts, err := fieldcrypt.For[Contact](fieldcrypttest.New(t))
//		...
//	}
//
// [NewWithStore] is for code that searches.
//
// It works in test binaries only: elsewhere [New] panics, so that no program
// can take it for protection.
package fieldcrypttest

import (
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// RootKey is the URI of the only root key there is.
const RootKey = "fieldcrypttest://root"

// New returns a Crypt that needs nothing outside the test's own process. It
// has no key store, so that envelopes are inline and carry their wrapped data
// keys: what one test sealed, any other opens, also in a later release. The
// Crypt is closed when the test ends.
func New(t testing.TB) *fieldcrypt.Crypt {
	t.Helper()
	return open(t, nil)
}

// NewWithStore is New with a key store in memory: for code that searches, rotates
// or sweeps, since blind indexes and deterministic fields need one, and for tests
// that depend on the size of envelopes by reference. What was sealed can be opened as long as the
// Crypt is.
func NewWithStore(t testing.TB) *fieldcrypt.Crypt {
	t.Helper()
	return open(t, envelope.NewMemoryStore())
}

// Provider returns what New gives to fieldcrypt.New, for tests that make their
// own Crypt or key ring with it, and with [RootKey]. It panics outside test
// binaries.
func Provider() kmsprovider.Provider {
	onlyInTests()
	return provider{}
}

func open(t testing.TB, store envelope.KeyStore) *fieldcrypt.Crypt {
	t.Helper()
	crypt, err := fieldcrypt.New(Provider(), fieldcrypt.RootKeys{Seal: RootKey},
		&fieldcrypt.Options{Envelope: envelope.Options{Store: store}})
	if err != nil {
		t.Fatalf("fieldcrypttest: %v", err)
	}
	t.Cleanup(func() {
		if err := crypt.Close(); err != nil {
			t.Errorf("fieldcrypttest: close: %v", err)
		}
	})
	return crypt
}

func onlyInTests() {
	if !testing.Testing() {
		panic("fieldcrypttest: its root key is public: it works in tests only")
	}
}
