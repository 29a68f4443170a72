package fieldcrypt

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A Dialect is the SQL of a database.
type Dialect uint8

// The dialects that [Records.DDL] writes.
const (
	Postgres Dialect = iota + 1 // PostgreSQL 12 or later; tried on 15
	MariaDB                     // MariaDB 10.6 or later; tried on 10.11
	SQLite                      // SQLite 3.38 or later; tried on 3.40
)

func (d Dialect) String() string {
	switch d {
	case Postgres:
		return "PostgreSQL"
	case MariaDB:
		return "MariaDB"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("dialect %d", uint8(d))
}

// quote quotes what checkIdentifier let pass.
func (d Dialect) quote(identifier string) string {
	if d == MariaDB {
		return "`" + identifier + "`"
	}
	return `"` + identifier + `"`
}

// maxVar is the longest VARBINARY or VARCHAR that is asked for in MariaDB,
// whose rows hold at most 65,535 bytes of them in all.
const maxVar = 4000

func (d Dialect) binaryType(size int) string {
	switch d {
	case Postgres:
		return "bytea"
	case MariaDB:
		return mariaDBType(size, "VARBINARY(%d)", "BLOB", "")
	}
	return "BLOB"
}

func (d Dialect) textType(size int) string {
	switch d {
	case Postgres:
		return "text"
	case MariaDB:
		return mariaDBType(size, "VARCHAR(%d)", "TEXT", " CHARACTER SET ascii COLLATE ascii_bin")
	}
	return "TEXT"
}

func mariaDBType(size int, short, long, suffix string) string {
	switch {
	case size <= maxVar:
		return fmt.Sprintf(short, size) + suffix
	case size < 1<<16:
		return long + suffix
	case size < 1<<24:
		return "MEDIUM" + long + suffix
	}
	return "LONG" + long + suffix
}

func (d Dialect) jsonType() string {
	switch d {
	case Postgres:
		return "jsonb"
	case MariaDB:
		return "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	}
	return "TEXT"
}

// start is what every envelope of a mode starts with.
func start(m envelope.Mode) []byte { return []byte{0xFC, 0x01, byte(m)} }

// startText is what its text form starts with: three bytes are four
// characters, whatever follows.
func startText(m envelope.Mode) string {
	return "fc1." + base64.RawURLEncoding.EncodeToString(start(m))
}

// The checks. NULL is allowed in so many words, so that their parts needn't be
// read for what they make of it. They avoid backslashes and anchors, whose
// meaning depends on settings.

func (d Dialect) binaryCheck(column string, modes []envelope.Mode, least, most int) string {
	starts := make([]string, len(modes))
	for i, m := range modes {
		switch digits := hex.EncodeToString(start(m)); d {
		case Postgres:
			starts[i] = "decode('" + digits + "', 'hex')"
		default:
			starts[i] = "x'" + digits + "'"
		}
	}
	length := "length(" + column + ")"
	typed := ""
	switch d {
	case Postgres, MariaDB:
		length = "octet_length(" + column + ")"
	case SQLite: // any column takes any type
		typed = "typeof(" + column + ") = 'blob' AND "
	}
	return fmt.Sprintf("%s IS NULL OR (%ssubstr(%s, 1, 3) IN (%s) AND %s BETWEEN %d AND %d)",
		column, typed, column, strings.Join(starts, ", "), length, least, most)
}

func (d Dialect) textCheck(column string, modes []envelope.Mode, least, most int) string {
	starts := make([]string, len(modes))
	for i, m := range modes {
		starts[i] = "'" + startText(m) + "'"
	}
	body := "substr(" + column + ", 5)"
	length := "octet_length(" + column + ")"
	typed := ""
	switch d {
	case Postgres:
		body += ` COLLATE "C" !~ '[^A-Za-z0-9_-]'`
	case MariaDB:
		body += " NOT REGEXP '[^A-Za-z0-9_-]'"
	case SQLite:
		// Its text functions stop at a zero byte; the length in bytes doesn't.
		body += " NOT GLOB '*[^A-Za-z0-9_-]*'"
		length = "length(" + column + ") = length(CAST(" + column + " AS BLOB)) AND length(" + column + ")"
		typed = "typeof(" + column + ") = 'text' AND "
	}
	return fmt.Sprintf("%s IS NULL OR (%ssubstr(%s, 1, 8) IN (%s) AND %s AND %s BETWEEN %d AND %d)",
		column, typed, column, strings.Join(starts, ", "), body, length, least, most)
}

// jsonCheck relies on keys that need no escapes and don't start with a colon
// (see [Fields]) in MariaDB and SQLite, where it looks at the text: a colon
// after a quote is then always between a key and its value.
func (d Dialect) jsonCheck(column string, modes []envelope.Mode) string {
	var marks string // what tells the modes apart: the last character of the start
	for _, m := range modes {
		text := startText(m)
		marks += text[len(text)-1:]
	}
	prefix := startText(modes[0])
	prefix = prefix[:len(prefix)-1]
	switch d {
	case Postgres:
		return fmt.Sprintf(`%s IS NULL OR (jsonb_typeof(%s) = 'object' AND NOT jsonb_path_exists(%s, 'strict $.* ? (@.type() != "null" && (@.type() != "string" || !(@ like_regex "^%s[%s][A-Za-z0-9_-]+$")))'))`,
			column, column, column, strings.ReplaceAll(prefix, ".", "[.]"), marks)
	case MariaDB:
		member := fmt.Sprintf(`"[^"]+":(null|"%s[%s][A-Za-z0-9_-]+")`, strings.ReplaceAll(prefix, ".", "[.]"), marks)
		return fmt.Sprintf(`%s IS NULL OR (json_valid(%s) AND regexp_replace(%s, '%s', '') REGEXP '^[{],*[}]$')`,
			column, column, column, member)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `%s IS NULL OR (typeof(%s) = 'text' AND json_valid(%s) AND json_type(%s) = 'object' AND json(%s) = %s`,
		column, column, column, column, column, column)
	fmt.Fprintf(&b, ` AND %s NOT GLOB '*":[^n"]*'`, column)
	for i := range prefix {
		fmt.Fprintf(&b, ` AND %s NOT GLOB '*":"%s[^%s]*'`, column, prefix[:i], prefix[i:i+1])
	}
	fmt.Fprintf(&b, ` AND %s NOT GLOB '*":"%s[^%s]*')`, column, prefix, marks)
	return b.String()
}
