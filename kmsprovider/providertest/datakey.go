package providertest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const (
	maxWrapped = 6144 // bytes; the longest ciphertext of AWS KMS, and of anything that is stored
	maxURI     = 512  // bytes; the longest root key URI that an envelope can name
	freshKeys  = 16   // data keys made to see that none comes twice
)

func dataKeyChecks() []check {
	return []check{
		{name: "round-trip", run: roundTrip},
		{name: "data-key-form", run: dataKeyForm},
		{name: "data-keys-fresh", run: dataKeysFresh},
		{name: "wrapped-hides-key", run: wrappedHidesKey},
		{name: "data-key-redacted", run: dataKeyRedacted},
	}
}

func roundTrip(p probe) error {
	pr := p.provider()
	many := kmsprovider.EncryptionContext{}
	for i := range 20 {
		many[fmt.Sprintf("name-%d", i)] = fmt.Sprintf("value-%d", i)
	}
	for _, c := range []struct {
		name       string
		made, used kmsprovider.EncryptionContext
	}{
		{"no context", nil, nil},
		{"nil, then empty context", nil, kmsprovider.EncryptionContext{}},
		{"empty, then nil context", kmsprovider.EncryptionContext{}, nil},
		{"the library's own context", sampleContext(), sampleContext()},
		{"not ASCII", kmsprovider.EncryptionContext{"kundin": "Zoë 山田 🔑"}, kmsprovider.EncryptionContext{"kundin": "Zoë 山田 🔑"}},
		{"delimiters", kmsprovider.EncryptionContext{"a=b,c": `"d":&;|` + "\\\n"}, kmsprovider.EncryptionContext{"a=b,c": `"d":&;|` + "\\\n"}},
		{"many pairs", many, with(many, func(kmsprovider.EncryptionContext) {})},
	} {
		for _, rootKey := range []string{p.h.RootKey, p.h.OtherRootKey} {
			dk, err := p.generate(pr, rootKey, c.made)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			// Twice, and by another provider: unwrapping uses nothing up, and
			// needs nothing that only the maker has in memory.
			for range 2 {
				if err := p.opens(pr, dk.RootKey, dk.Wrapped, c.used, dk.Plaintext); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			if err := p.opens(p.provider(), dk.RootKey, dk.Wrapped, c.used, dk.Plaintext); err != nil {
				return fmt.Errorf("%s, by another provider: %w", c.name, err)
			}
		}
	}
	return nil
}

func dataKeyForm(p probe) error {
	for _, rootKey := range []string{p.h.RootKey, p.h.OtherRootKey} {
		dk, err := p.generate(p.provider(), rootKey, sampleContext())
		if err != nil {
			return err
		}
		switch {
		case len(dk.Plaintext) != kmsprovider.DataKeySize:
			return fmt.Errorf("the data key has %d bytes, want %d", len(dk.Plaintext), kmsprovider.DataKeySize)
		case len(dk.Wrapped) < 1 || len(dk.Wrapped) > maxWrapped:
			return fmt.Errorf("the wrapped key has %d bytes, want 1 to %d", len(dk.Wrapped), maxWrapped)
		case dk.RootKey != rootKey:
			return fmt.Errorf("DataKey.RootKey is %q, want the canonical URI %q", dk.RootKey, rootKey)
		case len(dk.RootKey) > maxURI:
			return fmt.Errorf("the root key's URI has %d bytes, want at most %d", len(dk.RootKey), maxURI)
		}
	}
	return nil
}

func dataKeysFresh(p probe) error {
	pr := p.provider()
	plain, wrapped := map[string]bool{}, map[string]bool{}
	for range freshKeys {
		dk, err := p.generate(pr, p.h.RootKey, sampleContext())
		if err != nil {
			return err
		}
		if bytes.Count(dk.Plaintext, dk.Plaintext[:1]) == len(dk.Plaintext) {
			return errors.New("the data key is one byte repeated")
		}
		plain[string(dk.Plaintext)], wrapped[string(dk.Wrapped)] = true, true
	}
	if len(plain) != freshKeys || len(wrapped) != freshKeys {
		return fmt.Errorf("%d data keys of the same context have only %d different plaintexts and %d different wrappings", freshKeys, len(plain), len(wrapped))
	}
	return nil
}

func wrappedHidesKey(p probe) error {
	dk, err := p.generate(p.provider(), p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	if where := shows(string(dk.Wrapped), dk.Plaintext); where != "" {
		return fmt.Errorf("the wrapped key holds the plain one in %s", where)
	}
	return nil
}

func dataKeyRedacted(p probe) error {
	dk, err := p.generate(p.provider(), p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	asJSON, err := json.Marshal(struct{ Key kmsprovider.DataKey }{dk})
	if err != nil {
		return err
	}
	for how, text := range map[string]string{
		"%v": fmt.Sprintf("%v", dk), "%+v": fmt.Sprintf("%+v", dk), "%#v": fmt.Sprintf("%#v", &dk),
		"%x": fmt.Sprintf("%x", dk), "%s": fmt.Sprintf("%s", []kmsprovider.DataKey{dk}), "JSON": string(asJSON),
	} {
		if where := shows(text, dk.Plaintext); where != "" {
			return fmt.Errorf("a DataKey printed with %s shows the plain key in %s", how, where)
		}
	}
	return nil
}

// shows tells in which form text holds the secret; "" if in none.
func shows(text string, secret []byte) string {
	if len(secret) == 0 {
		return ""
	}
	for _, form := range []struct{ name, text string }{
		{"raw bytes", string(secret)},
		{"hex", hex.EncodeToString(secret)},
		{"decimal", strings.Trim(fmt.Sprintf("%d", secret), "[]")},
		{"a Go literal", strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", secret), "[]byte{"), "}")},
		{"a quoted string", strings.Trim(fmt.Sprintf("%q", secret), `"`)},
		// Without its last characters, base64 is the same with and without
		// padding, and when other bytes follow.
		{"base64", base64.RawStdEncoding.EncodeToString(secret)[:len(secret)/3*4]},
		{"base64url", base64.RawURLEncoding.EncodeToString(secret)[:len(secret)/3*4]},
	} {
		if form.text == "" {
			continue
		}
		if strings.Contains(text, form.text) || form.name == "hex" && strings.Contains(strings.ToLower(text), form.text) {
			return form.name
		}
	}
	return ""
}
