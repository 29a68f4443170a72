package drivertest

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/internal/madeup"
)

// canaryMark is part of many values, and of nothing else that a table holds.
const canaryMark = "Canary-of-the-fields-2718281828"

// wideText is what texts are made of: scripts, normalisation forms, and what a
// database, JSON or a reader of envelopes might take for something else.
var wideText = append([]string{
	"", " ", "a", "A", "null", "0", "\x00", "a\x00b", "'; --", `"\`, "<&>", "fc1.", "fc1._AEB", "fi1.AAA", "fieldcrypt", "[REDACTED", "\u2028", "\ufeffx",
	"Müller", "Mu\u0308ller", "ﬁn", "ＡＢＣ", "ǅ", "İstanbul", "ẞ", "e\u0301", "\u0301", "क्षि", "각", "\u1100\u1161\u11a8", "👩‍👩‍👧", "葛\U000E0100", "\U0010ffff", "\u200d\u200c", "１２３-٤٥",
	canaryMark, "x" + canaryMark + "y", canaryMark + "@example.com",
}, madeupTexts()...)

func madeupTexts() (texts []string) {
	for c := range madeup.Contacts(11, 40) {
		texts = append(texts, c.FirstName, c.LastName, c.Email, strings.ToUpper(c.Email), c.Phone, c.Notes)
	}
	return texts
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// oneIn reports true once in n draws.
func oneIn(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// drawContent draws a content of a schema's type of at most so many bytes.
func drawContent(r *rand.Rand, typ string, limit int) any {
	switch typ {
	case "string":
		return drawText(r, limit)
	case "bytes":
		return drawBytes(r, limit)
	case "int64":
		return pick(r, 0, 1, -1, math.MaxInt64, math.MinInt64, math.MaxInt32+1, 1<<53+1, r.Int64(), -r.Int64(), r.Int64N(5))
	case "uint64":
		return pick(r, 0, 1, math.MaxUint64, math.MaxInt64+1, 1<<53+1, r.Uint64(), r.Uint64N(5))
	case "float64":
		f := math.Float64frombits(r.Uint64())
		if math.IsNaN(f) {
			f = 0.1
		}
		return pick(r, 0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e21, 0.1, f)
	case "bool":
		return oneIn(r, 2)
	case "time":
		return drawTime(r)
	case "date":
		return drawDate(r)
	case "decimal":
		return drawDecimal(r, limit)
	}
	return drawJSON(r, limit)
}

func drawText(r *rand.Rand, limit int) string {
	text := pick(r, wideText...)
	switch r.IntN(8) {
	case 0:
		text += " " + pick(r, wideText...)
	case 1:
		text = strings.Repeat(text+"é", 1+r.IntN(60))
	case 2: // as long as can be
		text = strings.Repeat(text+"ß", min(limit, 30_000)/(len(text)+2)+1)
	case 3:
		text += string(rune(0x20 + r.IntN(0xD7E0)))
	}
	return cutText(text, limit)
}

// cutText cuts a text to a limit in bytes, between two characters.
func cutText(text string, limit int) string {
	for len(text) > limit {
		text = text[:limit]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
	}
	return text
}

func drawBytes(r *rand.Rand, limit int) []byte {
	random := make([]byte, r.IntN(200))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	b := pick(r, []byte{}, []byte{0}, []byte{0, 0, 0, 0}, []byte{0xFC, 1, 1}, []byte("fc1.AAAA"), []byte{0x80}, []byte{0xFF, 0xFE},
		[]byte(canaryMark), append(random, canaryMark...), random, make([]byte, min(limit, 5000)))
	return b[:min(len(b), limit)]
}

func drawTime(r *rand.Rand) time.Time {
	t := pick(r,
		time.Time{}, time.Unix(0, 0).UTC(), time.Unix(-1, 999_999_999).UTC(), time.Date(-4712, 1, 1, 12, 0, 0, 0, time.UTC), time.Date(12_000, 12, 31, 23, 59, 59, 1, time.UTC),
		time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), time.Unix(r.Int64N(1<<40)-1<<39, r.Int64N(1e9)).UTC())
	offset := pick(r, 0, 0, 3600, -5*3600, 20_700, 86_399, -86_399, r.IntN(86_399))
	if offset == 0 {
		return t
	}
	return t.In(time.FixedZone("", offset))
}

func drawDate(r *rand.Rand) fieldcrypt.CivilDate {
	return pick(r,
		fieldcrypt.CivilDate{Year: 1970, Month: 1, Day: 1}, fieldcrypt.CivilDate{Year: 0, Month: 2, Day: 29}, fieldcrypt.CivilDate{Year: -43, Month: 3, Day: 15}, fieldcrypt.CivilDate{Year: 12_000, Month: 12, Day: 31},
		fieldcrypt.CivilDate{Year: math.MaxInt32, Month: 1, Day: 1}, fieldcrypt.CivilDate{Year: math.MinInt32, Month: 12, Day: 31}, fieldcrypt.CivilDate{Year: 2000, Month: 2, Day: 29},
		fieldcrypt.CivilDate{Year: 1900 + r.IntN(200), Month: time.Month(1 + r.IntN(12)), Day: 1 + r.IntN(28)})
}

func drawDecimal(r *rand.Rand, limit int) fieldcrypt.DecimalString {
	fits := slices.DeleteFunc([]string{
		"0", "7", "-1", "10.5", "10.50", "0.00", "-0.01", "123456789012345678901234567890.000000000000000000001", strconv.FormatInt(r.Int64(), 10), fmt.Sprintf("-%d.%03d", 1+r.IntN(99), r.IntN(1000)),
		"1" + strings.Repeat("0", min(limit, 3000)-1),
	}, func(text string) bool { return len(text) > limit })
	return fieldcrypt.DecimalString(pick(r, fits...))
}

func drawJSON(r *rand.Rand, limit int) json.RawMessage {
	text, err := json.Marshal(map[string]any{pick(r, "a", "ключ", canaryMark): []any{pick(r, wideText...), 1.5, nil, map[string]any{"b": canaryMark}}})
	if err != nil {
		panic(err)
	}
	fits := slices.DeleteFunc([]string{
		"0", "[]", `""`, "null", ` { "a" : 1e400 } `, `{"a":1,"a":2}`, `"\u0000"`, `"` + canaryMark + `"`, string(text), "[" + strings.Repeat(" ", max(0, min(limit, 4000)-2)) + "]",
	}, func(text string) bool { return len(text) > limit })
	return json.RawMessage(pick(r, fits...))
}

// variant is another spelling of a text, as people type it.
func variant(r *rand.Rand, content any, limit int) any {
	text, ok := content.(string)
	if !ok {
		return content
	}
	other := pick(r, strings.ToUpper(text), strings.ToLower(text), " "+text, text+" ", strings.ReplaceAll(text, "ü", "u\u0308"), "\u200b"+text)
	if len(other) > limit {
		return content
	}
	return other
}

// boxed is the content as a value of package fieldcrypt.
func boxed(content any) any {
	switch c := content.(type) {
	case string:
		return fieldcrypt.Of(c)
	case []byte:
		return fieldcrypt.Of(c)
	case int64:
		return fieldcrypt.Of(c)
	case uint64:
		return fieldcrypt.Of(c)
	case float64:
		return fieldcrypt.Of(c)
	case bool:
		return fieldcrypt.Of(c)
	case time.Time:
		return fieldcrypt.Of(c)
	case fieldcrypt.CivilDate:
		return fieldcrypt.Of(c)
	case fieldcrypt.DecimalString:
		return fieldcrypt.Of(c)
	case json.RawMessage:
		return fieldcrypt.Of(c)
	}
	return nil
}

// likes are the forms in which a program may give a content, its own first; in a
// document these are the ones of JSON.
func likes(content any, inside bool) []any {
	var other []any
	switch c := content.(type) {
	case string, bool, float64:
		return []any{c}
	case []byte:
		other = []any{base64.StdEncoding.EncodeToString(c)}
	case int64:
		other = []any{json.Number(strconv.FormatInt(c, 10)), int(c)}
	case uint64:
		other = []any{json.Number(strconv.FormatUint(c, 10))}
	case fieldcrypt.CivilDate:
		other = []any{c.String()}
	case fieldcrypt.DecimalString:
		other = []any{string(c)}
	case time.Time:
		if text := c.Format(time.RFC3339Nano); sameTime(text, c) {
			other = []any{text}
		}
	}
	if inside {
		return other
	}
	return append([]any{content}, other...)
}

func sameTime(text string, t time.Time) bool {
	read, err := time.Parse(time.RFC3339Nano, text)
	return err == nil && same(read, t)
}

// given is a content in a form that a program may give it in.
func given(r *rand.Rand, content any, inside bool) any {
	forms := append(likes(content, inside), boxed(content))
	return pick(r, forms...)
}

// scanned is a cell as a program scans it that uses the package's types.
func scanned(f *drawnField, cell any) any {
	if f.inside() {
		return scannedAs[fieldcrypt.Document](cell)
	}
	switch f.Type {
	case "string":
		return scannedAs[fieldcrypt.String](cell)
	case "bytes":
		return scannedAs[fieldcrypt.Bytes](cell)
	case "int64":
		return scannedAs[fieldcrypt.Int64](cell)
	case "uint64":
		return scannedAs[fieldcrypt.Uint64](cell)
	case "float64":
		return scannedAs[fieldcrypt.Float64](cell)
	case "bool":
		return scannedAs[fieldcrypt.Bool](cell)
	case "time":
		return scannedAs[fieldcrypt.Time](cell)
	case "date":
		return scannedAs[fieldcrypt.Date](cell)
	case "decimal":
		return scannedAs[fieldcrypt.Decimal](cell)
	}
	return scannedAs[fieldcrypt.JSON](cell)
}

func scannedAs[V any, P interface {
	*V
	sql.Scanner
}](cell any) any {
	var v V
	if err := P(&v).Scan(cell); err != nil {
		panic(err)
	}
	return v
}

// opened returns the content of a value that was decrypted.
func opened(value any) (content any, err error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case fieldcrypt.String:
		return v.Plain()
	case fieldcrypt.Bytes:
		return v.Plain()
	case fieldcrypt.Int64:
		return v.Plain()
	case fieldcrypt.Uint64:
		return v.Plain()
	case fieldcrypt.Float64:
		return v.Plain()
	case fieldcrypt.Bool:
		return v.Plain()
	case fieldcrypt.Time:
		return v.Plain()
	case fieldcrypt.Date:
		return v.Plain()
	case fieldcrypt.Decimal:
		return v.Plain()
	case fieldcrypt.JSON:
		return v.Plain()
	}
	return nil, fmt.Errorf("a %T is there", value)
}

// same compares two contents by their type: floats by their bits, times with
// their zones' offsets, JSON by its bytes.
func same(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case []byte:
		b, ok := b.([]byte)
		return ok && string(a) == string(b)
	case json.RawMessage:
		b, ok := b.(json.RawMessage)
		return ok && string(a) == string(b)
	case time.Time:
		b, ok := b.(time.Time)
		_, offset := a.Zone()
		_, other := b.Zone()
		return ok && a.Equal(b) && offset == other
	}
	return a == b
}
