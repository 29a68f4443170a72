package drivertest

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

// A database is a place for a test's tables, and how to get there.
type database struct {
	dialect sqlstore.Dialect
	driver  string
	dsn     string
	opts    sqlstore.Options
}

// databases are the databases that this run's build tags and variables give,
// by name: each makes one for a test alone.
var databases = map[string]func(t testing.TB) database{
	"sqlite": func(t testing.TB) database {
		return sqliteFile(t, "busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)")
	},
}

func sqliteFile(t testing.TB, pragmas ...string) database {
	t.Helper()
	values := url.Values{"_pragma": pragmas}
	dsn := "file:" + filepath.Join(t.TempDir(), "keys.db") + "?" + values.Encode()
	return database{dialect: sqlstore.SQLite, driver: "sqlite", dsn: dsn}
}

// pool opens a pool of connections to the database.
func (d database) pool(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// store opens the database's store on a pool of its own.
func (d database) store(t testing.TB) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), d.pool(t), d.dialect, &d.opts)
	require.NoError(t, err)
	return s
}

// everywhere runs a test on each database of this run, beside other tests.
func everywhere(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	t.Parallel()
	for name, make := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, make(t))
		})
	}
}

// everywhereAlone is everywhere for tests that measure time, or keep the machine
// busy.
func everywhereAlone(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	for name, make := range databases {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

// server is the run's PostgreSQL, or else a file of SQLite, for what takes long.
func server(t testing.TB) database {
	t.Helper()
	if postgres, ok := databases["postgres"]; ok {
		return postgres(t)
	}
	return databases["sqlite"](t)
}
