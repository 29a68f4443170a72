package fieldcrypt

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A form is what envelopes of one mode look like from outside.
type form struct {
	mode        envelope.Mode
	least, most int // bytes
}

// start is what every envelope of a mode starts with.
func (f *form) start() []byte { return []byte{0xFC, 0x01, byte(f.mode)} }

// startText is what its text form starts with: three bytes are four
// characters, whatever follows.
func (f *form) startText() string {
	return "fc1." + base64.RawURLEncoding.EncodeToString(f.start())
}

// The checks. They avoid backslashes and anchors, whose meaning depends on
// settings.

// unlessNull lets NULL pass, and what the condition says of anything else. A
// condition that comes out as neither true nor false refuses: to a CHECK it
// would be as good as true, and MariaDB's regular expressions give NULL where
// they run into a limit.
func unlessNull(column, condition string) string {
	return column + " IS NULL OR (" + condition + ") IS TRUE"
}

func (d Dialect) binaryCheck(column string, forms []form) string {
	length, typed := "octet_length("+column+")", ""
	if d == SQLite { // any column takes any type
		length, typed = "length("+column+")", "typeof("+column+") = 'blob' AND "
	}
	return unlessNull(column, oneOf(typed, forms, func(f *form) string {
		start := "x'" + hex.EncodeToString(f.start()) + "'"
		if d == Postgres {
			start = "decode('" + hex.EncodeToString(f.start()) + "', 'hex')"
		}
		return fmt.Sprintf("substr(%s, 1, 3) = %s AND %s BETWEEN %d AND %d", column, start, length, f.least, f.most)
	}))
}

func (d Dialect) textCheck(column string, forms []form) string {
	body := "substr(" + column + ", 5)"
	length := "octet_length(" + column + ")"
	switch d {
	case Postgres:
		body += ` COLLATE "C" !~ '[^A-Za-z0-9_-]'`
	case MariaDB:
		body += " NOT REGEXP '[^A-Za-z0-9_-]'"
	case SQLite:
		// Its text functions stop at a zero byte; the length in bytes doesn't.
		length = "length(" + column + ")"
		body = "typeof(" + column + ") = 'text' AND " + body + " NOT GLOB '*[^A-Za-z0-9_-]*' AND " + length + " = length(CAST(" + column + " AS BLOB))"
	}
	return unlessNull(column, oneOf(body+" AND ", forms, func(f *form) string {
		return fmt.Sprintf("substr(%s, 1, 8) = '%s' AND %s BETWEEN %d AND %d",
			column, f.startText(), length, envelope.TextLen(f.least), envelope.TextLen(f.most))
	}))
}

// indexCheck lets only tags of the blind index's length pass.
func (d Dialect) indexCheck(column string, x *indexed) string {
	length := "octet_length(" + column + ")"
	if d == SQLite {
		length = "length(CAST(" + column + " AS BLOB))"
	}
	if !x.text {
		typed := ""
		if d == SQLite {
			typed = "typeof(" + column + ") = 'blob' AND "
		}
		return unlessNull(column, fmt.Sprintf("%s%s = %d", typed, length, x.ring.TagSize()))
	}
	start := string(x.ring.AppendText(nil, make([]byte, x.ring.TagSize())))
	start = start[:strings.IndexByte(start, '.')+1]
	return unlessNull(column, fmt.Sprintf("substr(%s, 1, %d) = '%s' AND %s = %d", column, len(start), start, length, x.ring.TextLen()))
}

// oneOf joins what all forms have in common, if anything, and a condition for
// each of them.
func oneOf(and string, forms []form, condition func(*form) string) string {
	if len(forms) == 1 {
		return and + condition(&forms[0])
	}
	parts := make([]string, len(forms))
	for i := range forms {
		parts[i] = "(" + condition(&forms[i]) + ")"
	}
	each := strings.Join(parts, " OR ")
	if and == "" {
		return each
	}
	return and + "(" + each + ")"
}

// jsonCheck relies on keys that need no escapes (see [Fields]) in MariaDB and
// SQLite, where it looks at the text: a colon after a quote is then always
// between a key and its value.
func (d Dialect) jsonCheck(column string, forms []form) string {
	switch d {
	case Postgres:
		return unlessNull(column, fmt.Sprintf(`jsonb_typeof(%s) = 'object' AND NOT jsonb_path_exists(%s, 'strict $.* ? (@.type() != "null" && (@.type() != "string" || !(@ like_regex "^(%s)$")))')`,
			column, column, memberRegexp(forms)))
	case MariaDB:
		return unlessNull(column, fmt.Sprintf(`json_valid(%s) AND regexp_replace(%s, '"[^"]+":(null|"(%s)")', '') REGEXP '^[{],*[}]$'`,
			column, column, memberRegexp(forms)))
	}
	conditions := []string{
		"typeof(" + column + ") = 'text'", "json_valid(" + column + ")", "json_type(" + column + ") = 'object'",
		"json(" + column + ") = " + column, column + ` NOT GLOB '*":[^n"]*'`,
	}
	// Patterns that repeat a class there are none, so it is the start that is
	// looked at, a character at a time: what differs in the first, in the
	// second, and so on. The modes differ in its last.
	var marks string
	for i := range forms {
		text := forms[i].startText()
		marks += text[len(text)-1:]
	}
	start := forms[0].startText()
	start = start[:len(start)-1]
	for i := range start {
		conditions = append(conditions, fmt.Sprintf(`%s NOT GLOB '*":"%s[^%s]*'`, column, start[:i], start[i:i+1]))
	}
	conditions = append(conditions, fmt.Sprintf(`%s NOT GLOB '*":"%s[^%s]*'`, column, start, marks))
	return unlessNull(column, strings.Join(conditions, " AND "))
}

// maxRepeat is the largest number that PostgreSQL takes for a repetition.
const maxRepeat = 255

// memberRegexp matches a member of a JSON column: the start of a form, and as
// many characters as the shortest envelope has, as far as can be said.
func memberRegexp(forms []form) string {
	parts := make([]string, len(forms))
	for i := range forms {
		start := forms[i].startText()
		rest := min(envelope.TextLen(forms[i].least)-len(start), maxRepeat)
		parts[i] = fmt.Sprintf("%s[A-Za-z0-9_-]{%d,}", strings.ReplaceAll(start, ".", "[.]"), rest)
	}
	return strings.Join(parts, "|")
}
