package fieldcrypt_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

const indexedSchema = `{"version":1,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[
	{"name":"email","type":"string"},{"name":"phone","type":"string"},{"name":"code","type":"string","path":"address.code"}],
  "indexes":[{"column":"email_tag","of":["email"],"normalise":["email.v1"],"bits":40},
    {"column":"both","of":["email","phone"],"normalise":["email.v1","trim.v1"],"bits":40},
    {"column":"area","of":["code"],"normalise":["trim.v1"],"bits":40}]}]}`

// A record that has some of its members only is what an UPDATE of these is made
// of: the indexes of the others stay as they are.
func TestPartialMapsLeaveOtherIndexesAlone(t *testing.T) {
	m, err := fieldcrypt.ForMaps(fieldcrypttest.NewWithStore(t), schema(t, indexedSchema), "Contacts")
	require.NoError(t, err)
	part := map[string]any{"id": 1, "tenant": "acme", "address": map[string]any{"street": "1 Example Road"}}
	require.NoError(t, m.Encrypt(t.Context(), part))
	require.NotContains(t, part, "email_tag")
	require.NotContains(t, part, "both")
	require.True(t, part["area"].(fieldcrypt.BlindIndex).IsNull(), "the document is written, and has no code")
	half := map[string]any{"id": 1, "tenant": "acme", "email": "ada@example.com"}
	require.ErrorContains(t, m.Encrypt(t.Context(), half), "the record has some of the index's fields (Contacts.email+Contacts.phone) and not all")
	whole := map[string]any{"id": 1, "tenant": "acme", "email": "ada@example.com", "phone": nil}
	require.NoError(t, m.Encrypt(t.Context(), whole))
	require.False(t, whole["email_tag"].(fieldcrypt.BlindIndex).IsNull())
	require.True(t, whole["both"].(fieldcrypt.BlindIndex).IsNull())
}

// A row whose tenant wasn't read isn't taken for another tenant's.
func TestSearchOfRowsWithoutATenant(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	m, err := fieldcrypt.ForMaps(crypt, schema(t, indexedSchema), "Contacts")
	require.NoError(t, err)
	s, err := m.Search("email_tag")
	require.NoError(t, err)
	q, err := s.Query(t.Context(), "acme", "ada@example.com")
	require.NoError(t, err)
	for says, row := range map[string]map[string]any{
		"its tenant field is empty": {"id": 1},
		"it must be a string":       {"id": 1, "tenant": []byte("acme")},
	} {
		_, err := q.Open(t.Context(), []map[string]any{row})
		require.ErrorContains(t, err, "row 0: its tenant")
		require.ErrorContains(t, err, says)
		require.False(t, q.Matches(&row))
	}
	r := people(t, crypt)
	byEmail, err := r.Search("email_tag")
	require.NoError(t, err)
	pq, err := byEmail.Query(t.Context(), "acme", "ada@example.com")
	require.NoError(t, err)
	_, err = pq.Open(t.Context(), []person{{ID: 1}})
	require.ErrorContains(t, err, "row 0: its tenant field is empty")
}

// A struct that is used for one row after another keeps no tag of the row before.
func TestIndexOfAReusedStruct(t *testing.T) {
	r := people(t, fieldcrypttest.NewWithStore(t))
	one, two := newPerson(1, "ada@example.com", "A", "1"), newPerson(2, "grace@example.com", "B", "2")
	require.NoError(t, r.Encrypt(t.Context(), &one, &two))
	env, err := two.Email.Value()
	require.NoError(t, err)
	broken := bytes.Clone(env.([]byte))
	broken[len(broken)-1] ^= 1
	one.ID = 2
	for _, v := range []*fieldcrypt.String{&one.LastName, &one.Phone, &one.Login} {
		v.SetNull()
	}
	one.Born.SetNull()
	require.NoError(t, one.Email.Scan(broken)) // the index's column isn't read
	require.Error(t, r.Decrypt(t.Context(), &one))
	require.NoError(t, r.Encrypt(t.Context(), &one))
	_, err = one.EmailTag.Value()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)
}

func TestSearchTakesNoSQLFromASchema(t *testing.T) {
	s := schema(t, "{\"version\":1,\"modules\":[{\"name\":\"C\",\"id\":[\"id\"],\"tenant\":\"t\",\"fields\":[{\"name\":\"x\",\"type\":\"string\",\"deterministic\":true,\"path\":\"\\\"x` OR 1=1 OR `id\\\"\"}]}]}")
	m, err := fieldcrypt.ForMaps(fieldcrypttest.NewWithStore(t), s, "C")
	require.NoError(t, err)
	_, err = m.Search("C.x")
	require.ErrorContains(t, err, "must be of ASCII letters, digits and underscores")

	r := people(t, fieldcrypttest.NewWithStore(t))
	byEmail, err := r.Search("email_tag")
	require.NoError(t, err)
	q, err := byEmail.Query(t.Context(), "acme", "ada@example.com")
	require.NoError(t, err)
	require.Contains(t, q.Where(0, 1), "unknown dialect 0")
}

// What JSON would be read as another text, or lose a member, is refused.
func TestDocumentsThatWouldChange(t *testing.T) {
	m, err := fieldcrypt.ForMaps(fieldcrypttest.NewWithStore(t), schema(t, indexedSchema), "Contacts")
	require.NoError(t, err)
	for name, text := range map[string]string{
		"half a pair":               `{"street":"a\ud83dz","code":"1"}`,
		"second half":               `{"street":"\udc00"}`,
		"two first halves":          `{"street":"\ud83d\ud83d"}`,
		"not UTF-8":                 "{\"street\":\"a\xe9z\"}",
		"a member twice":            `{"code":"1","code":"2"}`,
		"a member twice, deep":      `{"a":[{"b":1,"b":2}]}`,
		"half a pair in a name":     `{"\uDBFF":1}`,
		"an escape before the half": `{"street":"\\\ud83d"}`,
	} {
		record := map[string]any{"id": 1, "tenant": "acme", "address": text}
		require.Error(t, m.Encrypt(t.Context(), record), name)
		require.Equal(t, text, record["address"], name)
		var d fieldcrypt.Document
		require.NoError(t, d.Scan(text))
		_, err := d.Tree()
		require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope, name)
	}
	for _, text := range []string{`{"street":"\ud83d\ude00 \\ud83d \\\\ud83d A é"}`, `{"a":{"b":1},"c":{"b":1}}`} {
		record := map[string]any{"id": 1, "tenant": "acme", "address": text}
		require.NoError(t, m.Encrypt(t.Context(), record), text)
	}
}

func TestLongColumnsHaveChecksOfTheirOwn(t *testing.T) {
	long := strings.Repeat("c", 62)
	text := fmt.Sprintf(`{"version":1,"modules":[{"name":"C","id":["id"],"tenant":"t","fields":[{"name":"a","type":"string","path":"%[1]sa"},{"name":"b","type":"string","path":"%[1]sb"}]}]}`, long)
	m, err := fieldcrypt.ForMaps(fieldcrypttest.NewWithStore(t), schema(t, text), "C")
	require.NoError(t, err)
	columns, err := m.ColumnDefs(fieldcrypt.Postgres)
	require.NoError(t, err)
	require.NotEqual(t, columns[0].CheckName(), columns[1].CheckName())
	require.LessOrEqual(t, len(columns[0].CheckName()), 63)
	_, err = columns[0].IndexDDL("contacts")
	require.ErrorContains(t, err, "isn't that of a blind index")
}
