package fieldcrypt_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

const flagsSchema = `{"version":1,"modules":[{"name":"Flags","id":["id"],"tenant":"tenant","fields":[
	{"name":"vip","type":"bool","deterministic":true},
	{"name":"token","type":"bytes"},
	{"name":"code","type":"string","path":"more.code","deterministic":true},
	{"name":"codes","type":"string","path":"more.codes[*]","deterministic":true}],
  "indexes":[{"column":"token_tag","of":["token"],"normalise":["none.v1"],"bits":40}]}]}`

// A deterministic bool is looked for by its envelopes, and bytes by their tags,
// UTF-8 or not.
func TestMapsSearchBoolsAndBytes(t *testing.T) {
	m, err := fieldcrypt.ForMaps(fieldcrypttest.NewWithStore(t), schema(t, flagsSchema), "Flags")
	require.NoError(t, err)
	tokens := [][]byte{{0xFF, 0}, {0xFF, 1}, []byte("text"), {}}
	var rows []map[string]any
	for i := range 8 {
		row := map[string]any{"id": i + 1, "tenant": "acme", "vip": i%2 == 0, "token": tokens[i%4], "more": map[string]any{"code": "a"}}
		require.NoError(t, m.Encrypt(t.Context(), row))
		rows = append(rows, stored(t, row))
	}
	for _, test := range []struct {
		name, what string
		value      any
		want       []any
	}{
		{"true", "Flags.vip", true, []any{1, 3, 5, 7}},
		{"false", "Flags.vip", false, []any{2, 4, 6, 8}},
		{"not UTF-8", "Flags.token", []byte{0xFF, 0}, []any{1, 5}},
		{"UTF-8", "token_tag", []byte("text"), []any{3, 7}},
		{"another", "Flags.token", []byte{0xFF, 2}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			by, err := m.Search(test.what)
			require.NoError(t, err)
			q, err := by.Query(t.Context(), "acme", test.value)
			require.NoError(t, err)
			require.NotEmpty(t, q.Args())
			found, err := q.Open(t.Context(), rows)
			require.NoError(t, err)
			var ids []any
			for _, row := range found {
				ids = append(ids, row["id"])
			}
			require.Equal(t, test.want, ids)
		})
	}
	byToken, err := m.Search("Flags.token")
	require.NoError(t, err)
	for name, value := range map[string]any{"empty": []byte{}, "longer than any is indexed": make([]byte, 1<<24-1)} {
		_, err = byToken.Query(t.Context(), "acme", value)
		require.ErrorIs(t, err, fieldcrypt.ErrNotIndexed, name)
	}
	byVIP, err := m.Search("Flags.vip")
	require.NoError(t, err)
	for _, value := range []any{"maybe", 1, nil} {
		_, err = byVIP.Query(t.Context(), "acme", value)
		require.ErrorContains(t, err, "Flags.vip is a bool")
	}
}

// A column of a document can't be compared with an envelope that is inside.
func TestMapsSearchRefusesFieldsInDocuments(t *testing.T) {
	m, err := fieldcrypt.ForMaps(fieldcrypttest.NewWithStore(t), schema(t, flagsSchema), "Flags")
	require.NoError(t, err)
	for _, field := range []string{"Flags.code", "Flags.codes"} {
		_, err := m.Search(field)
		require.ErrorContains(t, err, "the field is inside a document, and so has no column that could be asked for its envelopes: add a blind index of it, or give it a column")
	}
}
