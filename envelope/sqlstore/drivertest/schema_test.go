package drivertest

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

// The tables of a store whose options name none.
const (
	keys     = sqlstore.DefaultTable
	claims   = keys + "_claims"
	versions = keys + "_version"
)

func run(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err, query)
}

// openOnly opens the store as a service does whose deployment makes the tables.
func openOnly(t testing.TB, d database, db *sql.DB) error {
	t.Helper()
	opts := d.opts
	opts.NoMigrate = true
	_, err := sqlstore.Open(t.Context(), db, d.dialect, &opts)
	return err
}

func TestMigrateThenOpen(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db := d.pool(t)
		err := openOnly(t, d, db)
		require.ErrorIs(t, err, sqlstore.ErrNoTables)
		require.ErrorContains(t, err, "the key store's tables aren't there: run sqlstore.Migrate, or what sqlstore.DDL prints, or open the store without NoMigrate")
		require.ErrorContains(t, err, "fieldcrypt_keys")

		for range 2 {
			require.NoError(t, sqlstore.Migrate(t.Context(), db, d.dialect, &d.opts))
			require.NoError(t, openOnly(t, d, db))
		}
		s := d.store(t)
		rec := made("acme", 1)
		require.NoError(t, s.Activate(t.Context(), rec, envelope.KeyID{}))
		require.NoError(t, sqlstore.Migrate(t.Context(), db, d.dialect, &d.opts))
		_, err = s.Get(t.Context(), rec.Scope, rec.Purpose, rec.KeyID)
		require.NoError(t, err, "migrating again lost a key")
		require.NoError(t, s.Check(t.Context()))
	})
}

// Teams that run their own SQL get the same tables from what is printed.
func TestPrintedTables(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db := d.pool(t)
		text, err := sqlstore.DDL(d.dialect, &d.opts)
		require.NoError(t, err)
		c, err := db.Conn(t.Context()) // it may begin a transaction
		require.NoError(t, err)
		defer c.Close()
		for range 2 {
			for part := range strings.SplitSeq(text, ";\n") {
				if strings.TrimSpace(part) != "" {
					_, err := c.ExecContext(t.Context(), part)
					require.NoError(t, err, part)
				}
			}
			require.NoError(t, openOnly(t, d, db))
		}
		conformsInBrief(t, d.store(t))
	})
}

// conformsInBrief uses all tables of a store.
func conformsInBrief(t *testing.T, s envelope.KeyStore) {
	t.Helper()
	rec := made("acme", 1)
	won, err := s.Claim(t.Context(), rec.Scope, rec.Purpose, "holder", time.Minute)
	require.NoError(t, err)
	require.True(t, won)
	require.NoError(t, s.Activate(t.Context(), rec, envelope.KeyID{}))
	require.NoError(t, s.Release(t.Context(), rec.Scope, rec.Purpose, "holder"))
	granted, left, err := s.Lease(t.Context(), rec.Scope, rec.Purpose, rec.KeyID, 600)
	require.NoError(t, err)
	require.Equal(t, []uint64{600, 400}, []uint64{granted, left})
}

// Several stores share a database, each in a table of its own.
func TestTablesOfOtherNames(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		for _, table := range []string{"crm_keys", "Billing_Keys", strings.Repeat("k", 40)} {
			opts := d.opts
			opts.Table = table
			s, err := sqlstore.Open(t.Context(), d.pool(t), d.dialect, &opts)
			require.NoError(t, err)
			conformsInBrief(t, s) // the same names again are no conflict
		}
	})
}

func TestMissingSchema(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			return // it has none, which is refused before anything is asked
		}
		opts := d.opts
		opts.Schema = "no_such_schema"
		_, err := sqlstore.Open(t.Context(), d.pool(t), d.dialect, &opts)
		require.ErrorContains(t, err, "no_such_schema")
		require.ErrorContains(t, err, "sqlstore: making the tables of ")
	})
}

func TestHalfMigrated(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, d database, db *sql.DB)
		says  string
		mends bool // by migrating
	}{
		{"no table of claims", func(t *testing.T, d database, db *sql.DB) {
			run(t, db, "DROP TABLE "+claims)
		}, "fieldcrypt_keys_claims", true},
		{"no table of versions", func(t *testing.T, d database, db *sql.DB) {
			run(t, db, "DROP TABLE "+versions)
		}, "fieldcrypt_keys_version", true},
		{"no table of keys", func(t *testing.T, d database, db *sql.DB) {
			run(t, db, "DROP TABLE "+keys)
		}, "is missing: run sqlstore.Migrate", true},
		{"no version", func(t *testing.T, d database, db *sql.DB) {
			run(t, db, "DELETE FROM "+versions)
		}, "is empty: run sqlstore.Migrate", true},
		{"a version that was not finished", func(t *testing.T, d database, db *sql.DB) {
			run(t, db, "UPDATE "+versions+" SET finished = 0")
		}, "version 1 was begun and not finished: run sqlstore.Migrate, which goes on where it ended", true},
		{"a missing column", func(t *testing.T, d database, db *sql.DB) {
			run(t, db, "ALTER TABLE "+keys+" DROP COLUMN changed_why")
		}, "a column is missing: ", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, d database) {
				db := d.pool(t)
				require.NoError(t, sqlstore.Migrate(t.Context(), db, d.dialect, &d.opts))
				s := d.store(t)
				c.spoil(t, d, db)
				err := openOnly(t, d, db)
				require.ErrorIs(t, err, sqlstore.ErrHalfMigrated)
				require.ErrorContains(t, err, "the key store's tables were not made to the end: ")
				require.ErrorContains(t, err, c.says)
				require.ErrorIs(t, s.Check(t.Context()), sqlstore.ErrHalfMigrated, "a store that is open notices when it is asked")
				err = sqlstore.Migrate(t.Context(), db, d.dialect, &d.opts)
				if c.mends {
					require.NoError(t, err)
					conformsInBrief(t, s)
				} else {
					require.ErrorIs(t, err, sqlstore.ErrHalfMigrated)
				}
			})
		})
	}
}

// A later library says of its tables whether this one may use them.
func TestNewerTables(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db := d.pool(t)
		require.NoError(t, sqlstore.Migrate(t.Context(), db, d.dialect, &d.opts))
		version := "INSERT INTO " + versions + " (version, needs, finished) VALUES "

		run(t, db, version+"(2, 1, 1)")
		require.NoError(t, openOnly(t, d, db), "a change that older processes don't mind")
		require.NoError(t, sqlstore.Migrate(t.Context(), db, d.dialect, &d.opts))

		run(t, db, version+"(3, 2, 1)")
		opts := d.opts
		_, err := sqlstore.Open(t.Context(), db, d.dialect, &opts)
		for _, err := range []error{err, openOnly(t, d, db), sqlstore.Migrate(t.Context(), db, d.dialect, &d.opts)} {
			require.ErrorIs(t, err, sqlstore.ErrNewerTables)
			require.ErrorContains(t, err, "the key store's tables are newer than this library: they are of version 3 and need a library that knows version 2; this one knows 1: use a newer fieldcrypt")
		}
	})
}

// While a newer library migrates, an older one neither helps nor harms.
func TestNewerTablesThatAreBeingMade(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db := d.pool(t)
		require.NoError(t, sqlstore.Migrate(t.Context(), db, d.dialect, &d.opts))
		run(t, db, "INSERT INTO "+versions+" (version, needs, finished) VALUES (2, 2, 0)")
		err := sqlstore.Migrate(t.Context(), db, d.dialect, &d.opts)
		require.ErrorIs(t, err, sqlstore.ErrNewerTables)
		var finished int
		require.NoError(t, db.QueryRow("SELECT finished FROM "+versions+" WHERE version = 2").Scan(&finished))
		require.Zero(t, finished)
	})
}

func TestWrongDialect(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		for _, wrong := range []sqlstore.Dialect{sqlstore.Postgres, sqlstore.MariaDB, sqlstore.SQLite} {
			if wrong == d.dialect {
				continue
			}
			db := d.pool(t)
			_, err := sqlstore.Open(t.Context(), db, wrong, nil)
			require.ErrorIs(t, err, sqlstore.ErrWrongDialect)
			require.ErrorContains(t, err, "wrong dialect: the database is "+d.dialect.String())
			require.ErrorContains(t, err, "and not "+wrong.String()+": pass sqlstore."+map[sqlstore.Dialect]string{
				sqlstore.Postgres: "Postgres", sqlstore.MariaDB: "MariaDB", sqlstore.SQLite: "SQLite",
			}[d.dialect])
			require.ErrorIs(t, sqlstore.Migrate(t.Context(), db, wrong, nil), sqlstore.ErrWrongDialect)
		}
		require.ErrorIs(t, openOnly(t, d, d.pool(t)), sqlstore.ErrNoTables, "something was made")
	})
}

// The role of a service may do no more than read and write rows.
func TestReadOnlyFile(t *testing.T) {
	d := sqliteFile(t)
	s := d.store(t)
	rec := made("acme", 1)
	require.NoError(t, s.Activate(t.Context(), rec, envelope.KeyID{}))
	d.dsn += "&_pragma=query_only(1)"
	readOnly(t, d, rec)
}

// readOnly holds a store whose database takes no writes to what it can still do,
// and to its errors for the rest.
func readOnly(t *testing.T, d database, rec envelope.Record) {
	t.Helper()
	s := d.store(t) // there is nothing to migrate
	_, err := s.Get(t.Context(), rec.Scope, rec.Purpose, rec.KeyID)
	require.NoError(t, err)
	_, err = s.Active(t.Context(), rec.Scope, rec.Purpose)
	require.NoError(t, err)
	next := made("acme", 2)
	_, claim := s.Claim(t.Context(), rec.Scope, rec.Purpose, "holder", time.Minute)
	_, _, lease := s.Lease(t.Context(), rec.Scope, rec.Purpose, rec.KeyID, 1)
	for method, err := range map[string]error{
		"Claim": claim, "Lease": lease, "Activate": s.Activate(t.Context(), next, rec.KeyID), "Insert": s.Insert(t.Context(), next),
		"Update": s.Update(t.Context(), rec, next), "Release": s.Release(t.Context(), rec.Scope, rec.Purpose, "holder"),
	} {
		require.ErrorIs(t, err, sqlstore.ErrReadOnly, method)
		require.ErrorContains(t, err, "sqlstore: "+method+" of ", method)
		require.ErrorContains(t, err, ": the database is read-only: ", method)
	}
	opts := d.opts
	opts.Table = "another"
	_, err = sqlstore.Open(t.Context(), d.pool(t), d.dialect, &opts)
	require.ErrorIs(t, err, sqlstore.ErrReadOnly)
	require.ErrorContains(t, err, "sqlstore: making the tables of ")
}

func TestUnreachableFile(t *testing.T) {
	d := sqliteFile(t)
	d.dsn = "file:" + filepath.Join(t.TempDir(), "no such folder", "keys.db")
	_, err := sqlstore.Open(t.Context(), d.pool(t), d.dialect, nil)
	require.ErrorIs(t, err, sqlstore.ErrUnreachable)
	require.ErrorContains(t, err, "sqlstore: opening the key store of \"fieldcrypt_keys\" (SQLite): the database can't be reached: ")
	require.ErrorContains(t, err, "unable to open database file")
}

// A pool that the program has closed is as gone as a server.
func TestClosedPool(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db, err := sql.Open(d.driver, d.dsn)
		require.NoError(t, err)
		s, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
		require.NoError(t, err)
		require.NoError(t, s.Close(), "it doesn't own the pool")
		conformsInBrief(t, s)
		require.NoError(t, db.Close())
		_, err = s.Active(t.Context(), made("acme", 1).Scope, envelope.PurposeData)
		require.ErrorIs(t, err, sqlstore.ErrUnreachable)
		require.ErrorContains(t, err, "database is closed")
	})
}

// Two versions of an application share the tables. The newer one has added a
// column; the older one, which is running, goes on, until a change comes that the
// newer one says it can't live with.
func TestTwoVersionsOfAnApplication(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		ctx, db, older := t.Context(), d.pool(t), d.store(t)
		first := made("acme", 1)
		require.NoError(t, older.Activate(ctx, first, envelope.KeyID{}))

		run(t, db, "ALTER TABLE "+keys+" ADD COLUMN of_version_2 INTEGER NOT NULL DEFAULT 7")
		run(t, db, "INSERT INTO "+versions+" (version, needs, finished) VALUES (2, 1, 1)")
		for _, s := range []*sqlstore.Store{older, d.store(t)} { // one that is open, and one that is opened now
			require.NoError(t, s.Check(ctx))
			got, err := s.Get(ctx, first.Scope, first.Purpose, first.KeyID)
			require.NoError(t, err)
			require.Equal(t, first.Wrapped, got.Wrapped)
			empty := func() {
				run(t, db, "DELETE FROM "+keys)
				run(t, db, "DELETE FROM "+claims)
			}
			empty()
			newWalk(t, s).steps(100)
			empty()
			require.NoError(t, s.Activate(ctx, first, envelope.KeyID{}))
		}
		var added int
		require.NoError(t, db.QueryRow("SELECT max(of_version_2) FROM "+keys).Scan(&added))
		require.Equal(t, 7, added, "the column of the newer version was touched")

		run(t, db, "INSERT INTO "+versions+" (version, needs, finished) VALUES (3, 3, 1)")
		err := older.Check(ctx)
		require.ErrorIs(t, err, sqlstore.ErrNewerTables)
		require.ErrorContains(t, err, "they are of version 3 and need a library that knows version 3; this one knows 1: use a newer fieldcrypt")
	})
}
