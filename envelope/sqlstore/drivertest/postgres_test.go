//go:build postgres

package drivertest

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const postgresURL = "FIELDCRYPT_TEST_POSTGRES_URL"

func init() { databases["postgres"] = postgres }

// postgres makes a schema, which connections find by themselves.
func postgres(t testing.TB) database {
	t.Helper()
	d, schema := postgresSchema(t)
	d.dsn = withParameter(t, d.dsn, "search_path", schema)
	return d
}

// postgresSchema makes a schema that connections don't find.
func postgresSchema(t testing.TB) (database, string) {
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
	return database{dialect: sqlstore.Postgres, driver: "pgx", dsn: url}, schema
}

// The options name the schema.
func TestSchemaOfPostgres(t *testing.T) {
	d, schema := postgresSchema(t)
	d.opts.Schema = schema
	d.behaves(t)
	text, err := sqlstore.DDL(d.dialect, &d.opts)
	require.NoError(t, err)
	run(t, d.pool(t), text) // all of it at once
	require.NoError(t, openOnly(t, d, d.pool(t)))
	require.ErrorIs(t, openOnly(t, database{dialect: d.dialect}, d.pool(t)), sqlstore.ErrNoTables)
}

func TestReadOnlyPostgres(t *testing.T) {
	d := postgres(t)
	rec := made("acme", 1)
	require.NoError(t, d.store(t).Activate(t.Context(), rec, envelope.KeyID{}))
	d.dsn = withParameter(t, d.dsn, "default_transaction_read_only", "on")
	readOnly(t, d, rec)
}

func withParameter(t testing.TB, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String()
}

// Settings of the connection that a service may have for its own reasons.
func TestConformanceWithSettingsOfPostgres(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"default_transaction_isolation", "serializable"},
		{"default_transaction_isolation", "repeatable read"},
		{"default_query_exec_mode", "simple_protocol"},
		{"default_query_exec_mode", "exec"},
		{"timezone", "America/New_York"},
		{"bytea_output", "escape"},
	} {
		t.Run(c[1], func(t *testing.T) {
			t.Parallel()
			d := postgres(t)
			d.dsn = withParameter(t, d.dsn, c[0], c[1])
			d.behaves(t)
		})
	}
}

// The role of a service needs no right to make tables, and one that lacks it
// and needs it is told.
func TestLeastRights(t *testing.T) {
	d, schema := postgresSchema(t)
	d.opts.Schema = schema
	admin := d.pool(t)
	as := func(role string) database {
		run(t, admin, "CREATE ROLE "+role+" LOGIN")
		t.Cleanup(func() {
			_, err := admin.Exec("DROP OWNED BY " + role + "; DROP ROLE " + role)
			require.NoError(t, err)
		})
		u, err := url.Parse(d.dsn)
		require.NoError(t, err)
		u.User = url.User(role)
		other := d
		other.dsn = u.String()
		return other
	}
	service, reader := as("service_"+schema), as("reader_"+schema)

	_, err := sqlstore.Open(t.Context(), service.pool(t), d.dialect, &d.opts)
	require.ErrorContains(t, err, "sqlstore: making the tables of ")
	require.ErrorContains(t, err, "permission denied for schema "+schema)

	require.NoError(t, sqlstore.Migrate(t.Context(), admin, d.dialect, &d.opts))
	named := strings.NewReplacer("crm_service", "service_"+schema, "crm_reader", "reader_"+schema,
		"crm.", schema+".", "SCHEMA crm ", "SCHEMA "+schema+" ")
	for _, statement := range statements(t, "-- PostgreSQL") {
		run(t, admin, named.Replace(statement))
	}
	lessRights(t, service, reader)
}

func TestUnreachablePostgres(t *testing.T) {
	unreachable(t, database{dialect: sqlstore.Postgres, driver: "pgx", dsn: "postgres://postgres@127.0.0.1:1/postgres?sslmode=disable"})
}

// What protects a connection is asked of the server, whatever the driver was told.
func TestDoctorOfConnectionsToPostgres(t *testing.T) {
	d := postgres(t)
	tcp := aboutStore(t, crypt(t, d.store(t)).Doctor(t.Context(), nil), "TLS")
	if strings.Contains(d.dsn, "sslmode=disable") {
		require.Equal(t, kmsprovider.StatusWarning, tcp.Status)
		require.Equal(t, "the connection is not encrypted: who reads that network reads names of tenants and wrapped keys, and can change them", tcp.Found)
		require.Contains(t, tcp.Mend, "sslmode=verify-full")
	}
	var folder, port string
	row := d.pool(t).QueryRowContext(t.Context(), "SELECT current_setting('unix_socket_directories'), current_setting('port')")
	require.NoError(t, row.Scan(&folder, &port))
	if _, err := os.Stat(filepath.Join(folder, ".s.PGSQL."+port)); err != nil {
		t.Logf("the server is on another machine, and its socket not tried: %v", err)
		return
	}
	local := d
	local.dsn = withParameter(t, withParameter(t, d.dsn, "host", folder), "port", port)
	socket := aboutStore(t, crypt(t, local.store(t)).Doctor(t.Context(), nil), "TLS")
	require.Equal(t, kmsprovider.StatusOK, socket.Status, socket.Found)
	require.Equal(t, "a socket of the database's machine, not a network", socket.Found)
}
