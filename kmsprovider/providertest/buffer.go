package providertest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func bufferChecks() []check {
	return []check{
		{name: "results-owned-by-caller", run: resultsOwned},
		{name: "inputs-not-kept", run: inputsNotKept},
		{name: "inputs-not-changed", run: inputsNotChanged},
	}
}

// resultsOwned overwrites what the provider returned, as a caller does that
// wipes keys, and looks for the damage elsewhere.
func resultsOwned(p probe) error {
	pr, ec := p.provider(), sampleContext()
	first, err := p.generate(pr, p.h.RootKey, ec)
	if err != nil {
		return err
	}
	plain, wrapped := bytes.Clone(first.Plaintext), bytes.Clone(first.Wrapped)
	second, err := p.generate(pr, p.h.RootKey, ec)
	if err != nil {
		return err
	}
	if !bytes.Equal(first.Plaintext, plain) || !bytes.Equal(first.Wrapped, wrapped) {
		return errors.New("a second GenerateDataKey changed the first one's result")
	}
	opened, err := pr.Unwrap(p.ctx, p.h.RootKey, wrapped, ec)
	if err != nil {
		return err
	}
	if _, err := pr.Unwrap(p.ctx, p.h.RootKey, second.Wrapped, ec); err != nil {
		return err
	}
	if !bytes.Equal(opened, plain) {
		return errors.New("a second Unwrap changed the first one's result")
	}
	_ = append(first.Plaintext, bytes.Repeat([]byte{0xEE}, 64)...)
	if !bytes.Equal(first.Wrapped, wrapped) {
		return errors.New("appending to DataKey.Plaintext changed DataKey.Wrapped")
	}
	first.Wipe()
	if !bytes.Equal(first.Wrapped, wrapped) {
		return errors.New("wiping DataKey.Plaintext changed DataKey.Wrapped")
	}
	clear(opened)
	clear(first.Wrapped)
	for range 2 {
		again, err := pr.Unwrap(p.ctx, p.h.RootKey, wrapped, ec)
		if err != nil {
			return fmt.Errorf("calling Unwrap after the caller wiped earlier results: %w", err)
		}
		if !bytes.Equal(again, plain) {
			return errors.New("wiping the result of one call changed the result of a later one")
		}
		clear(again)
	}
	return nil
}

// inputsNotKept changes what it passed to the provider after the call: a
// provider that kept a reference answers later calls from changed memory.
func inputsNotKept(p probe) error {
	pr := p.provider()
	made := sampleContext()
	one, err := p.generate(pr, p.h.RootKey, made)
	if err != nil {
		return err
	}
	made["fieldcrypt:tenant"] = "globex"
	if err := p.opens(pr, p.h.RootKey, one.Wrapped, sampleContext(), one.Plaintext); err != nil {
		return fmt.Errorf("after the caller changed the map it gave to GenerateDataKey: %w", err)
	}
	_, err = pr.Unwrap(p.ctx, p.h.RootKey, one.Wrapped, made)
	if err := refused("Unwrap with a map that was changed after GenerateDataKey", err, kmsprovider.ErrInvalidCiphertext); err != nil {
		return err
	}

	// Each with a provider and a data key that nothing was done with: a cache
	// keeps what it sees first.
	if err := p.contextNotKept(p.provider()); err != nil {
		return err
	}
	return p.wrappedNotKept(p.provider())
}

func (p probe) contextNotKept(pr kmsprovider.Provider) error {
	dk, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	used := sampleContext()
	if err := p.opens(pr, p.h.RootKey, dk.Wrapped, used, dk.Plaintext); err != nil {
		return err
	}
	used["fieldcrypt:tenant"] = "globex"
	_, err = pr.Unwrap(p.ctx, p.h.RootKey, dk.Wrapped, used)
	return refused("Unwrap with a map that was changed after an earlier Unwrap", err, kmsprovider.ErrInvalidCiphertext)
}

func (p probe) wrappedNotKept(pr kmsprovider.Provider) error {
	one, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	two, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	if len(two.Wrapped) != len(one.Wrapped) {
		return nil
	}
	buffer := bytes.Clone(one.Wrapped)
	if err := p.opens(pr, p.h.RootKey, buffer, sampleContext(), one.Plaintext); err != nil {
		return err
	}
	copy(buffer, two.Wrapped)
	if err := p.opens(pr, p.h.RootKey, buffer, sampleContext(), two.Plaintext); err != nil {
		return fmt.Errorf("after the caller used the wrapped key's buffer for another: %w", err)
	}
	return p.opens(pr, p.h.RootKey, one.Wrapped, sampleContext(), one.Plaintext)
}

func inputsNotChanged(p probe) error {
	pr := p.provider()
	want := sampleContext()
	ec := sampleContext()
	dk, err := p.generate(pr, p.h.RootKey, ec)
	if err != nil {
		return err
	}
	if !maps.Equal(ec, want) {
		return errors.New("GenerateDataKey changed the encryption context")
	}
	// The wrapped key lies inside a larger buffer whose rest is not the
	// provider's either.
	buffer := slices.Concat(dk.Wrapped, bytes.Repeat([]byte{0xEE}, 64))
	before := bytes.Clone(buffer)
	wrapped := buffer[:len(dk.Wrapped)]

	calls := []struct {
		name string
		call func() error
	}{
		{"Unwrap", func() error { _, err := pr.Unwrap(p.ctx, p.h.RootKey, wrapped, ec); return err }},
		{"a failing Unwrap", func() error { _, _ = pr.Unwrap(p.ctx, p.h.OtherRootKey, wrapped, ec); return nil }},
	}
	if r, ok := pr.(kmsprovider.Rewrapper); ok {
		calls = append(calls, struct {
			name string
			call func() error
		}{"Rewrap", func() error {
			_, _, err := r.Rewrap(p.ctx, p.h.RootKey, wrapped, p.h.OtherRootKey, ec)
			return err
		}})
	}
	for _, c := range calls {
		if err := c.call(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		switch {
		case !bytes.Equal(buffer[:len(wrapped)], before[:len(wrapped)]):
			return fmt.Errorf("%s changed the wrapped key it was given", c.name)
		case !bytes.Equal(buffer, before):
			return fmt.Errorf("%s wrote behind the wrapped key it was given", c.name)
		case !maps.Equal(ec, want):
			return fmt.Errorf("%s changed the encryption context", c.name)
		}
	}
	return nil
}
