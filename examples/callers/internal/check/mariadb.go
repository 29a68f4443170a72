//go:build mariadb

package check

import (
	"crypto/rand"
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

// MariaDBDSN is the variable that says where the server is.
const MariaDBDSN = "FIELDCRYPT_TEST_MARIADB_DSN"

// MariaDB returns a database of the test's own, on the server that MariaDBDSN
// names.
func MariaDB(t testing.TB) *sql.DB {
	t.Helper()
	dsn := os.Getenv(MariaDBDSN)
	if dsn == "" {
		t.Fatalf("set %s to the address of a MariaDB server, such as root@tcp(127.0.0.1:3306)/, or run make test", MariaDBDSN)
	}
	config, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	name := "caller_" + strings.ToLower(rand.Text())
	config.DBName = ""
	config.MaxAllowedPacket = 0 // as much as the server takes
	server := open(t, config)
	Exec(t.Context(), t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		_, err := server.Exec("DROP DATABASE " + name)
		require.NoError(t, err)
	})
	own := config.Clone()
	own.DBName = name
	return open(t, own)
}

func open(t testing.TB, config *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(config)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
