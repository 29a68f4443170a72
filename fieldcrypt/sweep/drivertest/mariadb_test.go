//go:build mariadb

package drivertest

import (
	"crypto/rand"
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
)

const mariadbDSN = "FIELDCRYPT_TEST_MARIADB_DSN"

func init() {
	databases["mariadb"] = mariadb
	_ = mysql.SetLogger(&mysql.NopLogger{}) // connections are cut on purpose
}

// mariadb makes a database.
func mariadb(t testing.TB) database {
	t.Helper()
	dsn := os.Getenv(mariadbDSN)
	if dsn == "" {
		t.Fatalf("set %s to the data source name of a MariaDB server, or run make test", mariadbDSN)
	}
	config, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	admin, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, admin.Close()) })
	config.DBName = "sweep_" + strings.ToLower(rand.Text())
	_, err = admin.Exec("CREATE DATABASE " + config.DBName)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec("DROP DATABASE " + config.DBName)
		require.NoError(t, err)
	})
	return database{sweep.MariaDB, "mysql", config.FormatDSN()}
}
