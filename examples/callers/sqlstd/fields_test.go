package sqlstd_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

func TestCustomFieldsSQLite(t *testing.T) {
	db, _ := check.SQLite(t)
	exerciseCustomFields(t, db, fieldcrypt.SQLite, "?")
}

type custom struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Fields fieldcrypt.Fields `fieldcrypt:"Leads.custom.*"`
}

// exerciseCustomFields holds Encrypt and the column's check to each other: what
// the one takes, the other lets pass.
func exerciseCustomFields(t *testing.T, db *sql.DB, dialect fieldcrypt.Dialect, parameter string) {
	ctx := t.Context()
	records, err := fieldcrypt.For[custom](check.Crypt(t))
	require.NoError(t, err)
	ddl, err := records.DDL(dialect, "leads")
	require.NoError(t, err)
	check.Exec(ctx, t, db, "CREATE TABLE leads (id BIGINT)")
	for statement := range strings.SplitSeq(strings.TrimSpace(ddl), "\n") {
		check.Exec(ctx, t, db, statement)
	}
	insert := func(fields any) error {
		_, err := db.ExecContext(ctx, "INSERT INTO leads (fields) VALUES ("+parameter+")", fields)
		return err
	}

	for _, key := range []string{
		"tier", "a b", "a:b", "a:", ",", ", ", "{", "}", "[", "]", "*", "?", "'", "''", "$.a", "null", "n", "0", "fc1.", "_", "%", "%s", "--", "/*",
		"Größe in cm, <b>", "名前", "\u0085\u2028\ufeff", "😀", " ", "a\u00a0b", strings.Repeat("k", 200),
	} {
		c := custom{ID: 1, Tenant: "acme", Fields: fieldcrypt.Fields{key: fieldcrypt.Of("x"), key + "2": fieldcrypt.Of(""), key + "3": {}}}
		require.NoError(t, records.Encrypt(ctx, &c), key)
		require.NoError(t, insert(c.Fields), "the check refuses the key %q, which Encrypt takes", key)
	}
	for _, key := range []string{"", `"`, `a"b`, `\`, "\n", "\x00", "\x7f", ":", ":a", `":"`} {
		c := custom{ID: 1, Tenant: "acme", Fields: fieldcrypt.Fields{key: fieldcrypt.Of("x")}}
		require.Error(t, records.Encrypt(ctx, &c), "the key %q", key)
		require.Error(t, insert(c.Fields), "the key %q", key)
	}
	// What programs write past the types.
	for _, fields := range []string{
		`{"tier":"gold"}`, `{"tier":7}`, `{"tier":true}`, `{"tier":""}`, `{"tier":"fc1.gold"}`, `{"tier":["gold"]}`, `{"tier":{"a":null}}`,
		`["gold"]`, `"gold"`, `{"a":null,"tier":"gold"}`,
	} {
		require.Error(t, insert(fields), fields)
	}
	// What a member's check sees, as the documentation of ColumnDef has it.
	short := insert(`{"tier":"fc1._AECx"}`)
	behindTheStart := insert(`{"tier":"fc1._AEC gold, as anyone can read"}`)
	if dialect == fieldcrypt.SQLite { // whose patterns can't repeat
		require.NoError(t, short, "8 characters")
		require.NoError(t, behindTheStart, "8 characters")
	} else {
		require.Error(t, short, "shorter than any envelope")
		require.Error(t, behindTheStart, "not in the alphabet")
	}
}
