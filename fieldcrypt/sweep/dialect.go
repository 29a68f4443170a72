package sweep

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// A Dialect is the SQL of a database.
type Dialect = fieldcrypt.Dialect

// The dialects that a [Sweeper] speaks: PostgreSQL 12 or later, tried on 15;
// MariaDB 10.6 or later, tried on 10.11; SQLite 3.38 or later.
const (
	Postgres = fieldcrypt.Postgres
	MariaDB  = fieldcrypt.MariaDB
	SQLite   = fieldcrypt.SQLite
)

// nameOf is a dialect's own name in code.
func nameOf(d Dialect) string {
	return map[Dialect]string{Postgres: "sweep.Postgres", MariaDB: "sweep.MariaDB", SQLite: "sweep.SQLite"}[d]
}

// quote quotes an identifier, whatever is in it.
func quote(d Dialect, identifier string) string {
	mark := `"`
	if d == MariaDB {
		mark = "`"
	}
	return mark + strings.ReplaceAll(identifier, mark, mark+mark) + mark
}

// qualified quotes a table's name with its schema, if there is one.
func qualified(d Dialect, schema, table string) string {
	if schema == "" {
		return quote(d, table)
	}
	return quote(d, schema) + "." + quote(d, table)
}

// bind writes the placeholders of a query, which are question marks outside of
// quotes, as the dialect has them.
func bind(d Dialect, query string) string {
	if d != Postgres {
		return query
	}
	var b strings.Builder
	n, quoted := 0, false
	for i := range len(query) {
		switch c := query[i]; {
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case c == '?' && !quoted:
			n++
			b.WriteString("$" + strconv.Itoa(n))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func checkDialect(d Dialect) error {
	if d != Postgres && d != MariaDB && d != SQLite {
		return fmt.Errorf("sweep: %s is none: it is sweep.Postgres, sweep.MariaDB or sweep.SQLite", d)
	}
	return nil
}
