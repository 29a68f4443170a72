package envelope

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/internal/primitives"
)

// Deterministic envelopes are AES-SIV (RFC 5297): equal values of one field and
// scope have equal envelopes, so that a database can compare them, join on them
// and keep them unique. That is also what they leak, in full: whoever reads the
// column sees which rows have equal values and how often each occurs, and the
// length of each, since padding is refused. Whoever can also write values of the
// scope can have guesses sealed and compare them. They aren't bound to a record:
// whoever writes to the database can move them between the rows of their field.
// A blind index leaks less.

// SealDeterministic returns the deterministic envelope of a framed plaintext for
// one field of one scope. The binding must be unbound. Padding is refused, and so
// are the types float64, time and JSON, in which equal values can have unequal
// encodings. If the scope has no deterministic key yet, one is made; while one
// follows another, see [KeyRing.CutOver].
//
// It needs a key store, else the error is [ErrModeNotAllowed]; other errors are
// [ErrMalformed], [ErrState] for a while after the scope's key was taken out of use
// without CutOver, and those of loading a key. It is safe for concurrent use, and
// its messages are not counted: AES-SIV has no nonce that could repeat.
func (r *KeyRing) SealDeterministic(ctx context.Context, b *Binding, frame []byte) ([]byte, error) {
	return r.AppendSealDeterministic(ctx, nil, b, frame)
}

// AppendSealDeterministic is like [KeyRing.SealDeterministic] and appends the
// envelope to dst.
func (r *KeyRing) AppendSealDeterministic(ctx context.Context, dst []byte, b *Binding, frame []byte) ([]byte, error) {
	if err := checkSealDeterministic(ctx, b, frame); err != nil {
		return dst, sealError(b, err)
	}
	pool := r.scratch.Load()
	s := pool.get()
	defer pool.put(s)
	set, err := r.keyToWrite(ctx, s, b.Scope, PurposeDeterministic)
	if err != nil {
		return dst, sealError(b, err)
	}
	out, err := s.sealDeterministic(dst, set.writer, b, frame)
	if err != nil {
		return dst, sealError(b, err)
	}
	return out, nil
}

// OpenDeterministic returns the framed plaintext of a deterministic envelope that
// was sealed for the same field and scope. It opens no other mode, and no other
// call opens this one. Errors are those of [KeyRing.Open].
func (r *KeyRing) OpenDeterministic(ctx context.Context, b *Binding, envelope []byte) ([]byte, error) {
	var h header
	if err := r.checkOpenDeterministic(ctx, b, envelope, &h); err != nil {
		return nil, openError(b, nil, err)
	}
	pool := r.scratch.Load()
	s := pool.get()
	defer pool.put(s)
	k := r.deterministicKey(s, b.Scope, h.keyID)
	if k == nil {
		var err error
		if k, err = r.openingKey(ctx, b.Scope.withDefault(), &h); err != nil {
			return nil, openError(b, h.keyID, err)
		}
	}
	frame, err := s.openDeterministic(k, b, h.body)
	if err != nil {
		return nil, openError(b, h.keyID, err)
	}
	return frame, nil
}

// QueryDeterministic returns the envelopes that rows with this value can have: one
// for each live deterministic key of the scope, the active one first and then the
// retired ones. A scope without such a key has no rows to find, and gives none.
// What it leaves out and its errors are as for [KeyRing.QueryTags].
func (r *KeyRing) QueryDeterministic(ctx context.Context, b *Binding, frame []byte) ([][]byte, error) {
	if err := checkSealDeterministic(ctx, b, frame); err != nil {
		return nil, sealError(b, err)
	}
	pool := r.scratch.Load()
	s := pool.get()
	defer pool.put(s)
	set, err := r.keysToSearch(ctx, s, b.Scope, PurposeDeterministic)
	if err != nil {
		return nil, sealError(b, err)
	}
	all := make([][]byte, 0, len(set.keys))
	for _, k := range set.keys {
		envelope, err := s.sealDeterministic(nil, k, b, frame)
		if err != nil {
			return nil, sealError(b, err)
		}
		all = append(all, envelope)
	}
	return all, nil
}

// forDeterministic makes k a key that seals and opens deterministic envelopes.
func (k *dataKey) forDeterministic(secret []byte) error {
	scope := k.scope.canonical()
	key, err := primitives.Derive(secret, "fieldcrypt/v1 aes-siv"+string(scope), primitives.SIVKeySize)
	if err != nil {
		return err
	}
	defer clear(key)
	if k.siv, err = primitives.NewSIV(key); err != nil {
		return err
	}
	k.prefix = slices.Concat([]byte("fieldcrypt/v1 det-field"), []byte{version}, k.id[:], scope)
	runtime.AddCleanup(k, (*primitives.SIV).Wipe, k.siv)
	return nil
}

func (s *scratch) sealDeterministic(dst []byte, k *dataKey, b *Binding, frame []byte) ([]byte, error) {
	s.det = b.appendPlace(append(s.det[:0], k.prefix...))
	body, err := k.siv.Seal(frame, s.det)
	runtime.KeepAlive(k) // its key must not be overwritten before here
	if err != nil {
		return dst, err
	}
	dst = append(slices.Grow(dst, fixedHeader+len(body)), magic, version, byte(ModeDeterministic))
	return append(append(dst, k.id[:]...), body...), nil
}

func (s *scratch) openDeterministic(k *dataKey, b *Binding, body []byte) ([]byte, error) {
	s.det = b.appendPlace(append(s.det[:0], k.prefix...))
	frame, err := k.siv.Open(body, s.det)
	if !k.used.Load() {
		k.used.Store(true)
	}
	if err != nil {
		return nil, errBadTag
	}
	if checkDeterministicFrame(frame) != nil {
		clear(frame)
		return nil, errBadFrame
	}
	return frame, nil
}

// deterministicKey returns a key of a set in memory, or nil.
func (r *KeyRing) deterministicKey(s *scratch, scope Scope, id *KeyID) *dataKey {
	set := s.set
	if set == nil || !set.of(scope, PurposeDeterministic) || !set.current.Load() {
		var ok bool
		if set, ok = r.sets.GetIfPresent(setName{scope.withDefault(), PurposeDeterministic}); !ok || !set.current.Load() {
			return nil
		}
		s.set = set
	}
	for _, k := range set.keys {
		if k.is(id) {
			return k
		}
	}
	return nil
}

var errBound = malformed("a deterministic envelope is bound to no record, since equal values of all records have the same one: set Binding.Unbound")

func checkSealDeterministic(ctx context.Context, b *Binding, frame []byte) error {
	if err := checkSeal(ctx, b, frame); err != nil {
		return err
	}
	if !b.Unbound {
		return errBound
	}
	return checkDeterministicFrame(frame)
}

// checkDeterministicFrame refuses what has more than one frame for equal values.
func checkDeterministicFrame(frame []byte) error {
	t, _, err := ParseFrame(frame)
	switch {
	case err != nil:
		return err
	case frame[0]&padded != 0:
		return malformed("padding is refused in a deterministic envelope, where equal values must have equal frames")
	case t == TypeFloat64 || t == TypeTime || t == TypeJSON:
		return malformed("a value of type %s can't be sealed deterministically, since equal values of this type can have unequal encodings: use bytes, string, int64, uint64, bool, date or decimal, in one normal form", t)
	}
	return nil
}

func (r *KeyRing) checkOpenDeterministic(ctx context.Context, b *Binding, envelope []byte, h *header) error {
	if err := checkCall(ctx, b); err != nil {
		return err
	}
	if !b.Unbound {
		return errBound
	}
	if err := h.parse(envelope); err != nil {
		return err
	}
	if h.mode != ModeDeterministic {
		return fmt.Errorf("%w: %s envelope where a deterministic one is expected", ErrModeNotAllowed, h.mode)
	}
	if r.opts.Store == nil {
		return errShared
	}
	return b.Scope.withDefault().validate()
}
