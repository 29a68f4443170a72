package envelope

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"iter"
	"slices"
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

// A KeyName names one record of a key store.
type KeyName struct {
	Scope   Scope
	Purpose Purpose
	ID      KeyID
}

func (n KeyName) String() string {
	return fmt.Sprintf("key %s (%s, purpose %q)", n.ID, n.Scope, shown(string(n.Purpose), maxName))
}

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
	Tag      [32]byte  // authenticates what is above, save RootKey, Wrapped and State

	// DestroyAfter is when a scheduled key may be destroyed, in whole seconds;
	// zero in other states.
	DestroyAfter time.Time

	// Change tells of the last change of state. On a destroyed key it is the
	// tombstone.
	Change Change
}

// Name returns what names the record.
func (rec *Record) Name() KeyName { return KeyName{rec.Scope, rec.Purpose, rec.KeyID} }

// A Change says who changed the state of a key, when and why.
type Change struct {
	At  time.Time // whole seconds
	By  string    // up to 255 bytes of UTF-8
	Why string    // up to 1,024 bytes of UTF-8
}

// A Filter chooses records of a key store. A zero field chooses all.
type Filter struct {
	Tenant  string
	Class   string
	Purpose Purpose
	RootKey string // URI
	States  []State
}

// Match reports whether the filter chooses a record.
func (f *Filter) Match(rec *Record) bool {
	return (f.Tenant == "" || f.Tenant == rec.Scope.Tenant) &&
		(f.Class == "" || f.Class == rec.Scope.withDefault().Class) &&
		(f.Purpose == "" || f.Purpose == rec.Purpose) &&
		(f.RootKey == "" || f.RootKey == rec.RootKey) &&
		(len(f.States) == 0 || slices.Contains(f.States, rec.State))
}

// ErrConflict is what a key store answers when a key or its record isn't what the
// caller takes it to be: somebody else was faster.
var ErrConflict = errors.New("key store: the record is there already, or has changed")

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

	// Insert stores rec as a retired key: one that came inside an envelope. It
	// answers ErrConflict, and changes nothing, if it has a key of that name,
	// whatever its state.
	Insert(ctx context.Context, rec Record) error

	// Update gives a key the RootKey, Wrapped, State, DestroyAfter and Change
	// of rec, in one step, if its record still has the RootKey, Wrapped, State
	// and DestroyAfter of old; otherwise it answers ErrConflict and changes
	// nothing, or ErrKeyNotFound. Nothing is changed of a destroyed key, and no
	// key is made active: both are ErrConflict. A key that becomes destroyed
	// loses its wrapped key for good.
	Update(ctx context.Context, old, rec Record) error

	// States returns the states of many keys, in their order: "" for one that
	// isn't there.
	States(ctx context.Context, keys []KeyName) ([]State, error)

	// Page returns, in the order of their names, up to limit records that the
	// filter chooses and that come after a name: tenant, class, purpose and key
	// ID, compared as bytes. The zero name comes before all others.
	Page(ctx context.Context, f Filter, after KeyName, limit int) ([]Record, error)
}

// A ReplicaReader is a [KeyStore] that also reads from a copy of itself which may
// lag behind. A key ring reads there what opens envelopes, and nothing else:
// whether a key was moved is asked of the store itself.
type ReplicaReader interface {
	// GetForOpening is like [KeyStore.Get], and its answer may be an old one.
	GetForOpening(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (Record, error)
}

// A Sharded is a [KeyStore] made of several. A key ring asks each of them by
// itself about the keys in memory: while one is away, nothing changes for the
// keys of the others.
type Sharded interface {
	// Shard names the store that has a scope's keys. The name isn't empty. It
	// is called for each key in memory, every StorePoll.
	Shard(scope Scope) (name string, err error)
}

// getForOpening reads a record from the store's replica, if it has one.
func getForOpening(ctx context.Context, store KeyStore, scope Scope, purpose Purpose, id KeyID) (Record, error) {
	if r, ok := store.(ReplicaReader); ok {
		return r.GetForOpening(ctx, scope, purpose, id)
	}
	return store.Get(ctx, scope, purpose, id)
}

// Compare orders names as [KeyStore.Page] does.
func (n KeyName) Compare(other KeyName) int {
	return cmp.Or(
		cmp.Compare(n.Scope.Tenant, other.Scope.Tenant),
		cmp.Compare(n.Scope.withDefault().Class, other.Scope.withDefault().Class),
		cmp.Compare(n.Purpose, other.Purpose),
		bytes.Compare(n.ID[:], other.ID[:]),
	)
}

// listPage is how many records List asks for at a time.
const listPage = 500

// List returns the records of a store that the filter chooses, in the order of
// their names. It asks for them page by page, so that a store of any size can be
// walked; what changes meanwhile may or may not be seen. After an error it
// ends.
func List(ctx context.Context, store KeyStore, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var after KeyName
		for {
			page, err := store.Page(ctx, f, after, listPage)
			if err != nil {
				yield(Record{}, storeError(err))
				return
			}
			for _, rec := range page {
				if !yield(rec, nil) {
					return
				}
			}
			if len(page) < listPage {
				return
			}
			after = page[len(page)-1].Name()
		}
	}
}

// verify checks that the secret is the key which the record names and that the
// record's dates and budget are those it was made with.
func (rec *Record) verify(secret []byte) error {
	if err := checkKey(secret, rec.Scope, rec.Purpose); err != nil {
		return err
	}
	if rec.Created.Nanosecond() != 0 || rec.NotAfter.Nanosecond() != 0 { // the tag covers whole seconds
		return errBadTag
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
	return fmt.Errorf("%w: the key store says that it is %q", ErrKeyNotFound, shown(string(rec.State), 32))
}
