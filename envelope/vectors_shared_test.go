package envelope

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// readIndexVector reads a tag from its text and compares it with the value's, and
// writes it again.
func readIndexVector(v *vector) error {
	field, err := NewField(v.Module, v.Field)
	if err != nil {
		return err
	}
	// The partition of a vector stands for a number of them that has it.
	ix, err := NewIndex(IndexSpec{Field: field, Name: v.Index, Version: v.IndexVersion, Bits: v.Bits, Partitions: v.Partition})
	if err := errors.Join(err, v.scope().validate()); err != nil {
		return err
	}
	tag, err := ix.ParseText(v.Text)
	if err != nil {
		return err
	}
	k, err := newKey(bytes.Clone(v.Secret), v.scope(), PurposeIndex)
	if err != nil {
		return err
	}
	mac, home := k.indexes.take(ix)
	defer home.put(mac)
	want := ix.appendTag(nil, mac, byte(v.Partition), v.Normalised)
	if !hmac.Equal(want, tag) {
		return errBadTag
	}
	return errors.Join(
		differs("tag", hex.EncodeToString(want), hex.EncodeToString(v.Tag)),
		differs("text written again", string(ix.AppendText(nil, want)), v.Text))
}

// checkDeterministicVector opens with the secret alone and by a ring, by envelope
// and by text, and writes it again by a ring.
func checkDeterministicVector(ctx context.Context, v *vector) error {
	frame, err := openDeterministicVector(v, v.Envelope)
	if err := differs("class", class(err), v.Error); err != nil {
		return err
	}
	if err := checkFieldText(v); err != nil {
		return err
	}
	if byRing := class(deterministicByRing(ctx, v)); byRing != v.Error {
		return fmt.Errorf("by ring: got %q, want %q", byRing, v.Error)
	}
	if v.Error != "" {
		return nil
	}
	typ, payload, err := ParseFrame(frame)
	return errors.Join(err,
		differs("frame", string(frame), string(v.Frame)),
		differs("type", typ.String(), v.Type.String()),
		differs("value", vectorValue(typ, payload), v.Value))
}

func openDeterministicVector(v *vector, envelope []byte) ([]byte, error) {
	b, err := v.binding()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(b.checkPlace(), b.Scope.validate()); err != nil {
		return nil, err
	}
	if !b.Unbound {
		return nil, errBound
	}
	h, err := parseHeader(envelope)
	if err != nil {
		return nil, err
	}
	if h.mode != ModeDeterministic {
		return nil, malformed("a deterministic field has no mode %s", h.mode)
	}
	k, err := newKey(bytes.Clone(v.Secret), b.Scope, PurposeDeterministic)
	if err != nil {
		return nil, err
	}
	if !k.is(h.keyID) {
		return nil, errKeyMismatch
	}
	return new(scratch).openDeterministic(k, b, h.body)
}

// deterministicByRing opens a vector's envelope as an application does, from a
// store whose record says of the key what the envelope says. What opens is sealed
// and searched again.
func deterministicByRing(ctx context.Context, v *vector) error {
	store := NewMemoryStore()
	if h, err := parseHeader(v.Envelope); err == nil {
		rec := Record{
			KeyID: *h.keyID, Scope: v.scope(), Purpose: PurposeDeterministic,
			RootKey: "made-up://root", Wrapped: []byte("any"), Created: time.Unix(1, 0),
		}
		if len(v.Secret) == kmsprovider.DataKeySize {
			rec.Tag = recordTag(v.Secret, v.scope(), rec.Purpose, rec.Created, rec.NotAfter, 0)
		}
		if err := store.Activate(ctx, rec, KeyID{}); err != nil {
			return err
		}
	}
	ring, err := NewKeyRing(oneSecret(v.Secret), RootKeys{Seal: "made-up://root"}, &Options{Store: store})
	if err != nil {
		return err
	}
	defer ring.Close()
	b, err := v.binding()
	if err != nil {
		return err
	}
	frame, err := ring.OpenDeterministic(ctx, b, v.Envelope)
	switch {
	case errors.Is(err, ErrModeNotAllowed):
		return malformed("a mode that isn't allowed")
	case len(v.Secret) != kmsprovider.DataKeySize && errors.Is(err, kmsprovider.ErrUnavailable):
		return malformed("a provider that answers with a key of a wrong length")
	case err != nil:
		return err
	}
	again, err := ring.SealDeterministic(ctx, b, frame)
	if err != nil {
		return err
	}
	found, err := ring.QueryDeterministic(ctx, b, frame)
	return errors.Join(err,
		differs("envelope written again", hex.EncodeToString(again), hex.EncodeToString(v.Envelope)),
		differs("searched", hex.EncodeToString(bytes.Join(found, nil)), hex.EncodeToString(v.Envelope)))
}
