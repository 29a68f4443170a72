package normalise

import (
	"fmt"
	"strings"
)

func name(value string) (string, error) {
	if err := check("name.v1", value); err != nil {
		return "", err
	}
	folded, ok := caseless(value, inName)
	if !ok {
		return "", fmt.Errorf("normalise: name.v1: %w: its characters don't settle into one form", ErrInvalid)
	}
	return result("name.v1", strings.Join(strings.FieldsFunc(folded, isSpace), " "))
}

// inName says what becomes of a character of a name. Kana go from hiragana to
// katakana and not back, because katakana has more of them.
func inName(r rune) rune {
	switch {
	case r < 0x80:
		return r
	case r >= 0x3041 && r <= 0x3096, r == 0x309D, r == 0x309E:
		return r + 0x60
	case r == 0x1B132: // small ko
		return 0x1B155
	case r >= 0x1B150 && r <= 0x1B152: // small wi, we, wo
		return r + 0x14
	case r == 0x2018, r == 0x2019, r == 0x02BC:
		return '\''
	case r == 0x2010, r == 0x2012, r == 0x2013, r == 0x2212:
		return '-'
	case isIgnorable(r):
		return -1
	}
	return r
}
