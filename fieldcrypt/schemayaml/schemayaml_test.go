package schemayaml

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

const good = `# A schema.
version: 3
modules:
  - name: Contacts
    id: [id]
    tenant: tenant
    class: crm
    fields:
      - name: email
        type: string
        max: 320
        required: true
      - {name: "no", type: 'bool'}
      - name: address.street
        type: string
        path: address.street
        pad: 16
  - name: Leads
    unbound: true
    fields:
    - {name: notes, type: json, text: true, class: notes, column: notes_sealed}
`

const goodJSON = `{"version":3,"modules":[
 {"name":"Contacts","id":["id"],"tenant":"tenant","class":"crm","fields":[
  {"name":"email","type":"string","max":320,"required":true},
  {"name":"no","type":"bool"},
  {"name":"address.street","type":"string","path":"address.street","pad":16}]},
 {"name":"Leads","unbound":true,"fields":[{"name":"notes","type":"json","text":true,"class":"notes","column":"notes_sealed"}]}]}`

func TestSameAsJSON(t *testing.T) {
	want, err := fieldcrypt.ParseSchema([]byte(goodJSON))
	require.NoError(t, err)
	// JSON is YAML, too; and what yaml.Marshal writes of it.
	var tree any
	require.NoError(t, json.Unmarshal([]byte(goodJSON), &tree))
	written, err := yaml.Marshal(tree)
	require.NoError(t, err)
	for name, text := range map[string]string{
		"blocks": good, "JSON": goodJSON, "indented JSON": strings.ReplaceAll(goodJSON, ",", ",\n  "),
		"CRLF": strings.ReplaceAll(good, "\n", "\r\n"), "with markers": "%YAML 1.1\n---\n" + good + "...\n",
		"byte-order mark": "\uFEFF" + good,
		"written":         string(written),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(text))
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

// The JSON of the library's own tests, where it is accepted, reads the same.
func TestJSONExamples(t *testing.T) {
	files, err := os.ReadDir("../testdata/fuzz/FuzzSchema")
	texts := []string{goodJSON}
	if err == nil {
		for _, f := range files {
			text, err := os.ReadFile("../testdata/fuzz/FuzzSchema/" + f.Name())
			require.NoError(t, err)
			texts = append(texts, string(text))
		}
	}
	for _, kind := range []string{"string", "bytes", "int64", "uint64", "float64", "bool", "time", "date", "decimal", "json"} {
		texts = append(texts, fmt.Sprintf(`{"version":1,"modules":[{"name":"M","id":["a","b"],"fields":[{"name":"f","type":%q,"path":"x[*].\"a.b\""}]}]}`, kind))
	}
	same := 0
	for _, text := range texts {
		want, err := fieldcrypt.ParseSchema([]byte(text))
		if err != nil {
			continue
		}
		got, err := Parse([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got)
		same++
	}
	require.Greater(t, same, 10)
}

func TestRefused(t *testing.T) {
	change := func(old, text string) string {
		if strings.Count(good, old) != 1 {
			panic(old)
		}
		return strings.Replace(good, old, text, 1)
	}
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", "it holds no document"},
		{"a comment", "# nothing\n", "it holds no document"},
		{"null", "~", "line 1: a member has no value"},
		{"a text", "schema", "line 1: fieldcrypt: read a schema: json: cannot unmarshal string"},
		{"a list", "- version: 1", "line 1: fieldcrypt: read a schema: json: cannot unmarshal array"},
		{"not UTF-8", "version: \xff", "it isn't UTF-8"},
		{"UTF-16", "\xff\xfev\x00:\x00", "it isn't UTF-8"},
		{"too long", strings.Repeat("#\n", MaxBytes), "bytes, the limit is 4194304"},
		{"two documents", good + "---\nversion: 4\n", "line 22: a second document begins"},
		{"an empty second document", good + "---\n", "a second document begins"},
		{"broken behind", good + "---\n[", "yaml: line"},
		{"syntax", "version: 1\nmodules: [\n", "yaml: line 2"},
		{"tab", "version: 1\nmodules:\n\t- name: M\n", "yaml: line 3"},
		{"unknown member", change("required: true", "requird: true"), "line 12: fieldcrypt: read a schema: json: unknown field \"requird\""},
		{"unknown at the top", good + "extra: 1\n", "line 22: fieldcrypt: read a schema: json: unknown field \"extra\""},
		{"twice", change("max: 320", "type: bytes"), "line 11: the member \"type\" comes twice, first in line 10"},
		{"twice in another style", change("max: 320", "\"type\": bytes"), "line 11: the member \"type\" comes twice"},
		{"twice at the top", good + "version: 4\n", "line 22: the member \"version\" comes twice, first in line 2"},
		{"yes", change("required: true", "required: yes"), "line 12: fieldcrypt: read a schema: json: cannot unmarshal string"},
		{"True", change("required: true", "required: True"), "line 12: \"True\": write true or false"},
		{"a text for a number", change("max: 320", "max: '320'"), "line 11: fieldcrypt: read a schema: json: cannot unmarshal string"},
		{"a number for a text", change("name: email", "name: 12"), "line 9: fieldcrypt: read a schema: json: cannot unmarshal number"},
		{"a map for a text", change("name: email", "name: {a: b}"), "line 9: fieldcrypt: read a schema: json: cannot unmarshal object"},
		{"hexadecimal", change("max: 320", "max: 0x140"), "line 11: \"0x140\": write integers in decimal digits"},
		{"octal", change("max: 320", "max: 0320"), "line 11: \"0320\": write integers in decimal digits"},
		{"underscores", change("max: 320", "max: 3_20"), "line 11"},
		{"a plus sign", change("max: 320", "max: +320"), "line 11: \"+320\": write integers"},
		{"a fraction", change("max: 320", "max: 320.0"), "line 11: \"320.0\" is read as float"},
		{"too large", change("max: 320", "max: 99999999999999999999999"), "line 11"},
		{"negative", change("max: 320", "max: -5"), "line 9: fieldcrypt: schema version 3: module \"Contacts\": field \"email\""},
		{"infinite", change("max: 320", "max: .inf"), "line 11: \".inf\" is read as float"},
		{"a date", change("name: email", "name: 2020-01-01"), "line 9: \"2020-01-01\" is read as timestamp"},
		{"no value", change("max: 320", "max:"), "line 11: a member has no value"},
		{"tilde", change("max: 320", "class: ~"), "line 11: a member has no value"},
		{"binary", change("name: email", "name: !!binary aGk="), "line 9: \"aGk=\" is read as binary"},
		{"a tag of its own", change("name: email", "name: !secret email"), "line 9: \"email\" is read as secret"},
		{"a tag of a map", change("- {name: \"no\", type: 'bool'}", "- !x {name: \"no\", type: 'bool'}"), "line 13: the tag \"!x\" isn't taken"},
		{"anchor", change("name: email", "name: &e email"), "line 9: anchors and aliases aren't taken"},
		{"alias", "version: 1\nmodules: [&m {name: M, unbound: true, fields: []}, *m]\n", "line 2: anchors and aliases aren't taken"},
		{"merge", "version: 1\nmodules:\n- <<: {name: M}\n", "line 3: a member's name must be a text"},
		{"a list as a name", "version: 1\n? [a]\n: 1\n", "line 2: a member's name must be a text"},
		{"a number as a name", "version: 1\n12: 1\n", "line 2: a member's name must be a text"},
		{"null as a name", "version: 1\n~: 1\n", "line 2: a member's name must be a text"},
		{"unknown type", change("type: 'bool'", "type: boolean"), "line 13: fieldcrypt: schema version 3: module \"Contacts\": field \"no\": unknown type \"boolean\""},
		{"another module's field", change("type: json", "type: yaml"), "line 21: fieldcrypt: schema version 3: module \"Leads\": field \"notes\""},
		{"no ID", change("    unbound: true\n", ""), "line 18: fieldcrypt: schema version 3: module \"Leads\": no member is the record's ID"},
		{"a module twice", change("name: Leads", "name: Contacts"), "line 18: fieldcrypt: schema version 3: the module \"Contacts\" comes twice"},
		{"a field twice", change("name: \"no\"", "name: email"), "line 13: fieldcrypt: schema version 3: module \"Contacts\": field \"email\""},
		{"no version", change("version: 3\n", ""), "its version is 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse([]byte(c.text))
			require.Nil(t, s)
			require.ErrorContains(t, err, "schemayaml: read a schema: ")
			require.ErrorContains(t, err, c.says)
		})
	}
	_, err := Parse([]byte(good))
	require.NoError(t, err, "control: what was changed is good before")
}

// Texts that would unfold, or recurse, take no more than their length.
func TestBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := range 20 {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), ", "))
	}
	for name, text := range map[string]string{
		"aliases":          laughs.String(),
		"alias of itself":  "a: &a [*a]",
		"brackets":         strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"open brackets":    strings.Repeat("[", 1<<20),
		"nested maps":      strings.Repeat("{a: ", 5000) + "1" + strings.Repeat("}", 5000),
		"nested dashes":    strings.Repeat("- ", 1<<18),
		"many members":     "version: 1\n" + strings.Repeat("x: 1\n", 100_000),
		"long name":        strings.Repeat("x", 1<<20) + ": 1",
		"many documents":   strings.Repeat("--- {}\n", 100_000),
		"question marks":   strings.Repeat("? ", 100_000),
		"directives":       strings.Repeat("%TAG ! tag:example.org,2000:\n", 1000) + "--- {}",
		"a tag's nonsense": "!!" + strings.Repeat("x", 1<<16) + " {}",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse([]byte(text))
			require.Error(t, err)
			require.Nil(t, s)
			require.Less(t, len(err.Error()), 1000+2*1<<20)
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{good, goodJSON, "version: 1\nmodules: []\n", `{"version":1}`, "a: &a [*a]", "--- {}\n---", "? a\n: b", "!!set {a}", "<<: {a: b}", "version: 1e2", "\"\\uD800\": 1"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			if s != nil || !strings.HasPrefix(err.Error(), "schemayaml: read a schema: ") {
				t.Fatal(s, err)
			}
			return
		}
		if s.Modules == nil {
			return // which JSON writes as null, and that isn't taken
		}
		again, err := json.Marshal(s)
		require.NoError(t, err)
		reread, err := Parse(again)
		require.NoError(t, err)
		require.Equal(t, s, reread)
	})
}
