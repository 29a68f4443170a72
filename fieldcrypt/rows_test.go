package fieldcrypt_test

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

type rowed struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Rows.email,text,max=100,pad=32"`
	Notes  fieldcrypt.Bytes  `fieldcrypt:"Rows.notes,class=crm"`
	Custom fieldcrypt.Fields `fieldcrypt:"Rows.custom.*"`
}

// rowsOf returns the record type on a key store in memory.
func rowsOf[T any](t *testing.T) (*fieldcrypt.Records[T], *fieldcrypt.Rows) {
	t.Helper()
	r := recordsWithStore[T](t)
	require.NoError(t, r.Rows().Err())
	return r, r.Rows()
}

func recordsWithStore[T any](t *testing.T) *fieldcrypt.Records[T] {
	t.Helper()
	crypt := fieldcrypttest.NewWithStore(t)
	r, err := fieldcrypt.For[T](crypt)
	require.NoError(t, err)
	return r
}

// cellsOf is a record as its table has it.
func cellsOf(t *testing.T, c *rowed) fieldcrypt.Row {
	t.Helper()
	row := fieldcrypt.Row{ID: []any{c.ID}, Tenant: c.Tenant}
	for _, v := range []driver.Valuer{c.Email, c.Notes, c.Custom} {
		stored, err := v.Value()
		require.NoError(t, err)
		row.Cells = append(row.Cells, fieldcrypt.RowCell{Old: stored})
	}
	return row
}

func filled(t *testing.T, r *fieldcrypt.Records[rowed], id int64) *rowed {
	t.Helper()
	c := &rowed{ID: id, Tenant: "acme", Email: fieldcrypt.Of("ada@example.com"), Notes: fieldcrypt.Of([]byte("notes")), Custom: fieldcrypt.Fields{"a": fieldcrypt.Of("one"), "b": {}}}
	require.NoError(t, r.Encrypt(t.Context(), c))
	return c
}

func TestRowsDescribe(t *testing.T) {
	_, rows := rowsOf[rowed](t)
	require.Equal(t, []string{"id"}, rows.IDColumns())
	require.Equal(t, "tenant", rows.TenantColumn())
	require.Equal(t, []fieldcrypt.RowColumn{
		{Name: "email", Fields: []string{"Rows.email"}, Text: true},
		{Name: "notes", Fields: []string{"Rows.notes"}},
		{Name: "custom", Fields: []string{"Rows.custom.*"}, Text: true, JSON: true},
	}, rows.Columns())
	_, again := rowsOf[rowed](t)
	require.Equal(t, rows.Shape(), again.Shape())
	require.Equal(t, "fieldcrypt_test.rowed", rows.Type())
	_, ok := rows.Tenant()
	require.False(t, ok)
}

// Cells go under the new key, keep their form, and open.
func TestRowsReencrypt(t *testing.T) {
	r, rows := rowsOf[rowed](t)
	batch := []fieldcrypt.Row{cellsOf(t, filled(t, r, 1)), cellsOf(t, filled(t, r, 2))}
	require.NoError(t, rows.Reencrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
	for _, cell := range batch[0].Cells {
		require.False(t, cell.Changed, "it is under the active key")
	}
	for _, class := range []string{"default", "crm"} {
		_, err := rows.Crypt().Rotate(t.Context(), fieldcrypt.Scope{Tenant: "acme", Class: class})
		require.NoError(t, err)
	}
	require.NoError(t, rows.Reencrypt(t.Context(), batch, fieldcrypt.RowOptions{Class: "crm"}))
	require.False(t, batch[0].Cells[0].Changed)
	require.True(t, batch[0].Cells[1].Changed)

	require.NoError(t, rows.Reencrypt(t.Context(), batch, fieldcrypt.RowOptions{Dry: true}))
	require.True(t, batch[1].Cells[2].Changed)
	require.Nil(t, batch[1].Cells[2].New, "a dry run makes nothing")

	require.NoError(t, rows.Reencrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
	for i := range batch {
		for c := range batch[i].Cells {
			cell := &batch[i].Cells[c]
			require.NoError(t, cell.Err)
			require.True(t, cell.Changed)
			require.IsType(t, cell.Old, cell.New)
			require.NotEqual(t, cell.Old, cell.New)
		}
		read := rowed{ID: int64(i + 1), Tenant: "acme"}
		require.NoError(t, read.Email.Scan(batch[i].Cells[0].New))
		require.NoError(t, read.Notes.Scan(batch[i].Cells[1].New))
		require.NoError(t, read.Custom.Scan(batch[i].Cells[2].New))
		require.NoError(t, r.DecryptStrict(t.Context(), &read))
		email, err := read.Email.Plain()
		require.NoError(t, err)
		require.Equal(t, "ada@example.com", email)
		none := read.Custom["b"]
		require.True(t, none.IsNull())
	}
}

// One bad cell is reported, whatever is bad about it, and the others go on.
func TestRowsBadCells(t *testing.T) {
	r, rows := rowsOf[rowed](t)
	good := cellsOf(t, filled(t, r, 1))
	_, err := rows.Crypt().Rotate(t.Context(), fieldcrypt.Scope{Tenant: "acme"})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*fieldcrypt.Row)
		cell   int
		want   string
	}{
		"plaintext":         {func(r *fieldcrypt.Row) { r.Cells[0].Old = "ada@example.com" }, 0, "not an envelope"},
		"a number":          {func(r *fieldcrypt.Row) { r.Cells[0].Old = int64(5) }, 0, "not an envelope"},
		"cut short":         {func(r *fieldcrypt.Row) { r.Cells[0].Old = good.Cells[0].Old.(string)[:80] }, 0, ""},
		"another field's":   {func(r *fieldcrypt.Row) { r.Cells[1].Old = good.Cells[0].Old }, 1, ""},
		"another record's":  {func(r *fieldcrypt.Row) { r.ID = []any{int64(7)} }, 0, "not authentic"},
		"another tenant's":  {func(r *fieldcrypt.Row) { r.Tenant = "globex" }, 0, "data key not found"},
		"no tenant":         {func(r *fieldcrypt.Row) { r.Tenant = nil }, 0, "its tenant field is empty"},
		"a tenant of bytes": {func(r *fieldcrypt.Row) { r.Tenant = 7 }, 0, "is a int, it must be a string"},
		"no ID":             {func(r *fieldcrypt.Row) { r.ID = []any{int64(0)} }, 0, "its ID (column id) is zero"},
		"an ID of text":     {func(r *fieldcrypt.Row) { r.ID = []any{"seven"} }, 0, "its ID (column id) is a string that isn't an integer"},
		"two IDs":           {func(r *fieldcrypt.Row) { r.ID = []any{int64(1), int64(2)} }, 0, "its ID has 2 parts, and the record's has 1"},
		"no JSON":           {func(r *fieldcrypt.Row) { r.Cells[2].Old = "{" }, 2, "custom fields are one JSON object"},
		"plaintext in JSON": {func(r *fieldcrypt.Row) { r.Cells[2].Old = `{"a":"one"}` }, 2, "not an envelope"},
		"a member twice":    {func(r *fieldcrypt.Row) { r.Cells[2].Old = `{"a":null,"a":null}` }, 2, "custom fields are one JSON object"},
		"a key that is none": {func(r *fieldcrypt.Row) {
			r.Cells[2].Old = strings.Replace(good.Cells[2].Old.(string), `"a"`, `":a"`, 1)
		}, 2, "starts with a colon"},
		"JSON of a number": {func(r *fieldcrypt.Row) { r.Cells[2].Old = int64(4) }, 2, "custom fields are one JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := fieldcrypt.Row{ID: good.ID, Tenant: good.Tenant, Cells: append([]fieldcrypt.RowCell(nil), good.Cells...)}
			c.change(&bad)
			batch := []fieldcrypt.Row{bad, {ID: good.ID, Tenant: good.Tenant, Cells: append([]fieldcrypt.RowCell(nil), good.Cells...)}}
			require.NoError(t, rows.Reencrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
			require.ErrorContains(t, batch[0].Cells[c.cell].Err, c.want)
			require.NotContains(t, batch[0].Cells[c.cell].Err.Error(), "ada@example.com")
			require.False(t, batch[0].Cells[c.cell].Changed)
			require.NoError(t, batch[1].Cells[0].Err)
			require.True(t, batch[1].Cells[0].Changed)
		})
	}
}

// A call that can't be right is refused before anything is done.
func TestRowsRefused(t *testing.T) {
	r, rows := rowsOf[rowed](t)
	batch := []fieldcrypt.Row{cellsOf(t, filled(t, r, 1))}
	require.ErrorContains(t, rows.Verify(t.Context(), []fieldcrypt.Row{{}}, fieldcrypt.RowOptions{}), "row 0 has 0 cells and 0 of plaintext, and there are 3 columns")
	require.ErrorContains(t, rows.Verify(nil, batch, fieldcrypt.RowOptions{}), "the context is nil") //nolint:staticcheck // on purpose
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, rows.Verify(ended, batch, fieldcrypt.RowOptions{}), context.Canceled)
	require.ErrorContains(t, (*fieldcrypt.Rows)(nil).Err(), "the Rows are nil")
	require.ErrorContains(t, (&fieldcrypt.Rows{}).Err(), "made with Records.Rows")
	require.ErrorContains(t, (*fieldcrypt.Records[rowed])(nil).Rows().Err(), "made with For")
	require.ErrorContains(t, (*fieldcrypt.Maps)(nil).Rows().Err(), "made with ForMaps")
	type tenantless struct {
		ID    int64             `fieldcrypt:"id"`
		Email fieldcrypt.String `fieldcrypt:"Rows.email"`
	}
	none := recordsWithStore[tenantless](t)
	require.ErrorContains(t, none.Rows().Err(), "whose records are they?")
	require.NoError(t, none.ForTenant("acme").Rows().Err())
	type scattered struct {
		ID   int64                       `fieldcrypt:"id"`
		Each map[string]fieldcrypt.Int64 `fieldcrypt:"Rows.each.*"`
	}
	require.ErrorContains(t, recordsWithStore[scattered](t).ForTenant("acme").Rows().Err(), "field Each is a map without a column of its own")
	require.NoError(t, rows.Crypt().Close())
	require.ErrorIs(t, rows.Verify(t.Context(), batch, fieldcrypt.RowOptions{}), envelope.ErrClosed)
}

// What columns hold is encrypted, whatever the driver gives it as, and comes back.
func TestRowsPlaintext(t *testing.T) {
	type typed struct {
		ID       [16]byte           `fieldcrypt:"id"`
		Text     fieldcrypt.String  `fieldcrypt:"Typed.text"`
		Raw      fieldcrypt.Bytes   `fieldcrypt:"Typed.raw"`
		Number   fieldcrypt.Int64   `fieldcrypt:"Typed.number"`
		Whole    fieldcrypt.Uint64  `fieldcrypt:"Typed.whole"`
		Ratio    fieldcrypt.Float64 `fieldcrypt:"Typed.ratio"`
		Flag     fieldcrypt.Bool    `fieldcrypt:"Typed.flag"`
		Moment   fieldcrypt.Time    `fieldcrypt:"Typed.moment"`
		Day      fieldcrypt.Date    `fieldcrypt:"Typed.day"`
		Amount   fieldcrypt.Decimal `fieldcrypt:"Typed.amount"`
		Document fieldcrypt.JSON    `fieldcrypt:"Typed.document"`
	}
	r := recordsWithStore[typed](t).ForTenant("acme")
	rows := r.Rows()
	moment := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	day := time.Date(1912, 6, 23, 0, 0, 0, 0, time.UTC)
	forms := [][]any{
		{"text", []byte{1, 2}, int64(-5), int64(7), 1.5, true, moment, day, "1.50", `{"a":1}`},
		{[]byte("text"), []byte{1, 2}, []byte("-5"), []byte("7"), []byte("1.5"), int64(1), []byte("2026-01-02T03:04:05.000006Z"), []byte("1912-06-23"), []byte("1.50"), []byte(`{"a":1}`)},
		{"text", []byte("\x01\x02"), "-5", "7", "1.5", "true", "2026-01-02T03:04:05.000006Z", "1912-06-23", "1.50", `{"a":1}`},
	}
	want := []any{"text", []byte{1, 2}, int64(-5), int64(7), 1.5, true, moment, "1912-06-23", "1.50", `{"a":1}`}
	ids := []any{[]byte("0123456789abcdef"), "30313233-3435-3637-3839-616263646566", "30313233343536373839616263646566"}
	for i, form := range forms {
		row := fieldcrypt.Row{ID: []any{ids[i]}}
		for _, v := range form {
			row.Cells = append(row.Cells, fieldcrypt.RowCell{Old: v})
		}
		batch := []fieldcrypt.Row{row}
		require.NoError(t, rows.Encrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
		for c := range batch[0].Cells {
			require.NoError(t, batch[0].Cells[c].Err, "form %d, cell %d", i, c)
			require.True(t, batch[0].Cells[c].Changed)
			batch[0].Cells[c].Old = batch[0].Cells[c].New
		}
		batch[0].ID = []any{ids[0]} // one and the same
		require.NoError(t, rows.Verify(t.Context(), batch, fieldcrypt.RowOptions{}))
		require.NoError(t, rows.DecryptToPlaintext(t.Context(), batch, fieldcrypt.RowOptions{}))
		for c := range batch[0].Cells {
			require.NoError(t, batch[0].Cells[c].Err)
			if c == 6 {
				require.True(t, moment.Equal(batch[0].Cells[c].New.(time.Time)))
				continue
			}
			require.Equal(t, want[c], batch[0].Cells[c].New, "form %d, cell %d", i, c)
		}
	}
	for c, v := range map[int]any{0: int64(4), 2: "four", 3: int64(-1), 4: "x", 5: int64(2), 1: "in what form?", 6: "2026-01-02 03:04:05", 7: "2026-02-30", 8: "1,5", 9: "{"} {
		batch := []fieldcrypt.Row{{ID: []any{ids[0]}, Cells: make([]fieldcrypt.RowCell, 10)}}
		batch[0].Cells[c].Old = v
		require.NoError(t, rows.Encrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
		require.Error(t, batch[0].Cells[c].Err, "cell %d", c)
		require.NotContains(t, batch[0].Cells[c].Err.Error(), fmt.Sprint(v, "\x00"))
		require.False(t, batch[0].Cells[c].Changed)
	}
}

// What looks like an envelope is never sealed a second time.
func TestRowsEncryptKeepsEnvelopes(t *testing.T) {
	r, rows := rowsOf[rowed](t)
	sealed := cellsOf(t, filled(t, r, 1))
	for name, c := range map[string]struct {
		old     any
		changed bool
		bad     bool
	}{
		"an envelope":             {sealed.Cells[0].Old, false, false},
		"one that was cut short":  {sealed.Cells[0].Old.(string)[:70], false, true},
		"of a version to come":    {"fc2.AAAA", false, true},
		"words that begin alike":  {"fcbarcelona@example.com", true, false},
		"words with a number":     {"fc1 was his number", true, false},
		"bytes that begin alike":  {[]byte{0xfc, 1, 1}, false, true},
		"too long for its field":  {strings.Repeat("x", 101), false, true},
		"what a log has left":     {fieldcrypt.Redacted, false, true},
		"not UTF-8":               {"\xff\xfe", false, true},
		"empty, which is a value": {"", true, false},
		"null":                    {nil, false, false},
	} {
		batch := []fieldcrypt.Row{{ID: []any{int64(1)}, Tenant: "acme", Cells: []fieldcrypt.RowCell{{Old: c.old}, {}, {}}}}
		require.NoError(t, rows.Encrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
		cell := &batch[0].Cells[0]
		require.Equal(t, c.changed, cell.Changed, name)
		require.Equal(t, c.bad, cell.Err != nil, "%s: %v", name, cell.Err)
	}
}

// Documents keep what isn't sensitive, and Fields maps become what they would be.
func TestRowsDocuments(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	schema := &fieldcrypt.Schema{Version: 1, Modules: []fieldcrypt.Module{{Name: "Contacts", ID: []string{"id"}, Tenant: "tenant", Fields: []fieldcrypt.SchemaField{
		{Name: "city", Type: "string", Path: "details.address.city"},
		{Name: "scores", Type: "int64", Path: "details.scores[*]"},
		{Name: "email", Type: "string", Text: true},
	}}}}
	m, err := fieldcrypt.ForMaps(crypt, schema, "Contacts")
	require.NoError(t, err)
	rows := m.Rows()
	require.NoError(t, rows.Err())
	require.Equal(t, []fieldcrypt.RowColumn{
		{Name: "details", Fields: []string{"Contacts.city", "Contacts.scores"}, Text: true, JSON: true},
		{Name: "email", Fields: []string{"Contacts.email"}, Text: true},
	}, rows.Columns())
	const plain = `{"address":{"city":"Paris","zip":"75001"},"open":[1,2.50],"scores":[3,null,4]}`
	batch := []fieldcrypt.Row{{ID: []any{int64(5)}, Tenant: "acme", Cells: []fieldcrypt.RowCell{{Old: plain}, {Old: "a@example.com"}}}}
	require.NoError(t, rows.Encrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.NoError(t, batch[0].Cells[0].Err)
	text := batch[0].Cells[0].New.(string)
	require.NotContains(t, text, "Paris")
	require.Contains(t, text, `"zip":"75001"`)
	require.Contains(t, text, "2.50")

	record := map[string]any{"id": int64(5), "tenant": "acme", "details": text, "email": batch[0].Cells[1].New}
	require.NoError(t, m.DecryptStrict(t.Context(), record))
	back, err := record["details"].(fieldcrypt.Document).Plain()
	require.NoError(t, err)
	require.JSONEq(t, plain, string(back))

	_, err = crypt.Rotate(t.Context(), fieldcrypt.Scope{Tenant: "acme"})
	require.NoError(t, err)
	batch[0].Cells[0].Old = text
	batch[0].Cells[1].Old = nil
	require.NoError(t, rows.Reencrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.True(t, batch[0].Cells[0].Changed)
	batch[0].Cells[0].Old = batch[0].Cells[0].New
	require.NoError(t, rows.DecryptToPlaintext(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.JSONEq(t, plain, batch[0].Cells[0].New.(string))

	for name, bad := range map[string]string{
		"a member twice":    `{"address":{"city":"Paris","city":"Rome"}}`,
		"another shape":     `{"address":["Paris"]}`,
		"another type":      `{"scores":["three"]}`,
		"not whole":         `{"scores":[1.5]}`,
		"a broken envelope": `{"address":{"city":"fc1.AAAA"}}`,
	} {
		batch[0].Cells[0] = fieldcrypt.RowCell{Old: bad}
		require.NoError(t, rows.Encrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
		require.Error(t, batch[0].Cells[0].Err, name)
		require.NotContains(t, batch[0].Cells[0].Err.Error(), "Paris", name)
	}
}

// What the schema requires is required of rows as it is of records.
func TestRowsRequired(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	schema := &fieldcrypt.Schema{Version: 1, Modules: []fieldcrypt.Module{{Name: "Contacts", ID: []string{"id"}, Tenant: "tenant", Fields: []fieldcrypt.SchemaField{
		{Name: "city", Type: "string", Path: "details.address.city", Required: true},
		{Name: "iban", Type: "string", Path: "details.iban", Required: true, Class: "billing"},
		{Name: "note", Type: "string", Path: "details.note"},
	}}}}
	m, err := fieldcrypt.ForMaps(crypt, schema, "Contacts")
	require.NoError(t, err)
	for document, want := range map[string]string{
		`{"address":{"city":"Paris"},"iban":"x"}`:                "",
		`{"address":{"city":null},"iban":null}`:                  "",
		`{"address":{"town":"Paris"},"iban":"x","note":"later"}`: "field Contacts.city: there is nothing at its path details.address.city, and the schema requires it: set it in the document, also to null, or correct the path",
		`{"address":null,"iban":"x"}`:                            "nothing at its path details.address.city",
		`{"address":{"city":"Paris"}}`:                           "field Contacts.iban: there is nothing at its path details.iban",
		`{}`:                                                     "nothing at its path details.address.city",
	} {
		for _, dry := range []bool{false, true} {
			cell := func(class string) fieldcrypt.RowCell {
				batch := []fieldcrypt.Row{{ID: []any{int64(5)}, Tenant: "acme", Cells: []fieldcrypt.RowCell{{Old: document}}}}
				require.NoError(t, m.Rows().Encrypt(t.Context(), batch, fieldcrypt.RowOptions{Class: class, Dry: dry}))
				return batch[0].Cells[0]
			}
			got := cell("")
			recordErr := m.Encrypt(t.Context(), map[string]any{"id": 5, "tenant": "acme", "details": document})
			if want == "" {
				require.NoError(t, got.Err, document)
				require.NoError(t, recordErr, document)
				continue
			}
			require.ErrorContains(t, got.Err, want, document)
			require.False(t, got.Changed, document)
			require.NotContains(t, got.Err.Error(), "Paris")
			require.ErrorContains(t, recordErr, "and the schema requires it", document)
			if strings.Contains(want, "iban") { // which is another class's
				require.NoError(t, cell("default").Err)
				require.ErrorContains(t, cell("billing").Err, want)
			}
		}
	}
	batch := []fieldcrypt.Row{{ID: []any{int64(5)}, Tenant: "acme", Cells: []fieldcrypt.RowCell{{}}}}
	require.NoError(t, m.Rows().Encrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.NoError(t, batch[0].Cells[0].Err, "NULL stays NULL")
}

// Plaintext columns apart: read by Encrypt, written by DecryptToPlaintext.
func TestRowsApart(t *testing.T) {
	_, rows := rowsOf[rowed](t)
	row := func(sealed, plain any) []fieldcrypt.Row {
		return []fieldcrypt.Row{{ID: []any{int64(1)}, Tenant: "acme", Cells: []fieldcrypt.RowCell{{Old: sealed}, {}, {}}, Plain: []fieldcrypt.RowCell{{Old: plain, Apart: true}, {}, {}}}}
	}
	batch := row(nil, "ada@example.com")
	require.NoError(t, rows.Encrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.True(t, batch[0].Cells[0].Changed)
	require.False(t, batch[0].Plain[0].Changed, "where it came from stays")
	sealed := batch[0].Cells[0].New

	batch = row(sealed, "something newer")
	require.NoError(t, rows.Encrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.False(t, batch[0].Cells[0].Changed, "an envelope that opens stays")
	batch = row("plaintext", "x")
	require.NoError(t, rows.Encrypt(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.ErrorIs(t, batch[0].Cells[0].Err, fieldcrypt.ErrNotEnvelope, "plaintext where envelopes go")

	batch = row(sealed, nil)
	require.NoError(t, rows.DecryptToPlaintext(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.Equal(t, "ada@example.com", batch[0].Plain[0].New)
	require.False(t, batch[0].Cells[0].Changed)
	batch = row(sealed, "ada@example.com")
	require.NoError(t, rows.DecryptToPlaintext(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.False(t, batch[0].Plain[0].Changed, "it is there")
	batch = row(nil, "ada@example.com")
	require.NoError(t, rows.DecryptToPlaintext(t.Context(), batch, fieldcrypt.RowOptions{}))
	require.False(t, batch[0].Plain[0].Changed, "what was never encrypted isn't lost")
}

func TestRowsInspect(t *testing.T) {
	r, rows := rowsOf[rowed](t)
	row := cellsOf(t, filled(t, r, 1))
	row.Cells[1].Old = []byte("plain")
	found := map[string]fieldcrypt.RowState{}
	require.NoError(t, rows.Inspect(&row, func(f fieldcrypt.RowFinding) { found[f.Field] = f.State }))
	require.Equal(t, map[string]fieldcrypt.RowState{"Rows.email": fieldcrypt.RowSealed, "Rows.notes": fieldcrypt.RowPlaintext, "Rows.custom.a": fieldcrypt.RowSealed}, found)
	row.Cells[0].Old = "fc1.cut"
	require.NoError(t, rows.Inspect(&row, func(f fieldcrypt.RowFinding) { found[f.Field] = f.State }))
	require.Equal(t, fieldcrypt.RowUnreadable, found["Rows.email"])
}

// What columns of plaintext hold is told where there is no envelope yet, and as a
// copy beside one.
func TestRowsInspectApart(t *testing.T) {
	r, rows := rowsOf[rowed](t)
	sealed := cellsOf(t, filled(t, r, 1))
	plain := func(v any) fieldcrypt.RowCell { return fieldcrypt.RowCell{Old: v, Apart: true} }
	for name, c := range map[string]struct {
		sealed, plain []any
		want          map[string]fieldcrypt.RowState
	}{
		"alone": {[]any{nil, nil, nil}, []any{"ada@example.com", []byte("notes"), `{"a":"one","b":null}`}, map[string]fieldcrypt.RowState{
			"Rows.email": fieldcrypt.RowPlaintext, "Rows.notes": fieldcrypt.RowPlaintext, "Rows.custom.a": fieldcrypt.RowPlaintext,
		}},
		"a document without a value": {[]any{nil, nil, nil}, []any{nil, nil, `{"b":null}`}, map[string]fieldcrypt.RowState{"Rows.custom.*": fieldcrypt.RowPlaintext}},
		"an envelope alone":          {[]any{nil, nil, nil}, []any{sealed.Cells[0].Old, nil, nil}, map[string]fieldcrypt.RowState{"Rows.email": fieldcrypt.RowPlaintext}},
		"what can't be read": {[]any{nil, nil, nil}, []any{"fc1.cut", nil, `{"a":`}, map[string]fieldcrypt.RowState{
			"Rows.email": fieldcrypt.RowUnreadable, "Rows.custom.*": fieldcrypt.RowUnreadable,
		}},
		"nothing": {[]any{nil, nil, nil}, []any{nil, nil, nil}, map[string]fieldcrypt.RowState{}},
	} {
		row := fieldcrypt.Row{ID: []any{int64(1)}, Tenant: "acme"}
		for i := range c.sealed {
			row.Cells, row.Plain = append(row.Cells, fieldcrypt.RowCell{Old: c.sealed[i]}), append(row.Plain, plain(c.plain[i]))
		}
		found := map[string]fieldcrypt.RowState{}
		require.NoError(t, rows.Inspect(&row, func(f fieldcrypt.RowFinding) { found[f.Field] = f.State }), name)
		require.Equal(t, c.want, found, name)
		for i := range row.Plain {
			require.NoError(t, row.Plain[i].Err)
			row.Plain[i].Apart = false
		}
		require.NoError(t, rows.Inspect(&row, func(fieldcrypt.RowFinding) { t.Error("these columns aren't there") }), name)
	}
	sealed.Plain = []fieldcrypt.RowCell{plain("ada@example.com"), {}, plain(`{}`)}
	var states []string
	require.NoError(t, rows.Inspect(&sealed, func(f fieldcrypt.RowFinding) { states = append(states, f.Field+" "+f.State.String()) }))
	require.ElementsMatch(t, []string{"Rows.email sealed", "Rows.notes sealed", "Rows.custom.a sealed", "Rows.email copy in plaintext", "Rows.custom.* copy in plaintext"}, states)
	sealed.Plain = sealed.Plain[:1]
	require.Error(t, rows.Inspect(&sealed, func(fieldcrypt.RowFinding) {}))
}

// Nobody knows which class's values are in a document that can't be read.
func TestRowsInspectUnreadableDocument(t *testing.T) {
	schema := &fieldcrypt.Schema{Version: 1, Modules: []fieldcrypt.Module{{Name: "Contacts", ID: []string{"id"}, Tenant: "tenant", Fields: []fieldcrypt.SchemaField{
		{Name: "city", Type: "string", Path: "details.city"},
		{Name: "iban", Type: "string", Path: "details.iban", Class: "payment"},
		{Name: "bic", Type: "string", Path: "details.bic", Class: "payment"},
	}}}}
	m, err := fieldcrypt.ForMaps(fieldcrypttest.NewWithStore(t), schema, "Contacts")
	require.NoError(t, err)
	row := fieldcrypt.Row{ID: []any{int64(1)}, Tenant: "acme", Cells: []fieldcrypt.RowCell{{Old: "{"}}}
	var found []fieldcrypt.RowFinding
	require.NoError(t, m.Rows().Inspect(&row, func(f fieldcrypt.RowFinding) { found = append(found, f) }))
	require.Equal(t, []fieldcrypt.RowFinding{
		{Field: "Contacts.city", Scope: fieldcrypt.Scope{Tenant: "acme", Class: "default"}, State: fieldcrypt.RowUnreadable},
		{Field: "Contacts.iban", Scope: fieldcrypt.Scope{Tenant: "acme", Class: "payment"}, State: fieldcrypt.RowUnreadable},
	}, found)
}

// A cell holds plaintext, and shows none.
func TestRowCellsDontPrint(t *testing.T) {
	cell := fieldcrypt.RowCell{Old: "Canary-4815162342", New: []byte("Canary-4815162342")}
	row := fieldcrypt.Row{Cells: []fieldcrypt.RowCell{cell}}
	text, err := json.Marshal(row)
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("row", slog.Any("cell", cell), slog.Any("row", row))
	for _, shown := range []string{fmt.Sprint(cell), fmt.Sprintf("%+v", row), fmt.Sprintf("%#v", cell), fmt.Sprintf("%x", row), string(text), log.String()} {
		require.NotContains(t, shown, "Canary-4815162342")
		require.NotContains(t, shown, "43616e617279")
	}
	_, err = cell.MarshalBinary()
	require.ErrorIs(t, err, fieldcrypt.ErrBinary)
}
