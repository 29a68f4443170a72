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

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

const mariadbDSN = "FIELDCRYPT_TEST_MARIADB_DSN"

func init() { databases["mariadb"] = mariadb }

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
	config.DBName = "sqlstore_" + strings.ToLower(rand.Text())
	_, err = admin.Exec("CREATE DATABASE " + config.DBName)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec("DROP DATABASE " + config.DBName)
		require.NoError(t, err)
	})
	return database{dialect: sqlstore.MariaDB, driver: "mysql", dsn: config.FormatDSN()}
}

func withMariaDB(t *testing.T, d database, change func(*mysql.Config)) database {
	t.Helper()
	config, err := mysql.ParseDSN(d.dsn)
	require.NoError(t, err)
	change(config)
	d.dsn = config.FormatDSN()
	return d
}

func setting(name, value string) func(*mysql.Config) {
	return func(c *mysql.Config) { c.Params = map[string]string{name: value} }
}

func TestReadOnlyMariaDB(t *testing.T) {
	d := mariadb(t)
	rec := made("acme", 1)
	require.NoError(t, d.store(t).Activate(t.Context(), rec, envelope.KeyID{}))
	readOnly(t, withMariaDB(t, d, setting("tx_read_only", "1")), rec)
}

// Settings of the connection that a service may have for its own reasons.
func TestConformanceWithSettingsOfMariaDB(t *testing.T) {
	for name, change := range map[string]func(*mysql.Config){
		"found rows":        func(c *mysql.Config) { c.ClientFoundRows = true },
		"interpolation":     func(c *mysql.Config) { c.InterpolateParams = true },
		"times as times":    func(c *mysql.Config) { c.ParseTime = true },
		"read committed":    setting("tx_isolation", "'READ-COMMITTED'"),
		"serializable":      setting("tx_isolation", "'SERIALIZABLE'"),
		"lenient":           setting("sql_mode", "''"),
		"ANSI":              setting("sql_mode", "'ANSI,NO_BACKSLASH_ESCAPES'"),
		"simultaneous":      setting("sql_mode", "'SIMULTANEOUS_ASSIGNMENT,STRICT_ALL_TABLES'"),
		"a time zone":       setting("time_zone", "'-05:00'"),
		"another collation": func(c *mysql.Config) { c.Collation = "latin1_swedish_ci" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting for leases
			conforms(t, withMariaDB(t, mariadb(t), change))
		})
	}
}

// The connection has no database of its own: the options name it.
func TestSchemaOfMariaDB(t *testing.T) {
	var name string
	d := withMariaDB(t, mariadb(t), func(c *mysql.Config) { name, c.DBName = c.DBName, "" })
	_, err := sqlstore.Open(t.Context(), d.pool(t), d.dialect, nil)
	require.ErrorContains(t, err, "No database selected")
	d.opts.Schema = name
	conforms(t, d)
}

// The user of a service needs no right to make tables.
func TestLeastRightsOfMariaDB(t *testing.T) {
	d := mariadb(t)
	config, err := mysql.ParseDSN(d.dsn)
	require.NoError(t, err)
	admin := d.pool(t)
	var me string
	require.NoError(t, admin.QueryRowContext(t.Context(), "SELECT USER()").Scan(&me))
	_, host, _ := strings.Cut(me, "@") // the server may have a user of no name at localhost, who comes before one of this name anywhere
	name := strings.ToLower(rand.Text())
	as := func(user string) (database, string) {
		account := user + "@'" + host + "'"
		run(t, admin, "CREATE USER "+account+" IDENTIFIED BY 'made up'")
		t.Cleanup(func() {
			_, err := admin.Exec("DROP USER " + account)
			require.NoError(t, err)
		})
		return withMariaDB(t, d, func(c *mysql.Config) { c.User, c.Passwd = user, "made up" }), account
	}
	service, serviceAccount := as("service_" + name)
	reader, readerAccount := as("reader_" + name)
	require.NoError(t, sqlstore.Migrate(t.Context(), admin, d.dialect, &d.opts))
	named := strings.NewReplacer("crm_service", serviceAccount, "crm_reader", readerAccount, "crm.", config.DBName+".")
	for _, statement := range statements(t, "-- MariaDB") {
		run(t, admin, named.Replace(statement))
	}
	lessRights(t, service, reader)
}

func TestUnreachableMariaDB(t *testing.T) {
	unreachable(t, database{dialect: sqlstore.MariaDB, driver: "mysql", dsn: "root@tcp(127.0.0.1:1)/x"})
}
