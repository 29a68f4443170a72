package sqlstore

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// DefaultTable is the name of the table of keys.
const DefaultTable = "fieldcrypt_keys"

// Options say where a store's tables are. The zero value of each field means
// its default.
type Options struct {
	// Table is the name of the table of keys: 1 to 40 letters, digits and
	// underscores, the first no digit. Two more tables have this name with
	// _claims and _version behind it. Default [DefaultTable].
	Table string

	// Schema is the schema, in MariaDB the database, that holds the tables. It
	// must exist. Default: the one that the connection finds by itself. SQLite
	// has none.
	Schema string

	// NoMigrate leaves the tables to the deployment (see [Migrate] and
	// [DDL]): Open only checks them.
	NoMigrate bool

	// Replica, if it is set, is asked first for the keys that open envelopes.
	// What it doesn't have, and a key that may not open there, is asked of the
	// primary again, so that it may lag behind. So is what it doesn't answer
	// within a second, or a third of the time until the deadline of the call if
	// that is less. One that failed or didn't answer in time is passed over for
	// five seconds; then one read, and no other meanwhile, finds out whether it
	// answers again. So one that hangs delays a read now and then by a second,
	// and stops none. Examine tells of it. A key that was destroyed opens for as
	// long as the replica lags. Whoever moves a key to another state or wraps it
	// anew asks the primary.
	Replica *sql.DB

	// CloseDB has the store own its pools: Close closes them, and so does Open
	// if it fails.
	CloseDB bool
}

const (
	maxTable  = 40 // leaves room for suffixes within PostgreSQL's 63 bytes
	maxSchema = 63
)

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// names are the options that choose tables, checked.
type names struct {
	dialect Dialect
	schema  string
	table   string
}

func (o *Options) names(d Dialect) (names, error) {
	n := names{dialect: d, schema: o.Schema, table: o.Table}
	if n.table == "" {
		n.table = DefaultTable
	}
	switch {
	case !d.known():
		return n, fmt.Errorf("sqlstore: %s is none: it is sqlstore.Postgres, sqlstore.MariaDB or sqlstore.SQLite", d)
	case len(n.table) > maxTable || !identifier.MatchString(n.table):
		return n, fmt.Errorf("sqlstore: Options.Table is %.60q: it must be 1 to %d letters, digits and underscores, the first no digit", n.table, maxTable)
	case n.schema == "":
	case d == SQLite:
		return n, fmt.Errorf("sqlstore: Options.Schema is %.80q, but SQLite has no schemas: leave it empty", n.schema)
	case len(n.schema) > maxSchema || !identifier.MatchString(n.schema):
		return n, fmt.Errorf("sqlstore: Options.Schema is %.80q: it must be 1 to %d letters, digits and underscores, the first no digit", n.schema, maxSchema)
	}
	return n, nil
}

// The suffixes of the other tables, and of the index that only PostgreSQL and
// SQLite have under a name of its own.
const (
	claimsSuffix  = "_claims"
	versionSuffix = "_version"
	activeSuffix  = "_active"
)

func (n names) keys() string    { return n.qualified("") }
func (n names) claims() string  { return n.qualified(claimsSuffix) }
func (n names) version() string { return n.qualified(versionSuffix) }

func (n names) qualified(suffix string) string {
	table := n.dialect.quote(n.table + suffix)
	if n.schema == "" {
		return table
	}
	return n.dialect.quote(n.schema) + "." + table
}

// fill puts the names in their places in embedded SQL.
func (n names) fill(query string) string {
	return strings.NewReplacer(
		"{keys}", n.keys(),
		"{claims}", n.claims(),
		"{version}", n.version(),
		"{active}", n.dialect.quote(n.table+activeSuffix),
		"{now}", sqlconn.Clock(sqlconn.Dialect(n.dialect)),
	).Replace(query)
}

// lock names what keeps migrations of the same tables apart.
func (n names) lock() [32]byte {
	return sha256.Sum256([]byte("fieldcrypt key store " + n.schema + "." + n.table))
}

// lockNumber is the lock as PostgreSQL wants it.
func (n names) lockNumber() int64 {
	sum := n.lock()
	return int64(binary.BigEndian.Uint64(sum[:8]))
}
