package sweep

import (
	"context"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// names are where the sweeper's own tables are.
type names struct {
	dialect Dialect
	schema  string
	table   string
}

func (n names) jobs() string   { return qualified(n.dialect, n.schema, n.table) }
func (n names) ranges() string { return qualified(n.dialect, n.schema, n.table+"_ranges") }

func (n names) fill(query string) string {
	return bind(n.dialect, strings.NewReplacer(
		"{jobs}", n.jobs(), "{ranges}", n.ranges(), "{now}", sqlconn.Clock(sqlconn.Dialect(n.dialect)),
	).Replace(query))
}

// DDL returns the statements that make the tables of a sweeper, for those who
// run such things themselves. They may be run twice. Options are those that
// [New] is given.
func DDL(dialect Dialect, opts *Options) (string, error) {
	if err := checkDialect(dialect); err != nil {
		return "", err
	}
	o, err := opts.withDefaults(dialect)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- Tables of the fieldcrypt sweeper for %s.\n\n", dialect)
	for _, statement := range (names{dialect, o.Schema, o.Table}).ddl() {
		b.WriteString(statement + ";\n\n")
	}
	return b.String(), nil
}

// ddl are the tables: a job for each table that is or was swept last, and the
// key ranges of these. Keys are kept as text that this package reads, so that no
// collation has a say in it. Times are microseconds since 1970 by the database's
// clock.
func (n names) ddl() []string {
	short, long, end := "text COLLATE \"C\"", "text COLLATE \"C\"", ""
	switch n.dialect {
	case MariaDB:
		short, long, end = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", " ENGINE = InnoDB"
	case SQLite:
		short, long = "TEXT", "TEXT"
	}
	fill := func(text string) string {
		return strings.NewReplacer("{jobs}", n.jobs(), "{ranges}", n.ranges(), "{short}", short, "{long}", long).Replace(text) + end
	}
	return []string{
		fill(`CREATE TABLE IF NOT EXISTS {jobs} (
	table_name  {short} NOT NULL PRIMARY KEY,
	job         {short} NOT NULL,
	name        {short} NOT NULL,
	operation   {short} NOT NULL,
	what        {short} NOT NULL,
	shape       {short} NOT NULL,
	state       {short} NOT NULL,
	frontier    {long},
	planned     INTEGER NOT NULL,
	next_range  BIGINT NOT NULL,
	estimate    BIGINT NOT NULL,
	began       BIGINT NOT NULL,
	ended       BIGINT,
	changed_by  {short} NOT NULL,
	changed_why {long} NOT NULL
)`),
		fill(`CREATE TABLE IF NOT EXISTS {ranges} (
	job       {short} NOT NULL,
	n         BIGINT NOT NULL,
	after_key {long},
	last_key  {long},
	done_key  {long},
	holder    {short},
	until     BIGINT NOT NULL,
	done      INTEGER NOT NULL,
	seen      BIGINT NOT NULL,
	changed   BIGINT NOT NULL,
	failed    BIGINT NOT NULL,
	failures  {long},
	PRIMARY KEY (job, n)
)`),
	}
}

// made reports whether the tables are there.
func (s *Sweeper) made(ctx context.Context) bool {
	for _, query := range []string{"SELECT table_name FROM {jobs} WHERE 1 = 0", "SELECT job FROM {ranges} WHERE 1 = 0"} {
		if sqlconn.Each(ctx, s.db, s.state.fill(query), nil, func(func(...any) error) error { return nil }) != nil {
			return false
		}
	}
	return true
}
