package checks_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

// migrantsSchema is of a table whose columns were in plaintext.
func migrantsSchema(t *testing.T, version int, until string) *fieldcrypt.Schema {
	t.Helper()
	if until != "" {
		until = fmt.Sprintf(`,"migrating_until":%q`, until)
	}
	s, err := fieldcrypt.ParseSchema(fmt.Appendf(nil, `{"version":%d,"modules":[{"name":"Migrants","id":["id"],"fields":[
	  {"name":"email","type":"string","text":true,"max":100,"buckets":[32,128]%[2]s},
	  {"name":"age","type":"int64","text":true%[2]s}]}]}`, version, until))
	require.NoError(t, err)
	return s
}

// migrate takes a table from plaintext to envelopes as docs/migrating.md says.
func migrate(t *testing.T, s server, prepare ...string) {
	t.Helper()
	ctx := t.Context()
	exec := func(query string, args ...any) error {
		for i := range args {
			if s.mark == "$" {
				query = strings.Replace(query, "?", fmt.Sprintf("$%d", i+1), 1)
			}
		}
		_, err := s.db.ExecContext(ctx, query, args...)
		return err
	}
	require.NoError(t, exec("CREATE TABLE migrants (id INTEGER PRIMARY KEY, email VARCHAR(100), age INTEGER)"))
	const rows = 5
	for id := 1; id <= rows; id++ {
		require.NoError(t, exec(fmt.Sprintf("INSERT INTO migrants VALUES (%d, 'ada%d@example.com', %d)", id, id, 30+id)))
	}
	require.NoError(t, exec("INSERT INTO migrants VALUES (6, NULL, NULL)"))
	for _, statement := range prepare {
		require.NoError(t, exec(statement), statement)
	}

	crypt := fieldcrypttest.NewWithStore(t)
	handle := func(schema *fieldcrypt.Schema) *fieldcrypt.Maps {
		m, err := fieldcrypt.ForMaps(crypt, schema, "Migrants")
		require.NoError(t, err)
		return m.ForTenant("acme")
	}
	migrating := handle(migrantsSchema(t, 1, time.Now().AddDate(0, 1, 0).Format(time.DateOnly)))
	read := func(m *fieldcrypt.Maps, id int) (row map[string]any, email, age any) {
		query := fmt.Sprintf("SELECT email, age FROM migrants WHERE id = %d", id)
		require.NoError(t, s.db.QueryRowContext(ctx, query).Scan(&email, &age))
		row = map[string]any{"id": id, "email": email, "age": age}
		require.NoError(t, m.Decrypt(ctx, row))
		return row, email, age
	}
	sweep := func(ids ...int) {
		for _, id := range ids {
			row, email, _ := read(migrating, id)
			require.NoError(t, migrating.Encrypt(ctx, row))
			require.NoError(t, exec(fmt.Sprintf("UPDATE migrants SET email = ?, age = ? WHERE id = %d AND email = ?", id), row["email"], row["age"], email))
		}
	}
	sweep(1, 2, 3, 4)

	columns, err := migrating.ColumnDefs(s.dialect)
	require.NoError(t, err)
	var checks []string
	for _, c := range columns {
		require.NotContains(t, c.String(), "CHECK")
		statements, err := c.CheckDDL("migrants")
		require.NoError(t, err)
		checks = append(checks, statements...)
	}
	// Where the database looks at what is stored, a row that was left out shows.
	var failed []string
	for _, statement := range checks {
		if err := exec(statement); err != nil {
			failed = append(failed, statement)
		}
	}
	require.Len(t, failed, map[fieldcrypt.Dialect]int{fieldcrypt.Postgres: 2, fieldcrypt.MariaDB: 2, fieldcrypt.SQLite: 0}[s.dialect])
	sweep(5)
	for _, statement := range failed {
		require.NoError(t, exec(statement), statement)
	}
	counts := crypt.Migrations()
	require.EqualValues(t, rows, counts[0].Plaintext)
	require.Zero(t, counts[0].Refused+counts[1].Refused)

	// From now on plaintext is refused, and the strict schema reads all there is.
	for _, statement := range []string{
		"INSERT INTO migrants VALUES (7, 'ada7@example.com', NULL)", "INSERT INTO migrants VALUES (7, NULL, '37')",
		"UPDATE migrants SET email = 'eve@example.com' WHERE id = 1", "UPDATE migrants SET age = '0' WHERE id = 1", "UPDATE migrants SET email = '' WHERE id = 1",
	} {
		err := exec(statement)
		require.Error(t, err, statement)
		require.True(t, s.refused(err), "%s: %v", statement, err)
	}
	strict := handle(migrantsSchema(t, 2, ""))
	for id := 1; id <= rows; id++ {
		row, _, _ := read(strict, id)
		email, err := row["email"].(fieldcrypt.String).Plain()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("ada%d@example.com", id), email)
		age, err := row["age"].(fieldcrypt.Int64).Plain()
		require.NoError(t, err)
		require.EqualValues(t, 30+id, age)
	}
	row := map[string]any{"id": 7, "email": "ada7@example.com", "age": 37}
	require.NoError(t, strict.Encrypt(ctx, row))
	require.NoError(t, exec("INSERT INTO migrants VALUES (7, ?, ?)", row["email"], row["age"]))
	require.NoError(t, exec("UPDATE migrants SET age = NULL WHERE id = 7"))
	var plaintexts int
	require.NoError(t, s.db.QueryRowContext(ctx, "SELECT count(*) FROM migrants WHERE email LIKE '%@%'").Scan(&plaintexts))
	require.Zero(t, plaintexts)
}
