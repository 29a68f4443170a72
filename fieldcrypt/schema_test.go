package fieldcrypt_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

// of returns a schema with one module of which a test changes a part.
func of(module, fields string) string {
	return `{"version":1,"modules":[{"name":"M","tenant":"tenant",` + module + `"fields":[` + fields + `]}]}`
}

func TestSchemaRefuses(t *testing.T) {
	const id, email = `"id":["id"],`, `{"name":"email","type":"string"}`
	for text, says := range map[string]string{
		``:                          "fieldcrypt: read a schema: EOF",
		`[]`:                        "cannot unmarshal array",
		of(id, email) + `{}`:        "there is more behind it",
		`{"modules":[]}`:            "its version is 0",
		`{"version":1,"moduls":[]}`: `unknown field "moduls"`,
		of(id, `{"name":"email","type":"string","colum":"x"}`): `unknown field "colum"`,
		of(id, ``):                                                                     `module "M": it has no fields`,
		of(``, email):                                                                  "no member is the record's ID",
		of(id+`"unbound":true,`, email):                                                "it is unbound and names an ID",
		of(`"id":["id","id"],`, email):                                                 `the member "id" of the ID is empty or comes twice`,
		of(`"id":["tenant"],`, email):                                                  `the member "tenant" is the ID and the tenant`,
		of(id, `{"name":"email","type":"varchar"}`):                                    `unknown type "varchar": there are bool, bytes, date, decimal, float64, int64, json, string, time, uint64`,
		of(id, `{"name":"e mail","type":"string"}`):                                    `has ' ' in it`,
		of(id, `{"name":"","type":"string"}`):                                          "the field has no name",
		of(id, `{"name":"custom.*","type":"string"}`):                                  "a schema names each field",
		of(id, `{"name":"email,text","type":"string"}`):                                `its options aren't in the form of a tag's`,
		of(id, `{"name":"email","type":"string","class":"a,text"}`):                    `its options aren't in the form of a tag's`,
		of(id, `{"name":"email","type":"string","pad":1}`):                             "option pad=1",
		of(id, `{"name":"email","type":"string","pad":-1}`):                            "option pad=-1",
		of(id, `{"name":"email","type":"string","pad":16,"buckets":[16]}`):             "padding is one or the other",
		of(id, `{"name":"email","type":"string","buckets":[]}`):                        "there are no sizes in it",
		of(id, `{"name":"email","type":"string","buckets":[1]}`):                       "buckets: option pad=1",
		of(id, `{"name":"email","type":"string","buckets":[16,-64]}`):                  "buckets: option pad=-64",
		of(id, `{"name":"email","type":"string","buckets":[64,16]}`):                   "its sizes must ascend",
		of(id, `{"name":"email","type":"string","buckets":[2,3,4,5,6,7,8,9,10]}`):      "the limit is 8",
		of(id, `{"name":"email","type":"string","buckets":"16/64"}`):                   "cannot unmarshal string",
		of(id, `{"name":"email","type":"string","buckets":[16,64.5]}`):                 "cannot unmarshal number",
		of(id, `{"name":"email","type":"string","migrating_until":"2027-6-30"}`):       `migrating_until="2027-6-30": it must be a day in the form YYYY-MM-DD`,
		of(id, `{"name":"email","type":"string","migrating_until":"2027-02-29"}`):      "it must be a day",
		of(id, `{"name":"email","type":"string","migrating_until":"+12027-01-01"}`):    "it must be a day",
		of(id, `{"name":"email","type":"string","migrating_until":"2027-06-30T00Z"}`):  "it must be a day",
		of(id, `{"name":"email","type":"string","migrating_until":true}`):              "cannot unmarshal bool",
		of(id, `{"name":"email","type":"string","migrating":true}`):                    `unknown field "migrating"`,
		of(id, `{"name":"email","type":"string","max":-1}`):                            "option max=-1",
		of(id, `{"name":"n","type":"int64","max":8}`):                                  "a int64 always takes 8 bytes",
		of(id, `{"name":"email","type":"string","column":"e-mail"}`):                   `the column name "e-mail" must be of ASCII letters`,
		of(id, `{"name":"a","type":"string","path":"a.b","column":"a"}`):               "it is inside a document",
		of(id, `{"name":"email","type":"string","path":"id"}`):                         "its value is where the ID is",
		of(id, `{"name":"email","type":"string","path":"tenant"}`):                     "its value is where the tenant is",
		of(id, email+`,`+email):                                                        `leads to what belongs to field "email"`,
		of(id, `{"name":"a","type":"json"},{"name":"b","type":"string","path":"a.b"}`): `its path a.b leads to what belongs to field "a", or into it`,
		of(id, `{"name":"a","type":"string","path":"x"},{"name":"a","type":"string"}`): "another field has that name",
		of(id, `{"name":"a","type":"string","path":""}`):                               "",
		of(id, `{"name":"a","type":"string","path":"a..b"}`):                           `path "a..b": a member has no name`,
		of(id, `{"name":"a","type":"string","path":"a[0]"}`):                           `path "a[0]": there is something between a member and the next dot`,
		of(id, `{"name":"a","type":"string","path":"[*]"}`):                            "a member has no name",
		of(id, `{"name":"a","type":"string","path":"\"a"}`):                            "a quote isn't closed",
		of(id, `{"name":"a","type":"string","path":"`+strings.Repeat("a.", 16)+`a"}`):  "it is more than 16 steps",
		`{"version":1,"modules":[{"name":"M","id":["id"],"fields":[` + email + `]},{"name":"M","id":["id"],"fields":[` + email + `]}]}`: `the module "M" comes twice`,
		of(id, email): "",
		of(id, `{"name":"email","type":"string","buckets":[16,64,256]}`):                                              "",
		of(id, `{"name":"email","type":"string","migrating_until":"2027-06-30"}`):                                     "",
		of(id, `{"name":"n","type":"int64","migrating_until":"2028-02-29","text":true}`):                              "",
		of(`"unbound":true,`, `{"name":"a.b","type":"string"},{"name":"c","type":"string","path":"\"x y\".z[*][*]"}`): "",
	} {
		s, err := fieldcrypt.ParseSchema([]byte(text))
		if says == "" {
			require.NoError(t, err, text)
			again, err := json.Marshal(s)
			require.NoError(t, err)
			_, err = fieldcrypt.ParseSchema(again)
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, says, text)
		require.Nil(t, s)
	}
}

// schema.json and the Go types have the same members.
func TestSchemaIsPublished(t *testing.T) {
	text, err := os.ReadFile("schema.json")
	require.NoError(t, err)
	var published struct {
		Properties map[string]any
		Defs       map[string]struct {
			Properties           map[string]any
			AdditionalProperties *bool
			Required             []string
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(text, &published))
	members := func(t reflect.Type) (names []string) {
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
		return names
	}
	keys := func(m map[string]any) (names []string) {
		for name := range m {
			names = append(names, name)
		}
		return names
	}
	require.ElementsMatch(t, append(members(reflect.TypeFor[fieldcrypt.Schema]()), "$schema"), append(keys(published.Properties), "$schema"))
	for name, typ := range map[string]reflect.Type{"module": reflect.TypeFor[fieldcrypt.Module](), "field": reflect.TypeFor[fieldcrypt.SchemaField](), "index": reflect.TypeFor[fieldcrypt.SchemaIndex]()} {
		def := published.Defs[name]
		require.ElementsMatch(t, members(typ), keys(def.Properties), name)
		require.NotNil(t, def.AdditionalProperties)
		require.False(t, *def.AdditionalProperties)
	}
}

func TestSchemaDiff(t *testing.T) {
	old := schema(t, `{"version":1,"modules":[
	  {"name":"A","id":["id"],"tenant":"t","fields":[
	    {"name":"same","type":"string"},{"name":"type","type":"string"},{"name":"class","type":"string"},{"name":"gone","type":"string"},
	    {"name":"path","type":"string"},{"name":"text","type":"string"},{"name":"pad","type":"string","pad":16},
	    {"name":"up","type":"string","max":10},{"name":"begin","type":"string"},{"name":"end","type":"string","migrating_until":"2026-12-31"},{"name":"sooner","type":"string","migrating_until":"2026-12-31"},{"name":"later","type":"string","migrating_until":"2026-12-31"},{"name":"down","type":"string","max":10},{"name":"needed","type":"string"}]},
	  {"name":"B","id":["id"],"fields":[{"name":"x","type":"string"}]},
	  {"name":"C","id":["id"],"tenant":"t","class":"crm","fields":[{"name":"x","type":"string"}]}]}`)
	next := schema(t, `{"version":2,"modules":[
	  {"name":"A","id":["id"],"tenant":"t","fields":[
	    {"name":"same","type":"string"},{"name":"type","type":"bytes"},{"name":"class","type":"string","class":"billing"},{"name":"new","type":"string"},
	    {"name":"path","type":"string","path":"elsewhere"},{"name":"text","type":"string","text":true},{"name":"pad","type":"string","pad":32},
	    {"name":"up","type":"string","max":20},{"name":"begin","type":"string","migrating_until":"2026-12-31"},{"name":"end","type":"string"},{"name":"sooner","type":"string","migrating_until":"2026-06-30"},{"name":"later","type":"string","migrating_until":"2027-01-01"},{"name":"fresh","type":"string","migrating_until":"2027-01-01"},{"name":"down","type":"string","max":5},{"name":"needed","type":"string","required":true}]},
	  {"name":"C","unbound":true,"tenant":"owner","fields":[{"name":"x","type":"string","class":"crm"}]},
	  {"name":"D","id":["id"],"fields":[{"name":"x","type":"string"}]}]}`)
	var got []string
	for _, c := range old.Diff(next) {
		text, _, _ := strings.Cut(c.String(), ": "+c.Effect.String())
		got = append(got, text+": "+c.Effect.String())
		require.True(t, c.Effect == fieldcrypt.Safe || c.Do != "", "it says what to do: %s", c)
	}
	require.Equal(t, []string{
		"A.type: the type is bytes, was string: refused",
		"A.class: the class is billing, was default: needs a sweep",
		"A.new: the field is new: needs a sweep",
		"A.path: it is at elsewhere, was at path: safe",
		"A.text: the form in the column is another: safe",
		"A.pad: the padding is multiples of 32, was multiples of 16: safe",
		"A.up: at most 20 bytes, was 10 bytes: safe",
		"A.begin: plaintext is taken until 2026-12-31, was never: needs a sweep",
		"A.end: plaintext isn't taken any more, was until 2026-12-31: needs a sweep",
		"A.sooner: plaintext is taken until 2026-06-30, was until 2026-12-31: needs a sweep",
		"A.later: plaintext is taken until 2027-01-01, was until 2026-12-31: safe",
		"A.fresh: the field is new, and takes plaintext until 2027-01-01: needs a sweep",
		"A.down: at most 5 bytes, was 10 bytes: safe",
		"A.needed: it is required: safe",
		"A.gone: the field is gone: needs a sweep",
		"C: the ID is unbound, was id: needs a sweep",
		`C: the tenant is in "owner", was in "t": safe`,
		"D: the module is new: safe",
		"B: the module is gone: needs a sweep",
	}, got)
	// A name with dots is one member, and the path of that text leads further in.
	flat, nested := schema(t, of(`"id":["id"],`, `{"name":"a.b","type":"string"}`)), schema(t, of(`"id":["id"],`, `{"name":"a.b","type":"string","path":"a.b"}`))
	nested.Version = 2
	require.Len(t, flat.Diff(nested), 1)
	require.Contains(t, flat.Diff(nested)[0].String(), `it is at a.b, was at "a.b"`)

	require.Empty(t, old.Diff(&fieldcrypt.Schema{Version: 2, Modules: old.Modules}))
	require.Equal(t, "version 1 follows version 1: refused: give each schema a greater version than the one before", old.Diff(old)[0].String())
}

// Two services with the schema before and after a field was added: nothing
// goes wrong without an error.
func TestSchemaOfTwoVersions(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	before, err := fieldcrypt.ForMaps(crypt, schema(t, of(`"id":["id"],`, `{"name":"email","type":"string"}`)), "M")
	require.NoError(t, err)
	after, err := fieldcrypt.ForMaps(crypt, schema(t, of(`"id":["id"],`, `{"name":"email","type":"string"},{"name":"phone","type":"string"}`)), "M")
	require.NoError(t, err)
	record := func() map[string]any {
		return map[string]any{"id": 1, "tenant": "acme", "email": "ada@example.com", "phone": "+44 20 7946 0001"}
	}
	old, fresh := record(), record()
	require.NoError(t, before.Encrypt(t.Context(), old))
	require.NoError(t, after.Encrypt(t.Context(), fresh))

	require.NoError(t, before.Decrypt(t.Context(), fresh))
	require.Equal(t, "ada@example.com", plainOf(t, fresh["email"]))
	row := stored(t, old)
	err = after.Decrypt(t.Context(), row)
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope, "what the old service writes in the clear is an error to the new one")
	require.Equal(t, "ada@example.com", plainOf(t, row["email"]))
}
