package envelope

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"time"
)

// A State says what a data key may still do.
type State string

// The states of a data key.
const (
	StatePending   State = "pending"   // made, not in use yet
	StateActive    State = "active"    // seals and opens; at most one for each scope and purpose
	StateRetired   State = "retired"   // opens
	StateSuspended State = "suspended" // neither, until it is resumed
	StateScheduled State = "scheduled" // neither, until it is destroyed or that is cancelled
	StateDestroyed State = "destroyed" // neither, for ever; the wrapped key is gone
)

// A Record is what a key store keeps of a data key.
type Record struct {
	KeyID    KeyID
	Scope    Scope
	Purpose  Purpose
	RootKey  string // URI of the root key that wraps it
	Wrapped  []byte
	State    State
	Created  time.Time // whole seconds
	NotAfter time.Time // whole seconds; it seals nothing after this; zero: no end
	Budget   uint64    // messages it may seal in all; 0: not counted
	Tag      [32]byte  // authenticates the rest, save RootKey, Wrapped and State
}

// ErrConflict is what a key store answers when the scope's active key is not
// the one that the caller takes it to be.
var ErrConflict = errors.New("key store: another active key is there already")

// A KeyStore keeps wrapped data keys for all processes of a service. It is not
// trusted: what it returns is checked against the data key itself.
//
// Implementations are safe for concurrent use, compare tenants and classes as
// bytes, commit before they return and never inside a caller's transaction,
// and keep no reference to the slices they are given or return. Package
// storetest holds them to it.
type KeyStore interface {
	// Active returns the active record of a scope and purpose, or
	// ErrKeyNotFound.
	Active(ctx context.Context, scope Scope, purpose Purpose) (Record, error)

	// Get returns the record of a key in any state, or ErrKeyNotFound. A key
	// of another scope or purpose is not found.
	Get(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (Record, error)

	// Claim takes, for the time of the lease, the right to make the next key
	// of a scope and purpose. It answers false while another holder's lease
	// runs; a holder's second claim renews its lease.
	Claim(ctx context.Context, scope Scope, purpose Purpose, holder string, lease time.Duration) (bool, error)

	// Release gives back a claim that the holder has; otherwise it does
	// nothing.
	Release(ctx context.Context, scope Scope, purpose Purpose, holder string) error

	// Activate stores rec as the active key of its scope and purpose and
	// retires the key that was active, in one step. It answers ErrConflict,
	// and changes nothing, unless previous is the active key's ID (the zero ID
	// where there is none) and rec's own ID is new.
	Activate(ctx context.Context, rec Record, previous KeyID) error

	// Lease takes up to n messages from what is left of an active key's
	// budget. It answers how many it took, fewer than n at the end, then 0,
	// and how many are left after that: none of a key that isn't active, and
	// the greatest uint64 of one whose budget isn't counted.
	Lease(ctx context.Context, scope Scope, purpose Purpose, id KeyID, n uint64) (granted, left uint64, err error)
}

// verify checks that the secret is the key which the record names and that the
// record's dates and budget are those it was made with.
func (rec *Record) verify(secret []byte) error {
	if err := checkKey(secret, rec.Scope, rec.Purpose); err != nil {
		return err
	}
	id := deriveKeyID(secret, rec.Scope, rec.Purpose)
	tag := recordTag(secret, rec.Scope, rec.Purpose, rec.Created, rec.NotAfter, rec.Budget)
	if !hmac.Equal(id[:], rec.KeyID[:]) {
		return errKeyMismatch
	}
	if !hmac.Equal(tag[:], rec.Tag[:]) {
		return errBadTag
	}
	return nil
}

// readable says whether what the key sealed may be opened.
func (rec *Record) readable() error {
	switch rec.State {
	case StateActive, StateRetired:
		return nil
	case StateDestroyed:
		return ErrKeyDestroyed
	}
	return fmt.Errorf("%w: it is %s", ErrKeyNotFound, rec.State)
}
