package drivertest

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

// statements returns the SQL block of docs/operations.md that starts so.
func statements(t *testing.T, start string) []string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/operations.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "```sql\n"+start)
	require.True(t, ok, "the page has no block that starts with %q", start)
	body, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	var all []string
	for part := range strings.SplitSeq(start+body, ";\n") {
		if strings.TrimSpace(part) != "" {
			all = append(all, part)
		}
	}
	return all
}

// lessRights are those that operations.md gives to roles: service may do all
// that a store does, and reader opens what service sealed.
func lessRights(t *testing.T, service, reader database) {
	t.Helper()
	service.opts.NoMigrate, reader.opts.NoMigrate = true, true
	conforms(t, service)

	rec := made("reader's", 1)
	require.NoError(t, service.store(t).Activate(t.Context(), rec, envelope.KeyID{}))
	s := reader.store(t)
	got, err := s.Get(t.Context(), rec.Scope, rec.Purpose, rec.KeyID)
	require.NoError(t, err)
	require.Equal(t, rec.Wrapped, got.Wrapped)
	states, err := s.States(t.Context(), []envelope.KeyName{rec.Name()})
	require.NoError(t, err)
	require.Equal(t, []envelope.State{envelope.StateActive}, states)
	for name, call := range map[string]func(ctx context.Context) error{
		"Activate": func(ctx context.Context) error { return s.Activate(ctx, made("reader's", 2), rec.KeyID) },
		"Lease": func(ctx context.Context) error {
			_, _, err := s.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 1)
			return err
		},
		"Update": func(ctx context.Context) error { return s.Update(ctx, rec, rec) },
	} {
		err := call(t.Context())
		require.ErrorContains(t, err, "denied", name)
	}

	// The control: no role may take a key away.
	db := service.pool(t)
	_, err = db.ExecContext(t.Context(), "DELETE FROM "+table(service))
	require.ErrorContains(t, err, "denied")
}

func table(d database) string {
	if d.opts.Schema == "" {
		return keys
	}
	return d.opts.Schema + "." + keys
}

// Rows of a backup come back into a key store that has lost them, on each
// database, and bring no second active key.
func TestRowsOfABackup(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.store(t)
		db := d.pool(t)
		for i := range 3 { // 2 is active in the backup
			previous := envelope.KeyID{}
			if i > 0 {
				previous = made("acme", i-1).KeyID
			}
			require.NoError(t, s.Activate(t.Context(), made("acme", i), previous))
		}
		run(t, db, "CREATE TABLE restored_keys AS SELECT * FROM "+keys)
		run(t, db, "DELETE FROM "+keys)
		require.NoError(t, s.Activate(t.Context(), made("acme", 3), envelope.KeyID{}))
		for range 2 {
			for _, statement := range statements(t, "-- Rows of a backup") {
				run(t, db, statement)
			}
		}
		for i := range 4 {
			rec, err := s.Get(t.Context(), made("acme", i).Scope, envelope.PurposeData, made("acme", i).KeyID)
			require.NoError(t, err)
			require.Equal(t, made("acme", i).Wrapped, rec.Wrapped)
			require.Equal(t, i == 3, rec.State == envelope.StateActive)
		}
	})
}

// BenchmarkTable reports how much a data key takes on disk, as those of AWS KMS
// do: with a wrapped key of 184 bytes and a root key's URI of 88.
func BenchmarkTable(b *testing.B) {
	for name, make := range databases {
		b.Run(name, func(b *testing.B) {
			const rows = 5000
			d := make(b)
			s, db := d.store(b), d.pool(b)
			for i := range rows {
				rec := made("a tenant of 24 bytes, or", i)
				rec.Wrapped, rec.RootKey = []byte(strings.Repeat("w", 184)), strings.Repeat("r", 88)
				require.NoError(b, s.Insert(b.Context(), rec))
			}
			query := map[sqlstore.Dialect]string{
				sqlstore.Postgres: "SELECT pg_total_relation_size('" + keys + "')",
				sqlstore.MariaDB:  "SELECT data_length + index_length FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '" + keys + "'",
				sqlstore.SQLite:   "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
			}[d.dialect]
			if d.dialect == sqlstore.MariaDB {
				run(b, db, "ANALYZE TABLE "+keys)
			}
			var size float64
			require.NoError(b, db.QueryRowContext(b.Context(), query).Scan(&size))
			for b.Loop() {
			}
			b.ReportMetric(size/rows, "B/key")
		})
	}
}
