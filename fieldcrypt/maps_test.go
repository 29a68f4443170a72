package fieldcrypt_test

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

const contactsSchema = `{
  "version": 3,
  "modules": [{
    "name": "Contacts", "id": ["id"], "tenant": "tenant", "class": "crm",
    "fields": [
      {"name": "email", "type": "string", "max": 320},
      {"name": "phone", "type": "string", "text": true, "pad": 32},
      {"name": "score", "type": "int64"},
      {"name": "born", "type": "date"},
      {"name": "balance", "type": "decimal"},
      {"name": "seen", "type": "time"},
      {"name": "photo", "type": "bytes"},
      {"name": "vip", "type": "bool"},
      {"name": "big", "type": "uint64"},
      {"name": "ratio", "type": "float64"},
      {"name": "extra", "type": "json"},
      {"name": "address.postal_code", "type": "string", "path": "address.postal_code"},
      {"name": "tags.note", "type": "string", "path": "tags[*].note"},
      {"name": "tags.weight", "type": "int64", "path": "tags[*].weight"}
    ]
  }]
}`

func schema(t testing.TB, text string) *fieldcrypt.Schema {
	t.Helper()
	s, err := fieldcrypt.ParseSchema([]byte(text))
	require.NoError(t, err)
	return s
}

func contactMaps(t testing.TB, crypt *fieldcrypt.Crypt) *fieldcrypt.Maps {
	t.Helper()
	m, err := fieldcrypt.ForMaps(crypt, schema(t, contactsSchema), "Contacts")
	require.NoError(t, err)
	return m
}

func contactMap() map[string]any {
	return map[string]any{
		"id": 42, "tenant": "acme", "name": "Ada",
		"email": "ada@example.com", "phone": "+44 20 7946 0001", "score": 7, "born": "1815-12-10", "balance": "10.50",
		"seen": "2026-01-02T03:04:05.000000006+01:00", "photo": []byte{1, 2, 3}, "vip": true, "big": uint64(1) << 63, "ratio": 0.5,
		"extra":   map[string]any{"a": []any{1, "x", nil}},
		"address": map[string]any{"street": "1 Example Road", "postal_code": "EX1 1MP"},
		"tags":    []any{map[string]any{"note": "calls at noon", "weight": 3, "colour": "red"}, map[string]any{"colour": "blue"}, nil},
	}
}

// stored is what the database holds and the driver gives back.
func stored(t testing.TB, record map[string]any) map[string]any {
	t.Helper()
	out := map[string]any{}
	for name, v := range record {
		if valuer, ok := v.(driver.Valuer); ok {
			var err error
			v, err = valuer.Value()
			require.NoError(t, err)
		}
		out[name] = v
	}
	return out
}

func TestMapsRoundTrip(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	m := contactMaps(t, crypt)
	record := contactMap()
	require.NoError(t, m.Encrypt(t.Context(), record))
	require.Equal(t, "Ada", record["name"])
	require.Equal(t, 42, record["id"])
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", record, record, record), "ada@example.com")
	printed, err := json.Marshal(record)
	require.NoError(t, err)
	require.NotContains(t, string(printed), "EX1 1MP")
	require.Contains(t, string(printed), `"address":{"postal_code":"[REDACTED]","street":"1 Example Road"}`)

	row := stored(t, record)
	for _, secret := range []string{"ada@example.com", "7946", "1815", "10.50", "EX1 1MP", "calls at noon"} {
		require.NotContains(t, fmt.Sprint(row), secret)
	}
	require.Contains(t, row["address"], `"street":"1 Example Road"`)
	require.Contains(t, row["address"], `"postal_code":"fc1.`)
	require.Contains(t, row["tags"], `"colour":"blue"`)
	require.IsType(t, "", row["phone"])
	require.IsType(t, []byte{}, row["email"])

	require.NoError(t, m.Decrypt(t.Context(), row))
	for name, want := range map[string]any{
		"email": "ada@example.com", "phone": "+44 20 7946 0001", "score": int64(7), "born": fieldcrypt.CivilDate{Year: 1815, Month: 12, Day: 10},
		"balance": fieldcrypt.DecimalString("10.50"), "photo": []byte{1, 2, 3}, "vip": true, "big": uint64(1) << 63, "ratio": 0.5,
		"extra": json.RawMessage(`{"a":[1,"x",null]}`),
	} {
		require.Equal(t, want, plainOf(t, row[name]), name)
	}
	seen, ok := plainOf(t, row["seen"]).(time.Time)
	require.True(t, ok)
	require.Equal(t, "2026-01-02T03:04:05.000000006+01:00", seen.Format(time.RFC3339Nano))
	address, err := row["address"].(fieldcrypt.Document).Plain()
	require.NoError(t, err)
	require.JSONEq(t, `{"street":"1 Example Road","postal_code":"EX1 1MP"}`, string(address))
	tags, err := row["tags"].(fieldcrypt.Document).Plain()
	require.NoError(t, err)
	require.JSONEq(t, `[{"note":"calls at noon","weight":3,"colour":"red"},{"colour":"blue"},null]`, string(tags))

	// Saved as it was read: the same bytes.
	before := stored(t, record)
	require.NoError(t, m.Encrypt(t.Context(), row))
	require.Equal(t, before, stored(t, row))
}

func plainOf(t testing.TB, v any) any {
	t.Helper()
	switch v := v.(type) {
	case fieldcrypt.String:
		return must(t, v)
	case fieldcrypt.Int64:
		return must(t, v)
	case fieldcrypt.Uint64:
		return must(t, v)
	case fieldcrypt.Float64:
		return must(t, v)
	case fieldcrypt.Bool:
		return must(t, v)
	case fieldcrypt.Bytes:
		return must(t, v)
	case fieldcrypt.Time:
		return must(t, v)
	case fieldcrypt.Date:
		return must(t, v)
	case fieldcrypt.Decimal:
		return must(t, v)
	case fieldcrypt.JSON:
		return must(t, v)
	}
	t.Fatalf("a %T", v)
	return nil
}

func must[T fieldcrypt.Plain](t testing.TB, v fieldcrypt.Value[T]) T {
	t.Helper()
	content, err := v.Plain()
	require.NoError(t, err)
	return content
}

// Structs and maps are one model: what one sealed the other opens.
func TestMapsAndStructs(t *testing.T) {
	type contact struct {
		ID     int64             `fieldcrypt:"id"`
		Tenant string            `fieldcrypt:"tenant"`
		Email  fieldcrypt.String `fieldcrypt:"Contacts.email,class=crm"`
		_      struct{}          `fieldcrypt:"class=crm"`
	}
	crypt := fieldcrypttest.NewWithStore(t)
	m, structs := contactMaps(t, crypt), records[contact](t, crypt)
	record := map[string]any{"id": int64(42), "tenant": "acme", "email": "ada@example.com"}
	require.NoError(t, m.Encrypt(t.Context(), record))
	var c contact
	c.ID, c.Tenant = 42, "acme"
	require.NoError(t, c.Email.Scan(stored(t, record)["email"]))
	require.NoError(t, structs.Decrypt(t.Context(), &c))
	require.Equal(t, "ada@example.com", must(t, c.Email))

	c.Email.Set("grace@example.com")
	require.NoError(t, structs.Encrypt(t.Context(), &c))
	env, err := c.Email.Value()
	require.NoError(t, err)
	record["email"] = env
	require.NoError(t, m.Decrypt(t.Context(), record))
	require.Equal(t, "grace@example.com", plainOf(t, record["email"]))
	record["id"] = int64(43)
	record["email"] = env
	require.Error(t, m.Decrypt(t.Context(), record), "the record is bound")
}

// All or nothing: a record that fails leaves all as they were.
func TestMapsEncryptIsAllOrNothing(t *testing.T) {
	m := contactMaps(t, fieldcrypttest.NewWithStore(t))
	for says, spoil := range map[string]func(map[string]any){
		"Contacts.score of Contacts, record 1: the schema says int64, and the record holds a string":         func(r map[string]any) { r["score"] = "secret-seven" },
		"Contacts.email of Contacts, record 1: the schema says string, and the record holds a []uint8":       func(r map[string]any) { r["email"] = []byte("secret") },
		"Contacts.vip of Contacts, record 1: the schema says bool, and the record holds a *fieldcrypt.Value": func(r map[string]any) { r["vip"] = new(fieldcrypt.Bool) },
		"Contacts.email of Contacts, record 1: its ID (member \"id\") is missing":                            func(r map[string]any) { delete(r, "id") },
		"Contacts.email of Contacts, record 1: its ID (member \"id\") is zero":                               func(r map[string]any) { r["id"] = 0 },
		"Contacts.email of Contacts, record 1: its ID (member \"id\") is a float64":                          func(r map[string]any) { r["id"] = 1.5 },
		"Contacts.email of Contacts, record 1: its tenant field is empty":                                    func(r map[string]any) { delete(r, "tenant") },
		"Contacts.email of Contacts, record 1: its tenant (member \"tenant\") is a int":                      func(r map[string]any) { r["tenant"] = 7 },
		"Contacts.email of Contacts, record 1: the value is 321 bytes, the limit is 320":                     func(r map[string]any) { r["email"] = string(make([]byte, 321)) },
		"Contacts.phone of Contacts, record 1: fieldcrypt: the redaction marker is not a value":              func(r map[string]any) { r["phone"] = fieldcrypt.Redacted },
		"(path address.postal_code)": func(r map[string]any) { r["address"] = []any{"secret"} },
		"record doesn't have the shape that the path is for: string where an array ([]any) is expected (path tags[*].note)": func(r map[string]any) { r["tags"] = json.RawMessage(`"secret"`) },
		"Contacts.extra of Contacts, record 1: the schema says JSON":                                                        func(r map[string]any) { r["extra"] = map[string]any{"a": fieldcrypt.Of("secret")} },
	} {
		good, bad := contactMap(), contactMap()
		spoil(bad)
		asBefore := fmt.Sprint(good, bad)
		err := m.Encrypt(t.Context(), good, bad)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "secret")
		require.Equal(t, asBefore, fmt.Sprint(good, bad), says)
	}
	require.ErrorContains(t, m.Encrypt(t.Context(), contactMap(), nil), "record 1 is a nil pointer")
}

// What can't be opened is listed, and the rest reads.
func TestMapsDecryptListsFailures(t *testing.T) {
	m := contactMaps(t, fieldcrypttest.NewWithStore(t))
	one, two := contactMap(), contactMap()
	two["id"] = 43
	require.NoError(t, m.Encrypt(t.Context(), one, two))
	rows := []map[string]any{stored(t, one), stored(t, two)}
	rows[1]["email"] = rows[0]["email"]
	rows[1]["phone"] = "in the clear"
	rows[1]["address"] = `{"postal_code":"in the clear","street":"x"}`
	rows[1]["tags"] = `not JSON`
	err := m.Decrypt(t.Context(), rows...)
	var failed *fieldcrypt.DecryptError
	require.ErrorAs(t, err, &failed)
	var fields []string
	for _, f := range failed.Failures {
		require.Equal(t, 1, f.Row)
		fields = append(fields, f.Field)
	}
	require.ElementsMatch(t, []string{"Contacts.email", "Contacts.phone", "Contacts.address.postal_code", "Contacts.tags.note", "Contacts.tags.weight"}, fields)
	require.NotContains(t, fmt.Sprint(err, rows[1]), "in the clear")
	require.Equal(t, int64(7), plainOf(t, rows[1]["score"]))
	require.Equal(t, "ada@example.com", plainOf(t, rows[0]["email"]))
	_, err = rows[1]["tags"].(fieldcrypt.Document).Value()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
	_, err = rows[1]["phone"].(fieldcrypt.String).Value()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)

	strict := stored(t, two)
	strict["email"] = rows[0]["id"]
	asBefore := fmt.Sprint(strict)
	require.Error(t, m.DecryptStrict(t.Context(), strict))
	require.Equal(t, asBefore, fmt.Sprint(strict))
}

// One nested map in two records has one place only.
func TestMapsRefuseSharing(t *testing.T) {
	m := contactMaps(t, fieldcrypttest.NewWithStore(t))
	one := contactMap()
	two := contactMap()
	two["id"] = 43
	two["address"] = one["address"] // is copied: both have their own
	require.NoError(t, m.Encrypt(t.Context(), one, two))
	rows := []map[string]any{stored(t, one), stored(t, two)}
	require.NotEqual(t, rows[0]["address"], rows[1]["address"])
	require.NoError(t, m.Decrypt(t.Context(), rows...))
}

// A document that was read and not decrypted is written again as it is, and one
// that the program made is none the worse for Decrypt.
func TestMapsLeaveDocumentsAlone(t *testing.T) {
	m := contactMaps(t, fieldcrypttest.NewWithStore(t))
	record := contactMap()
	require.NoError(t, m.Encrypt(t.Context(), record))
	row := stored(t, record)
	var read fieldcrypt.Document
	require.NoError(t, read.Scan(row["address"]))
	again := map[string]any{"id": 42, "tenant": "acme", "address": read}
	_, err := read.Tree()
	require.ErrorIs(t, err, fieldcrypt.ErrNotDecrypted)
	require.NoError(t, m.Encrypt(t.Context(), again))
	require.Equal(t, row["address"], stored(t, again)["address"])
	again["id"] = 43
	again["address"] = read
	require.ErrorContains(t, m.Encrypt(t.Context(), again), "the envelope that was read can't be written here")

	made, err := fieldcrypt.ParseDocument([]byte(`{"postal_code":"EX1 1MP"}`))
	require.NoError(t, err)
	fresh := map[string]any{"id": 42, "tenant": "acme", "address": made}
	require.NoError(t, m.Decrypt(t.Context(), fresh))
	_, err = fresh["address"].(fieldcrypt.Document).Value()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)
	text, err := fresh["address"].(fieldcrypt.Document).Plain()
	require.NoError(t, err)
	require.JSONEq(t, `{"postal_code":"EX1 1MP"}`, string(text))
	require.NoError(t, m.Encrypt(t.Context(), fresh))

	// Opened, changed by the program, and saved: what didn't change keeps its envelope.
	require.NoError(t, m.Decrypt(t.Context(), row))
	tree, err := row["tags"].(fieldcrypt.Document).Tree()
	require.NoError(t, err)
	first, ok := tree.([]any)[0].(map[string]any)
	require.True(t, ok)
	first["weight"] = 4
	changed, err := fieldcrypt.DocumentOf(tree)
	require.NoError(t, err)
	row["tags"] = changed
	require.NoError(t, m.Encrypt(t.Context(), row))
	before, after := fmt.Sprint(stored(t, record)["tags"]), fmt.Sprint(stored(t, row)["tags"])
	require.Equal(t, noteOf(t, before), noteOf(t, after))
	require.NotEqual(t, before, after)
}

// A document that is NULL, or JSON's null, has no place for a value: both stay
// what they are.
func TestMapsLeaveNullDocumentsAlone(t *testing.T) {
	m := contactMaps(t, fieldcrypttest.NewWithStore(t))
	var null, jsonNull fieldcrypt.Document
	require.NoError(t, null.Scan(nil))
	require.NoError(t, jsonNull.Scan("null"))
	for name, test := range map[string]struct {
		is   any
		want driver.Value
	}{
		"NULL": {null, nil}, "zero": {fieldcrypt.Document{}, nil}, "JSON": {jsonNull, "null"}, "column": {"null", "null"}, "bytes": {[]byte(" null "), "null"},
	} {
		t.Run(name, func(t *testing.T) {
			for call, do := range map[string]func(context.Context, ...map[string]any) error{"Encrypt": m.Encrypt, "Decrypt": m.Decrypt, "DecryptStrict": m.DecryptStrict} {
				record := map[string]any{"id": 42, "tenant": "acme", "address": test.is, "tags": test.is}
				require.NoError(t, do(t.Context(), record), call)
				for _, member := range []string{"address", "tags"} {
					written, err := record[member].(driver.Valuer).Value()
					require.NoError(t, err, call)
					require.Equal(t, test.want, written, call)
				}
			}
		})
	}
	for name, not := range map[string]any{"a number": "1", "an array": "[]", "a string": `"null"`} {
		require.Error(t, m.Encrypt(t.Context(), map[string]any{"id": 42, "tenant": "acme", "address": not}), name)
	}
	rows := m.Rows()
	batch := []fieldcrypt.Row{{ID: []any{int64(42)}, Tenant: "acme", Cells: make([]fieldcrypt.RowCell, len(rows.Columns()))}}
	for i, c := range rows.Columns() {
		if c.JSON {
			batch[0].Cells[i].Old = "null"
		}
	}
	require.NoError(t, rows.Verify(t.Context(), batch, fieldcrypt.RowOptions{}))
	for _, cell := range batch[0].Cells {
		require.NoError(t, cell.Err)
	}
}

func noteOf(t testing.TB, tags string) any {
	t.Helper()
	var tree []map[string]any
	require.NoError(t, json.Unmarshal([]byte(tags), &tree))
	return tree[0]["note"]
}

func TestMapsRefuseBadCalls(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	var nobody *fieldcrypt.Maps
	for _, m := range []*fieldcrypt.Maps{nobody, {}, nobody.ForTenant("acme")} {
		require.EqualError(t, m.Encrypt(t.Context(), contactMap()), "fieldcrypt: Encrypt: Maps are made with ForMaps")
		require.EqualError(t, m.Decrypt(t.Context(), contactMap()), "fieldcrypt: Decrypt: Maps are made with ForMaps")
		_, err := m.DDL(fieldcrypt.SQLite, "contacts")
		require.Error(t, err)
	}
	_, err := fieldcrypt.ForMaps(nil, schema(t, contactsSchema), "Contacts")
	require.EqualError(t, err, "fieldcrypt: no Crypt: make one with New")
	_, err = fieldcrypt.ForMaps(crypt, nil, "Contacts")
	require.EqualError(t, err, "fieldcrypt: ForMaps: the schema is nil")
	_, err = fieldcrypt.ForMaps(crypt, schema(t, contactsSchema), "Leads")
	require.EqualError(t, err, `fieldcrypt: ForMaps: schema version 3 has no module "Leads"`)

	m := contactMaps(t, crypt)
	require.ErrorContains(t, m.ForTenant("globex").Encrypt(t.Context(), contactMap()), `it belongs to tenant "acme", and the handle is for tenant "globex"`)
	var none context.Context
	require.ErrorContains(t, m.Encrypt(none, contactMap()), "fieldcrypt: Encrypt of Contacts: the context is nil")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.Encrypt(ended, contactMap()), context.Canceled)
	unnamed, err := fieldcrypt.ForMaps(crypt, schema(t, `{"version":1,"modules":[{"name":"M","id":["id"],"fields":[{"name":"a","type":"string"}]}]}`), "M")
	require.NoError(t, err)
	require.EqualError(t, unnamed.Encrypt(t.Context()), "fieldcrypt: Encrypt of M: whose records are they? Name the tenant's member in the schema, or use ForTenant")
	require.NoError(t, unnamed.ForTenant("acme").Encrypt(t.Context(), map[string]any{"id": 1, "a": "x"}))
	require.NoError(t, crypt.Close())
	require.ErrorIs(t, m.Encrypt(t.Context(), contactMap()), envelope.ErrClosed)
}

// What was read and not decrypted isn't encrypted a second time, wherever it is
// in a record. A value that looks like an envelope is one of the program's own.
func TestMapsRefuseEnvelopesAsContent(t *testing.T) {
	m := contactMaps(t, fieldcrypttest.NewWithStore(t))
	record := contactMap()
	require.NoError(t, m.Encrypt(t.Context(), record))
	read := stored(t, record)
	text := read["phone"].(string)
	for name, spoil := range map[string]func(map[string]any){
		"text":      func(r map[string]any) { r["phone"] = read["phone"] },
		"bytes":     func(r map[string]any) { r["photo"] = read["photo"] },
		"in a path": func(r map[string]any) { r["address"] = map[string]any{"postal_code": text} },
		"in JSON":   func(r map[string]any) { r["tags"] = `[{"note":"` + text + `"}]` },
	} {
		t.Run(name, func(t *testing.T) {
			again := contactMap()
			spoil(again)
			require.ErrorContains(t, m.Encrypt(t.Context(), again), "it holds an envelope, and would be encrypted twice: what was read from the database goes through Decrypt first")
		})
	}
	looks := contactMap()
	looks["phone"] = fieldcrypt.Of(text)
	looks["email"] = "fc1.not-an-envelope"
	require.NoError(t, m.Encrypt(t.Context(), looks))
	back := stored(t, looks)
	require.NoError(t, m.Decrypt(t.Context(), back))
	phone := back["phone"].(fieldcrypt.String)
	plain, err := phone.Plain()
	require.NoError(t, err)
	require.Equal(t, text, plain)
}

// Two modules' columns join where their fields are sealed under one name.
func TestFieldsSealedUnderAnotherName(t *testing.T) {
	const text = `{"version":1,"modules":[
	  {"name":"Contacts","id":["id"],"tenant":"tenant","fields":[{"name":"login","type":"string","deterministic":true,"as":"People.login"},{"name":"note","type":"string","as":"Old.note"}]},
	  {"name":"Leads","id":["id"],"tenant":"tenant","fields":[{"name":"user","type":"string","deterministic":true,"as":"People.login"},{"name":"own","type":"string","deterministic":true}]},
	  {"name":"Old","id":["id"],"tenant":"tenant","fields":[{"name":"note","type":"string"}]}]}`
	crypt, s := fieldcrypttest.NewWithStore(t), schema(t, text)
	of := func(module string) *fieldcrypt.Maps {
		m, err := fieldcrypt.ForMaps(crypt, s, module)
		require.NoError(t, err)
		return m
	}
	contact, lead := map[string]any{"id": 1, "tenant": "acme", "login": "ada", "note": "n"}, map[string]any{"id": 2, "tenant": "acme", "user": "ada", "own": "ada"}
	require.NoError(t, of("Contacts").Encrypt(t.Context(), contact))
	require.NoError(t, of("Leads").Encrypt(t.Context(), lead))
	a, b := stored(t, contact), stored(t, lead)
	require.Equal(t, a["login"], b["user"])
	require.NotEqual(t, a["login"], b["own"], "the control")
	old := map[string]any{"id": 1, "tenant": "acme", "note": a["note"]}
	require.NoError(t, of("Old").Decrypt(t.Context(), old), "what a module of another name sealed")

	next := schema(t, strings.Replace(strings.Replace(text, `"version":1`, `"version":2`, 1), `,"as":"Old.note"`, "", 1))
	changes := s.Diff(next)
	require.Len(t, changes, 1)
	require.Equal(t, fieldcrypt.NeedsSweep, changes[0].Effect)
	require.Contains(t, changes[0].What, "sealed as Contacts.note, were as Old.note")
	for says, field := range map[string]string{
		`as: "People" isn't a field's name`:           `{"name":"x","type":"string","as":"People"}`,
		"its envelopes would be sealed as Contacts.y": `{"name":"y","type":"string"},{"name":"x","type":"string","as":"Contacts.y"}`,
	} {
		_, err := fieldcrypt.ParseSchema([]byte(`{"version":1,"modules":[{"name":"Contacts","id":["id"],"fields":[` + field + `]}]}`))
		require.ErrorContains(t, err, says)
	}
}
