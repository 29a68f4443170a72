package indexplan

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDDL(t *testing.T) {
	p := &Plan{Field: "Contacts.email", Index: true, Bits: 13, Partitions: 1}
	target := Target{Table: "crm.contacts", Column: "email_tag", Tenant: "tenant"}
	text := target
	text.Text = true
	for _, c := range []struct {
		d    Dialect
		t    Target
		want string
	}{
		{Postgres, target, `ALTER TABLE "crm"."contacts" ADD COLUMN "email_tag" bytea CHECK (octet_length("email_tag") = 2);
CREATE INDEX "email_tag_search" ON "crm"."contacts" ("tenant", "email_tag");
`},
		{Postgres, text, `ALTER TABLE "crm"."contacts" ADD COLUMN "email_tag" text COLLATE "C" CHECK ("email_tag" LIKE 'fi%.%' AND length("email_tag") BETWEEN 7 AND 16);
CREATE INDEX "email_tag_search" ON "crm"."contacts" ("tenant", "email_tag");
`},
		{MariaDB, target, "ALTER TABLE `crm`.`contacts` ADD COLUMN `email_tag` VARBINARY(2) CHECK (LENGTH(`email_tag`) = 2);\nCREATE INDEX `email_tag_search` ON `crm`.`contacts` (`tenant`, `email_tag`);\n"},
		{SQLite, Target{Table: "contacts", Column: "email_tag"}, `ALTER TABLE "contacts" ADD COLUMN "email_tag" BLOB CHECK (typeof("email_tag") IN ('blob', 'null') AND coalesce(length("email_tag"), 2) = 2);
CREATE INDEX "email_tag_search" ON "contacts" ("email_tag");
`},
	} {
		got, err := p.DDL(c.d, c.t)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	for name, c := range map[string]struct {
		p    Plan
		d    Dialect
		t    Target
		says string
	}{
		"no dialect":       {*p, 0, target, "unknown dialect 0"},
		"unknown dialect":  {*p, 7, target, "unknown dialect 7"},
		"no table":         {*p, Postgres, Target{Column: "c"}, "the table name"},
		"two dots":         {*p, Postgres, Target{Table: "a.b.c", Column: "c"}, "at most one dot"},
		"injection":        {*p, Postgres, Target{Table: `t"; DROP TABLE t; --`, Column: "c"}, "ASCII letters"},
		"column injection": {*p, MariaDB, Target{Table: "t", Column: "c`"}, "ASCII letters"},
		"tenant injection": {*p, SQLite, Target{Table: "t", Column: "c", Tenant: "a b"}, "ASCII letters"},
		"digit":            {*p, SQLite, Target{Table: "t", Column: "1c"}, "not start with a digit"},
		"long":             {*p, Postgres, Target{Table: "t", Column: "a234567890123456789012345678901234567890123456789012345678901"}, "the index name"},
		"not indexed":      {Plan{Field: "M.f", Bits: 8}, Postgres, target, "too few to hide"},
		"not a plan":       {Plan{Field: "M.f", Index: true}, Postgres, target, "plans are made by New"},
		"too many bits":    {Plan{Field: "M.f", Index: true, Bits: 257}, Postgres, target, "257 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.p.DDL(c.d, c.t)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "indexplan: DDL for "+c.p.Field)
			require.Empty(t, got)
		})
	}
}

func TestQueriesRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		d                     Dialect
		table, column, tenant string
		says                  string
	}{
		"no dialect":    {0, "t", "c", "tenant", "unknown dialect 0"},
		"no table":      {Postgres, "", "c", "tenant", "the table name"},
		"no column":     {Postgres, "t", "", "tenant", "the column name"},
		"no tenant":     {Postgres, "t", "c", "", "the tenant's column has no name"},
		"injection":     {SQLite, "t", `c" FROM t; --`, "tenant", "ASCII letters"},
		"in the table":  {SQLite, "t)", "c", "tenant", "ASCII letters"},
		"in the tenant": {MariaDB, "t", "c", "1=1 OR x", "ASCII letters"},
		"two dots":      {MariaDB, "a.b.c", "c", "tenant", "at most one dot"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := TenantHistogramQuery(c.d, c.table, c.column, c.tenant)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "indexplan: histogram query: ")
			require.Empty(t, got)
			if c.tenant == "tenant" {
				_, err = HistogramQuery(c.d, c.table, c.column)
				require.ErrorContains(t, err, c.says)
			}
		})
	}
}

type brokenDB struct{ err error }

func (b brokenDB) QueryContext(context.Context, string, ...any) (*sql.Rows, error) { return nil, b.err }

func TestReadHistogramFails(t *testing.T) {
	down := errors.New("down")
	h, err := ReadHistogram(t.Context(), brokenDB{down}, "SELECT")
	require.ErrorIs(t, err, down)
	require.ErrorContains(t, err, "indexplan: read a histogram: down")
	require.Nil(t, h)
}
