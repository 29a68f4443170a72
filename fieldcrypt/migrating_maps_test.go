package fieldcrypt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

// migratingSchema has columns and documents; until is "" for a strict one.
func migratingSchema(t testing.TB, until string) *fieldcrypt.Schema {
	t.Helper()
	if until != "" {
		until = `,"migrating_until":"` + until + `"`
	}
	return schema(t, fmt.Sprintf(`{"version":1,"modules":[{"name":"Migrants","id":["id"],"tenant":"tenant","fields":[
	  {"name":"email","type":"string","text":true%[1]s},
	  {"name":"age","type":"int64"%[1]s},
	  {"name":"born","type":"date"%[1]s},
	  {"name":"code","type":"string","path":"address.code"%[1]s},
	  {"name":"floor","type":"int64","path":"address.floor"%[1]s},
	  {"name":"notes","type":"string","path":"notes[*].text"%[1]s}]}]}`, until))
}

func migratingMaps(t testing.TB, crypt *fieldcrypt.Crypt, until string) *fieldcrypt.Maps {
	t.Helper()
	m, err := fieldcrypt.ForMaps(crypt, migratingSchema(t, until), "Migrants")
	require.NoError(t, err)
	return m
}

// plaintextMap returns a row as a driver gives it.
func plaintextMap(id int64) map[string]any {
	return map[string]any{
		"id": id, "tenant": "acme", "email": "canary@example.com", "age": int64(4711), "born": time.Date(1970, 5, 4, 0, 0, 0, 0, time.UTC),
		"address": []byte(`{"city":"Exampleton","code":"canary EX1","floor":3}`),
		"notes":   `[{"text":"canary one"},{"text":null},{"other":1},{"text":"canary two"}]`,
	}
}

const (
	plainAddress = `{"city":"Exampleton","code":"canary EX1","floor":3}`
	plainNotes   = `[{"text":"canary one"},{"text":null},{"other":1},{"text":"canary two"}]`
)

func requirePlainMap(t testing.TB, row map[string]any) {
	t.Helper()
	require.Equal(t, "canary@example.com", plainOf(t, row["email"]))
	require.Equal(t, int64(4711), plainOf(t, row["age"]))
	requirePlain(t, fieldcrypt.CivilDate{Year: 1970, Month: 5, Day: 4}, row["born"].(fieldcrypt.Date))
	for member, want := range map[string]string{"address": plainAddress, "notes": plainNotes} {
		text, err := row[member].(fieldcrypt.Document).Plain()
		require.NoError(t, err)
		require.JSONEq(t, want, string(text))
	}
}

func TestMigratingMapsAndDocuments(t *testing.T) {
	for call, read := range map[string]func(context.Context, *fieldcrypt.Maps, map[string]any) error{
		"Decrypt": func(ctx context.Context, m *fieldcrypt.Maps, row map[string]any) error { return m.Decrypt(ctx, row) },
		"DecryptStrict": func(ctx context.Context, m *fieldcrypt.Maps, row map[string]any) error {
			return m.DecryptStrict(ctx, row)
		},
	} {
		t.Run(call, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				crypt := fieldcrypttest.NewWithStore(t)
				m, strict := migratingMaps(t, crypt, "2000-01-02"), migratingMaps(t, crypt, "")
				row := plaintextMap(1)
				require.NoError(t, read(t.Context(), m, row))
				requirePlainMap(t, row)
				require.NotContains(t, fmt.Sprintf("%v %+v", row, row), "canary")
				for _, member := range []string{"address", "notes"} {
					_, err := row[member].(fieldcrypt.Document).Value()
					require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted, "plaintext isn't written again")
				}
				require.NoError(t, read(t.Context(), m, row), "again")
				require.NoError(t, m.Encrypt(t.Context(), row))
				written := stored(t, row)
				require.NotContains(t, fmt.Sprint(written["email"], written["address"], written["notes"]), "canary")
				require.NoError(t, strict.DecryptStrict(t.Context(), written))
				requirePlainMap(t, written)
				counts := crypt.Migrations()
				require.EqualValues(t, 1, counts[0].Plaintext, counts[0].Field)
				require.Equal(t, "Migrants.notes", counts[5].Field)
				require.EqualValues(t, 2, counts[5].Plaintext)

				// The strict schema, and the migrating one after its date, refuse.
				for name, late := range map[string]*fieldcrypt.Maps{"strict": strict, "ended": migratingMaps(t, crypt, "1999-12-31")} {
					row := plaintextMap(1)
					err := read(t.Context(), late, row)
					require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope, name)
					require.NotContains(t, err.Error(), "canary", name)
					if call == "DecryptStrict" {
						require.Equal(t, plaintextMap(1), row, "%s: an error changes nothing", name)
						continue
					}
					require.NotContains(t, fmt.Sprintf("%v %+v", row, row), "canary", name)
					require.ErrorIs(t, m.Decrypt(t.Context(), row), fieldcrypt.ErrNotEnvelope, "%s dropped it", name)
					_, err = row["email"].(fieldcrypt.String).Value()
					require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope, name)
					_, err = row["address"].(fieldcrypt.Document).Value()
					require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope, name)
					require.ErrorIs(t, late.Encrypt(t.Context(), row), fieldcrypt.ErrNotEnvelope, name)
				}
			})
		})
	}
}

// A document that was scanned and not decrypted is sealed as it is: in strict
// schemas that is an error.
func TestMigratingDocumentIsSealedWithoutDecrypt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		crypt := fieldcrypttest.NewWithStore(t)
		row := func() map[string]any {
			var d fieldcrypt.Document
			require.NoError(t, d.Scan(plainAddress))
			return map[string]any{"id": 1, "tenant": "acme", "address": d}
		}
		sealed := row()
		require.NoError(t, migratingMaps(t, crypt, "2000-01-02").Encrypt(t.Context(), sealed))
		written := stored(t, sealed)
		require.NotContains(t, written["address"], "canary")
		require.NoError(t, migratingMaps(t, crypt, "").Decrypt(t.Context(), written))
		text, err := written["address"].(fieldcrypt.Document).Plain()
		require.NoError(t, err)
		require.JSONEq(t, plainAddress, string(text))

		for _, until := range []string{"", "1999-12-31"} {
			kept := row()
			err := migratingMaps(t, crypt, until).Encrypt(t.Context(), kept)
			require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope, until)
			require.NotContains(t, err.Error(), "canary")
		}
	})
}

// What isn't of the field's type, or begins like an envelope, is listed by its
// record and place, and the rest of the page is read.
func TestMigratingMapsRefuse(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		crypt := fieldcrypttest.NewWithStore(t)
		m := migratingMaps(t, crypt, "2000-01-02")
		for name, c := range map[string]struct {
			member string
			src    any
			field  string
		}{
			"a word in a number":          {"age", "canary", "Migrants.age"},
			"a fraction in an integer":    {"age", 4711.5, "Migrants.age"},
			"a time in a date":            {"born", time.Date(1970, 5, 4, 12, 0, 0, 0, time.UTC), "Migrants.born"},
			"a number in a text":          {"email", int64(4711), "Migrants.email"},
			"begins like an envelope":     {"email", "fc1.canary", "Migrants.email"},
			"bytes that begin like one":   {"email", []byte("\xfc\x01canary"), "Migrants.email"},
			"a Go value of another kind":  {"email", []string{"canary"}, "Migrants.email"},
			"no JSON":                     {"address", `{"code":"canary`, "Migrants.code"},
			"a member that begins so":     {"address", `{"code":"fc1.canary"}`, "Migrants.code"},
			"a member of another type":    {"address", `{"code":["canary"]}`, "Migrants.code"},
			"a number as text inside":     {"address", `{"floor":"3"}`, "Migrants.floor"},
			"another shape":               {"notes", `{"text":"canary"}`, "Migrants.notes"},
			"an escaped beginning inside": {"address", `{"code":"\u0066c1.canary"}`, "Migrants.code"},
		} {
			bad, good := plaintextMap(1), plaintextMap(2)
			bad[c.member] = c.src
			err := m.Decrypt(t.Context(), bad, good)
			require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope, name)
			require.ErrorContains(t, err, "row 0, "+c.field+": ", name)
			require.NotContains(t, err.Error(), "canary", name)
			require.NotContains(t, fmt.Sprintf("%v %+v", bad, bad), "canary", name)
			requirePlainMap(t, good)
			require.Error(t, m.Encrypt(t.Context(), bad), name)
		}
	})
}

type migratingColumns struct {
	ID     int64   `fieldcrypt:"id"`
	Tenant string  `fieldcrypt:"tenant"`
	Email  string  `fieldcrypt:"Migrants.email,text,migrating,until=2000-01-02"`
	Photo  []byte  `fieldcrypt:"Migrants.photo,migrating,until=2000-01-02"`
	Note   *string `fieldcrypt:"Migrants.note,migrating,until=2000-01-02"`
	Phone  string  `fieldcrypt:"Migrants.phone"`
}

func TestMigratingColumns(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var events []fieldcrypt.PlaintextEvent
		crypt := cryptWith(t, &events)
		r := records[migratingColumns](t, crypt)
		plaintext := func() fieldcrypt.Columns {
			return fieldcrypt.Columns{"Migrants.email": []byte("canary@example.com"), "Migrants.photo": []byte("canary\xff"), "Migrants.note": []byte("")}
		}
		read := migratingColumns{ID: 1, Tenant: "acme"}
		require.NoError(t, r.DecryptColumns(t.Context(), &read, plaintext()))
		require.Equal(t, "canary@example.com", read.Email)
		require.Equal(t, []byte("canary\xff"), read.Photo)
		require.NotNil(t, read.Note)
		require.Empty(t, *read.Note)

		sealed, err := r.EncryptColumns(t.Context(), &read)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(sealed["Migrants.email"]), "fc1."))
		back := migratingColumns{ID: 1, Tenant: "acme"}
		require.NoError(t, r.DecryptColumns(t.Context(), &back, sealed))
		require.Equal(t, read, back)
		counts := crypt.Migrations()
		require.Equal(t, "Migrants.email", counts[0].Field)
		require.EqualValues(t, 1, counts[0].Plaintext)
		require.EqualValues(t, 1, counts[0].Envelopes)
		require.Len(t, events, 3)

		refused := func(columns fieldcrypt.Columns, is error) {
			t.Helper()
			out := migratingColumns{ID: 1, Tenant: "acme", Email: "as it was"}
			err := r.DecryptColumns(t.Context(), &out, columns)
			require.ErrorIs(t, err, is)
			require.NotContains(t, err.Error(), "canary")
			require.Equal(t, migratingColumns{ID: 1, Tenant: "acme", Email: "as it was"}, out)
		}
		for field, cases := range map[string]map[string]error{
			"Migrants.phone": {"canary": fieldcrypt.ErrNotEnvelope}, // strict
			"Migrants.email": {
				"fc1.canary": fieldcrypt.ErrNotEnvelope, "canary\xff": fieldcrypt.ErrNotEnvelope, fieldcrypt.Redacted: fieldcrypt.ErrRedacted,
				string(sealed["Migrants.note"]): envelope.ErrNotAuthentic, // of another field
			},
			"Migrants.photo": {"\xfc\x01\x01canary": fieldcrypt.ErrNotEnvelope, "\xfccanary": fieldcrypt.ErrNotEnvelope, fieldcrypt.Redacted: fieldcrypt.ErrRedacted},
		} {
			for content, is := range cases {
				columns := plaintext()
				columns[field] = []byte(content)
				refused(columns, is)
			}
		}
		time.Sleep(48 * time.Hour)
		refused(plaintext(), fieldcrypt.ErrNotEnvelope)
		require.NoError(t, r.DecryptColumns(t.Context(), &back, sealed))
	})
}

// While plaintext may be in it, a column has no check; what adds it afterwards is
// tried on the databases in the examples' module.
func TestDDLOfMigratingFields(t *testing.T) {
	r := records[migrant](t, fieldcrypttest.NewWithStore(t))
	for dialect, want := range map[fieldcrypt.Dialect][]string{
		fieldcrypt.Postgres: {
			`ALTER TABLE "crm"."contacts" ADD CONSTRAINT "email_envelope" CHECK ("email" IS NULL OR (`, `) IS TRUE) NOT VALID;`,
			`ALTER TABLE "crm"."contacts" VALIDATE CONSTRAINT "email_envelope";`,
		},
		fieldcrypt.MariaDB: {"ALTER TABLE `crm`.`contacts` ADD CONSTRAINT IF NOT EXISTS `email_envelope` CHECK (`email` IS NULL OR (", ") IS TRUE);"},
		fieldcrypt.SQLite: {
			`CREATE TRIGGER IF NOT EXISTS "crm"."contacts_email_envelope_insert" BEFORE INSERT ON "contacts" WHEN NOT (NEW."email" IS NULL OR (typeof(NEW."email") = 'text'`,
			`CREATE TRIGGER IF NOT EXISTS "crm"."contacts_email_envelope_update" BEFORE UPDATE OF "email" ON "contacts" WHEN NOT (NEW."email" IS NULL`,
		},
	} {
		columns, err := r.ColumnDefs(dialect)
		require.NoError(t, err)
		for _, c := range columns {
			require.Equal(t, c.Field != "Migrants.phone", c.Migrating, c.Field)
			require.Equal(t, !c.Migrating, strings.Contains(c.String(), "CHECK"), c.Field)
			require.NotEmpty(t, c.Check)
		}
		statements, err := columns[0].CheckDDL("crm.contacts")
		require.NoError(t, err)
		for _, part := range want {
			require.Contains(t, strings.Join(statements, "\n"), part, dialect)
		}
		for table, says := range map[string]string{"": "1 to 63 characters", "a.b.c": "at most one dot", `a"b`: "ASCII letters"} {
			_, err := columns[0].CheckDDL(table)
			require.ErrorContains(t, err, "fieldcrypt: CheckDDL of Migrants.email: ")
			require.ErrorContains(t, err, says)
		}
	}
	_, err := fieldcrypt.ColumnDef{}.CheckDDL("contacts")
	require.ErrorContains(t, err, "made by ColumnDefs")
}
