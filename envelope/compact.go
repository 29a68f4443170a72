package envelope

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Compact returns an inline envelope of the scope by reference, and puts its
// data key into the key store if it isn't there. The payload isn't opened: nonce,
// ciphertext and tag are the same bytes. A record that is there is never
// replaced, so nobody can lose another's rows by handing in an envelope. Keys
// that came so open, and never seal.
//
// An envelope by reference is returned as it is.
func (r *KeyRing) Compact(ctx context.Context, scope Scope, envelope []byte) ([]byte, error) {
	scope = scope.withDefault()
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("envelope: compact an envelope of %s: %w", scope, err)
	}
	h, err := r.payload(scope, envelope)
	if err != nil {
		return fail(err)
	}
	id := *h.keyID
	if h.mode == ModeReference {
		return append([]byte(nil), envelope...), nil
	}
	there, err := r.recorded(ctx, scope, id)
	if err == nil && !there {
		if err = r.storeInline(ctx, scope, id, string(h.rootKey), h.wrapped); errors.Is(err, ErrConflict) {
			_, err = r.recorded(ctx, scope, id) // another process was faster
		}
	}
	if err != nil {
		return fail(err)
	}
	out := header{mode: ModeReference, keyID: &id}
	return append(out.bytes(), h.body...), nil
}

// recorded reports whether the store has a record of the key, and makes sure
// that it opens: somebody may have planted one that doesn't, for the wrapped key
// in the envelope to be thrown away.
func (r *KeyRing) recorded(ctx context.Context, scope Scope, id KeyID) (bool, error) {
	rec, err := r.store.Get(ctx, scope, PurposeData, id)
	if errors.Is(err, ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, storeError(err)
	}
	print := recordPrint(scope, &rec)
	if _, ok := r.recordsSeen.GetIfPresent(print); ok && rec.readable() == nil && r.buried(ctx, id) == nil {
		return true, nil
	}
	if _, err := r.loadRecord(ctx, KeyName{scope, PurposeData, id}, &rec); err != nil {
		return true, fmt.Errorf("the key store's record of its data key doesn't open, so the envelope stays as it is: %w", err)
	}
	r.recordsSeen.Set(print, struct{}{})
	return true, nil
}

// storeInline puts a data key that came inside an envelope into the store, once
// the key service has unwrapped it.
func (r *KeyRing) storeInline(ctx context.Context, scope Scope, id KeyID, rootKey string, wrapped []byte) error {
	secret, err := r.inlineSecret(ctx, scope, id, rootKey, wrapped, wrappingPrint(scope, rootKey, wrapped))
	if err != nil {
		return err
	}
	defer clear(secret)
	now := time.Now().Truncate(time.Second)
	rec := Record{
		KeyID: id, Scope: scope, Purpose: PurposeData, RootKey: rootKey, Wrapped: append([]byte(nil), wrapped...),
		State: StateRetired, Created: now, NotAfter: now, Budget: 1, // it has ended, so that it never seals
	}
	rec.Tag = recordTag(secret, scope, PurposeData, rec.Created, rec.NotAfter, rec.Budget)
	clear(secret) // not for as long as the store takes
	if err := r.store.Insert(ctx, rec); err != nil {
		return storeError(err)
	}
	r.recordsSeen.Set(recordPrint(scope, &rec), struct{}{})
	return nil
}

// Inline returns an envelope by reference with its wrapped data key inside, for
// an export that is to open without the key store. It carries its key past the
// destruction of that key in the store. The payload isn't opened, and no call is
// made to the key service.
//
// An inline envelope is returned as it is.
func (r *KeyRing) Inline(ctx context.Context, scope Scope, envelope []byte) ([]byte, error) {
	scope = scope.withDefault()
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("envelope: make an envelope of %s inline: %w", scope, err)
	}
	h, err := r.payload(scope, envelope)
	if err != nil {
		return fail(err)
	}
	if h.mode == ModeInline {
		return append([]byte(nil), envelope...), nil
	}
	id := *h.keyID
	rec, err := r.store.Get(ctx, scope, PurposeData, id)
	if err != nil {
		return fail(storeError(err))
	}
	if rec.KeyID != id || rec.Scope.withDefault() != scope || rec.Purpose != PurposeData {
		return fail(errKeyMismatch)
	}
	if err := rec.readable(); err != nil {
		return fail(err)
	}
	if err := r.buried(ctx, id); err != nil {
		return fail(err)
	}
	if len(rec.RootKey) == 0 || len(rec.RootKey) > maxURI || len(rec.Wrapped) == 0 || len(rec.Wrapped) > maxWrapped {
		return fail(malformed("the key record has a root key URI of %d bytes and a wrapped key of %d", len(rec.RootKey), len(rec.Wrapped)))
	}
	if err := r.checkRootKey(ctx, scope, rec.RootKey); err != nil {
		return fail(err)
	}
	out := header{mode: ModeInline, keyID: &id, rootKey: []byte(rec.RootKey), wrapped: rec.Wrapped}
	return append(out.bytes(), h.body...), nil
}

// payload parses an envelope whose form is to be changed.
func (r *KeyRing) payload(scope Scope, envelope []byte) (header, error) {
	if r.opts.Store == nil {
		return header{}, errNoStore
	}
	if err := scope.validate(); err != nil {
		return header{}, err
	}
	h, err := parseHeader(envelope)
	if err != nil {
		return h, err
	}
	if h.mode != ModeReference && h.mode != ModeInline {
		return h, fmt.Errorf("%w: a %s envelope has one form only", ErrModeNotAllowed, h.mode)
	}
	return h, nil
}
