package providertest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func contextChecks() []check {
	return []check{
		{name: "context-changed", run: contextChanged},
		{name: "context-moved", defect: ContextJoinedWithoutDelimiters, run: contextMoved},
		{name: "context-delimiters", run: contextDelimiters},
		{name: "context-invalid", run: contextInvalid},
	}
}

func contextChanged(p probe) error {
	pr, base := p.provider(), sampleContext()
	dk, err := p.generate(pr, p.h.RootKey, base)
	if err != nil {
		return err
	}
	type edited struct {
		name string
		ec   kmsprovider.EncryptionContext
	}
	cases := []edited{
		{"left out", nil},
		{"with a pair added", with(base, func(c kmsprovider.EncryptionContext) { c["more"] = "x" })},
		{"with two values swapped", with(base, func(c kmsprovider.EncryptionContext) {
			c["fieldcrypt:tenant"], c["fieldcrypt:class"] = c["fieldcrypt:class"], c["fieldcrypt:tenant"]
		})},
	}
	for name, value := range base {
		cases = append(cases,
			edited{"without " + name, with(base, func(c kmsprovider.EncryptionContext) { delete(c, name) })},
			edited{"with another value of " + name, with(base, func(c kmsprovider.EncryptionContext) { c[name] = "other" })},
			edited{"with a longer value of " + name, with(base, func(c kmsprovider.EncryptionContext) { c[name] += "x" })},
			edited{"with a space after the value of " + name, with(base, func(c kmsprovider.EncryptionContext) { c[name] += " " })},
			edited{"with " + name + " in upper case", with(base, func(c kmsprovider.EncryptionContext) {
				delete(c, name)
				c[strings.ToUpper(name)] = value
			})},
			edited{"with " + name + " renamed", with(base, func(c kmsprovider.EncryptionContext) {
				delete(c, name)
				c[name+"x"] = value
			})},
		)
		if up := strings.ToUpper(value); up != value {
			cases = append(cases, edited{"with the value of " + name + " in upper case", with(base, func(c kmsprovider.EncryptionContext) { c[name] = up })})
		}
	}
	for _, c := range cases {
		_, err := pr.Unwrap(p.ctx, p.h.RootKey, dk.Wrapped, c.ec)
		if err := refused("Unwrap with the encryption context "+c.name, err, kmsprovider.ErrInvalidCiphertext); err != nil {
			return err
		}
	}
	// And one that was made without any.
	dk, err = p.generate(pr, p.h.RootKey, nil)
	if err != nil {
		return err
	}
	_, err = pr.Unwrap(p.ctx, p.h.RootKey, dk.Wrapped, base)
	return refused("Unwrap with an encryption context of a key that was wrapped without", err, kmsprovider.ErrInvalidCiphertext)
}

// pair is two contexts that a careless encoding takes for the same.
type pair [2]kmsprovider.EncryptionContext

// confusable fails if a key wrapped with one context of a pair opens with the
// other. It returns the number of pairs that were accepted, and the first.
func (p probe) confusable(pairs []pair) (accepted int, err error) {
	pr := p.provider()
	var first error
	for _, both := range pairs {
		for i, made := range both {
			used := both[1-i]
			dk, err := pr.GenerateDataKey(p.ctx, p.h.RootKey, made)
			if err != nil {
				// A context that the service doesn't take at all isn't
				// mistaken for another.
				if err := refused(fmt.Sprintf("GenerateDataKey with %q", made), err, kmsprovider.ErrInvalidCiphertext); err != nil {
					return accepted, err
				}
				continue
			}
			_, err = pr.Unwrap(p.ctx, p.h.RootKey, dk.Wrapped, used)
			if err == nil {
				accepted++
				if first == nil {
					first = fmt.Errorf("a key wrapped with %q was unwrapped with %q", made, used)
				}
				continue
			}
			if err := refused(fmt.Sprintf("Unwrap with %q of a key wrapped with %q", used, made), err, kmsprovider.ErrInvalidCiphertext); err != nil {
				return accepted, err
			}
		}
	}
	return accepted, first
}

func contextMoved(p probe) error {
	accepted, err := p.confusable([]pair{
		{{"a": "bc"}, {"ab": "c"}},
		{{"a": "bcd"}, {"a": "b", "c": "d"}},
		{{"a": "b", "cd": "e"}, {"a": "bc", "d": "e"}},
		{{"tenant": "acme", "tenants": "x"}, {"tenant": "acmetenant", "s": "x"}},
	})
	if accepted > 0 {
		return errors.Join(fmt.Errorf("%w: %d contexts with bytes moved across a boundary were accepted", errDefect, accepted), err)
	}
	return err
}

func contextDelimiters(p probe) error {
	pairs := []pair{
		{{"a": `1","b":"2`}, {"a": "1", "b": "2"}},              // JSON pasted together
		{{"a": "1", "b": "\u00e9"}, {"a": "1", "b": "e\u0301"}}, // the same letter in two normal forms
		{{"a": "1"}, {"a": "1\u200b"}},
		{{"a": "\ufffd"}, {"a": "\ufffd\ufffd"}},
	}
	for _, eq := range []string{"=", ":", "\x00", " "} {
		pairs = append(pairs, pair{{"a" + eq + "b": "c"}, {"a": "b" + eq + "c"}})
		for _, and := range []string{",", "&", ";", "|", "/", "\n", "\x00", " "} {
			pairs = append(pairs, pair{{"a": "1" + and + "b" + eq + "2"}, {"a": "1", "b": "2"}})
		}
	}
	_, err := p.confusable(pairs)
	return err
}

func contextInvalid(p probe) error {
	pr := p.provider()
	replaced := kmsprovider.EncryptionContext{"tenant": "\ufffd"}
	dk, err := p.generate(pr, p.h.RootKey, replaced)
	if err != nil {
		return err
	}
	for name, ec := range map[string]kmsprovider.EncryptionContext{
		"a value that is not UTF-8":              {"tenant": "\xff"},
		"another value that is not UTF-8":        {"tenant": "\xc3\x28"},
		"a value with half a surrogate":          {"tenant": "\xed\xa0\x80"},
		"a name that is not UTF-8":               {"\xfe": "x"},
		"an empty name":                          {"": "x"},
		"a good pair and one that is not UTF-8":  {"a": "b", "tenant": "\xff"},
		"a good pair and one with an empty name": {"a": "b", "": ""},
	} {
		_, err := pr.GenerateDataKey(p.ctx, p.h.RootKey, ec)
		if err := refused("GenerateDataKey with "+name, err, kmsprovider.ErrInvalidCiphertext); err != nil {
			return err
		}
		_, err = pr.Unwrap(p.ctx, p.h.RootKey, dk.Wrapped, ec)
		if err := refused("Unwrap with "+name, err, kmsprovider.ErrInvalidCiphertext); err != nil {
			return err
		}
	}
	return nil
}
