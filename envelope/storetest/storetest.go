// Package storetest is the conformance suite for key stores: what every
// [envelope.KeyStore] must do, above all when many callers meet in it.
//
// A key store's test describes itself in a [Harness] and calls [Run]:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			New:    func(t testing.TB) envelope.KeyStore { return openStore(t, server) },
//			Reopen: func(t testing.TB, _ envelope.KeyStore) envelope.KeyStore { return openStore(t, server) },
//		})
//	}
//
// Every check works on tenants of its own with random names, so the store need
// not be empty, and one database can serve many runs. Without Reopen nothing is
// said about what other processes see; Run logs by name the check that it
// leaves out for that reason.
//
// What the suite demands beyond the words of the interface:
//
//   - a record comes back with the class "default" where it was stored with the
//     empty one, since its key ID and tag were made with that;
//   - names and the texts of a change may hold every character of UTF-8, U+0000
//     among them;
//   - Activate and Insert store the Change of the record that they are given,
//     and the key that Activate retires keeps its own;
//   - one key ID may be there under several scopes and purposes;
//   - Update accepts a change to what is there already, and neither compares
//     nor changes members that the interface doesn't name there. Moves from
//     active to destroyed, and to and from pending, are not checked;
//   - Page takes the limit 0, and States no names at all, without an error;
//   - racing callers get a plain answer (a conflict, a claim not won, fewer
//     messages) and never an error of the storage, such as a deadlock or a
//     serialization failure: the store itself tries again;
//   - a call whose context has ended returns the context's error within two
//     seconds and changes nothing.
//
// Keys come into their states as in a service: by Activate and Insert, then by
// Update.
//
// The suite's own tests run it against stores that are broken on purpose, two or
// more for each check, and demand that the intended check fails.
package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A Harness describes the key store under test. Only New is required.
type Harness struct {
	// New returns a store that works. It is called once in each check and
	// releases what it holds with t.Cleanup.
	New func(t testing.TB) envelope.KeyStore

	// Reopen returns another store on the storage of one that New returned, as
	// another process would open it. Both are used at once; where there are
	// two, the checks with racing callers spread them over both.
	Reopen func(t testing.TB, s envelope.KeyStore) envelope.KeyStore

	// ShortLease is a time that the store keeps a claim for with an error of
	// less than a tenth; 300 ms if it is zero. Stores whose clock counts whole
	// seconds need more. A run waits for it about four times.
	ShortLease time.Duration
}

const defaultShortLease = 300 * time.Millisecond

// Run runs every check on the store as a subtest of t, one after the other.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if err := h.validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range checks() {
		if reason := c.leftOut(h); reason != "" {
			t.Logf("not checked: %s: %s", c.name, reason)
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if err := c.verdict(t, h); err != nil {
				t.Error(err)
			}
		})
	}
}

func (h *Harness) validate() error {
	switch {
	case h.New == nil:
		return errors.New("storetest: Harness needs New")
	case h.ShortLease < 0:
		return errors.New("storetest: Harness.ShortLease is negative")
	}
	return nil
}
