package fieldcrypt

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

var errFields = fmt.Errorf("%w: custom fields are one JSON object whose members are envelopes in text form, or null", ErrNotEnvelope)

// parseFields reads the JSON (RFC 8259) of a column that holds [Fields]. It
// knows no more of it than such a column has, so that nothing is allocated but
// the names, the envelopes and the map. It tells nothing of what it refuses: it
// may be plaintext.
func parseFields(text string) (Fields, error) {
	s := fieldsScanner{text}
	if len(text) > maxFieldsSize || !utf8.ValidString(text) || !s.take('{') {
		return nil, errFields
	}
	fields := make(Fields, min(strings.Count(text, ":"), maxFields))
	for more := !s.take('}'); more; {
		key, err := s.member(fields)
		if err != nil {
			return nil, err
		}
		var v String
		if !s.takeNull() {
			member, escaped, ok := s.quoted()
			if !ok {
				return nil, errFields
			}
			if escaped {
				v.scanEscaped(member)
			} else {
				v.scanString(member)
			}
		}
		fields[key] = v
		if more = s.take(','); !more && !s.take('}') {
			return nil, errFields
		}
	}
	if s.skipSpace(); s.rest != "" {
		return nil, errFields
	}
	return fields, nil
}

// member reads a member's name and the colon after it.
func (s *fieldsScanner) member(fields Fields) (string, error) {
	raw, escaped, ok := s.quoted()
	if !ok || !s.take(':') {
		return "", errFields
	}
	key := strings.Clone(raw) // not the whole column for the sake of a name
	if escaped {
		if key, ok = unescaped(raw); !ok {
			return "", errFields
		}
	}
	if _, twice := fields[key]; twice || len(fields) == maxFields {
		return "", errFields
	}
	return key, nil
}

// maxEscaped is how long a name can be whose every character is an escape of
// six.
const maxEscaped = 6 * 255

// unescaped reads the escapes in a name, which some programs write for all that
// isn't ASCII.
func unescaped(raw string) (key string, ok bool) {
	if len(raw) > maxEscaped {
		return "", false
	}
	err := json.Unmarshal([]byte(`"`+raw+`"`), &key)
	return key, err == nil
}

// A fieldsScanner reads tokens of JSON off the front of a text.
type fieldsScanner struct{ rest string }

func (s *fieldsScanner) skipSpace() { s.rest = strings.TrimLeft(s.rest, " \t\r\n") }

func (s *fieldsScanner) take(c byte) bool {
	s.skipSpace()
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *fieldsScanner) takeNull() (ok bool) {
	s.skipSpace()
	s.rest, ok = strings.CutPrefix(s.rest, "null")
	return ok
}

// quoted reads a string and returns what is between its quotes, and whether
// there are escapes in it.
func (s *fieldsScanner) quoted() (raw string, escaped, ok bool) {
	if !s.take('"') {
		return "", false, false
	}
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			raw, s.rest = s.rest[:i], s.rest[i+1:]
			return raw, escaped, true
		case c < ' ':
			return "", false, false
		case c == '\\':
			escaped = true
			i++ // what it escapes, which may be a quote
		}
	}
	return "", false, false
}

// scanEscaped scans a string of JSON that has escapes in it, which no character
// of a text form needs: it is plaintext, unless it begins like one.
func (v *Value[T]) scanEscaped(raw string) {
	text, ok := unescapedText(raw)
	if !ok || len(text) > longestCell || beginsText(text) || beginsBinary(text) {
		v.refuse(envelope.ErrMalformed)
		return
	}
	v.holdText(text)
}

// unescapedText reads the escapes of a JSON string (RFC 8259, section 7) in one
// allocation, where encoding/json takes several of its size. Half a surrogate
// pair, for which encoding/json puts U+FFFD, is refused: it would be another
// value than what is stored.
func unescapedText(raw string) (text string, ok bool) {
	const plain, meant = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	out := make([]byte, 0, len(raw))
	for {
		before, after, escape := strings.Cut(raw, `\`)
		out = append(out, before...)
		if !escape {
			return stringOver(out), true
		}
		if after == "" {
			return "", false
		}
		if i := strings.IndexByte(plain, after[0]); i >= 0 {
			out, raw = append(out, meant[i]), after[1:]
			continue
		}
		r, rest, ok := escapedRune(after)
		if !ok {
			return "", false
		}
		if utf16.IsSurrogate(r) {
			low, paired := strings.CutPrefix(rest, `\`)
			second, behind, ok := escapedRune(low)
			if r = utf16.DecodeRune(r, second); !paired || !ok || r == utf8.RuneError {
				return "", false
			}
			rest = behind
		}
		out, raw = utf8.AppendRune(out, r), rest
	}
}

// escapedRune reads what follows the backslash of an escape of four hexadecimal
// digits.
func escapedRune(text string) (r rune, rest string, ok bool) {
	const size = len("uXXXX")
	if len(text) < size || text[0] != 'u' || strings.ContainsAny(text[1:size], "+-_") {
		return 0, "", false
	}
	n, err := strconv.ParseUint(text[1:size], 16, 16)
	return rune(n), text[size:], err == nil
}
