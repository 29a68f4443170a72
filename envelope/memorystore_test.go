package envelope_test

import (
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/storetest"
)

func TestMemoryStoreConformance(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(testing.TB) envelope.KeyStore { return envelope.NewMemoryStore() },
		// Its storage is the store itself.
		Reopen: func(_ testing.TB, s envelope.KeyStore) envelope.KeyStore { return s },
	})
}
