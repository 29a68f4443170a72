package fieldcrypt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// What comes in from outside: the content of columns, and the tags of record
// types, which may have been generated.

// A hostileParser is one way in, held to what it promises.
type hostileParser struct {
	name  string
	seeds []string
	run   func(require.TestingT, string)
}

func hostileParsers(tb testing.TB) []hostileParser {
	text := textOf(tb, envelopeOf('e'))
	columns := []string{
		string(envelopeOf('e')), string(envelopeInMode(envelope.ModeInline)), string(envelopeInMode(envelope.ModeStream)), string(deterministic()),
		text, "fc2." + text[4:], "ada@example.com", "",
	}
	custom := []string{`{"vip":"` + text + `","none":null}`, `{"a":"` + text + `","b":"` + text + `"}`, `{}`, ` { "ä" : "ada" } `, `{"\u00e4":null}`, `[[{"a":{}}]]`}
	var tags []string
	for _, t := range goodTags {
		tags = append(tags, t.text)
	}
	return []hostileParser{
		{"Scan", columns, func(t require.TestingT, src string) { checkScan(t, []byte(src)) }},
		{"Fields", custom, func(t require.TestingT, src string) { checkFieldsText(t, []byte(src)) }},
		{"tag", tags, func(t require.TestingT, src string) { checkTag(t, src, false); checkTag(t, src, true) }},
		{"struct tag", []string{`fieldcrypt:"Contacts.email,max=320" json:"email"`, `json:"a" fieldcrypt:"id"`, `FieldCrypt : "M.a"`}, checkStructTag},
		{"date", []string{"2024-02-29", "-0044-03-15", "+2147483647-12-31"}, checkDate},
		{"decimal", []string{"-12.50", "0", "0.000", "-0.1"}, checkDecimal},
	}
}

func checkStructTag(t require.TestingT, text string) {
	parsed, err := lookupTag(reflect.StructField{Name: "A", Tag: reflect.StructTag(text)})
	if err != nil || parsed == (tag{}) {
		require.Zero(t, parsed)
		return
	}
	checkTag(t, parsed.String(), false)
}

func checkDecimal(t require.TestingT, text string) {
	d, err := ParseDecimal(text)
	require.Equal(t, err == nil, DecimalString(text).Valid())
	if err != nil {
		require.Zero(t, d)
		return
	}
	require.Equal(t, text, d.String())
}

// checkSchema compiles a record type whose tags are hostile. What it takes, it
// can make columns of.
func checkSchema(crypt *Crypt, id, tenant, value, custom, blank string) func(require.TestingT) {
	field := func(name, tag string, t reflect.Type) reflect.StructField {
		f := reflect.StructField{Name: name, Tag: reflect.StructTag("fieldcrypt:" + fmt.Sprintf("%q", tag)), Type: t}
		if name == "_" {
			f.PkgPath = "hostile"
		}
		return f
	}
	typ := reflect.StructOf([]reflect.StructField{
		field("_", blank, reflect.TypeFor[struct{}]()), field("ID", id, reflect.TypeFor[int64]()), field("Tenant", tenant, reflect.TypeFor[string]()),
		field("Email", value, reflect.TypeFor[String]()), field("Custom", custom, reflect.TypeFor[Fields]()),
	})
	return func(t require.TestingT) {
		p, err := compile(typ)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		h := handle{crypt: crypt, plan: p}
		for _, d := range []Dialect{Postgres, MariaDB, SQLite} {
			columns, err := h.columns(d)
			if err == nil {
				require.Len(t, columns, len(p.fields)+len(p.custom))
			}
		}
	}
}

// A failure is a require.TestingT that ends one input and not the test.
type failure struct{ text string }

func (f *failure) Errorf(format string, args ...any) { f.text = fmt.Sprintf(format, args...) }
func (f *failure) FailNow()                          { panic(f) }

// guard runs a check and makes an error of its failure and of a panic.
func guard(check func(require.TestingT)) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *failure:
			err = errors.New(v.text)
		default:
			err = fmt.Errorf("panics: %v", v)
		}
	}()
	check(&failure{})
	return nil
}

// altered returns seed with a few changes of the kinds that break parsers.
func altered(rng *rand.Rand, seed string) string {
	tokens := []string{",", ".", "=", "*", `"`, `\`, `":"`, "{", "}", "[", "null", "fc1.", "\xfc\x01\x02", "-", "max=", "unbound", "\x00", "\xff", "ä", `\u`, "99999999999999999999", "\n"}
	b := []byte(seed)
	for range 1 + rng.IntN(3) {
		at := rng.IntN(len(b) + 1)
		switch rng.IntN(6) {
		case 0:
			if at < len(b) {
				b[at] ^= 1 << rng.IntN(8)
			}
		case 1:
			b = b[:at]
		case 2:
			b = append(b[:at:at], append([]byte(tokens[rng.IntN(len(tokens))]), b[at:]...)...)
		case 3:
			b = append(b, b[at:]...)
		case 4: // swap two halves
			b = append(bytes.Clone(b[at:]), b[:at]...)
		case 5:
			if at < len(b) {
				b = append(b[:at], b[at+1:]...)
			}
		}
	}
	return string(b)
}

// long returns inputs that are long, and such as become longer in memory.
func long(text string) []string {
	const size = 1 << 20
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	numbered := func(n int, member string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%x":%s`, i, member)
		}
		return "{" + b.String()[1:] + "}"
	}
	member := func(number string, env []byte) string {
		return `"` + number + base64.RawURLEncoding.EncodeToString(env) + `"`
	}
	head := func(version, mode byte) []byte { return append([]byte{0xfc, version, mode}, make([]byte, 45)...) }
	all := []string{
		numbered(maxFields, member("fc1.", head(1, 1))), numbered(maxFields, member("fc1.", append(head(1, 2), 0xff, 0xff))),
		numbered(maxFields, member("fc1.", append(head(1, 4)[:35], "\xff\xffaaaaaaaaaa"...))), numbered(maxFields, member("fc1.", head(2, 1))),
		numbered(maxFields, member("fc2.", head(2, 1))), numbered(maxFields, member("fc255.", head(255, 1))), numbered(maxFields, member("fc3.", head(2, 1))),
		numbered(maxFields, `""`), numbered(maxFields, "null"), numbered(maxFields, `"`+text+`"`), numbered(maxFields, `"`+text[:8]+`"`),
		numbered(maxFields+1, `""`), numbered(size/10, `""`), numbered(size/12, "null"), numbered(maxFields, `"`+text+strings.Repeat("AAAA", 500)+`"`),
		`{"` + fill("a") + `":null}`, `{"` + fill(`\u0061`) + `":null}`, `{"` + fill(":") + `":null}`, `{"a":"` + fill("a") + `"}`,
		`{"a":"` + fill(`\"`) + `"}`, `{"a":"fc1.` + fill("A") + `"}`, `{"a":"` + text + fill("AAAA") + `"}`, fill(`{"a":`), fill("["), fill(" "), "{" + fill(" ") + "}",
		text + fill("AAAA"), "fc1." + fill("A"), "fc2." + fill("A"), "fc2._AI" + fill("A"), "fc255." + fill("_"), "fc" + fill("1"), "fc1." + fill("\n"),
		string(envelopeOf('e')) + fill("A"), "\xfc\x01\x02" + fill("\x00"), "\xfc\x01\x02" + fill("\xff"), "\xfc\x01\x04" + fill("\x00"), "\xfc\x02" + fill("A"),
		`fieldcrypt:"` + fill(",") + `"`, `fieldcrypt:"` + fill(`\x00`) + `"`, `FIELDCRYPT : ` + fill("A"), fill("f"), fill("fieldcrypt "), fill(`json:"a" `),
	}
	for _, s := range []string{"a", ",", ".", "=", `"`, `\`, "0", "1", "-", "\x00", "\xff", "ä", "M.a,", "text,", "max="} {
		all = append(all, fill(s), "Contacts.email,"+fill(s))
	}
	return all
}

// allocated returns how many bytes run allocates.
func allocated(run func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

var kept any

// keepAll is the control: it takes columns and tags apart before it looks
// whether they can be what they should be.
func keepAll(text string) {
	var members map[string]any
	_ = json.Unmarshal([]byte(text), &members)
	kept = []any{members, strings.Split(text, ",")}
}

// trustAll is the control of crashes: it reads what must be there.
func trustAll(_ require.TestingT, text string) {
	module, rest, _ := strings.Cut(text, ".")
	kept = []any{module[0], rest[0], text[len(text)-16:]}
}

func TestScoreboardS6(t *testing.T) {
	const slack = 64 << 10
	crashes, runs, controlCrashes, controlRuns := 0, 0, 0, 0
	perParser := scoreboard.Count(5_000, 10_000_000)
	try := func(name, input string, check func(require.TestingT)) {
		runs++
		if err := guard(check); err != nil {
			if crashes++; crashes <= 10 {
				t.Errorf("%s of %.200q: %v", name, input, err)
			}
		}
	}
	parsers := hostileParsers(t)
	rng := rand.New(rand.NewPCG(6, 6))
	for _, p := range parsers {
		for i := range perParser {
			input := altered(rng, p.seeds[rng.IntN(len(p.seeds))])
			try(p.name, input, func(t require.TestingT) { p.run(t, input) })
			if i < 1000 {
				controlRuns++
				if guard(func(t require.TestingT) { trustAll(t, input) }) != nil {
					controlCrashes++
				}
			}
		}
	}
	// Whole types are fewer: the runtime keeps each type that was ever made.
	crypt := &Crypt{maxValue: DefaultMaxValue, modes: []envelope.Mode{envelope.ModeReference, envelope.ModeInline}}
	for range scoreboard.Count(500, 20_000) {
		pick := func(seeds ...string) string {
			if rng.IntN(3) > 0 {
				return seeds[rng.IntN(len(seeds))]
			}
			return altered(rng, seeds[rng.IntN(len(seeds))])
		}
		value := pick("Contacts.email,max=320", "Contacts.vip,column=id", "Contacts.email,text,pad=65536")
		custom := pick("Contacts.*", "Contacts.custom.*", "Contacts.email.*,class=crm")
		try("schema", value+" and "+custom, checkSchema(crypt, pick("id", "-"), pick("tenant", "-"), value, custom, pick("class=crm", "unbound")))
	}

	worst, measured, controls := int64(0), 0, 0
	measure := func(name, input string, parse func()) {
		measured++
		over := allocated(parse) - 2*int64(len(input))
		for range 9 { // the runtime counts what the background allocates too, and the race detector empties pools
			if over > slack {
				over = min(over, allocated(parse)-2*int64(len(input)))
			}
		}
		worst = max(worst, over)
		if over > slack {
			t.Errorf("%s allocates %d bytes past 2 × %d of %.40q", name, over, len(input), input)
		}
	}
	inputs := long(textOf(t, envelopeOf('e')))
	for _, p := range parsers {
		inputs = append(inputs, p.seeds...)
	}
	for _, input := range inputs {
		raw := []byte(input)
		var v String
		var f Fields
		measure("Scan of bytes", input, func() { _ = v.Scan(raw) })
		measure("Scan of text", input, func() { _ = v.Scan(input) })
		measure("Fields.Scan of bytes", input, func() { _ = f.Scan(raw) })
		measure("Fields.Scan of text", input, func() { _ = f.Scan(input) })
		measure("tag", input, func() { _, _ = parseTag(input, false) })
		measure("tag of a blank field", input, func() { _, _ = parseTag(input, true) })
		measure("struct tag", input, func() { _, _ = lookupTag(reflect.StructField{Name: "A", Tag: reflect.StructTag(input)}) })
		measure("date", input, func() { _, _ = ParseDate(input) })
		measure("decimal", input, func() { _, _ = ParseDecimal(input) })
		if allocated(func() { keepAll(input) }) > 2*int64(len(input))+slack {
			controls++
		}
	}
	scoreboard.Row(t, "S6", crashes == 0 && worst <= slack && controls > 0 && controlCrashes > 0,
		fmt.Sprintf("fieldcrypt: %d of %d hostile columns, tags and types; at most 2 × input + %d bytes in %d", crashes, runs, worst, measured),
		"0; <= 2 × input + 65536",
		fmt.Sprintf("a parser that keeps all goes past it with %d; one that trusts all crashes on %d of %d", controls, controlCrashes, controlRuns))
}
