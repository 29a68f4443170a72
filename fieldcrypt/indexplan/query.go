package indexplan

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// A Dialect is the SQL of a database. Its values are those of
// fieldcrypt.Dialect, so that one converts to the other.
type Dialect uint8

// The dialects.
const (
	Postgres Dialect = iota + 1
	MariaDB
	SQLite
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

// HistogramQuery returns a query for the histogram of a column that holds
// plaintext, as before a migration. Its answer has two columns: rows_per_value
// and value_count. NULL isn't counted. It compares values as bytes, so it counts
// spellings that a normaliser would make equal as different, and a plan from it
// is a little too hopeful about collisions; [HistogramOf] counts normalised
// values in the program. The table's name may have a schema's and a dot before
// it.
//
// It reads the whole column, sorting or hashing it: run it where that is no
// burden. Errors are about the dialect and the names.
func HistogramQuery(d Dialect, table, column string) (string, error) {
	return histogramQuery(d, table, column, "")
}

// TenantHistogramQuery is HistogramQuery for the rows of one tenant, which is
// the query's parameter ($1 or ?). Tags of different tenants have different
// keys, so a plan is of one tenant's rows: take the largest tenant for what a
// search costs. What is learned of a small one is little more than what its
// number of rows allows.
func TenantHistogramQuery(d Dialect, table, column, tenant string) (string, error) {
	if tenant == "" {
		return "", fmt.Errorf("indexplan: histogram query: the tenant's column has no name")
	}
	return histogramQuery(d, table, column, tenant)
}

func histogramQuery(d Dialect, table, column, tenant string) (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("indexplan: histogram query: %w", err) }
	from, err := d.table(table)
	if err != nil {
		return fail(err)
	}
	what, err := d.name("column", column)
	if err != nil {
		return fail(err)
	}
	where := what + " IS NOT NULL"
	if tenant != "" {
		name, err := d.name("column", tenant)
		if err != nil {
			return fail(err)
		}
		where = name + " = " + d.parameter() + " AND " + where
	}
	return fmt.Sprintf(`SELECT rows_per_value, COUNT(*) AS value_count
FROM (SELECT COUNT(*) AS rows_per_value FROM %s WHERE %s GROUP BY %s) AS frequencies
GROUP BY rows_per_value ORDER BY rows_per_value`, from, where, d.bytes(what)), nil
}

// A Querier is a *sql.DB, *sql.Tx or *sql.Conn.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// ReadHistogram runs a query of HistogramQuery, or of TenantHistogramQuery with
// the tenant as its argument.
func ReadHistogram(ctx context.Context, db Querier, query string, args ...any) (Histogram, error) {
	fail := func(err error) (Histogram, error) {
		return nil, fmt.Errorf("indexplan: read a histogram: %w", err)
	}
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	var h Histogram
	for rows.Next() {
		var b Bucket
		if err := rows.Scan(&b.Rows, &b.Values); err != nil {
			return fail(err)
		}
		h = append(h, b)
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	if err := h.check(); err != nil {
		return fail(err)
	}
	return h, nil
}

func (d Dialect) known() error {
	if d != Postgres && d != MariaDB && d != SQLite {
		return fmt.Errorf("unknown dialect %d: there are Postgres, MariaDB and SQLite", uint8(d))
	}
	return nil
}

func (d Dialect) parameter() string {
	if d == Postgres {
		return "$1"
	}
	return "?"
}

// bytes compares a column as bytes: MariaDB's collations make case equal, and
// PostgreSQL's may make more than that equal.
func (d Dialect) bytes(quoted string) string {
	switch d {
	case MariaDB:
		return "CAST(" + quoted + " AS BINARY)"
	case Postgres:
		return quoted + "::text COLLATE \"C\""
	}
	return "CAST(" + quoted + " AS BLOB)"
}

// table quotes a table's name, which may have a schema's before it.
func (d Dialect) table(name string) (string, error) {
	parts := strings.Split(name, ".")
	if len(parts) > 2 {
		return "", fmt.Errorf("the table name %.80q has at most one dot, after a schema's name", name)
	}
	for i, part := range parts {
		quoted, err := d.name("table", part)
		if err != nil {
			return "", err
		}
		parts[i] = quoted
	}
	return strings.Join(parts, "."), nil
}

// maxIdentifier is PostgreSQL's limit in bytes; MariaDB's is 64.
const maxIdentifier = 63

// name quotes the name of a table or a column, which must be one that all
// dialects take, so that quoting is no matter of escaping.
func (d Dialect) name(what, name string) (string, error) {
	if err := d.known(); err != nil {
		return "", err
	}
	if name == "" || len(name) > maxIdentifier {
		return "", fmt.Errorf("the %s name %.80q must have 1 to %d characters", what, name, maxIdentifier)
	}
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return "", fmt.Errorf("the %s name %q must be of ASCII letters, digits and underscores, and not start with a digit", what, name)
		}
	}
	if d == MariaDB {
		return "`" + name + "`", nil
	}
	return `"` + name + `"`, nil
}
