package fieldcrypt_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

type (
	bucketed struct {
		ID    int64             `fieldcrypt:"id"`
		Note  fieldcrypt.String `fieldcrypt:"Pad.note,pad=16/64/256,max=600"`
		Paid  fieldcrypt.Bool   `fieldcrypt:"Pad.paid,pad=16/64"`
		Plain fieldcrypt.String `fieldcrypt:"Pad.plain,max=600"`
		Map   fieldcrypt.Fields `fieldcrypt:"Pad.custom.*,pad=16/64/256"`
	}
	bucketedColumns struct {
		ID   int64  `fieldcrypt:"id"`
		Note string `fieldcrypt:"Pad.note,pad=16/64/256"`
	}
)

// frameOf returns the size of the frame in a stored envelope by reference.
func frameOf(t *testing.T, stored any) int {
	t.Helper()
	env, binary := stored.([]byte)
	if !binary {
		var err error
		env, err = envelope.DecodeText(stored.(string))
		require.NoError(t, err)
	}
	return len(env) - (envelope.ReferenceOverhead - 1)
}

// Values of all lengths have the sizes of the buckets, whichever call stores
// them, and open as they were. Without padding there is a size for each length.
func TestBucketsAreTheSizesStored(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	values := records[bucketed](t, crypt).ForTenant("acme")
	columns := records[bucketedColumns](t, crypt).ForTenant("acme")
	m, err := fieldcrypt.ForMaps(crypt, schema(t, `{"version":1,"modules":[{"name":"Pad","id":["id"],"fields":[
	  {"name":"note","type":"string","buckets":[16,64,256]}]}]}`), "Pad")
	require.NoError(t, err)
	ofMaps := m.ForTenant("acme")

	sizes := map[string]map[int]bool{}
	saw := func(what string, size int) {
		if sizes[what] == nil {
			sizes[what] = map[int]bool{}
		}
		sizes[what][size] = true
	}
	want := func(content int) int {
		for _, bucket := range []int{16, 64, 256, 512, 768} {
			if 1+content < bucket { // a byte of type, and at least one of padding
				return bucket
			}
		}
		return 0
	}
	for n := range 601 {
		content := strings.Repeat("n", n)
		v := bucketed{
			ID: 1, Note: fieldcrypt.Of(content), Paid: fieldcrypt.Of(n%2 == 0), Plain: fieldcrypt.Of(content),
			Map: fieldcrypt.Fields{"x": fieldcrypt.Of(content)},
		}
		require.NoError(t, values.Encrypt(t.Context(), &v))
		stored := envelopeOf(t, v.Note)
		require.Equal(t, want(n), frameOf(t, stored), "%d bytes", n)
		saw("values", frameOf(t, stored))
		saw("bool", frameOf(t, envelopeOf(t, v.Paid)))
		saw("not padded", frameOf(t, envelopeOf(t, v.Plain)))
		saw("custom fields", frameOf(t, envelopeOf(t, v.Map["x"])))

		read := bucketed{ID: 1}
		require.NoError(t, read.Note.Scan(stored))
		require.NoError(t, values.Decrypt(t.Context(), &read))
		got, err := read.Note.Plain()
		require.NoError(t, err)
		require.Equal(t, content, got)

		out, err := columns.EncryptColumns(t.Context(), &bucketedColumns{ID: 1, Note: content})
		require.NoError(t, err)
		saw("columns", frameOf(t, out["Pad.note"]))
		record := map[string]any{"id": 1, "note": content}
		require.NoError(t, ofMaps.Encrypt(t.Context(), record))
		saw("maps", frameOf(t, envelopeOf(t, record["note"].(fieldcrypt.String))))
	}
	for _, what := range []string{"values", "custom fields", "columns", "maps"} {
		require.Equal(t, []int{16, 64, 256, 512, 768}, slices.Sorted(maps.Keys(sizes[what])), what)
	}
	require.Equal(t, []int{16}, slices.Sorted(maps.Keys(sizes["bool"])))
	require.Len(t, sizes["not padded"], 601, "the control shows each length")
}

// DDL's sizes are those of the longest value, and its checks begin at those of
// the shortest one.
func TestBucketsInDDL(t *testing.T) {
	r := records[bucketed](t, fieldcrypttest.NewWithStore(t))
	columns, err := r.ColumnDefs(fieldcrypt.Postgres)
	require.NoError(t, err)
	overhead := envelope.ReferenceOverhead - 1
	for i, sizes := range [][2]int{{16, 768}, {16, 16}, {1, 601}} {
		require.Equal(t, overhead+sizes[1], columns[i].Size, columns[i].Field)
		require.Contains(t, columns[i].Check, fmt.Sprintf("BETWEEN %d AND %d", overhead+sizes[0], overhead+sizes[1]), columns[i].Field)
	}
}

// What was padded in one way opens in a schema that pads in another.
func TestPaddingCanChange(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	of := func(version int, padding string) *fieldcrypt.Schema {
		return schema(t, fmt.Sprintf(`{"version":%d,"modules":[{"name":"Pad","id":["id"],"tenant":"t","fields":[{"name":"note","type":"string"%s}]}]}`, version, padding))
	}
	schemas := []*fieldcrypt.Schema{
		of(1, ""), of(2, `,"pad":16`), of(3, `,"buckets":[16]`), of(4, `,"buckets":[16,64]`), of(5, `,"pad":1024`), of(6, ""),
	}
	for _, writes := range schemas {
		writer, err := fieldcrypt.ForMaps(crypt, writes, "Pad")
		require.NoError(t, err)
		record := map[string]any{"id": 1, "t": "acme", "note": "a made-up note"}
		require.NoError(t, writer.Encrypt(t.Context(), record))
		for _, reads := range schemas {
			reader, err := fieldcrypt.ForMaps(crypt, reads, "Pad")
			require.NoError(t, err)
			row := stored(t, record)
			require.NoError(t, reader.Decrypt(t.Context(), row))
			require.Equal(t, "a made-up note", plainOf(t, row["note"]))
		}
	}
	var changes []string
	for i := range schemas[1:] {
		for _, c := range schemas[i].Diff(schemas[i+1]) {
			require.Equal(t, fieldcrypt.Safe, c.Effect)
			require.Contains(t, c.Do, "sweep")
			changes = append(changes, c.What)
		}
	}
	require.Equal(t, []string{
		"the padding is multiples of 16, was none",
		"the padding is 16/64, was multiples of 16", // one bucket is padding to its multiples
		"the padding is multiples of 1024, was 16/64",
		"the padding is none, was multiples of 1024",
	}, changes)
}
