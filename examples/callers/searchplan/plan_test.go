package searchplan_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/indexplan"
)

func TestPlan(t *testing.T) {
	db, _ := check.SQLite(t)
	plan(t, indexplan.SQLite, db)
}

// values are what two tenants have in the clear: as bytes, all spellings differ.
var values = map[string][]string{
	"acme":  {"a@example.org", "A@example.org", "á@example.org", "a@example.org ", "b@example.org", "b@example.org", "b@example.org", ""},
	"other": {"b@example.org", "c@example.org"},
}

func plan(t *testing.T, d indexplan.Dialect, db *sql.DB) {
	ctx := t.Context()
	text := map[indexplan.Dialect]string{indexplan.MariaDB: "VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"}[d]
	if text == "" {
		text = "TEXT"
	}
	check.Exec(ctx, t, db, "CREATE TABLE contacts (tenant VARCHAR(50), email "+text+")")
	for tenant, emails := range values {
		for _, email := range emails {
			check.Exec(ctx, t, db, "INSERT INTO contacts VALUES ('"+tenant+"', '"+email+"')")
		}
		check.Exec(ctx, t, db, "INSERT INTO contacts VALUES ('"+tenant+"', NULL)")
	}

	all, err := indexplan.HistogramQuery(d, "contacts", "email")
	require.NoError(t, err)
	h, err := indexplan.ReadHistogram(ctx, db, all)
	require.NoError(t, err)
	require.Equal(t, indexplan.Histogram{{Rows: 1, Values: 6}, {Rows: 4, Values: 1}}, h)

	// The tenant's alone, as the values' own counts have it.
	one, err := indexplan.TenantHistogramQuery(d, "contacts", "email", "tenant")
	require.NoError(t, err)
	h, err = indexplan.ReadHistogram(ctx, db, one, "acme")
	require.NoError(t, err)
	require.Equal(t, indexplan.Histogram{{Rows: 1, Values: 5}, {Rows: 3, Values: 1}}, h)
	_, err = indexplan.ReadHistogram(ctx, db, one, "nobody")
	require.ErrorIs(t, err, indexplan.ErrHistogram)
	_, err = indexplan.ReadHistogram(ctx, db, strings.Replace(all, "contacts", "none", 1))
	require.ErrorContains(t, err, "indexplan: read a histogram")

	columns(t, d, db)
}

// columns tries the plan's statements: tags of the right length pass the check,
// and NULL does; no others do.
func columns(t *testing.T, d indexplan.Dialect, db *sql.DB) {
	ctx := t.Context()
	p, err := indexplan.New(indexplan.Column{Field: "Contacts.email", Histogram: indexplan.Histogram{{Rows: 1, Values: 100_000}}}, nil)
	require.NoError(t, err)
	require.Equal(t, 13, p.Bits, "2 bytes")
	parameter := "?"
	if d == indexplan.Postgres {
		parameter = "$1"
	}
	for _, c := range []struct {
		target    indexplan.Target
		good, bad []any
	}{
		{
			indexplan.Target{Table: "contacts", Column: "email_tag", Tenant: "tenant"},
			[]any{[]byte{1, 0xF8}, []byte{0, 0}, nil},
			[]any{[]byte{1}, []byte{1, 2, 3}, []byte{}, []byte("a@example.org")},
		},
		{
			indexplan.Target{Table: "contacts", Column: "email_text", Tenant: "tenant", Text: true},
			[]any{"fi1.AfA", "fi4294967295.AfA", nil},
			[]any{"fi1.Af", "fi12345678901.AfA", "", "a@example.org", "gi1.AfA", "1234567"},
		},
	} {
		ddl, err := p.DDL(d, c.target)
		require.NoError(t, err)
		for statement := range strings.SplitSeq(ddl, ";\n") {
			if statement != "" {
				check.Exec(ctx, t, db, statement)
			}
		}
		insert := "INSERT INTO contacts (tenant, " + c.target.Column + ") VALUES ('acme', " + parameter + ")"
		for _, tag := range c.good {
			_, err := db.ExecContext(ctx, insert, tag)
			require.NoError(t, err, "%s %v", c.target.Column, tag)
		}
		for _, tag := range c.bad {
			_, err := db.ExecContext(ctx, insert, tag)
			require.Error(t, err, "%s %v", c.target.Column, tag)
		}
	}
}
