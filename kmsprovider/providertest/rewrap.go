package providertest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func rewrapChecks() []check {
	return []check{
		{name: "rewrap", needs: needsRewrapper, run: rewrap},
		{name: "rewrap-refuses", needs: needsRewrapper, run: rewrapRefuses},
	}
}

func needsRewrapper(_ Harness, pr kmsprovider.Provider) string {
	if _, ok := pr.(kmsprovider.Rewrapper); !ok {
		return "the provider is no Rewrapper"
	}
	return ""
}

func rewrap(p probe) error {
	pr, ec := p.provider(), sampleContext()
	dk, err := p.generate(pr, p.h.RootKey, ec)
	if err != nil {
		return err
	}
	// To another root key, and to the same one: the second is how a data key
	// gets under rotated key material.
	for _, to := range []string{p.h.OtherRootKey, p.h.RootKey} {
		wrapped, rootKey, err := pr.(kmsprovider.Rewrapper).Rewrap(p.ctx, p.h.RootKey, dk.Wrapped, to, ec)
		if err != nil {
			return fmt.Errorf("calling Rewrap from %q to %q: %w", p.h.RootKey, to, err)
		}
		switch {
		case rootKey != to:
			return fmt.Errorf("calling Rewrap to %q names the root key %q", to, rootKey)
		case len(wrapped) < 1 || len(wrapped) > maxWrapped:
			return fmt.Errorf("calling Rewrap gave %d bytes, want 1 to %d", len(wrapped), maxWrapped)
		case bytes.Equal(wrapped, dk.Wrapped):
			return errors.New("calling Rewrap gave the old wrapping back")
		case shows(string(wrapped), dk.Plaintext) != "":
			return errors.New("the new wrapping holds the plain key")
		}
		if err := p.opens(pr, to, wrapped, ec, dk.Plaintext); err != nil {
			return fmt.Errorf("after a Rewrap: %w", err)
		}
		_, err = pr.Unwrap(p.ctx, to, wrapped, with(ec, func(c kmsprovider.EncryptionContext) { c["fieldcrypt:tenant"] = "globex" }))
		if err := refused("Unwrap after a Rewrap, with another encryption context", err, kmsprovider.ErrInvalidCiphertext); err != nil {
			return err
		}
		if to == p.h.RootKey {
			continue
		}
		_, err = pr.Unwrap(p.ctx, p.h.RootKey, wrapped, ec)
		if err := refused("Unwrap of the new wrapping under the old root key", err, kmsprovider.ErrInvalidCiphertext); err != nil {
			return err
		}
	}
	// The old wrapping isn't used up: a rewrap that is stopped half way is
	// run again.
	return p.opens(pr, p.h.RootKey, dk.Wrapped, ec, dk.Plaintext)
}

func rewrapRefuses(p probe) error {
	pr, ec := p.provider(), sampleContext()
	dk, err := p.generate(pr, p.h.RootKey, ec)
	if err != nil {
		return err
	}
	flip := slices.Clone(dk.Wrapped)
	flip[len(flip)-1] ^= 1
	changed := with(ec, func(c kmsprovider.EncryptionContext) { c["fieldcrypt:tenant"] = "globex" })
	badUTF8 := kmsprovider.EncryptionContext{"fieldcrypt:tenant": "\xff"}
	invalid, unusable := kmsprovider.ErrInvalidCiphertext, kmsprovider.ErrKeyUnusable
	for _, c := range []struct {
		name     string
		from, to string
		wrapped  []byte
		ec       kmsprovider.EncryptionContext
		classes  []error
	}{
		{"from the wrong root key", p.h.OtherRootKey, p.h.RootKey, dk.Wrapped, ec, []error{invalid}},
		{"from the wrong root key to the same", p.h.OtherRootKey, p.h.OtherRootKey, dk.Wrapped, ec, []error{invalid}},
		{"from a missing root key", p.h.MissingRootKey, p.h.OtherRootKey, dk.Wrapped, ec, []error{unusable, invalid}},
		{"from no root key", "", p.h.OtherRootKey, dk.Wrapped, ec, []error{unusable}},
		{"from a foreign root key", "no-such-kms://x", p.h.OtherRootKey, dk.Wrapped, ec, []error{unusable}},
		{"to a missing root key", p.h.RootKey, p.h.MissingRootKey, dk.Wrapped, ec, []error{unusable}},
		{"to no root key", p.h.RootKey, "", dk.Wrapped, ec, []error{unusable}},
		{"to a foreign root key", p.h.RootKey, "no-such-kms://x", dk.Wrapped, ec, []error{unusable}},
		{"with another encryption context", p.h.RootKey, p.h.OtherRootKey, dk.Wrapped, changed, []error{invalid}},
		{"without encryption context", p.h.RootKey, p.h.OtherRootKey, dk.Wrapped, nil, []error{invalid}},
		{"with an encryption context that is not UTF-8", p.h.RootKey, p.h.OtherRootKey, dk.Wrapped, badUTF8, []error{invalid}},
		{"of a tampered wrapped key", p.h.RootKey, p.h.OtherRootKey, flip, ec, []error{invalid}},
		{"of an empty wrapped key", p.h.RootKey, p.h.OtherRootKey, nil, ec, []error{invalid}},
		{"of 6,145 bytes", p.h.RootKey, p.h.OtherRootKey, make([]byte, maxWrapped+1), ec, []error{invalid}},
	} {
		wrapped, rootKey, err := pr.(kmsprovider.Rewrapper).Rewrap(p.ctx, c.from, c.wrapped, c.to, c.ec)
		if err := refused("Rewrap "+c.name, err, c.classes...); err != nil {
			return err
		}
		if wrapped != nil || rootKey != "" {
			return fmt.Errorf("calling Rewrap %s: returned a result beside its error", c.name)
		}
	}
	return nil
}
