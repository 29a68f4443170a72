package drivertest

import (
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/storetest"
)

// conformsWith runs the suite on stores that open opens.
func conformsWith(t *testing.T, open func() *sqlstore.Store) {
	storetest.Run(t, storetest.Harness{
		New:    func(testing.TB) envelope.KeyStore { return open() },
		Reopen: func(testing.TB, envelope.KeyStore) envelope.KeyStore { return open() },
	})
}

// conforms runs the suite for key stores. Each store has a pool of its own, as
// another process would.
func conforms(t *testing.T, d database) {
	storetest.Run(t, storetest.Harness{
		New:    func(t testing.TB) envelope.KeyStore { return d.store(t) },
		Reopen: func(t testing.TB, _ envelope.KeyStore) envelope.KeyStore { return d.store(t) },
	})
}

func TestConformance(t *testing.T) { everywhere(t, conforms) }

// Nothing is set: no busy_timeout, and the journal that makes readers wait.
func TestConformanceOfPlainSQLite(t *testing.T) {
	t.Parallel()
	sqliteFile(t, "synchronous(OFF)").behaves(t)
}
