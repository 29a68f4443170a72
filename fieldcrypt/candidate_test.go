package fieldcrypt

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A conversion is what a driver gives for a column, or encoding/json for a
// member of a document, and what the field takes it for: nil if it refuses.
type conversion struct {
	src  any
	want any
}

func convert[T Plain](t *testing.T, inside bool, cases []conversion) {
	t.Helper()
	for _, c := range cases {
		name := fmt.Sprintf("%s/inside %t/%T %.40v", typeOf[T](), inside, c.src, c.src)
		var v Value[T]
		require.NoError(t, v.Scan(c.src), name)
		if inside {
			v.scannedInside(c.src)
		}
		_, err := v.Plain()
		require.ErrorIs(t, err, ErrNotEnvelope, name)
		before := v
		err = v.adopt()
		if c.want == nil {
			require.ErrorIs(t, err, ErrNotEnvelope, name)
			if text := fmt.Sprintf("%s", c.src); len(text) > 1 {
				require.NotContains(t, err.Error(), text, name)
			}
			require.Equal(t, before, v, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, statePlain, v.current(), name)
		got, err := v.Plain()
		require.NoError(t, err, name)
		require.Equal(t, c.want, any(got), name)
		_, err = v.Value()
		require.ErrorIs(t, err, ErrNotEncrypted, name)
	}
}

func TestPlaintextOfColumnsIsConvertedExactly(t *testing.T) {
	moment := time.Date(2026, 2, 28, 12, 30, 0, 5, time.FixedZone("", 3600))
	midnight := time.Date(2026, 2, 28, 0, 0, 0, 0, time.FixedZone("", -3600))
	day := CivilDate{2026, time.February, 28}
	tm := func(text string) time.Time {
		var parsed time.Time
		require.NoError(t, parsed.UnmarshalText([]byte(text)))
		return parsed
	}
	convert[string](t, false, []conversion{
		{"ada", "ada"},
		{[]byte("ada"), "ada"},
		{"", ""},
		{[]byte{}, ""},
		{" fc1.x", " fc1.x"},
		{int64(1), nil},
		{1.5, nil},
		{true, nil},
		{moment, nil},
		{"\xff", nil},
		{[]byte("a\xff"), nil},
		{Redacted, nil},
		{" " + Redacted, nil},
		{json.Number("1"), nil},
		{[]string{"ada"}, nil},
	})
	convert[[]byte](t, false, []conversion{
		{[]byte("a\xff"), []byte("a\xff")},
		{[]byte{}, []byte{}},
		{"YWRh", nil},
		{"", nil},
		{int64(1), nil},
		{[]byte(Redacted), nil},
	})
	convert[int64](t, false, []conversion{
		{int64(-5), int64(-5)},
		{int32(7), int64(7)},
		{uint64(7), int64(7)},
		{"42", int64(42)},
		{[]byte("-42"), int64(-42)},
		{"9223372036854775807", int64(math.MaxInt64)},
		{"9223372036854775808", nil},
		{uint64(math.MaxUint64), nil},
		{"", nil},
		{" 42", nil},
		{"+42", nil},
		{"042", nil},
		{"4_2", nil},
		{"0x2a", nil},
		{"42.0", nil},
		{"1e3", nil},
		{42.0, nil},
		{true, nil},
		{moment, nil},
		{"forty", nil},
	})
	convert[uint64](t, false, []conversion{
		{uint64(math.MaxUint64), uint64(math.MaxUint64)},
		{int64(7), uint64(7)},
		{[]byte("18446744073709551615"), uint64(math.MaxUint64)},
		{int64(-1), nil},
		{"-1", nil},
		{"18446744073709551616", nil},
		{"1.0", nil},
		{7.0, nil},
		{false, nil},
	})
	convert[float64](t, false, []conversion{
		{1.5, 1.5},
		{float32(0.5), 0.5},
		{int64(3), 3.0},
		{"1.5", 1.5},
		{[]byte("-1.5e3"), -1500.0},
		{"0", 0.0},
		{int64(math.MaxInt64), nil},
		{"NaN", nil},
		{"Infinity", nil},
		{"inf", nil},
		{"0x1p-2", nil},
		{"1_0", nil},
		{"1e999", nil},
		{".5", nil},
		{"01", nil},
		{"", nil},
		{"1.5 ", nil},
		{true, nil},
		{moment, nil},
	})
	convert[bool](t, false, []conversion{
		{true, true},
		{false, false},
		{int64(1), true},
		{int64(0), false},
		{"true", true},
		{[]byte("0"), false},
		{"1", true},
		{int8(1), true},
		{int64(2), nil},
		{int64(-1), nil},
		{"TRUE", nil},
		{"yes", nil},
		{"t", nil},
		{"", nil},
		{1.0, nil},
		{[]byte{1}, nil},
	})
	convert[time.Time](t, false, []conversion{
		{moment, moment},
		{"2026-02-28T12:30:00.000000005+01:00", tm("2026-02-28T12:30:00.000000005+01:00")},
		{[]byte("2026-02-28T12:30:00Z"), tm("2026-02-28T12:30:00Z")},
		{"2026-02-28T12:30:00.500+00:00", time.Date(2026, 2, 28, 12, 30, 0, 5e8, time.UTC)},
		{"2026-02-28 12:30:00", nil},
		{"2026-02-28", nil},
		{"2026-02-30T00:00:00Z", nil},
		{"2026-02-28T24:00:00Z", nil},
		{"2026-02-28T1:00:00Z", nil},
		{"2026-02-28T12:30:00,5Z", nil},
		{"2026-02-28t12:30:00Z", nil},
		{"2026-02-28T12:30:00+25:00", nil},
		{"2026-02-28T12:30:00", nil},
		{"", nil},
		{int64(1772281800), nil},
		{1772281800.5, nil},
		{time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 86400)), nil},
	})
	convert[CivilDate](t, false, []conversion{
		{"2026-02-28", day},
		{[]byte("2026-02-28"), day},
		{midnight, day},
		{moment, nil},
		{"2026-02-30", nil},
		{"28.02.2026", nil},
		{"2026-2-28", nil},
		{"2026-02-28T00:00:00Z", nil},
		{"", nil},
		{int64(20260228), nil},
	})
	convert[DecimalString](t, false, []conversion{
		{"10.50", DecimalString("10.50")},
		{[]byte("-3"), DecimalString("-3")},
		{int64(-7), DecimalString("-7")},
		{10.5, nil},
		{"10,50", nil},
		{"1e3", nil},
		{"-0", nil},
		{"+1", nil},
		{".5", nil},
		{"", nil},
		{true, nil},
		{"NaN", nil},
	})
	convert[json.RawMessage](t, false, []conversion{
		{`{"a": 1}`, json.RawMessage(`{"a": 1}`)},
		{[]byte(" null "), json.RawMessage(" null ")},
		{"7", json.RawMessage("7")},
		{"{", nil},
		{"", nil},
		{"ada", nil},
		{[]byte("\"\xff\""), nil},
		{int64(7), nil},
		{true, nil},
		{`"` + Redacted + `"`, nil},
		{map[string]any{"a": 1}, nil},
	})
}

func TestPlaintextInDocumentsIsConvertedExactly(t *testing.T) {
	convert[string](t, true, []conversion{
		{"ada", "ada"}, {"", ""}, {json.Number("1"), nil}, {true, nil}, {[]any{"ada"}, nil}, {map[string]any{}, nil}, {Redacted, nil}, {"fc1.x", nil},
	})
	convert[[]byte](t, true, []conversion{{"YWRh", []byte("ada")}, {"YWRh=", nil}, {"YW Rh", nil}, {"ada!", nil}, {json.Number("1"), nil}})
	convert[int64](t, true, []conversion{{json.Number("42"), int64(42)}, {json.Number("42.0"), nil}, {json.Number("1e3"), nil}, {"42", nil}, {true, nil}})
	convert[uint64](t, true, []conversion{{json.Number("42"), uint64(42)}, {json.Number("-42"), nil}})
	convert[float64](t, true, []conversion{{json.Number("1.5"), 1.5}, {json.Number("1e999"), nil}, {"1.5", nil}})
	convert[bool](t, true, []conversion{{true, true}, {json.Number("1"), nil}, {"true", nil}})
	convert[time.Time](t, true, []conversion{{"2026-02-28T12:30:00Z", time.Date(2026, 2, 28, 12, 30, 0, 0, time.UTC)}, {"2026-02-28", nil}})
	convert[CivilDate](t, true, []conversion{{"2026-02-28", CivilDate{2026, 2, 28}}, {"2026-02-30", nil}, {json.Number("1"), nil}})
	convert[DecimalString](t, true, []conversion{{"10.50", DecimalString("10.50")}, {json.Number("10.50"), DecimalString("10.50")}, {json.Number("1e3"), nil}})
	convert[json.RawMessage](t, true, []conversion{
		{map[string]any{"a": []any{json.Number("1.0"), nil}}, json.RawMessage(`{"a":[1.0,null]}`)},
		{"ada", json.RawMessage(`"ada"`)},
		{true, json.RawMessage("true")},
		{Redacted, nil},
		{map[string]any{"a": Of("ada")}, nil},
		{"fc1.x", nil},
	})
}

// Members of custom fields in plaintext have escapes, as JSON has.
func TestPlaintextOfCustomFieldsIsUnescaped(t *testing.T) {
	for raw, want := range map[string]any{
		`plain`: "plain", `\"\\\/\b\f\n\r\t`: "\"\\/\b\f\n\r\t", `\u00e9\u00E9é`: "ééé", `\ud83d\udc24🐤`: "🐤🐤", `\ufffd`: "\ufffd", `\u0000`: "\x00", ``: "",
		`\`: nil, `\x41`: nil, `\u12`: nil, `\u12g4`: nil, `\u+123`: nil, `\U0041`: nil, `\ud83d`: nil, `\ud83dx`: nil, `\ud83d\n`: nil, `\ud83d\u0041`: nil,
		`\udc24\ud83d`: nil, `\udc24`: nil, `\ud83d\ud83d\udc24`: nil, `\u`: nil, `a\`: nil,
	} {
		got, ok := unescapedText(raw)
		require.Equal(t, want != nil, ok, raw)
		if want == nil {
			continue
		}
		require.Equal(t, want, got, raw)
		var oracle string
		require.NoError(t, json.Unmarshal([]byte(`"`+raw+`"`), &oracle))
		require.Equal(t, oracle, got)
	}
	for _, text := range []string{`{"a":"\u0066c1.canary"}`, `{"a":"f\u0063255.canary"}`, `{"a":"\ud83dcanary"}`} {
		var f Fields
		require.NoError(t, f.Scan(text))
		v := f["a"]
		require.False(t, v.isCandidate(), text)
		require.NotContains(t, fmt.Sprintf("%+v", f), "canary")
	}
}

// A candidate keeps nothing of the driver's memory, and its memory is as bound as
// that of an envelope.
func TestCandidatesAreCopies(t *testing.T) {
	src := []byte("ada@example.com")
	var v String
	require.NoError(t, v.Scan(src))
	clear(src)
	require.NoError(t, v.adopt())
	got, err := v.Plain()
	require.NoError(t, err)
	require.Equal(t, "ada@example.com", got)

	require.NoError(t, v.Scan(strings.Repeat("a", longestCell)))
	require.True(t, v.isCandidate())
	require.NoError(t, v.Scan(strings.Repeat("a", longestCell+1)))
	require.False(t, v.isCandidate())
	require.ErrorIs(t, v.adopt(), ErrNotEnvelope)
}

// What could be mistaken for an envelope is never a candidate, and a candidate is
// never taken for a value by what is made for other states.
func TestCandidatesHaveNoContent(t *testing.T) {
	var v Int64
	require.NoError(t, v.Scan(int64(4711)))
	require.True(t, v.isCandidate())
	require.Nil(t, v.content())
	v.setOpened(envelopeOf('e'), false, testField, testOrigin)
	require.True(t, v.isCandidate(), "there is no envelope of what isn't a value yet")
	_, err := v.appendFrame(nil)
	require.ErrorIs(t, err, ErrNotDecrypted)
	require.ErrorIs(t, v.decode([]byte{2}, testField, testOrigin, false), ErrNotEnvelope)
	_, err = v.jsonContent()
	require.ErrorIs(t, err, ErrNotEnvelope)
	copied := v
	v.Set(1)
	require.NoError(t, copied.adopt(), "a copy is a value of its own")
	v.SetNull()
	require.ErrorIs(t, v.adopt(), ErrNotEnvelope)
}
