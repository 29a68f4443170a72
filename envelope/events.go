package envelope

// An EventKind says what happened.
type EventKind string

// The kinds of events. Members of an [Event] that a kind doesn't name are zero.
const (
	// RootKeyAway: the key service didn't answer for RootKey (Err), at the next
	// check of a root key that has data keys in memory. These serve on for
	// Options.OutageGrace after its last yes.
	RootKeyAway EventKind = "root key away"

	// RootKeyBack: it answers again.
	RootKeyBack EventKind = "root key back"

	// GraceEnded: it hasn't answered for so long (Err) that the data keys under
	// RootKey were dropped.
	GraceEnded EventKind = "grace ended"

	// RootKeyRefused: the key service refused RootKey for the data key KeyID of
	// Scope (Err). All data keys under RootKey were dropped.
	RootKeyRefused EventKind = "root key refused"

	// CallFailed: the key service couldn't, or wouldn't, make or unwrap a data key
	// for Scope under RootKey (Err): for a caller, ahead of need, or in a check.
	// It is told for each call, as often as callers try again.
	CallFailed EventKind = "key service call failed"

	// KeyMade: a data key, KeyID, was made for Scope under RootKey.
	KeyMade EventKind = "data key made"

	// KeyLoaded: KeyID of Scope was unwrapped by RootKey.
	KeyLoaded EventKind = "data key loaded"

	// KeyStopped: KeyID of Scope neither seals nor opens any more in this
	// process, since the key store says so. With an Err, an [ErrKeyNotFound],
	// its record is gone from the store: it seals no more, and opens for as
	// long as it is in memory, while other processes can't load it.
	KeyStopped EventKind = "data key stopped"

	// StoreAway: the key store couldn't be asked about the keys in memory
	// (Err). They serve on for Options.OutageGrace after its last answer. Of
	// several stores behind a [Sharded] one it is Store, or, where Store is
	// empty, that isn't known of some keys.
	StoreAway EventKind = "key store away"

	// StoreBack: it, Store, answers again.
	StoreBack EventKind = "key store back"
)

// An Event tells of something that an operator may want to count, log or be
// woken for. It holds no key and no value.
type Event struct {
	Kind    EventKind
	RootKey string // URI
	Scope   Scope
	KeyID   KeyID
	Store   string // name of one of several key stores
	Err     error
}

// tell tells of an event. A panic of OnEvent must not undo what it is told of, nor
// end the process, and there is nobody to tell of it.
func (r *KeyRing) tell(e Event) {
	if r.opts.OnEvent != nil {
		defer func() { _ = recover() }()
		r.opts.OnEvent(e)
	}
}
