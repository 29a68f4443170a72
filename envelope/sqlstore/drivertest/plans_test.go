package drivertest

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

// made returns a record with made-up contents.
func made(tenant string, n int) envelope.Record {
	rec := envelope.Record{
		Scope: envelope.Scope{Tenant: tenant, Class: "crm"}, Purpose: envelope.PurposeData,
		RootKey: "example-kms://eu/root-1", Wrapped: []byte(fmt.Sprintf("wrapped key %d of %s", n, tenant)),
		State: envelope.StateRetired, Created: time.Unix(1_800_000_000, 0).UTC(), NotAfter: time.Unix(1_900_000_000, 0).UTC(), Budget: 1000,
	}
	copy(rec.KeyID[:], fmt.Sprintf("%08d %s", n, tenant))
	copy(rec.Tag[:], fmt.Sprintf("tag %08d %s", n, tenant))
	return rec
}

const (
	tenants = 400
	perTen  = 25 // keys of each tenant
)

// filled has enough rows for an index to matter: a database reads a small table
// as a whole whatever indexes it has.
func filled(t *testing.T, s *sqlstore.Store, db *sql.DB) {
	t.Helper()
	ctx := t.Context()
	var first envelope.Record
	for i := range tenants {
		for j := range perTen {
			rec := made(fmt.Sprintf("tenant-%04d", i), j)
			if j == 0 {
				first = rec
				require.NoError(t, s.Activate(ctx, rec, envelope.KeyID{}))
			} else {
				require.NoError(t, s.Insert(ctx, rec))
			}
		}
		_, err := s.Claim(ctx, first.Scope, first.Purpose, "holder", time.Minute)
		require.NoError(t, err)
	}
	table := map[sqlstore.Dialect]string{
		sqlstore.Postgres: "ANALYZE", sqlstore.SQLite: "ANALYZE", sqlstore.MariaDB: "ANALYZE TABLE fieldcrypt_keys, fieldcrypt_keys_claims",
	}
	_, err := db.ExecContext(ctx, table[s.Dialect()])
	require.NoError(t, err)
}

// TestReadsComeFromAnIndex asks the database how it runs each query of the store.
func TestReadsComeFromAnIndex(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db, spy := d.spied(t)
		s, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
		require.NoError(t, err)
		filled(t, s, db)

		ctx := t.Context()
		key, other := made("tenant-0200", 0), made("tenant-0200", 7)
		var names []envelope.KeyName
		for i := range 100 {
			each := made(fmt.Sprintf("tenant-%04d", i*4), i%perTen)
			names = append(names, key.Name(), each.Name())
		}
		page := func(f envelope.Filter, after envelope.KeyName) func() error {
			return func() error {
				_, err := s.Page(ctx, f, after, 10)
				return err
			}
		}
		for name, call := range map[string]func() error{
			"Active":                        func() error { _, err := s.Active(ctx, key.Scope, key.Purpose); return err },
			"Get":                           func() error { _, err := s.Get(ctx, key.Scope, key.Purpose, key.KeyID); return err },
			"States":                        func() error { _, err := s.States(ctx, names); return err },
			"Page, the first":               page(envelope.Filter{}, envelope.KeyName{}),
			"Page, a later one":             page(envelope.Filter{}, other.Name()),
			"Page, the first of a tenant":   page(envelope.Filter{Tenant: "tenant-0200"}, envelope.KeyName{}),
			"Page, a later one of a tenant": page(envelope.Filter{Tenant: "tenant-0200"}, other.Name()),
			"Page, with all filters": page(envelope.Filter{
				Tenant: "tenant-0200", Class: "crm", Purpose: "data", RootKey: key.RootKey,
				States: []envelope.State{envelope.StateRetired, envelope.StateActive},
			}, other.Name()),
			"Page, of a root key": page(envelope.Filter{RootKey: key.RootKey}, other.Name()),
			"Claim":               func() error { _, err := s.Claim(ctx, key.Scope, key.Purpose, "another", time.Minute); return err },
			"Release":             func() error { return s.Release(ctx, key.Scope, key.Purpose, "another") },
			"Lease":               func() error { _, _, err := s.Lease(ctx, key.Scope, key.Purpose, key.KeyID, 1); return err },
			"Activate":            func() error { return s.Activate(ctx, made("tenant-0200", 900), key.KeyID) },
			"Update": func() error {
				changed := other
				changed.RootKey = "example-kms://eu/root-2"
				return s.Update(ctx, other, changed)
			},
		} {
			t.Run(name, func(t *testing.T) {
				asked := spy.during(func() { require.NoError(t, call()) })
				explained := 0
				for _, q := range asked {
					if word, _, _ := strings.Cut(q.text, " "); word != "SELECT" && word != "UPDATE" && word != "DELETE" && word != "WITH" {
						continue
					}
					explained++
					fromIndex(t, d.dialect, db, q)
				}
				if name != "Claim" || d.dialect == sqlstore.MariaDB {
					require.NotZero(t, explained)
				}
			})
		}
	})
}

// fromIndex fails if the database would read a table as a whole for a query, or
// sort what it read.
func fromIndex(t *testing.T, d sqlstore.Dialect, db *sql.DB, q query) {
	t.Helper()
	plan := explain(t, d, db, q)
	text := strings.Join(plan, "\n")
	for _, bad := range map[sqlstore.Dialect][]string{
		sqlstore.Postgres: {"Seq Scan", "Sort"},
		sqlstore.MariaDB:  {"type=ALL", "Using filesort", "key=NULL"},
		sqlstore.SQLite:   {"USE TEMP B-TREE", "SCAN fieldcrypt_keys\n", "SCAN fieldcrypt_keys_claims\n"},
	}[d] {
		require.NotContains(t, text+"\n", bad, "%s", q.text)
	}
	good := map[sqlstore.Dialect]string{sqlstore.Postgres: "Index", sqlstore.MariaDB: "key=", sqlstore.SQLite: "USING"}[d]
	require.Contains(t, text, good, "%s", q.text)
	if d == sqlstore.MariaDB && strings.Contains(q.text, " > CAST(?") {
		require.Contains(t, text, "type=range", "a later page must not begin at the beginning: %s", q.text)
	}
	if d == sqlstore.Postgres && strings.Contains(q.text, " > (") {
		require.Contains(t, text, "ROW(tenant, class, purpose, key_id) >", "%s", q.text)
	}
	if d == sqlstore.SQLite && strings.Contains(q.text, " > (") {
		require.Contains(t, text, "SEARCH", "%s", q.text)
	}
}

// explain returns the lines of a query's plan.
func explain(t *testing.T, d sqlstore.Dialect, db *sql.DB, q query) []string {
	t.Helper()
	words := map[sqlstore.Dialect]string{sqlstore.Postgres: "EXPLAIN ", sqlstore.MariaDB: "EXPLAIN ", sqlstore.SQLite: "EXPLAIN QUERY PLAN "}
	args := make([]any, len(q.args))
	for i, a := range q.args {
		args[i] = a.Value
	}
	rows, err := db.QueryContext(context.Background(), words[d]+q.text, args...)
	require.NoError(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var plan []string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, rows.Scan(into...))
		var line []string
		for i, v := range values {
			if d == sqlstore.MariaDB {
				if !v.Valid {
					v.String = "NULL"
				}
				v.String = columns[i] + "=" + v.String
			}
			line = append(line, v.String)
		}
		plan = append(plan, strings.Join(line, " "))
	}
	require.NoError(t, rows.Err())
	return plan
}
