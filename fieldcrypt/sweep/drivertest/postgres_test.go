//go:build postgres

package drivertest

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
)

const postgresURL = "FIELDCRYPT_TEST_POSTGRES_URL"

func init() { databases["postgres"] = postgres }

// postgres makes a schema, which connections find by themselves.
func postgres(t testing.TB) database {
	t.Helper()
	dsn := os.Getenv(postgresURL)
	if dsn == "" {
		t.Fatalf("set %s to the URL of a PostgreSQL server, or run make test", postgresURL)
	}
	admin, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, admin.Close()) })
	schema := "sweep_" + strings.ToLower(rand.Text())
	_, err = admin.Exec("CREATE SCHEMA " + schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec("DROP SCHEMA " + schema + " CASCADE")
		require.NoError(t, err)
	})
	return database{sweep.Postgres, "pgx", withParameter(t, dsn, "search_path", schema)}
}

func withParameter(t testing.TB, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}
