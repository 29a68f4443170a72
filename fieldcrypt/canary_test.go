package fieldcrypt

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// The canaries: one text and one number, as which each type can be recognised.
const (
	canaryText   = "Canary-4815162342"
	canaryNumber = 4815162342
	canaryYear   = 1481516234
)

// sightings are the forms that fmt and the encoders give a canary.
var sightings = func() []string {
	forms := []string{
		canaryText, strings.ToLower(canaryText),
		hex.EncodeToString([]byte(canaryText)), strings.ToUpper(hex.EncodeToString([]byte(canaryText))),
		strings.Trim(fmt.Sprintf("%d", []byte(canaryText)), "[]"), // 67 97 110 ...
		fmt.Sprintf("% x", canaryText), fmt.Sprintf("% X", canaryText),
		fmt.Sprintf("%#v", []byte(canaryText))[7:40], fmt.Sprintf("%o", []byte(canaryText))[1:30], fmt.Sprintf("%b", []byte(canaryText))[1:30],
		fmt.Sprintf("%U", []rune(canaryText))[1:30], fmt.Sprintf("%c", []byte(canaryText))[1:20], fmt.Sprintf("%q", []byte(canaryText))[1:10],
		base64.RawStdEncoding.EncodeToString([]byte(canaryText)),
		strconv.Itoa(canaryNumber), strconv.FormatInt(canaryNumber, 16), strings.ToUpper(strconv.FormatInt(canaryNumber, 16)),
		strconv.FormatInt(canaryNumber, 8), strconv.FormatInt(canaryNumber, 2),
	}
	// How a time and a date print, and their fields. The year's is long enough
	// not to turn up in an address.
	moment := time.Unix(canaryNumber, 0).UTC()
	forms = append(forms, moment.Format(time.DateOnly), strconv.Itoa(canaryYear))
	for _, n := range []int64{moment.Unix() + 62135596800, canaryYear} { // seconds since year 1
		forms = append(forms, strconv.FormatInt(n, 10), strconv.FormatInt(n, 16), strings.ToUpper(strconv.FormatInt(n, 16)))
	}
	for _, verb := range []string{"%v", "%e", "%E", "%x", "%X", "%b", "%f"} {
		forms = append(forms, fmt.Sprintf(verb, float64(canaryNumber)))
	}
	return forms
}()

func seenIn(out string) string {
	for _, form := range sightings {
		if strings.Contains(out, form) {
			return form
		}
	}
	return ""
}

// What surrounds a value. fmt calls no methods of what is in an unexported
// field, which makes these cases the hard ones.
type (
	exported[V any]   struct{ Field V }
	unexported[V any] struct{ field V }
	embedded[V any]   struct{ Inner exported[V] }
	hidden[V any]     struct {
		field   V
		pointer *V
		slice   []V
		array   [1]V
		mapped  map[string]V
		iface   any
		deep    *hidden[V]
	}
)

func nestings[V any](v V) map[string]any {
	h := hidden[V]{v, &v, []V{v}, [1]V{v}, map[string]V{"k": v}, v, nil}
	h.deep = &hidden[V]{field: v, iface: &v}
	pp := &v
	return map[string]any{
		"value": v, "pointer": &v, "pointer to pointer": &pp, "slice": []V{v}, "slice of pointers": []*V{&v}, "array": [1]V{v},
		"map": map[string]V{"k": v}, "map of slices": map[string][]V{"k": {v}}, "any": []any{v, &v},
		"struct": exported[V]{v}, "pointer to struct": &exported[V]{v}, "struct of struct": embedded[V]{exported[V]{v}},
		"unexported": unexported[V]{v}, "pointer to unexported": &unexported[V]{v}, "slice of unexported": []unexported[V]{{v}},
		"hidden": h, "pointer to hidden": &h,
	}
}

const verbs = "vTtbcdoOqxXUeEfFgGspwz"

// emit gives every output of x that this test knows of to see.
func emit(x any, see func(how, out string)) {
	for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "40", ".3", "40.9", "[1]"} {
		for _, verb := range verbs {
			format := "%" + flags + string(verb)
			see("fmt "+format, fmt.Sprintf(format, x))
		}
	}
	see("fmt.Sprint", fmt.Sprint(x, x))
	see("fmt.Sprintln", fmt.Sprintln(x))
	for _, misuse := range []string{"no verb", "%w", "%!", "%z", "%d %d"} { // what fmt says of a mistake
		see("fmt "+misuse, fmt.Sprintf(misuse, x))
	}
	see("fmt width", fmt.Sprintf("%*d", x, x))
	see("fmt.Errorf", fmt.Errorf("wrapped: %v, %w", x, errors.New("cause")).Error())
	notAnError := "wrapped: %w"
	see("fmt.Errorf %w", fmt.Errorf(notAnError, x).Error())

	b, err := json.Marshal(x)
	see("JSON", string(b)+fmt.Sprint(err))
	b, err = json.MarshalIndent(map[string]any{"x": x}, "", " ")
	see("JSON indented", string(b)+fmt.Sprint(err))
	b, err = xml.Marshal(x)
	see("XML", string(b)+fmt.Sprint(err))
	var buf bytes.Buffer
	err = gob.NewEncoder(&buf).Encode(x)
	see("gob", buf.String()+fmt.Sprint(err))

	for name, handler := range map[string]func() slog.Handler{
		"text": func() slog.Handler { return slog.NewTextHandler(&buf, nil) },
		"JSON": func() slog.Handler { return slog.NewJSONHandler(&buf, nil) },
	} {
		buf.Reset()
		logger := slog.New(handler())
		logger.Info("saved", "x", x, slog.Group("g", slog.Any("x", x)))
		logger.With("x", x).Info(fmt.Sprint(x))
		see("slog "+name, buf.String())
	}
	buf.Reset()
	log.New(&buf, "", 0).Print(x)
	log.New(&buf, "", 0).Printf("%+v", x)
	see("log", buf.String())

	buf.Reset()
	err = template.Must(template.New("").Parse(`{{.}} {{printf "%v %s %q" . . .}} {{print .}}`)).Execute(&buf, x)
	see("text/template", buf.String()+fmt.Sprint(err))
	buf.Reset()
	err = htmltemplate.Must(htmltemplate.New("").Parse(`<a href="{{.}}" title="{{.}}">{{.}}</a><script>x = {{.}}</script>`)).Execute(&buf, x)
	see("html/template", buf.String()+fmt.Sprint(err))

	func() {
		defer func() { see("panic", fmt.Sprint(recover())) }()
		panic(x)
	}()
}

// canariesIn returns the values of one type in all states that know the
// canary, and the bare content as the control.
func canariesIn[T Plain](t *testing.T, content T) (values []Value[T]) {
	t.Helper()
	plain := Of(content)
	encrypted := plain
	encrypted.setOpened(envelopeOf('e'), false, testField, testOrigin)
	asText := plain
	asText.setOpened(envelopeOf('e'), true, testField, testOrigin)
	frame, err := plain.appendFrame(nil)
	require.NoError(t, err)
	var decrypted Value[T]
	require.NoError(t, decrypted.Scan(envelopeOf('e')))
	require.NoError(t, decrypted.decode(frame, testField, testOrigin, false))
	gone := decrypted
	gone.setUnavailable(envelope.ErrKeyDestroyed, testField, testOrigin)
	var column Value[T] // plaintext in the column
	require.NoError(t, column.Scan(any(fmt.Sprint(content))))
	var bytesColumn, scalar, inside Value[T]
	require.NoError(t, bytesColumn.Scan([]byte(fmt.Sprint(content))))
	require.NoError(t, scalar.Scan(int64(canaryNumber)))
	inside.scannedInside([]any{canaryText, json.Number(strconv.Itoa(canaryNumber))})
	adopted := inside
	if err := adopted.adopt(); err != nil { // of most types, for which the error is looked through
		require.Empty(t, seenIn(err.Error()))
		require.NoError(t, adopted.Scan(any(content)))
		_ = adopted.adopt()
	}
	for _, v := range []Value[T]{column, bytesColumn, scalar, inside} {
		require.True(t, v.isCandidate())
	}
	return []Value[T]{plain, encrypted, asText, decrypted, gone, column, bytesColumn, scalar, inside, adopted}
}

// A tally counts outputs that were looked through, and those that showed a
// canary.
type tally struct{ outputs, found, controls, inControls int }

func hunt[T Plain](t *testing.T, sum *tally, content T) {
	t.Helper()
	t.Run(typeOf[T]().String(), func(t *testing.T) {
		outputs, found := 0, 0
		for i, v := range canariesIn(t, content) {
			for where, x := range nestings(v) {
				if i > 0 && where != "value" && where != "hidden" && where != "pointer to struct" {
					continue // the first state goes everywhere, the others to one place of each kind
				}
				emit(x, func(how, out string) {
					outputs++
					if form := seenIn(out); form != "" {
						found++
						t.Errorf("state %d in %s by %s: %q shows %q", i, where, how, out, form)
					}
				})
			}
		}
		require.Greater(t, outputs, 5_000)
		sum.outputs += outputs
		sum.found += found

		// The control: the same content in the same places, without a Value
		// around it, is found in each of them.
		for where, x := range nestings(content) {
			if strings.Contains(where, "pointer to pointer") || where == "slice of pointers" {
				continue // fmt prints addresses
			}
			found := 0
			emit(x, func(_, out string) {
				sum.controls++
				if seenIn(out) != "" {
					found++
				}
			})
			require.NotZero(t, found, "the control is not found in %s", where)
			sum.inControls += found
		}
	})
}

func TestScoreboardS16(t *testing.T) {
	var sum tally
	hunt(t, &sum, canaryText)
	hunt(t, &sum, []byte(canaryText))
	hunt[int64](t, &sum, canaryNumber)
	hunt[uint64](t, &sum, canaryNumber)
	hunt[float64](t, &sum, canaryNumber)
	hunt(t, &sum, DecimalString(strconv.Itoa(canaryNumber)))
	hunt(t, &sum, json.RawMessage(`"`+canaryText+`"`))
	hunt(t, &sum, time.Unix(canaryNumber, 0).UTC())
	hunt(t, &sum, CivilDate{canaryYear, time.June, 14})
	huntDocuments(t, &sum)
	huntSearches(t, &sum)
	scoreboard.Row(t, "S16", sum.found == 0, fmt.Sprintf("fieldcrypt: %d of %d outputs of values of 9 types, of documents, searches and rows", sum.found, sum.outputs), "0",
		fmt.Sprintf("the same content without a Value around it: %d of %d", sum.inControls, sum.controls))
}

// huntDocuments looks for the canary in the sensitive place of a document.
func huntDocuments(t *testing.T, sum *tally) {
	t.Helper()
	made, err := DocumentOf(map[string]any{"a": []any{canaryText}})
	require.NoError(t, err)
	var column Document
	require.NoError(t, column.Scan(`{"a":["`+canaryText+`"]}`))
	value := Of(canaryText)
	value.setOpened(envelopeOf('e'), true, testField, testOrigin)
	seen := document(map[string]any{"a": []any{value}}, documentSealed)
	for i, d := range []Document{made, column, seen} {
		for where, x := range nestings(d) {
			emit(x, func(how, out string) {
				sum.outputs++
				if form := seenIn(out); form != "" {
					sum.found++
					t.Errorf("document %d in %s by %s: %q shows %q", i, where, how, out, form)
				}
			})
		}
	}
}

// A bool has no form to look for: what is printed of it must not depend on it.
func TestOutputsDontDependOnBool(t *testing.T) {
	addresses := regexp.MustCompile(`(?i)(0x)?[0-9a-f]{8,}`)
	times := regexp.MustCompile(`"?time"?[=:]\S+?(,| )`)
	outputs := func(x any) (all []string) {
		emit(x, func(how, out string) {
			all = append(all, how+": "+addresses.ReplaceAllString(times.ReplaceAllString(out, ""), "address"))
		})
		slices.Sort(all)
		return all
	}
	yes, no, bare := nestings(Of(true)), nestings(Of(false)), nestings(true)
	for where := range yes {
		if strings.Contains(where, "unexported") || strings.Contains(where, "hidden") || strings.Contains(where, "pointer") {
			continue // these print addresses, also in bases 2 and 8
		}
		require.Equal(t, outputs(yes[where]), outputs(no[where]), where)
		require.NotEqual(t, outputs(bare[where]), outputs(nestings(false)[where]), "the control's outputs are equal in %s", where)
	}
}

// What the runtime prints of a panic nobody recovers is written by a process
// of its own.
func TestCanariesAreNotInCrashes(t *testing.T) {
	const ask = "FIELDCRYPT_TEST_CRASH"
	v := Of(os.Getenv("FIELDCRYPT_TEST_CANARY"))
	crashes := map[string]any{
		"control":           errors.New(os.Getenv("FIELDCRYPT_TEST_CANARY")),
		"value":             v,
		"pointer":           &v,
		"struct":            exported[String]{v},
		"unexported struct": unexported[String]{v},
		"error of it":       fmt.Errorf("saving %v (%+v)", v, unexported[String]{v}),
		"error of Value":    func() error { _, err := v.Value(); return err }(),
		"error of JSON":     new(Int64).UnmarshalJSON([]byte(`"` + os.Getenv("FIELDCRYPT_TEST_CANARY") + `"`)),
	}
	if x, ok := crashes[os.Getenv(ask)]; ok {
		panic(x)
	}
	for name := range crashes {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCanariesAreNotInCrashes$")
			cmd.Env = append(os.Environ(), ask+"="+name, "FIELDCRYPT_TEST_CANARY="+canaryText, "GOTRACEBACK=all")
			out, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "panic: ")
			if name == "control" {
				require.NotEmpty(t, seenIn(string(out)), "the control is not found")
				return
			}
			require.Empty(t, seenIn(string(out)), string(out))
		})
	}
}
