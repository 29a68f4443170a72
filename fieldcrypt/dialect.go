package fieldcrypt

import "fmt"

// A Dialect is the SQL of a database.
type Dialect uint8

// The dialects that [Records.DDL] writes.
const (
	Postgres Dialect = iota + 1 // PostgreSQL 12 or later; tried on 15
	MariaDB                     // MariaDB 10.6 or later; tried on 10.11
	SQLite                      // SQLite 3.38 or later; tried on 3.40 and 3.54
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
