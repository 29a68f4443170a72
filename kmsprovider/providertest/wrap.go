package providertest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func wrapChecks() []check {
	return []check{
		{name: "wrap", needs: needsWrapper, run: wrap},
		{name: "wrap-refuses", needs: needsWrapper, run: wrapRefuses},
		{name: "wrap-keeps-nothing", needs: needsWrapper, run: wrapKeepsNothing},
	}
}

func needsWrapper(_ Harness, pr kmsprovider.Provider) string {
	if _, ok := pr.(kmsprovider.Wrapper); !ok {
		return "the provider is no Wrapper"
	}
	return ""
}

// foreignKey is a data key that another key service made. Each call makes a new
// slice.
func foreignKey() []byte { return []byte("\x00made elsewhere\xff, 32 bytes long!") }

// wrap wraps a foreign data key, and demands of the result what is demanded of
// the provider's own.
func wrap(p probe) error {
	pr, ec := p.provider(), sampleContext()
	var before []byte
	for _, to := range []string{p.h.RootKey, p.h.OtherRootKey, p.h.OtherRootKey} {
		wrapped, rootKey, err := pr.(kmsprovider.Wrapper).Wrap(p.ctx, to, foreignKey(), ec)
		if err != nil {
			return fmt.Errorf("calling Wrap under %q: %w", to, err)
		}
		switch {
		case rootKey != to:
			return fmt.Errorf("calling Wrap under %q names the root key %q", to, rootKey)
		case len(wrapped) < 1 || len(wrapped) > maxWrapped:
			return fmt.Errorf("calling Wrap gave %d bytes, want 1 to %d", len(wrapped), maxWrapped)
		case shows(string(wrapped), foreignKey()) != "":
			return errors.New("the wrapping holds the plain key")
		case bytes.Equal(wrapped, before):
			return errors.New("two wrappings of one data key are the same, so that whoever sees them can tell")
		}
		before = wrapped
		if err := p.opens(p.provider(), to, wrapped, ec, foreignKey()); err != nil {
			return fmt.Errorf("after a Wrap, by another provider: %w", err)
		}
		_, err = pr.Unwrap(p.ctx, to, wrapped, with(ec, func(c kmsprovider.EncryptionContext) { c["fieldcrypt:tenant"] = "globex" }))
		if err := refused("Unwrap after a Wrap, with another encryption context", err, kmsprovider.ErrInvalidCiphertext); err != nil {
			return err
		}
		other := p.h.RootKey
		if to == other {
			other = p.h.OtherRootKey
		}
		_, err = pr.Unwrap(p.ctx, other, wrapped, ec)
		if err := refused("Unwrap after a Wrap, under another root key", err, kmsprovider.ErrInvalidCiphertext); err != nil {
			return err
		}
	}
	return p.wrapUnderAlias(pr.(kmsprovider.Wrapper))
}

// wrapUnderAlias demands the canonical URI of a provider that takes an alias.
func (p probe) wrapUnderAlias(w kmsprovider.Wrapper) error {
	if p.h.Alias == "" {
		return nil
	}
	_, rootKey, err := w.Wrap(p.ctx, p.h.Alias, foreignKey(), sampleContext())
	if err != nil {
		return refused("Wrap under an alias", err, kmsprovider.ErrKeyUnusable)
	}
	if rootKey != p.h.RootKey {
		return fmt.Errorf("calling Wrap under the alias %q names the root key %q, want the canonical URI %q", p.h.Alias, rootKey, p.h.RootKey)
	}
	return nil
}

func wrapRefuses(p probe) error {
	w, ec := p.provider().(kmsprovider.Wrapper), sampleContext()
	invalid, unusable := kmsprovider.ErrInvalidCiphertext, kmsprovider.ErrKeyUnusable
	for _, c := range []struct {
		name    string
		rootKey string
		plain   []byte
		ec      kmsprovider.EncryptionContext
		class   error
	}{
		{"of nil", p.h.RootKey, nil, ec, invalid},
		{"of nothing", p.h.RootKey, []byte{}, ec, invalid},
		{"of 16 bytes", p.h.RootKey, foreignKey()[:16], ec, invalid},
		{"of 31 bytes", p.h.RootKey, foreignKey()[:31], ec, invalid},
		{"of 33 bytes", p.h.RootKey, append(foreignKey(), 0), ec, invalid},
		{"of 4,096 bytes", p.h.RootKey, make([]byte, 4096), ec, invalid},
		{"under a missing root key", p.h.MissingRootKey, foreignKey(), ec, unusable},
		{"under no root key", "", foreignKey(), ec, unusable},
		{"under a foreign root key", "no-such-kms://x", foreignKey(), ec, unusable},
		{"with an encryption context that is not UTF-8", p.h.RootKey, foreignKey(), kmsprovider.EncryptionContext{"fieldcrypt:tenant": "\xff"}, invalid},
		{"with an encryption context that has an empty name", p.h.RootKey, foreignKey(), kmsprovider.EncryptionContext{"": "x"}, invalid},
	} {
		wrapped, rootKey, err := w.Wrap(p.ctx, c.rootKey, c.plain, c.ec)
		if err := refused("Wrap "+c.name, err, c.class); err != nil {
			return err
		}
		if wrapped != nil || rootKey != "" {
			return fmt.Errorf("calling Wrap %s: returned a result beside its error", c.name)
		}
		for _, text := range spellings(err) {
			if where := shows(text, foreignKey()); where != "" {
				return fmt.Errorf("calling Wrap %s: the error shows the plain data key in %s", c.name, where)
			}
		}
	}
	return nil
}

// wrapKeepsNothing changes and wipes what it passed to Wrap, as a caller does
// that moves many data keys through one buffer.
func wrapKeepsNothing(p probe) error {
	pr, ec := p.provider(), sampleContext()
	buffer := append(foreignKey(), bytes.Repeat([]byte{0xEE}, 64)...)
	plain := buffer[:kmsprovider.DataKeySize]
	first, _, err := pr.(kmsprovider.Wrapper).Wrap(p.ctx, p.h.RootKey, plain, ec)
	if err != nil {
		return fmt.Errorf("calling Wrap: %w", err)
	}
	switch {
	case !bytes.Equal(plain, foreignKey()):
		return errors.New("calling Wrap changed the data key it was given: that is the caller's to wipe")
	case !bytes.Equal(buffer[len(plain):], bytes.Repeat([]byte{0xEE}, 64)):
		return errors.New("calling Wrap wrote behind the data key it was given")
	case len(ec) != len(sampleContext()):
		return errors.New("calling Wrap changed the encryption context")
	}
	copy(plain, bytes.Repeat([]byte{0x33}, len(plain)))
	second, _, err := pr.(kmsprovider.Wrapper).Wrap(p.ctx, p.h.RootKey, plain, ec)
	if err != nil {
		return fmt.Errorf("calling Wrap again: %w", err)
	}
	clear(buffer)
	ec["fieldcrypt:tenant"] = "globex"
	if err := p.opens(pr, p.h.RootKey, first, sampleContext(), foreignKey()); err != nil {
		return fmt.Errorf("after the caller used the data key's buffer for another: %w", err)
	}
	if err := p.opens(pr, p.h.RootKey, second, sampleContext(), bytes.Repeat([]byte{0x33}, len(plain))); err != nil {
		return fmt.Errorf("after the caller wiped the data key's buffer: %w", err)
	}
	clear(first)
	return p.opens(pr, p.h.RootKey, second, sampleContext(), bytes.Repeat([]byte{0x33}, len(plain)))
}
