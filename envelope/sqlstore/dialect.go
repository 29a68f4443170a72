package sqlstore

import (
	"fmt"
	"strconv"
	"strings"
)

// A Dialect is the SQL of a database.
type Dialect uint8

// The dialects that a [Store] speaks.
const (
	Postgres Dialect = iota + 1 // PostgreSQL 12 or later; tried on 15
	MariaDB                     // MariaDB 10.6 or later; tried on 10.11. MySQL 8.0.16 or later should do, and is untested
	SQLite                      // SQLite 3.38 or later; tried on 3.53
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

// name is the dialect's own name in code.
func (d Dialect) name() string {
	switch d {
	case Postgres:
		return "sqlstore.Postgres"
	case MariaDB:
		return "sqlstore.MariaDB"
	case SQLite:
		return "sqlstore.SQLite"
	}
	return fmt.Sprintf("sqlstore.Dialect(%d)", uint8(d))
}

func (d Dialect) known() bool { return d >= Postgres && d <= SQLite }

// quote quotes an identifier, which has no quotes in it.
func (d Dialect) quote(identifier string) string {
	if d == MariaDB {
		return "`" + identifier + "`"
	}
	return `"` + identifier + `"`
}

// bind writes the placeholders of a query, which are question marks, as the
// dialect has them.
func (d Dialect) bind(query string) string {
	if d != Postgres {
		return query
	}
	parts := strings.Split(query, "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}
