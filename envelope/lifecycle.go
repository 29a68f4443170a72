package envelope

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// What happens to a data key after it was made. Every move is a
// compare-and-swap in the key store; other processes heed it within StorePoll.
//
//	active ──Rotate, Retire──▶ retired ──Suspend──▶ suspended ──Resume──▶ retired
//	retired, suspended ──ScheduleDestroy──▶ scheduled ──CancelDestroy──▶ retired
//	scheduled ──Destroy──▶ destroyed
//
// With a tombstone log Destroy makes two moves: a scheduled key that has no time
// any more is one whose destruction has begun.

// Errors of moves that are refused.
var (
	// ErrState: the key is in a state from which that move isn't made.
	ErrState = errors.New("the key's state doesn't allow it")

	// ErrReferenced: envelopes still refer to the key, or nobody counted them.
	ErrReferenced = errors.New("the key is still needed")

	// ErrNotConfirmed: the word that a destruction asks for is missing or is
	// that of another key.
	ErrNotConfirmed = errors.New("not confirmed")
)

// A Reason says who moves a key and why. It is kept with the key.
type Reason struct {
	By  string // 1 to 255 bytes of UTF-8
	Why string // up to 1,024 bytes of UTF-8
}

func (r Reason) change() Change { return Change{time.Now().Truncate(time.Second), r.By, r.Why} }

func (r Reason) validate() error {
	switch {
	case r.By == "" || len(r.By) > maxName || !utf8.ValidString(r.By):
		return malformed("Reason.By is %d bytes, it must be 1 to %d of UTF-8: say who does it", len(r.By), maxName)
	case len(r.Why) > maxRecord || !utf8.ValidString(r.Why):
		return malformed("Reason.Why is %d bytes, it must be up to %d of UTF-8", len(r.Why), maxRecord)
	}
	return nil
}

// Retire ends the sealing of an active key, which goes on opening. The scope's
// next seal makes a new key.
func (r *KeyRing) Retire(ctx context.Context, key KeyName, reason Reason) error {
	return r.move(ctx, "retire", key, reason, []State{StateActive, StatePending}, StateRetired, nil)
}

// Suspend ends the sealing and opening of a key until Resume. Where it was
// active, the scope's next seal makes a new key. A key of blind indexes or
// deterministic envelopes is followed with [KeyRing.CutOver] first, which says what
// happens otherwise.
func (r *KeyRing) Suspend(ctx context.Context, key KeyName, reason Reason) error {
	return r.move(ctx, "suspend", key, reason, []State{StateActive, StatePending, StateRetired}, StateSuspended, nil)
}

// Resume makes a suspended key open again. It doesn't seal again.
func (r *KeyRing) Resume(ctx context.Context, key KeyName, reason Reason) error {
	return r.move(ctx, "resume", key, reason, []State{StateSuspended}, StateRetired, r.notBuried(ctx))
}

// LeastWait is the shortest time between ScheduleDestroy and Destroy.
const LeastWait = 24 * time.Hour

// ScheduleDestroy ends the opening of a key at once and allows its destruction
// after a wait, at least [LeastWait]: what depends on the key is noticed while
// CancelDestroy can still bring it back. An active key is refused: retire it
// first. Of a key that is scheduled already the later time holds.
func (r *KeyRing) ScheduleDestroy(ctx context.Context, key KeyName, wait time.Duration, reason Reason) error {
	if wait < LeastWait {
		return fmt.Errorf("envelope: schedule the destruction of %s: %w: a wait of %v, it must be at least %v", key, ErrMalformed, wait, LeastWait)
	}
	return r.move(ctx, "schedule the destruction of", key, reason, []State{StateRetired, StateSuspended, StateScheduled}, StateScheduled, func(was State, rec *Record) error {
		if begun(was, rec) {
			return errBegun
		}
		if after := time.Now().Add(wait).Truncate(time.Second); after.After(rec.DestroyAfter) {
			rec.DestroyAfter = after
		}
		return nil
	})
}

// begun reports that the destruction of a key is under way: it has no time any
// more before which it isn't destroyed. From then on it may be in the tombstone
// log, and nothing brings it back.
func begun(was State, rec *Record) bool { return was == StateScheduled && rec.DestroyAfter.IsZero() }

var errBegun = fmt.Errorf("%w: its destruction has begun, and Destroy alone goes on", ErrState)

// CancelDestroy makes a scheduled key open again. It doesn't seal again.
func (r *KeyRing) CancelDestroy(ctx context.Context, key KeyName, reason Reason) error {
	return r.move(ctx, "cancel the destruction of", key, reason, []State{StateScheduled}, StateRetired, r.notBuried(ctx))
}

// notBuried refuses to bring back a key that the tombstone log calls destroyed: no
// process would open with it.
func (r *KeyRing) notBuried(ctx context.Context) func(State, *Record) error {
	return func(was State, rec *Record) error {
		if err := r.buriedAsOf(ctx, rec.KeyID, 0); err != nil {
			return err
		}
		if begun(was, rec) {
			return errBegun
		}
		rec.DestroyAfter = time.Time{}
		return nil
	}
}

// A Destruction is what [KeyRing.Destroy] asks for.
type Destruction struct {
	Reason

	// Word must be "destroy " and the key's ID in hex.
	Word string

	// References counts the envelopes that still refer to the key, in all
	// places where the caller keeps some. Destroy refuses if it is nil or
	// doesn't answer 0.
	References func(ctx context.Context, key KeyName) (int64, error)

	// LoseReferencedData destroys the key although envelopes refer to it, or
	// without counting them. They can't be opened again by anyone.
	LoseReferencedData bool
}

// Destroy removes a scheduled key's wrapped form from the key store when its
// wait is over, and leaves a tombstone. What it sealed can't be read again
// wherever its copies are, save by whoever has a copy of the wrapped key and may
// use its root key: inline envelopes, and backups of the key store. With
// Options.Tombstones the destruction is first written to that log, and so
// outlives the restoring of a backup; a key that was destroyed without the log is
// written there by another call. Where it fails on the way it may be too
// late to cancel it: call it again.
func (r *KeyRing) Destroy(ctx context.Context, key KeyName, d Destruction) error {
	fail := func(err error) error { return fmt.Errorf("envelope: destroy %s: %w", key, err) }
	if want := "destroy " + key.ID.String(); d.Word != want {
		return fail(fmt.Errorf("%w: Destruction.Word must be %q", ErrNotConfirmed, want))
	}
	if !d.LoseReferencedData {
		if d.References == nil {
			return fail(fmt.Errorf("%w: count the envelopes that refer to it with Destruction.References", ErrReferenced))
		}
		n, err := d.References(ctx, key)
		if err != nil {
			return fail(fmt.Errorf("counting the envelopes that refer to it: %w", err))
		}
		if n != 0 {
			return fail(fmt.Errorf("%w: %d envelopes refer to it: re-encrypt or delete them", ErrReferenced, n))
		}
	}
	destroy := func(to State, edit func(State, *Record) error) error {
		return r.move(ctx, "destroy", key, d.Reason, []State{StateScheduled}, to, edit)
	}
	ripe := func(was State, rec *Record) error {
		if wait := time.Until(rec.DestroyAfter); wait > 0 && !begun(was, rec) {
			return fmt.Errorf("%w: it is scheduled for %s, in %v", ErrState, rec.DestroyAfter.UTC().Format(time.RFC3339), wait.Round(time.Second))
		}
		rec.DestroyAfter = time.Time{}
		return nil
	}
	if r.opts.Tombstones != nil && r.opts.Store != nil {
		// A key in the log is destroyed, so it must be past bringing back
		// before it is written there.
		rec, err := r.store.Get(ctx, key.Scope, key.Purpose, key.ID)
		switch {
		case err != nil:
			return fail(storeError(err))
		case rec.State == StateDestroyed: // perhaps before there was a log
			return r.bury(ctx, &rec)
		}
		if err := destroy(StateScheduled, ripe); err != nil {
			return err
		}
	}
	return destroy(StateDestroyed, func(was State, rec *Record) error {
		if err := ripe(was, rec); err != nil {
			return err
		}
		rec.Wrapped = nil
		if r.opts.Tombstones == nil {
			return nil
		}
		if err := r.opts.Tombstones.Append(ctx, Tombstone{rec.Name(), rec.Change}); err != nil {
			return fmt.Errorf("tombstone log: %w: its destruction has begun and can't be cancelled: call Destroy again", err)
		}
		return nil
	})
}

// bury writes a destroyed key to the tombstone log, unless it is in there.
func (r *KeyRing) bury(ctx context.Context, rec *Record) error {
	err := r.buriedAsOf(ctx, rec.KeyID, 0)
	switch {
	case errors.Is(err, ErrKeyDestroyed):
		return nil
	case err == nil:
		err = r.opts.Tombstones.Append(ctx, Tombstone{rec.Name(), rec.Change})
	}
	if err != nil {
		return fmt.Errorf("envelope: destroy %s: tombstone log: it is destroyed, and may come back with a backup: call Destroy again: %w", rec.Name(), err)
	}
	return nil
}

// moveAttempts bounds the attempts of a move that meets others of the same key.
const moveAttempts = 8

// move takes a key from one of some states to another. A key that is there
// already is left as it is, unless its state is also one of from.
func (r *KeyRing) move(ctx context.Context, what string, key KeyName, reason Reason, from []State, to State, edit func(was State, rec *Record) error) error {
	fail := func(err error) error { return fmt.Errorf("envelope: %s %s: %w", what, key, err) }
	if r.opts.Store == nil {
		return fail(errNoStore)
	}
	if err := reason.validate(); err != nil {
		return fail(err)
	}
	key.Scope = key.Scope.withDefault()
	for range moveAttempts {
		rec, err := r.store.Get(ctx, key.Scope, key.Purpose, key.ID)
		if err != nil {
			return fail(storeError(err))
		}
		if rec.State == to && !slices.Contains(from, to) {
			return nil
		}
		if !slices.Contains(from, rec.State) {
			return fail(fmt.Errorf("%w: it is %s, and must be %s", ErrState, rec.State, eitherOf(from)))
		}
		moved := rec
		moved.State, moved.Change = to, reason.change()
		if edit == nil {
			moved.DestroyAfter = time.Time{}
		} else if err := edit(rec.State, &moved); err != nil {
			return fail(err)
		}
		err = r.store.Update(ctx, rec, moved)
		switch {
		case errors.Is(err, ErrConflict):
			continue
		case err != nil:
			return fail(storeError(err))
		}
		r.heedNow(key.ID, to)
		r.sets.Invalidate(setName{key.Scope, key.Purpose}) // which may be without a key that is resumed
		return nil
	}
	return fail(fmt.Errorf("%w: others change it all the time", ErrConflict))
}

var errNoStore = fmt.Errorf("%w: without a key store, keys have no life of their own: set Options.Store", ErrModeNotAllowed)

func eitherOf(states []State) (text string) {
	for i, s := range states {
		if i > 0 {
			text += " or "
		}
		text += string(s)
	}
	return text
}

// heedNow does at once in this process what others do within StorePoll.
func (r *KeyRing) heedNow(id KeyID, state State) {
	for _, k := range r.inMemory() {
		if k.id == id {
			r.heed(k, state)
		}
	}
}
