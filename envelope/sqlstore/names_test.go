package sqlstore

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var dialects = []Dialect{Postgres, MariaDB, SQLite}

func TestDialectNames(t *testing.T) {
	require.Equal(t, "PostgreSQL", Postgres.String())
	require.Equal(t, "MariaDB", MariaDB.String())
	require.Equal(t, "SQLite", SQLite.String())
	require.Equal(t, "dialect 9", Dialect(9).String())
	require.Equal(t, "sqlstore.Dialect(9)", Dialect(9).name())
	require.Equal(t, "sqlstore.MariaDB", MariaDB.name())
}

func TestPlaceholders(t *testing.T) {
	const query = "a = ? AND b IN (?, ?)"
	require.Equal(t, "a = $1 AND b IN ($2, $3)", Postgres.bind(query))
	require.Equal(t, query, MariaDB.bind(query))
	require.Equal(t, query, SQLite.bind(query))
	require.Equal(t, "SELECT 1", Postgres.bind("SELECT 1"))
}

func TestTablesAndSchemas(t *testing.T) {
	for _, c := range []struct {
		dialect                        Dialect
		opts                           Options
		keys, claims, version, problem string
	}{
		{Postgres, Options{}, `"fieldcrypt_keys"`, `"fieldcrypt_keys_claims"`, `"fieldcrypt_keys_version"`, ""},
		{Postgres, Options{Schema: "crypto", Table: "K"}, `"crypto"."K"`, `"crypto"."K_claims"`, `"crypto"."K_version"`, ""},
		{MariaDB, Options{Schema: "crypto"}, "`crypto`.`fieldcrypt_keys`", "`crypto`.`fieldcrypt_keys_claims`", "`crypto`.`fieldcrypt_keys_version`", ""},
		{SQLite, Options{Table: "_1"}, `"_1"`, `"_1_claims"`, `"_1_version"`, ""},
		{SQLite, Options{Table: strings.Repeat("a", 40)}, `"` + strings.Repeat("a", 40) + `"`, "", "", ""},

		{SQLite, Options{Schema: "main"}, "", "", "", "SQLite has no schemas"},
		{SQLite, Options{Table: strings.Repeat("a", 41)}, "", "", "", "Options.Table"},
		{Postgres, Options{Schema: strings.Repeat("a", 64)}, "", "", "", "Options.Schema"},
		{Postgres, Options{Schema: "1st"}, "", "", "", "Options.Schema"},
		{Postgres, Options{Schema: `a"; DROP TABLE x; --`}, "", "", "", "Options.Schema"},
		{Postgres, Options{Table: `keys"`}, "", "", "", "Options.Table"},
		{MariaDB, Options{Table: "keys`"}, "", "", "", "Options.Table"},
		{MariaDB, Options{Table: "crypto.keys"}, "", "", "", "Options.Table"},
		{SQLite, Options{Table: "schlüssel"}, "", "", "", "Options.Table"},
		{SQLite, Options{Table: "a b"}, "", "", "", "Options.Table"},
		{SQLite, Options{Table: "a\n"}, "", "", "", "Options.Table"},
		{0, Options{}, "", "", "", "dialect 0 is none: it is sqlstore.Postgres, sqlstore.MariaDB or sqlstore.SQLite"},
		{4, Options{}, "", "", "", "dialect 4 is none"},
	} {
		n, err := c.opts.names(c.dialect)
		if c.problem != "" {
			require.ErrorContains(t, err, c.problem)
			_, err = DDL(c.dialect, &c.opts)
			require.ErrorContains(t, err, c.problem)
			_, err = Open(t.Context(), new(fake).open(t), c.dialect, &c.opts)
			require.ErrorContains(t, err, c.problem)
			require.ErrorContains(t, Migrate(t.Context(), new(fake).open(t), c.dialect, &c.opts), c.problem)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.keys, n.keys())
		if c.claims != "" {
			require.Equal(t, []string{c.claims, c.version}, []string{n.claims(), n.version()})
		}
	}
}

func TestNilDatabase(t *testing.T) {
	_, err := Open(t.Context(), nil, SQLite, nil)
	require.ErrorContains(t, err, "the database is nil")
	require.ErrorContains(t, Migrate(t.Context(), nil, SQLite, nil), "the database is nil")
}

// Who owns a pool closes it, also when opening the store fails.
func TestCloseDB(t *testing.T) {
	for _, owns := range []bool{false, true} {
		db, replica := new(fake).open(t), new(fake).open(t)
		_, err := Open(t.Context(), db, SQLite, &Options{Replica: replica, CloseDB: owns})
		require.Error(t, err) // the fake is no SQLite
		for _, pool := range []*sql.DB{db, replica} {
			if err := pool.PingContext(context.Background()); owns {
				require.ErrorContains(t, err, "closed")
			} else {
				require.NoError(t, err)
			}
		}
	}
}

// Locks of migrations that have nothing to do with one another differ.
func TestLocksDiffer(t *testing.T) {
	seen := map[int64]bool{}
	for _, o := range []Options{{}, {Schema: "a"}, {Schema: "b"}, {Table: "a"}, {Schema: "a", Table: "b"}} {
		n, err := o.names(Postgres)
		require.NoError(t, err)
		require.False(t, seen[n.lockNumber()])
		seen[n.lockNumber()] = true
	}
}

func TestDDL(t *testing.T) {
	for _, d := range dialects {
		text, err := DDL(d, &Options{Table: "secret_keys"})
		require.NoError(t, err)
		for _, part := range []string{"secret_keys", "secret_keys_claims", "secret_keys_version", d.String(), "INSERT", "finished = 1"} {
			require.Contains(t, text, part)
		}
		require.NotContains(t, text, "{", "a name that was not put in its place")
		require.NotContains(t, text, "fieldcrypt_keys")
	}
	text, err := DDL(Postgres, nil)
	require.NoError(t, err)
	require.Contains(t, text, DefaultTable)
}
