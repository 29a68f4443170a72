//go:build postgres

package drivertest

import (
	"crypto/rand"
	"database/sql"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

const postgresURL = "FIELDCRYPT_TEST_POSTGRES_URL"

func init() { databases["postgres"] = postgres }

// postgres makes a schema.
func postgres(t testing.TB) database {
	t.Helper()
	url := os.Getenv(postgresURL)
	if url == "" {
		t.Fatalf("set %s to the URL of a PostgreSQL server, or run make test", postgresURL)
	}
	admin, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, admin.Close()) })
	schema := "sqlstore_" + strings.ToLower(rand.Text())
	_, err = admin.Exec("CREATE SCHEMA " + schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec("DROP SCHEMA " + schema + " CASCADE")
		require.NoError(t, err)
	})
	return database{dialect: sqlstore.Postgres, driver: "pgx", dsn: url, opts: sqlstore.Options{Schema: schema}}
}
