package normalise

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxLabel is the DNS's limit in bytes (RFC 1035, section 2.3.4).
const maxLabel = 63

var errTooLongLabel = fmt.Errorf("a label of the domain has more than %d bytes", maxLabel)

func email(value string) (string, error) {
	if err := check("email.v1", value); err != nil {
		return "", err
	}
	fail := func(why string) (string, error) {
		return "", fmt.Errorf("normalise: email.v1: %w: %s", ErrInvalid, why)
	}
	// NFKC first: it makes a full-width "＠" an "@".
	text := strings.TrimFunc(nfkc(strings.Map(shown, value)), isSpace)
	if text == "" {
		return result("email.v1", "")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return isSpace(r) || isControl(r) || r == '<' || r == '>' }) {
		return fail("white space, control characters, \"<\" and \">\" can't be in an address; give the address alone")
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return fail("it has no \"@\"")
	}
	local, ok := caseless(text[:at], inLocal)
	if !ok || local == "" || strings.ContainsFunc(local, isSpace) {
		return fail("there is no local part before the \"@\"")
	}
	if local[0] != '"' && strings.ContainsAny(local, "@,;") {
		return fail("\"@\", \",\" and \";\" can't be in a local part without quotes; give one address alone")
	}
	domain, err := domainOf(text[at+1:])
	if err != nil {
		return fail(err.Error())
	}
	return local + "@" + domain, nil
}

// domainOf returns the domain in ASCII. Its errors don't hold it.
func domainOf(domain string) (string, error) {
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		inside, closed := strings.CutSuffix(literal, "]")
		if !closed || inside == "" || strings.ContainsFunc(inside, func(r rune) bool { return !isLDH(r) && r != '.' && r != ':' }) {
			return "", errors.New("the address literal after the \"@\" isn't one")
		}
		return strings.ToLower(domain), nil
	}
	if !isASCII(domain) {
		var ok bool
		if domain, ok = foldDomain(domain); !ok {
			return "", errors.New("the domain's characters don't settle into one form")
		}
	}
	domain = strings.TrimSuffix(domain, ".")
	labels := strings.Split(domain, ".")
	for i, label := range labels {
		if isASCII(label) {
			label = strings.ToLower(label)
		} else {
			// The profile Punycode encodes and looks at no table. It takes the
			// square of the length, and what it returns is longer.
			if len(label) > utf8.UTFMax*maxLabel {
				return "", errTooLongLabel
			}
			ascii, err := idna.Punycode.ToASCII(label)
			if err != nil || strings.HasPrefix(label, "xn--") {
				return "", errors.New("a label of the domain has no form in Punycode")
			}
			label = ascii
		}
		if label == "" {
			return "", errors.New("the domain, or a label of it, is empty")
		}
		if len(label) > maxLabel {
			return "", errTooLongLabel
		}
		if strings.ContainsFunc(label, func(r rune) bool { return !isLDH(r) }) {
			return "", errors.New("the domain has a character that no domain has")
		}
		labels[i] = label
	}
	return strings.Join(labels, "."), nil
}

// foldDomain is caseless but for ß and ς, which make other domains than ss and
// σ do (RFC 5891, UTS #46 section 4).
func foldDomain(s string) (folded string, ok bool) {
	for range maxRounds {
		var b strings.Builder
		rest := nfkc(s)
		for rest != "" {
			i := strings.IndexAny(rest, "ßẞς")
			if i < 0 {
				b.WriteString(foldCase(rest))
				break
			}
			b.WriteString(foldCase(rest[:i]))
			r, size := utf8.DecodeRuneInString(rest[i:])
			if r == 'ẞ' {
				r = 'ß'
			}
			b.WriteRune(r)
			rest = rest[i+size:]
		}
		next := strings.Map(inDomain, nfkc(b.String()))
		if next == s {
			return s, true
		}
		s = next
	}
	return "", false
}

func inDomain(r rune) rune {
	if r == 0x3002 {
		return '.'
	}
	return shown(r)
}

// shown leaves out what doesn't show, save the joiners, which are letters'
// companions in Persian and Indic domains.
func shown(r rune) rune {
	if isIgnorable(r) && r != 0x200C && r != 0x200D {
		return -1
	}
	return r
}

func inLocal(r rune) rune {
	if isIgnorable(r) {
		return -1
	}
	return r
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7F && r <= 0x9F }

// isLDH is what labels of domains are made of, and the underscore, which those
// in use have too.
func isLDH(r rune) bool {
	return r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
