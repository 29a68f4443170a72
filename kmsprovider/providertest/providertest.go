// Package providertest is the conformance suite for key providers: what every
// [kmsprovider.Provider] must do, and above all what it must refuse.
//
// A provider's test describes itself in a [Harness] and calls [Run]:
//
//	func TestConformance(t *testing.T) {
//		providertest.Run(t, providertest.Harness{
//			New:            func(t testing.TB) kmsprovider.Provider { return newProvider(t) },
//			RootKey:        "my-kms://one",
//			OtherRootKey:   "my-kms://two",
//			MissingRootKey: "my-kms://none",
//		})
//	}
//
// What a provider can't be made to do (disable a key, go away) is a hook left
// nil; Run logs by name each check that it leaves out for that reason. What a
// service does wrong and is known for, such as an emulator, is listed in
// [Harness.Known]: the check then demands that the defect shows, so that the
// list can't outlive it.
//
// The suite's own tests run it against providers that are broken on purpose,
// one for each check, and demand that the intended check fails.
package providertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A Harness describes the provider under test. The first four fields are
// required, and the three root keys are different; the rest may be left zero.
type Harness struct {
	// New returns a provider that works and may use RootKey, OtherRootKey and
	// every key that NewRootKey has returned so far. It is called at least
	// once in each check and releases what it holds with t.Cleanup. Providers
	// of one run share their root keys. [kmsprovider.Rewrapper],
	// [kmsprovider.Wrapper], [kmsprovider.Checker] and [kmsprovider.Resolver]
	// are checked if the result implements them.
	New func(t testing.TB) kmsprovider.Provider

	RootKey        string // canonical URI of a root key in order
	OtherRootKey   string // canonical URI of another root key in order
	MissingRootKey string // a well-formed URI of this provider that names no root key

	// Alias is a name that stands for RootKey and isn't its canonical URI.
	Alias string

	// NewRootKey makes one more root key and returns its canonical URI. It is
	// called before New in the checks that change a root key's state, which
	// use RootKey itself without it.
	NewRootKey func(t testing.TB) string

	// Disable and Enable change a root key's state in the service. Enable is
	// required with Disable.
	Disable, Enable func(t testing.TB, rootKey string)

	// ScheduleDeletion puts a root key made by NewRootKey, which it requires,
	// on its way out.
	ScheduleDeletion func(t testing.TB, rootKey string)

	// Rotate gives a root key new key material under the same URI.
	Rotate func(t testing.TB, rootKey string)

	// Replica returns a root key that is kept in two regions.
	Replica func(t testing.TB) Replica

	// Unavailable makes the service unreachable, or fail each call with an
	// internal error, until restore is called. It reaches providers that New
	// returned before.
	Unavailable func(t testing.TB) (restore func())

	// Throttle and Deny make the service answer each call so, until restore
	// is called.
	Throttle, Deny func(t testing.TB) (restore func())

	// Hang makes the service take each call and never answer, until restore
	// is called.
	Hang func(t testing.TB) (restore func())

	// Timeout is the provider's own bound on a call whose context has no
	// deadline, retries included; zero if it has none. It is waited for once,
	// with Hang, so tests configure a short one; below half a second, a busy
	// machine may reach it before a caller's deadline of 50 ms.
	Timeout time.Duration

	// Wrap has the service wrap any bytes under rootKey, bound to ec, as
	// somebody with the right to encrypt could: it is how the suite makes a
	// wrapped key that isn't 32 bytes long.
	Wrap func(t testing.TB, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) []byte

	// Known lists what the service behind the provider is known to do wrong.
	Known []Defect
}

// A Replica is a root key that is kept in two regions: what one wraps the
// other unwraps.
type Replica struct {
	Primary, Replica       kmsprovider.Provider // each calls its own region only
	PrimaryKey, ReplicaKey string               // the root key's URI as each provider takes it; may be equal
	Rotate                 func(t testing.TB)   // rotates the primary
}

// A Defect is something that a service, usually an emulator, is known to do
// wrong, so that no provider in front of it can do it right.
type Defect string

// The known defects.
const (
	// ContextJoinedWithoutDelimiters: names and values of the encryption
	// context are bound as one string without boundaries, so that {"a":"bc"}
	// opens what {"ab":"c"} sealed. LocalStack 4 has it.
	ContextJoinedWithoutDelimiters Defect = "the encryption context is joined without delimiters"

	// ReplicasNotRotated: rotating the primary of a multi-region key doesn't
	// reach its replicas, which then don't open what it wraps. LocalStack 4
	// has it.
	ReplicasNotRotated Defect = "rotation of a multi-region key doesn't reach its replicas"
)

// Run runs every check on the provider as a subtest of t, one after the other.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if err := h.validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range checks() {
		if reason := c.leftOut(t, h); reason != "" {
			t.Logf("not checked: %s: %s", c.name, reason)
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			note, err := c.verdict(t, h)
			if err != nil {
				t.Error(err)
			}
			if note != "" {
				t.Log(note)
			}
		})
	}
}

// ClassOf returns the one class of failure that err matches: one of the five
// of package kmsprovider, [context.Canceled] or [context.DeadlineExceeded]. It
// returns nil if err matches none of them, or more than one: such an error
// isn't allowed to a provider, since its callers decide by the class.
func ClassOf(err error) error {
	var found []error
	for _, class := range []error{
		kmsprovider.ErrUnavailable,
		kmsprovider.ErrThrottled,
		kmsprovider.ErrDenied,
		kmsprovider.ErrKeyUnusable,
		kmsprovider.ErrInvalidCiphertext,
		context.Canceled,
		context.DeadlineExceeded,
	} {
		if errors.Is(err, class) {
			found = append(found, class)
		}
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

func (h Harness) validate() error {
	switch {
	case h.New == nil || h.RootKey == "" || h.OtherRootKey == "" || h.MissingRootKey == "":
		return errors.New("providertest: Harness needs New, RootKey, OtherRootKey and MissingRootKey")
	case h.RootKey == h.OtherRootKey || h.RootKey == h.MissingRootKey || h.OtherRootKey == h.MissingRootKey || h.Alias == h.RootKey:
		return errors.New("providertest: the root keys and the alias of a Harness must differ")
	case h.Disable != nil && h.Enable == nil:
		return errors.New("providertest: a Harness with Disable needs Enable")
	case h.ScheduleDeletion != nil && h.NewRootKey == nil:
		return errors.New("providertest: a Harness with ScheduleDeletion needs NewRootKey")
	}
	for _, d := range h.Known {
		if !slices.Contains([]Defect{ContextJoinedWithoutDelimiters, ReplicasNotRotated}, d) {
			return fmt.Errorf("providertest: Harness.Known has %q, which is no defect of this package", d)
		}
	}
	return nil
}
