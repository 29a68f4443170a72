package providertest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func rootKeyChecks() []check {
	return []check{
		{name: "root-key-wrong", run: rootKeyWrong},
		{name: "root-key-missing", run: rootKeyMissing},
		{name: "root-key-malformed", run: rootKeyMalformed},
		{name: "root-key-alias", needs: needsAlias, run: rootKeyAlias},
		{name: "resolver", needs: needsResolver, run: resolver},
		{name: "checker", needs: needsChecker, run: checker},
	}
}

func needsAlias(h Harness, _ kmsprovider.Provider) string {
	if h.Alias == "" {
		return "Harness.Alias is empty"
	}
	return ""
}

func needsResolver(_ Harness, pr kmsprovider.Provider) string {
	if _, ok := pr.(kmsprovider.Resolver); !ok {
		return "the provider is no Resolver"
	}
	return ""
}

func needsChecker(_ Harness, pr kmsprovider.Provider) string {
	if _, ok := pr.(kmsprovider.Checker); !ok {
		return "the provider is no Checker"
	}
	return ""
}

func rootKeyWrong(p probe) error {
	pr := p.provider()
	for _, k := range [][2]string{{p.h.RootKey, p.h.OtherRootKey}, {p.h.OtherRootKey, p.h.RootKey}} {
		dk, err := p.generate(pr, k[0], sampleContext())
		if err != nil {
			return err
		}
		_, err = pr.Unwrap(p.ctx, k[1], dk.Wrapped, sampleContext())
		if err := refused(fmt.Sprintf("Unwrap under %q of a key wrapped under %q", k[1], k[0]), err, kmsprovider.ErrInvalidCiphertext); err != nil {
			return err
		}
	}
	return nil
}

func rootKeyMissing(p probe) error {
	pr := p.provider()
	dk, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	_, err = pr.GenerateDataKey(p.ctx, p.h.MissingRootKey, sampleContext())
	if err := refused("GenerateDataKey under a root key that doesn't exist", err, kmsprovider.ErrKeyUnusable); err != nil {
		return err
	}
	_, err = pr.Unwrap(p.ctx, p.h.MissingRootKey, dk.Wrapped, sampleContext())
	// A service may see first that the wrapped key names another root key.
	return refused("Unwrap under a root key that doesn't exist", err, kmsprovider.ErrKeyUnusable, kmsprovider.ErrInvalidCiphertext)
}

// malformed returns names that are no root key of the provider. URIs are
// compared byte by byte, so an equivalent spelling is one of them: two
// spellings of one key would be two entries in an allow-list.
func malformed(rootKey string) []string {
	scheme, rest, _ := strings.Cut(rootKey, "://")
	return []string{
		"", " ", "/", ":", "://", "x", "\x00", "\xff",
		scheme, scheme + ":", scheme + "://", scheme + "://?", scheme + ":" + rest, rest,
		"no-such-kms://" + rest, "x" + rootKey, strings.ToUpper(scheme) + "://" + rest,
		" " + rootKey, rootKey + " ", rootKey + "\n", rootKey + "\x00", rootKey + "/", rootKey + "?x=1", rootKey + "#x",
		rootKey[:len(rootKey)-1], rootKey + rootKey,
		scheme + "://" + strings.Repeat("a", 1<<16),
	}
}

func rootKeyMalformed(p probe) error {
	pr := p.provider()
	dk, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	for _, rootKey := range malformed(p.h.RootKey) {
		shown := fmt.Sprintf("%.80q", rootKey)
		if _, err = pr.GenerateDataKey(p.ctx, rootKey, sampleContext()); err == nil {
			return fmt.Errorf("GenerateDataKey under %s: accepted", shown)
		}
		if err := refused("GenerateDataKey under "+shown, err, kmsprovider.ErrKeyUnusable); err != nil {
			return err
		}
		_, err = pr.Unwrap(p.ctx, rootKey, dk.Wrapped, sampleContext())
		if err := refused("Unwrap under "+shown, err, kmsprovider.ErrKeyUnusable, kmsprovider.ErrInvalidCiphertext); err != nil {
			return err
		}
	}
	return nil
}

func rootKeyAlias(p probe) error {
	pr := p.provider()
	if r, ok := pr.(kmsprovider.Resolver); ok {
		uri, err := r.Resolve(p.ctx, p.h.Alias)
		if err != nil {
			return fmt.Errorf("calling Resolve %q: %w", p.h.Alias, err)
		}
		if uri != p.h.RootKey {
			return fmt.Errorf("calling Resolve %q gave %q, want %q", p.h.Alias, uri, p.h.RootKey)
		}
	}
	// A provider may insist on canonical URIs. If it takes an alias, it must
	// name what the alias stood for: an alias can be pointed elsewhere later.
	dk, err := pr.GenerateDataKey(p.ctx, p.h.Alias, sampleContext())
	if err != nil {
		return refused("GenerateDataKey under an alias", err, kmsprovider.ErrKeyUnusable)
	}
	if dk.RootKey != p.h.RootKey {
		return fmt.Errorf("GenerateDataKey under the alias %q names the root key %q, want the canonical URI %q", p.h.Alias, dk.RootKey, p.h.RootKey)
	}
	return p.opens(pr, dk.RootKey, dk.Wrapped, sampleContext(), dk.Plaintext)
}

func resolver(p probe) error {
	r := p.provider().(kmsprovider.Resolver)
	if p.h.Unavailable != nil {
		// A canonical URI is resolved without a call.
		defer p.h.Unavailable(p.tb)()
	}
	for _, rootKey := range []string{p.h.RootKey, p.h.OtherRootKey} {
		uri, err := r.Resolve(p.ctx, rootKey)
		if err != nil {
			return fmt.Errorf("calling Resolve %q, which is canonical: %w", rootKey, err)
		}
		if uri != rootKey {
			return fmt.Errorf("calling Resolve %q, which is canonical, gave %q", rootKey, uri)
		}
	}
	for _, rootKey := range []string{"", "no-such-kms://x", "x"} {
		_, err := r.Resolve(p.ctx, rootKey)
		if err := refused(fmt.Sprintf("Resolve %q", rootKey), err, kmsprovider.ErrKeyUnusable); err != nil {
			return err
		}
	}
	return nil
}

func checker(p probe) error {
	c := p.provider().(kmsprovider.Checker)
	for _, rootKey := range []string{p.h.RootKey, p.h.OtherRootKey} {
		if err := c.Check(p.ctx, rootKey); err != nil {
			return fmt.Errorf("calling Check %q, which is in order: %w", rootKey, err)
		}
	}
	for _, rootKey := range append(malformed(p.h.RootKey), p.h.MissingRootKey) {
		err := c.Check(p.ctx, rootKey)
		if err := refused(fmt.Sprintf("Check %.80q", rootKey), err, kmsprovider.ErrKeyUnusable); err != nil {
			return err
		}
	}
	if p.h.Disable != nil {
		victim := p.victim()
		c := p.provider().(kmsprovider.Checker)
		p.h.Disable(p.tb, victim)
		err := c.Check(p.ctx, victim)
		p.h.Enable(p.tb, victim)
		return errors.Join(refused("Check of a disabled root key", err, kmsprovider.ErrKeyUnusable), c.Check(p.ctx, victim))
	}
	return nil
}
