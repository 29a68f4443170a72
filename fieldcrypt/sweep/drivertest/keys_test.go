package drivertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
)

// A note has no place but its tenant, so that its table can have any key.
type note struct {
	_     struct{}          `fieldcrypt:"unbound"`
	Email fieldcrypt.String `fieldcrypt:"Notes.email,text"`
}

// A keyed is a table's primary key, and values of it.
type keyed struct {
	columns string // as SQL
	key     string // as SQL
	values  func(i int) []any
}

var words = []string{"Äpfel", "apfel ", "Zebra", "zebra2", "éclair", "ECLAIR", "1", "10", "2", "a%b_c", `quo"te's`, "\\", "日本", "ß", "ss-"}

// keyeds are the keys that are tried on each database.
func (s *service) keyeds() map[string]keyed {
	text := func(i int) string { return fmt.Sprint(words[i%len(words)], i) }
	uuid := func(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i*2654435761%(1<<32), i) }
	varchar := "VARCHAR(80)"
	if s.Dialect == sweep.MariaDB {
		varchar += " CHARACTER SET utf8mb4"
	}
	all := map[string]keyed{
		"integers":           {"k BIGINT", "k", func(i int) []any { return []any{int64(i-60) * 1_000_000_007_000} }},
		"text":               {"k " + varchar, "k", func(i int) []any { return []any{text(i)} }},
		"text and integers":  {"k " + varchar + ", n INTEGER", "k, n", func(i int) []any { return []any{text(i % 7), i} }},
		"integers and text":  {"n INTEGER, k " + varchar, "n, k", func(i int) []any { return []any{i % 5, text(i)} }},
		"three":              {"a INTEGER, b " + varchar + ", c INTEGER", "a, b, c", func(i int) []any { return []any{i % 3, text(i % 4), i} }},
		"decimals":           {"k DECIMAL(38,10)", "k", func(i int) []any { return []any{fmt.Sprintf("%d1234567890123456.0000000%03d", i%3, i)} }},
		"a name with quotes": {s.quoted(`odd " name`) + " INTEGER", s.quoted(`odd " name`), func(i int) []any { return []any{i} }},
	}
	switch s.Dialect {
	case sweep.Postgres:
		all["uuid"] = keyed{"k uuid", "k", func(i int) []any { return []any{uuid(i)} }}
		all["bytes"] = keyed{"k bytea", "k", func(i int) []any { return []any{[]byte{byte(i * 7), 0, '\\', '"', byte(i)}} }}
		all["collated"] = keyed{`k text COLLATE "C"`, "k", func(i int) []any { return []any{text(i)} }}
		all["times"] = keyed{"k timestamptz", "k", func(i int) []any { return []any{fmt.Sprintf("2026-01-%02d 10:00:00.%06d+02", 1+i%28, i)} }}
	case sweep.MariaDB:
		all["case-insensitive"] = keyed{"k VARCHAR(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", "k", func(i int) []any { return []any{text(i)} }}
		all["latin1"] = keyed{"k VARCHAR(80) CHARACTER SET latin1", "k", func(i int) []any { return []any{fmt.Sprint("Ä", i)} }}
		all["bytes"] = keyed{"k VARBINARY(20)", "k", func(i int) []any { return []any{[]byte{byte(i * 7), 0, '\\', '"', byte(i)}} }}
		all["unsigned"] = keyed{"k BIGINT UNSIGNED", "k", func(i int) []any { return []any{fmt.Sprint(uint64(1)<<63 + uint64(i*7919))} }}
		all["dates"] = keyed{"k DATETIME(6)", "k", func(i int) []any { return []any{fmt.Sprintf("2026-01-%02d 10:00:00.%06d", 1+i%28, i)} }}
	case sweep.SQLite:
		delete(all, "decimals") // they become floating-point numbers
		all["mixed"] = keyed{"k", "k", func(i int) []any {
			return [][]any{{int64(i)}, {text(i)}, {[]byte(text(i))}, {float64(i) + 0.5}}[i%4]
		}}
		all["case-insensitive"] = keyed{"k TEXT COLLATE NOCASE", "k", func(i int) []any { return []any{text(i)} }}
		all["dates"] = keyed{"k DATETIME", "k", func(i int) []any { return []any{fmt.Sprintf("2026-01-%02d 10:00:00.%06d", 1+i%28, i)} }}
	}
	return all
}

func (s *service) quoted(name string) string {
	if s.Dialect == sweep.MariaDB {
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Whatever the key, every row is come to once.
func TestKeys(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		whole := d.service(t)
		records, err := fieldcrypt.For[note](whole.crypt)
		require.NoError(t, err)
		records = records.ForTenant("acme")
		made := 0
		for name, k := range whole.keyeds() {
			t.Run(name, func(t *testing.T) {
				const n = 120
				s := *whole
				s.TB = t
				made++
				table := fmt.Sprint("notes_", made)
				s.exec("CREATE TABLE " + table + " (" + k.columns + ", email VARCHAR(500), PRIMARY KEY (" + k.key + "))")
				order := rand.Perm(n)
				for _, i := range order {
					args := append(slices.Clone(k.values(i)), fmt.Sprintf("note %d", i))
					s.exec("INSERT INTO "+table+" VALUES ("+strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ")+")", args...)
				}
				sweeper := s.sweeper(&sweep.Options{RangeRows: 1000, MaxBatch: 7})
				report, err := sweeper.Run(t.Context(), sweep.Table{Name: table, Rows: records.Rows()}, sweep.Encrypt, nil)
				require.NoError(t, err)
				require.EqualValues(t, n, report.Rows)
				require.EqualValues(t, n, report.Changed)
				seen := map[string]bool{}
				rows, err := s.db.Query("SELECT email FROM " + table)
				require.NoError(t, err)
				defer rows.Close()
				for rows.Next() {
					var row note
					require.NoError(t, rows.Scan(&row.Email))
					require.NoError(t, records.Decrypt(t.Context(), &row))
					email, err := row.Email.Plain()
					require.NoError(t, err)
					seen[email] = true
				}
				require.NoError(t, rows.Err())
				require.Len(t, seen, n)
			})
		}
	})
}

// Keys that MariaDB orders in another way than it compares them.
func TestRefusedKeys(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect != sweep.MariaDB {
			return
		}
		s := d.service(t)
		records, err := fieldcrypt.For[note](s.crypt)
		require.NoError(t, err)
		s.exec("CREATE TABLE notes (k ENUM('b', 'a') PRIMARY KEY, email VARCHAR(500))")
		_, err = s.sweeper(nil).Run(t.Context(), sweep.Table{Name: "notes", Rows: records.ForTenant("acme").Rows()}, sweep.Encrypt, nil)
		require.ErrorIs(t, err, sweep.ErrTable)
		require.ErrorContains(t, err, "column k of the primary key is a enum, which MariaDB orders in another way than it compares it")
		s.exec("CREATE TABLE old (k INTEGER PRIMARY KEY, email VARCHAR(500)) ENGINE = MyISAM")
		_, err = s.sweeper(nil).Run(t.Context(), sweep.Table{Name: "old", Rows: records.ForTenant("acme").Rows()}, sweep.Encrypt, nil)
		require.ErrorContains(t, err, "its engine is MyISAM, which has no transactions to take back a write that went wrong")
	})
}
