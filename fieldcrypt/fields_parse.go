package fieldcrypt

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
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
			if escaped { // no character of a text form needs it
				member = ""
			}
			if err := v.Scan(member); err != nil {
				return nil, err
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
