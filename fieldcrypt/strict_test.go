package fieldcrypt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// The two ways in which a careless library lets a value through in the clear:
// what is no envelope is taken for the value, and what can't be sealed is
// written as it is. The control takes both.

type (
	strictContact struct {
		ID     int64             `fieldcrypt:"id"`
		Tenant string            `fieldcrypt:"tenant"`
		Email  fieldcrypt.String `fieldcrypt:"Contacts.email"`
		Notes  fieldcrypt.Bytes  `fieldcrypt:"Contacts.notes,text"`
	}
	plainContact struct {
		ID     int64  `fieldcrypt:"id"`
		Tenant string `fieldcrypt:"tenant"`
		Email  string `fieldcrypt:"Contacts.email"`
	}

	// What was in migrating mode is strict since.
	endedContact struct {
		ID     int64             `fieldcrypt:"id"`
		Tenant string            `fieldcrypt:"tenant"`
		Email  fieldcrypt.String `fieldcrypt:"Contacts.email,migrating,until=2020-12-31"`
		Custom fieldcrypt.Fields `fieldcrypt:"Contacts.custom.*"`
	}
	endedColumns struct {
		ID     int64  `fieldcrypt:"id"`
		Tenant string `fieldcrypt:"tenant"`
		Email  string `fieldcrypt:"Contacts.email,migrating,until=2020-12-31"`
	}
)

// strictHandles are all ways into and out of strict fields.
type strictHandles struct {
	values *fieldcrypt.Records[strictContact]
	plains *fieldcrypt.Records[plainContact]
	ended  *fieldcrypt.Records[endedContact]
	column *fieldcrypt.Records[endedColumns]
	maps   []*fieldcrypt.Maps // strict, and in migrating mode until a day that is past
}

func strictOf(t *testing.T, crypt *fieldcrypt.Crypt) strictHandles {
	t.Helper()
	h := strictHandles{
		records[strictContact](t, crypt), records[plainContact](t, crypt), records[endedContact](t, crypt), records[endedColumns](t, crypt), nil,
	}
	for _, until := range []string{"", `,"migrating_until":"2020-12-31"`} {
		m, err := fieldcrypt.ForMaps(crypt, schema(t, fmt.Sprintf(`{"version":1,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[
		  {"name":"email","type":"string"%[1]s},{"name":"note","type":"string","path":"doc.note"%[1]s}]}]}`, until)), "Contacts")
		require.NoError(t, err)
		h.maps = append(h.maps, m)
	}
	return h
}

// passedElsewhere is passedOnRead for custom fields, fields whose migration is
// over, maps and documents.
func passedElsewhere(t *testing.T, h strictHandles, i int, content []byte) bool {
	t.Helper()
	kept := i%8 == 3 || i%8 == 7 // an envelope in form, which doesn't open
	member, err := json.Marshal(string(content))
	require.NoError(t, err)
	c := endedContact{ID: int64(i + 1), Tenant: "acme"}
	require.NoError(t, c.Email.Scan(content))
	require.NoError(t, c.Custom.Scan(`{"x":`+string(member)+`}`))
	err = h.ended.Decrypt(t.Context(), &c)
	failed, ok := errors.AsType[*fieldcrypt.DecryptError](err)
	if !ok || len(failed.Failures) != 2 || strings.Contains(err.Error(), "canary") {
		return true
	}
	email, emailErr := c.Email.Plain()
	custom, customErr := c.Custom["x"].Plain()
	_, emailWritten := c.Email.Value()
	_, customWritten := c.Custom.Value()
	if emailErr == nil || customErr == nil || email != "" || custom != "" || emailWritten == nil && !kept || customWritten == nil {
		return true
	}
	p := endedColumns{ID: c.ID, Tenant: c.Tenant}
	if err := h.column.DecryptColumns(t.Context(), &p, fieldcrypt.Columns{"Contacts.email": content}); err == nil || p.Email != "" {
		return true
	}
	for _, m := range h.maps {
		record := map[string]any{"id": i + 1, "tenant": "acme", "email": content, "doc": `{"note":` + string(member) + `}`}
		err := m.Decrypt(t.Context(), record)
		if failed, ok := errors.AsType[*fieldcrypt.DecryptError](err); !ok || len(failed.Failures) != 2 || strings.Contains(err.Error(), "canary") {
			return true
		}
		if strings.Contains(fmt.Sprint(record), "canary") {
			return true
		}
		_, emailWritten := record["email"].(fieldcrypt.String).Value()
		_, docWritten := record["doc"].(fieldcrypt.Document).Value()
		_, docPlain := record["doc"].(fieldcrypt.Document).Plain()
		if emailWritten == nil && !kept || docWritten == nil || docPlain == nil {
			return true
		}
	}
	return false
}

// plaintexts returns the i-th of many contents of a column that nobody
// encrypted, among them some that look like envelopes.
func plaintexts(i int) []byte {
	text := fmt.Sprintf("canary-%d@example.com", i)
	switch i % 8 {
	case 1:
		return []byte("fc1." + text)
	case 2:
		return []byte("\xfc\x01\x01" + text)
	case 3:
		return []byte("\xfc\x01\x02" + strings.Repeat(text, 20))
	case 4:
		return []byte(`{"email":"` + text + `"}`)
	case 5:
		return []byte("\xfc\x02\x01" + strings.Repeat(text, 5)) // a version to come
	case 6:
		return []byte("fc2.AAAA" + text)
	case 7:
		return []byte("\xfc\x01\x01" + strings.Repeat(text, 5)) // by reference, to a key that there isn't
	}
	return []byte(text)
}

// A downProvider makes no keys.
type downProvider struct{}

func (downProvider) GenerateDataKey(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	return kmsprovider.DataKey{}, fmt.Errorf("%w: made-up outage", kmsprovider.ErrUnavailable)
}

func (downProvider) Unwrap(context.Context, string, []byte, kmsprovider.EncryptionContext) ([]byte, error) {
	return nil, fmt.Errorf("%w: made-up refusal", kmsprovider.ErrDenied)
}

// passedOnRead reports whether a column's content came out as a value, or could
// be written again.
func passedOnRead(t *testing.T, values *fieldcrypt.Records[strictContact], plains *fieldcrypt.Records[plainContact], i int, content []byte) bool {
	t.Helper()
	c := strictContact{ID: int64(i + 1), Tenant: "acme"}
	require.NoError(t, c.Email.Scan(string(content)))
	require.NoError(t, c.Notes.Scan(content))
	err := values.Decrypt(t.Context(), &c)
	email, emailErr := c.Email.Plain()
	notes, notesErr := c.Notes.Plain()
	if err == nil || emailErr == nil || notesErr == nil || email != "" || notes != nil {
		return true
	}
	var p plainContact
	p.ID, p.Tenant = c.ID, c.Tenant
	if err := plains.DecryptColumns(t.Context(), &p, fieldcrypt.Columns{"Contacts.email": content}); err == nil || p.Email != "" {
		return true
	}
	for _, err := range []error{err, emailErr, notesErr} {
		require.NotContains(t, err.Error(), "canary")
	}
	// What is kept and written again is an envelope in form, never plaintext
	// that isn't.
	if i%8 == 3 || i%8 == 7 {
		return false
	}
	_, emailErr = c.Email.Value()
	_, notesErr = c.Notes.Value()
	return emailErr == nil || notesErr == nil
}

// passedOnWrite reports whether a value became writable although the key
// service failed.
func passedOnWrite(t *testing.T, values *fieldcrypt.Records[strictContact], plains *fieldcrypt.Records[plainContact], i int) bool {
	t.Helper()
	content := string(plaintexts(i &^ 7)) // UTF-8
	c := strictContact{ID: int64(i + 1), Tenant: "acme", Email: fieldcrypt.Of(content), Notes: fieldcrypt.Of([]byte(content))}
	if err := values.Encrypt(t.Context(), &c); err == nil {
		return true
	} else if !errors.Is(err, kmsprovider.ErrUnavailable) || strings.Contains(err.Error(), "canary") {
		t.Fatalf("value %d: %v", i, err)
	}
	_, emailErr := c.Email.Value()
	_, notesErr := c.Notes.Value()
	columns, err := plains.EncryptColumns(t.Context(), &plainContact{ID: int64(i + 1), Tenant: "acme", Email: content})
	return emailErr == nil || notesErr == nil || err == nil || len(columns) > 0
}

// writtenElsewhere is passedOnWrite for maps and documents, and for plaintext
// that was read in migrating mode and can't be sealed.
func writtenElsewhere(t *testing.T, h strictHandles, i int) bool {
	t.Helper()
	content := string(plaintexts(i &^ 7))
	c := endedContact{ID: int64(i + 1), Tenant: "acme", Email: fieldcrypt.Of(content), Custom: fieldcrypt.Fields{"x": fieldcrypt.Of(content)}}
	err := h.ended.Encrypt(t.Context(), &c)
	_, emailErr := c.Email.Value()
	_, customErr := c.Custom.Value()
	if !errors.Is(err, kmsprovider.ErrUnavailable) || emailErr == nil || customErr == nil {
		return true
	}
	for _, m := range h.maps {
		record := map[string]any{"id": i + 1, "tenant": "acme", "email": fieldcrypt.Of(content), "doc": map[string]any{"note": fieldcrypt.Of(content)}}
		err := m.Encrypt(t.Context(), record)
		_, emailErr := record["email"].(fieldcrypt.String).Value()
		_, sealed := record["doc"].(fieldcrypt.Document)
		if !errors.Is(err, kmsprovider.ErrUnavailable) || emailErr == nil || sealed {
			return true
		}
	}
	return false
}

// migratingLets counts the contents that fields in migrating mode take, as
// values and as members of documents.
func migratingLets(t *testing.T, crypt *fieldcrypt.Crypt, tries int) (let int) {
	t.Helper()
	tomorrow := time.Now().AddDate(0, 0, 2).Format(time.DateOnly)
	m, err := fieldcrypt.ForMaps(crypt, schema(t, fmt.Sprintf(`{"version":1,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[
	  {"name":"email","type":"string","migrating_until":%[1]q},{"name":"note","type":"string","path":"doc.note","migrating_until":%[1]q}]}]}`, tomorrow)), "Contacts")
	require.NoError(t, err)
	for i := range tries {
		member, err := json.Marshal(string(plaintexts(i)))
		require.NoError(t, err)
		record := map[string]any{"id": i + 1, "tenant": "acme", "email": plaintexts(i), "doc": `{"note":` + string(member) + `}`}
		_ = m.Decrypt(t.Context(), record)
		if email, err := record["email"].(fieldcrypt.String).Plain(); err == nil && strings.Contains(email, "canary") {
			let++
		}
		if doc, err := record["doc"].(fieldcrypt.Document).Plain(); err == nil && strings.Contains(string(doc), "canary") {
			let++
		}
	}
	return let
}

// A careless reader takes for the value what doesn't open, and a careless
// writer writes what can't be sealed.
func careless(t *testing.T, crypt *fieldcrypt.Crypt, content []byte) (read, written bool) {
	t.Helper()
	values := records[strictContact](t, crypt)
	c := strictContact{ID: 1, Tenant: "acme"}
	require.NoError(t, c.Email.Scan(content))
	got := string(content)
	if err := values.Decrypt(t.Context(), &c); err == nil {
		got, err = c.Email.Plain()
		require.NoError(t, err)
	}
	c.Email.Set(string(plaintexts(0)))
	out := string(plaintexts(0))
	if err := values.Encrypt(t.Context(), &c); err == nil {
		sealed, err := c.Email.Value()
		require.NoError(t, err)
		out = string(sealed.([]byte))
	}
	return strings.Contains(got, "canary"), strings.Contains(out, "canary")
}

func TestScoreboardS15(t *testing.T) {
	n := scoreboard.Count(20_000, 1_000_000)
	crypt, err := fieldcrypt.New(downProvider{}, fieldcrypt.RootKeys{Seal: "made-up://root"}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, crypt.Close()) })
	h := strictOf(t, crypt)

	passed, controls := 0, 0
	for i := range n / 3 {
		if passedOnRead(t, h.values, h.plains, i, plaintexts(i)) {
			passed++
		}
		if passedElsewhere(t, h, i, plaintexts(i)) {
			passed++
		}
		if passedOnWrite(t, h.values, h.plains, i) || writtenElsewhere(t, h, i) {
			passed++
		}
	}
	const tries = 100
	for i := range tries {
		read, written := careless(t, crypt, plaintexts(i))
		if read {
			controls++
		}
		if written {
			controls++
		}
	}
	// The other control: in migrating mode the same contents are let through, but
	// for those that begin like an envelope.
	let := migratingLets(t, crypt, tries)
	scoreboard.Row(t, "S15", passed == 0 && let > 0, fmt.Sprintf("%d of %d", passed, n/3*3), "0 of 1000000",
		fmt.Sprintf("%d of %d where what fails is passed through; %d of %d in migrating mode", controls, 2*tries, let, 2*tries))
}
