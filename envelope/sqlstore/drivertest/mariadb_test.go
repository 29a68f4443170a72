//go:build mariadb

package drivertest

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
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
	t.Parallel()
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
			t.Parallel()
			withMariaDB(t, mariadb(t), change).behaves(t)
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
	d.behaves(t)
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
		run(t, admin, "CREATE USER "+account) // without a password: MariaDB's own way with those is SHA-1, which FIPS mode refuses
		t.Cleanup(func() {
			_, err := admin.Exec("DROP USER " + account)
			require.NoError(t, err)
		})
		return withMariaDB(t, d, func(c *mysql.Config) { c.User, c.Passwd = user, "" }), account
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

// What protects a connection is asked of the server, whatever the driver was told.
func TestDoctorOfConnectionsToMariaDB(t *testing.T) {
	d := mariadb(t)
	tcp := aboutStore(t, crypt(t, d.store(t)).Doctor(t.Context(), nil), "TLS")
	if !strings.Contains(d.dsn, "tls=") && strings.Contains(d.dsn, "tcp(") {
		require.Equal(t, kmsprovider.StatusWarning, tcp.Status)
		require.Equal(t, "the connection is not encrypted: who reads that network reads names of tenants and wrapped keys, and can change them", tcp.Found)
		require.Contains(t, tcp.Mend, "tls=true for MariaDB")
	}
	var path string
	require.NoError(t, d.pool(t).QueryRowContext(t.Context(), "SELECT @@socket").Scan(&path))
	if _, err := os.Stat(path); err != nil {
		t.Logf("the server is on another machine, and its socket not tried: %v", err)
		return
	}
	local := withMariaDB(t, d, func(c *mysql.Config) { c.Net, c.Addr = "unix", path })
	socket := aboutStore(t, crypt(t, local.store(t)).Doctor(t.Context(), nil), "TLS")
	require.Equal(t, kmsprovider.StatusOK, socket.Status, socket.Found)
	require.Equal(t, "a socket of the database's machine, not a network", socket.Found)
}

// Whatever changes a key finds it by its name: two that come by different
// indexes lock the row in different orders, and so each other.
func TestChangesOfMariaDBComeByTheName(t *testing.T) {
	d := mariadb(t)
	db, spy := d.spied(t)
	s, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
	require.NoError(t, err)
	var rec envelope.Record
	for i := range 300 { // each is its tenant's only key, which both indexes find
		rec = made(fmt.Sprint("t", i), 0)
		rec.Wrapped = append(rec.Wrapped, make([]byte, 150)...)
		require.NoError(t, s.Activate(t.Context(), rec, envelope.KeyID{}))
	}
	_, err = db.ExecContext(t.Context(), "ANALYZE TABLE fieldcrypt_keys")
	require.NoError(t, err)
	rec.State = envelope.StateActive
	changed := rec
	changed.RootKey = "example-kms://eu/root-2"

	explained := 0
	for _, q := range spy.during(func() {
		_, _, err := s.Lease(t.Context(), rec.Scope, rec.Purpose, rec.KeyID, 1)
		require.NoError(t, err)
		require.NoError(t, s.Update(t.Context(), rec, changed))
		require.ErrorIs(t, s.Activate(t.Context(), rec, rec.KeyID), envelope.ErrConflict) // which retires it, and takes that back
	}) {
		if strings.HasPrefix(q.text, "UPDATE") {
			explained++
			require.Contains(t, strings.Join(explain(t, d.dialect, db, q), "\n"), "key=PRIMARY", "%s", q.text)
		}
	}
	require.Equal(t, 3, explained)
}
