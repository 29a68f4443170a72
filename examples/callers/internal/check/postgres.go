//go:build postgres

package check

import (
	"crypto/rand"
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
)

// PostgresURL is the variable that says where the server is.
const PostgresURL = "FIELDCRYPT_TEST_POSTGRES_URL"

// Postgres returns how to connect to a schema of the test's own, on the server
// that PostgresURL names, and a pool of such connections.
func Postgres(t testing.TB) (*pgx.ConnConfig, *sql.DB) {
	t.Helper()
	url := os.Getenv(PostgresURL)
	if url == "" {
		t.Fatalf("set %s to the URL of a PostgreSQL server, or run make test", PostgresURL)
	}
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	schema := "caller_" + strings.ToLower(rand.Text())
	config.RuntimeParams["search_path"] = schema
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	Exec(t.Context(), t, db, "CREATE SCHEMA "+schema)
	t.Cleanup(func() {
		_, err := db.Exec("DROP SCHEMA " + schema + " CASCADE")
		require.NoError(t, err)
	})
	return config, db
}
