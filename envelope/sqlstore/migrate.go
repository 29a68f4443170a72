package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// migrations holds, for each dialect, the table of versions and what makes each
// version out of the one before. Every statement may be run twice.
//
//go:embed migrations
var migrations embed.FS

// A migration is one version of the tables.
type migration struct {
	version int
	needs   int // how many versions a library must know so that it may use these tables
}

var versions = []migration{{version: 1, needs: 1}}

// current is the version of the tables that this library makes.
func current() int { return versions[len(versions)-1].version }

// Migrate makes the tables of a store, or brings them up to date. It does
// nothing where they are, and in any number of processes at once one of them
// does it. Options are those that [Open] is given.
func Migrate(ctx context.Context, db *sql.DB, dialect Dialect, opts *Options) error {
	s, err := newStore(db, dialect, opts)
	if err != nil {
		return err
	}
	if err := s.identify(ctx); err != nil {
		return err
	}
	return s.migrate(ctx)
}

// Check says whether the store's tables are those that this library needs:
// [ErrNoTables], [ErrHalfMigrated] or [ErrNewerTables] if they are not. Older
// processes go on with tables that a newer library has changed, as long as that
// library says that they may.
func (s *Store) Check(ctx context.Context) error {
	return s.run(ctx, s.db, operation{"checking the tables", s}, func(c *sql.Conn) error {
		found, err := s.inspect(ctx, c)
		if err != nil {
			return err
		}
		if err := found.fault(s); err != nil {
			return err
		}
		return s.complete(ctx, c)
	})
}

// String names the table of keys, for errors.
func (s *Store) String() string { return s.keys() + " (" + s.dialect.String() + ")" }

// DDL returns what [Migrate] runs, as plain SQL for those who run such things
// themselves. It may be run twice. The options are those that [Open] is given.
func DDL(dialect Dialect, opts *Options) (string, error) {
	if opts == nil {
		opts = &Options{}
	}
	n, err := opts.names(dialect)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- Tables of the fieldcrypt key store for %s, version %d.\n\n", dialect, current())
	if dialect != MariaDB { // which commits with each of these statements
		b.WriteString("BEGIN;\n\n")
	}
	b.WriteString(n.file("version.sql"))
	for _, m := range versions {
		fmt.Fprintf(&b, "\n%s;\n\n%s\n%s;\n", n.begin(m), n.file(m.file()), n.finish(m))
	}
	if dialect != MariaDB {
		b.WriteString("\nCOMMIT;\n")
	}
	return b.String(), nil
}

func (m migration) file() string { return fmt.Sprintf("%d.sql", m.version) }

// file is embedded SQL with the names in it.
func (n names) file(name string) string {
	folder := map[Dialect]string{Postgres: "postgres", MariaDB: "mariadb", SQLite: "sqlite"}[n.dialect]
	text, err := migrations.ReadFile(path.Join("migrations", folder, name))
	if err != nil {
		panic("sqlstore: " + err.Error()) // the files are embedded
	}
	return n.fill(string(text))
}

// begin notes that a version is being made, and finish that it was.
func (n names) begin(m migration) string {
	insert, ifNew := "INSERT", " ON CONFLICT DO NOTHING"
	if n.dialect == MariaDB {
		insert, ifNew = "INSERT IGNORE", ""
	}
	return n.fill(fmt.Sprintf("%s INTO {version} (version, needs, finished) VALUES (%d, %d, 0)%s", insert, m.version, m.needs, ifNew))
}

func (n names) finish(m migration) string {
	return n.fill(fmt.Sprintf("UPDATE {version} SET finished = 1 WHERE version = %d", m.version))
}

// A state is what there is of the tables.
type state struct {
	tables   map[string]bool // by suffix
	newest   int             // version, begun or finished
	needs    int
	finished int          // versions
	begun    map[int]bool // versions that were not finished
}

func (s *Store) inspect(ctx context.Context, q sqlconn.Querier) (state, error) {
	found := state{tables: map[string]bool{}, begun: map[int]bool{}}
	for _, suffix := range []string{"", claimsSuffix, versionSuffix} {
		there, err := s.hasTable(ctx, q, suffix)
		if err != nil {
			return found, err
		}
		if there {
			found.tables[suffix] = true
		}
	}
	if !found.tables[versionSuffix] {
		return found, nil
	}
	err := sqlconn.Each(ctx, q, "SELECT version, needs, finished FROM "+s.version(), nil, func(scan func(...any) error) error {
		var version, needs, finished int
		if err := scan(&version, &needs, &finished); err != nil {
			return err
		}
		found.newest, found.needs = max(found.newest, version), max(found.needs, needs)
		if finished == 0 {
			found.begun[version] = true
		} else {
			found.finished++
		}
		return nil
	})
	return found, err
}

func (s *Store) hasTable(ctx context.Context, q sqlconn.Querier, suffix string) (bool, error) {
	var query string
	var args []any
	switch s.dialect {
	case Postgres:
		query, args = "SELECT count(*) FROM pg_class WHERE oid = to_regclass($1)", []any{s.qualified(suffix)}
	case MariaDB:
		query = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ?"
		args = []any{sql.NullString{String: s.schema, Valid: s.schema != ""}, s.table + suffix}
	case SQLite:
		query, args = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE", []any{s.table + suffix}
	}
	var n int
	err := sqlconn.Each(ctx, q, query, args, func(scan func(...any) error) error { return scan(&n) })
	return n > 0, err
}

// made reports whether there is nothing to do.
func (f state) made() bool {
	return len(f.tables) == 3 && f.newest >= current() && len(f.begun) == 0
}

// fault says what keeps a store from using the tables.
func (f state) fault(s *Store) error {
	switch {
	case len(f.tables) == 0:
		return fmt.Errorf("%w: run sqlstore.Migrate, or what sqlstore.DDL prints, or open the store without NoMigrate", ErrNoTables)
	case f.needs > current():
		return fmt.Errorf("%w: they are of version %d and need a library that knows version %d; this one knows %d: use a newer fieldcrypt",
			ErrNewerTables, f.newest, f.needs, current())
	case len(f.begun) > 0:
		return fmt.Errorf("%w: version %d was begun and not finished: run sqlstore.Migrate, which goes on where it ended", ErrHalfMigrated, f.newest)
	case f.newest < current() && f.newest > 0:
		return fmt.Errorf("%w: they are of version %d, this library needs %d: run sqlstore.Migrate, or what sqlstore.DDL prints",
			ErrHalfMigrated, f.newest, current())
	}
	for _, suffix := range []string{"", claimsSuffix, versionSuffix} {
		if !f.tables[suffix] {
			return fmt.Errorf("%w: the table %s is missing: run sqlstore.Migrate, or what sqlstore.DDL prints", ErrHalfMigrated, s.qualified(suffix))
		}
	}
	if f.newest == 0 {
		return fmt.Errorf("%w: the table %s is empty: run sqlstore.Migrate, or what sqlstore.DDL prints", ErrHalfMigrated, s.version())
	}
	return nil
}

// complete fails if a column is missing.
func (s *Store) complete(ctx context.Context, q sqlconn.Querier) error {
	for _, query := range []string{
		"SELECT " + columns + ", taken, revision FROM " + s.keys() + " WHERE 1 = 0",
		"SELECT tenant, class, purpose, holder, until FROM " + s.claims() + " WHERE 1 = 0",
	} {
		err := sqlconn.Each(ctx, q, query, nil, func(func(...any) error) error { return nil })
		if err != nil && kindOf(err) == other && ctx.Err() == nil {
			return fmt.Errorf("%w: a column is missing: %w", ErrHalfMigrated, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) migrate(ctx context.Context) error {
	err := s.run(ctx, s.db, operation{"making the tables", s}, func(c *sql.Conn) error {
		found, err := s.inspect(ctx, c)
		if err != nil || found.made() || found.needs > current() {
			return err // Check says what is wrong
		}
		return s.locked(ctx, c, func(q sqlconn.Querier) error {
			// Another process may have been faster.
			found, err := s.inspect(ctx, q)
			if err != nil || found.made() || found.needs > current() {
				return err
			}
			return s.apply(ctx, q, found)
		})
	})
	if err != nil {
		return err
	}
	return s.Check(ctx)
}

// locked runs work while no other process migrates the same tables: in a
// transaction, save in MariaDB, where such statements end one.
func (s *Store) locked(ctx context.Context, c *sql.Conn, work func(q sqlconn.Querier) error) error {
	if s.dialect == MariaDB {
		return s.namedLock(ctx, c, work)
	}
	return s.transact(ctx, c, func(q sqlconn.Querier) error {
		if s.dialect == Postgres {
			if _, err := q.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", s.lockNumber()); err != nil {
				return err
			}
		}
		return work(q)
	})
}

const (
	// lockPatience is how long a migration of MariaDB waits for another. The
	// others' may take long, and a connection whose client is gone keeps the lock
	// until the server notices.
	lockPatience = 5 * time.Minute

	lockTurn       = 10 * time.Second // of the waiting, in one query
	releaseTimeout = 5 * time.Second
)

// namedLock holds a lock of MariaDB's, which ends with the connection if the
// process dies.
func (s *Store) namedLock(ctx context.Context, c *sql.Conn, work func(q sqlconn.Querier) error) error {
	sum := s.lock()
	lock := "fieldcrypt " + hex.EncodeToString(sum[:16])
	ask := func(ctx context.Context, format string, args ...any) (answer sql.NullInt64, err error) {
		query := fmt.Sprintf("SELECT "+format, append([]any{"CONCAT(?, COALESCE(CRC32(DATABASE()), ''))"}, args...)...)
		err = sqlconn.Each(ctx, c, query, []any{lock}, func(scan func(...any) error) error { return scan(&answer) })
		return answer, err
	}
	for began := time.Now(); ; {
		got, err := ask(ctx, "GET_LOCK(%s, %d)", int(lockTurn.Seconds()))
		switch {
		case err != nil:
			return err
		case !got.Valid:
			return errors.New("the lock of migrations can't be taken: the server ran out of memory, or the connection was ended")
		}
		if got.Int64 == 1 {
			break
		}
		if time.Since(began) >= lockPatience {
			holder, err := ask(ctx, "IS_USED_LOCK(%s)")
			if err != nil {
				return err
			}
			return fmt.Errorf("%w: connection %d of the server has held the lock of migrations for %v: "+
				"another process makes the tables, or is gone and the server hasn't noticed: "+
				"see SHOW PROCESSLIST, and wait, or end it with KILL %d and run sqlstore.Migrate again",
				ErrBusy, holder.Int64, lockPatience, holder.Int64)
		}
	}
	defer func() {
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		if _, err := ask(brief, "RELEASE_LOCK(%s)"); err != nil {
			sqlconn.Discard(c)
		}
	}()
	return work(c)
}

// apply runs the migrations that were not finished.
func (s *Store) apply(ctx context.Context, q sqlconn.Querier, found state) error {
	run := func(queries ...string) error {
		for _, query := range queries {
			if _, err := q.ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(split(s.file("version.sql"))...); err != nil {
		return err
	}
	for _, m := range versions {
		if m.version <= found.newest && !found.begun[m.version] && len(found.tables) == 3 {
			continue
		}
		if err := run(s.begin(m)); err != nil {
			return err
		}
		if err := run(split(s.file(m.file()))...); err != nil {
			return err
		}
		if err := run(s.finish(m)); err != nil {
			return err
		}
	}
	return nil
}

// split cuts a file into statements.
func split(text string) []string {
	var all []string
	for part := range strings.SplitSeq(text, ";\n") {
		if strings.TrimSpace(part) != "" {
			all = append(all, part)
		}
	}
	return all
}

// identify fails if the database is of another dialect.
func (s *Store) identify(ctx context.Context) error {
	return s.run(ctx, s.db, operation{"opening the key store", s}, func(c *sql.Conn) error {
		found, version, err := whichDialect(ctx, c, s.dialect)
		switch {
		case err != nil:
			return err
		case found != s.dialect:
			return fmt.Errorf("%w: the database is %s and not %s: pass %s", ErrWrongDialect, version, s.dialect, found.name())
		}
		return nil
	})
}

// whichDialect asks the database what it is, beginning with what it should be.
func whichDialect(ctx context.Context, c *sql.Conn, expected Dialect) (Dialect, string, error) {
	queries := []string{"SELECT version()", "SELECT sqlite_version()"}
	if expected == SQLite {
		queries[0], queries[1] = queries[1], queries[0]
	}
	var first error
	for _, query := range queries {
		var version string
		err := sqlconn.Each(ctx, c, query, nil, func(scan func(...any) error) error { return scan(&version) })
		switch {
		case err != nil && (kindOf(err) != other || ctx.Err() != nil):
			return 0, "", err
		case err != nil:
			first = errors.Join(first, err)
		case query == "SELECT sqlite_version()":
			return SQLite, "SQLite " + version, nil
		case version != "" && version[0] >= '0' && version[0] <= '9':
			return MariaDB, "MariaDB or MySQL " + version, nil
		default: // PostgreSQL says its name first, and so do those that speak as it does
			return Postgres, version, nil
		}
	}
	return 0, "", fmt.Errorf("%w: the database is neither PostgreSQL, MariaDB, MySQL nor SQLite: %w", ErrWrongDialect, first)
}
