package envelope

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestParseFrame(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame string
		typ   Type
		want  string
		ok    bool
	}{
		{"empty bytes", "\x00", TypeBytes, "", true},
		{"any bytes", "\x00\xff\x80\x00", TypeBytes, "\xff\x80\x00", true},
		{"empty string", "\x01", TypeString, "", true},
		{"string with a zero", "\x01a\x00", TypeString, "a\x00", true},
		{"empty JSON", "\x08", TypeJSON, "", true},
		{"JSON that doesn't parse", "\x08{", TypeJSON, "{", true},
		{"padded bytes", "\x80ab\x80\x00\x00", TypeBytes, "ab", true},
		{"padded with one byte", "\x80\x80", TypeBytes, "", true},
		{"padded payload that ends like padding", "\x80\x80\x00\x80", TypeBytes, "\x80\x00", true},
		{"padded bool", "\x84\x01\x80", TypeBool, "\x01", true},

		{"nothing", "", 0, "", false},
		{"type 10", "\x0a", 0, "", false},
		{"type 127", "\x7f", 0, "", false},
		{"padded type 10", "\x8a\x80", 0, "", false},
		{"padded type 127", "\xff\x80", 0, "", false},
		{"padded, nothing there", "\x80", 0, "", false},
		{"padded, zeros alone", "\x80\x00\x00", 0, "", false},
		{"padded, no 0x80", "\x80ab", 0, "", false},
		{"padded, 0x81", "\x80ab\x81\x00", 0, "", false},
		{"padded, 0x80 before the end", "\x80\x80a", 0, "", false},
		{"padded string not UTF-8", "\x81\xff\x80", 0, "", false},
		{"padded bool 2", "\x84\x02\x80", 0, "", false},
		{"padded int64 of 7 bytes", "\x82\x00\x00\x00\x00\x00\x00\x01\x80", 0, "", false},
		{"string not UTF-8", "\x01\xff", 0, "", false},
		{"JSON not UTF-8", "\x08\"\xff\"", 0, "", false},
		{"int64 empty", "\x02", 0, "", false},
		{"int64 of 7", "\x02\x00\x00\x00\x00\x00\x00\x00", 0, "", false},
		{"int64 of 9", "\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0, "", false},
		{"uint64 of 7", "\x09\x00\x00\x00\x00\x00\x00\x00", 0, "", false},
		{"float64 of 4", "\x03\x00\x00\x00\x00", 0, "", false},
		{"bool empty", "\x04", 0, "", false},
		{"bool 2", "\x04\x02", 0, "", false},
		{"bool 255", "\x04\xff", 0, "", false},
		{"bool of two bytes", "\x04\x01\x00", 0, "", false},
		{"date of 5", "\x06\x00\x00\x07\xe8\x01", 0, "", false},
		{"date of 7", "\x06\x00\x00\x07\xe8\x01\x01\x00", 0, "", false},
		{"decimal empty", "\x07", 0, "", false},
		{"decimal of full-width digits", "\x07１", 0, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			typ, payload, err := ParseFrame([]byte(c.frame))
			if !c.ok {
				require.ErrorIs(t, err, errBadFrame)
				require.ErrorIs(t, err, ErrNotAuthentic)
				require.Nil(t, payload)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.typ, typ)
			require.Equal(t, c.want, string(payload))
			require.NoError(t, checkParseFrame([]byte(c.frame)))
		})
	}
}

// One byte that is not ASCII, at every place of texts of many lengths.
func TestTextIsUTF8AtEveryPlace(t *testing.T) {
	refused := 0
	for length := range 140 {
		for at := range length {
			for _, odd := range []string{"\x80", "\xff", "\xc3", "ä", "\xf0\x9f\x98\x80", "\xed\xa0\x80"} {
				text := []byte(strings.Repeat("a", length))
				copy(text[at:], odd)
				_, _, err := ParseFrame(AppendString(nil, string(text)))
				b := Binding{Field: email, Record: string(text)}
				if utf8.Valid(text) {
					require.NoError(t, err)
					require.NoError(t, b.checkPlace())
					continue
				}
				refused++
				require.ErrorIs(t, err, errBadFrame, "%q", text)
				require.ErrorIs(t, b.checkPlace(), ErrMalformed, "%q", text)
			}
		}
	}
	require.NotZero(t, refused)
}

func TestPadFrame(t *testing.T) {
	for _, multiple := range []int{2, 3, 16, 64, 255, 65_536} {
		lengths := map[int]bool{}
		for size := range 70 {
			value := bytes.Repeat([]byte{0x80}, size) // a value that looks like padding
			padded, err := PadFrame(AppendFrame(nil, TypeBytes, value), multiple)
			require.NoError(t, err)
			require.Zero(t, len(padded)%multiple)
			require.Greater(t, len(padded), 1+size)
			require.LessOrEqual(t, len(padded), 1+size+multiple)
			typ, payload, err := ParseFrame(padded)
			require.NoError(t, err)
			require.Equal(t, TypeBytes, typ)
			require.Equal(t, string(value), string(payload))
			lengths[len(padded)] = true
		}
		require.LessOrEqual(t, len(lengths), 72/multiple+1, "lengths that can be told apart")
	}
	once, err := PadFrame(AppendString(nil, "a"), 8)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		frame    []byte
		multiple int
	}{
		"multiple 0":      {AppendString(nil, "a"), 0},
		"multiple 1":      {AppendString(nil, "a"), 1},
		"multiple -16":    {AppendString(nil, "a"), -16},
		"multiple 65,537": {AppendString(nil, "a"), 65_537},
		"no frame":        {nil, 16},
		"padded already":  {once, 16},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := PadFrame(c.frame, c.multiple)
			require.ErrorIs(t, err, ErrMalformed)
		})
	}
}

// What is not a frame, or is too long, is not sealed.
func TestSealRefusesWhatIsNoFrame(t *testing.T) {
	r := plainRing(t, &plainProvider{}, nil)
	for name, frame := range map[string][]byte{
		"nothing":          nil,
		"bare text":        []byte("ada@example.com"),
		"string not UTF-8": AppendString(nil, "\xff"),
		"bool 2":           {byte(TypeBool), 2},
		"too long":         make([]byte, MaxFrame+1),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := r.AppendSeal(t.Context(), before(), place("acme"), frame)
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, "before", string(out))
			require.NotContains(t, err.Error(), "ada@")
		})
	}
	longest, err := r.Seal(t.Context(), place("acme"), make([]byte, MaxFrame))
	require.NoError(t, err)
	_, err = r.Open(t.Context(), place("acme"), longest)
	require.NoError(t, err)
	_, err = r.Open(t.Context(), place("acme"), append(longest, 0))
	require.ErrorIs(t, err, ErrMalformed)
}

func TestTypeAndModeNames(t *testing.T) {
	seen := map[string]bool{}
	for typ := range Type(12) {
		require.False(t, seen[typ.String()], typ.String())
		seen[typ.String()] = true
	}
	require.Equal(t, "type 10", Type(10).String())
	require.Equal(t, "type 255", Type(255).String())
	for mode := range Mode(6) {
		require.False(t, seen[mode.String()], mode.String())
		seen[mode.String()] = true
	}
	require.Equal(t, "mode 0x05", Mode(5).String())
}

func TestCompositeRecord(t *testing.T) {
	longest := strings.Repeat("a", maxPart)
	for name, c := range map[string]struct {
		parts []string
		want  string
	}{
		"one part":            {[]string{"a"}, "\x00\x00\x00\x01a"},
		"two parts":           {[]string{"ab", "c"}, "\x00\x00\x00\x02ab\x00\x00\x00\x01c"},
		"the same letters":    {[]string{"a", "bc"}, "\x00\x00\x00\x01a\x00\x00\x00\x02bc"},
		"longest part":        {[]string{longest}, "\x00\x00\x00\x7f" + longest},
		"a part of runes":     {[]string{"ä"}, "\x00\x00\x00\x02ä"},
		"most bytes":          {[]string{longest, longest, longest, longest, longest, longest, longest, strings.Repeat("a", 103)}, ""},
		"looks like two":      {[]string{"a\x00\x00\x00\x01b"}, "\x00\x00\x00\x06a\x00\x00\x00\x01b"},
		"parts with no bytes": {[]string{"\x00", "\x00"}, "\x00\x00\x00\x01\x00\x00\x00\x00\x01\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := CompositeRecord(c.parts...)
			require.NoError(t, err)
			if c.want != "" {
				require.Equal(t, c.want, id)
			}
			b := Binding{Scope: Scope{Tenant: "acme"}, Field: email, Record: id}
			require.NoError(t, b.checkPlace(), "a record ID that can be bound")
			var back []string
			for rest := []byte(id); len(rest) > 0; {
				var part string
				part, rest, err = cutLP(rest)
				require.NoError(t, err)
				back = append(back, part)
			}
			require.Equal(t, c.parts, back)
		})
	}
	for name, parts := range map[string][]string{
		"no parts":       nil,
		"an empty part":  {"a", ""},
		"only empty":     {""},
		"128 bytes":      {longest + "a"},
		"128 in runes":   {strings.Repeat("ä", 64)},
		"not UTF-8":      {"a", "\xff"},
		"1,025 in all":   {longest, longest, longest, longest, longest, longest, longest, strings.Repeat("a", 104)},
		"too many parts": strings.Split(strings.Repeat("a", 300), ""),
	} {
		t.Run(name, func(t *testing.T) {
			id, err := CompositeRecord(parts...)
			require.ErrorIs(t, err, ErrMalformed)
			require.Empty(t, id)
		})
	}
}

func TestNewField(t *testing.T) {
	for _, c := range [][2]string{{"Contacts", "email"}, {"a", "b"}, {strings.Repeat("a", 255), strings.Repeat("b", 255)}, {"日本", "\x00"}, {"a.b", "c"}} {
		f, err := NewField(c[0], c[1])
		require.NoError(t, err)
		require.Equal(t, c[0], f.Module())
		require.Equal(t, c[1], f.Name())
		require.Equal(t, c[0]+"."+c[1], f.String())
		require.Equal(t, f, MustField(c[0], c[1]))
	}
	a, b := MustField("a.b", "c"), MustField("a", "b.c")
	require.Equal(t, a.String(), b.String())
	require.NotEqual(t, a, b, "they print alike and are two fields")

	var zero Field
	r := plainRing(t, &plainProvider{}, nil)
	for name, place := range map[string]*Binding{
		"zero field":            {Scope: Scope{Tenant: "acme"}, Field: zero, Record: "42"},
		"no record":             {Scope: Scope{Tenant: "acme"}, Field: email},
		"unbound with a record": {Scope: Scope{Tenant: "acme"}, Field: email, Record: "42", Unbound: true},
		"record of 1,025 bytes": {Scope: Scope{Tenant: "acme"}, Field: email, Record: strings.Repeat("a", 1025)},
		"no tenant":             {Field: email, Record: "42"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Seal(t.Context(), place, AppendString(nil, "x"))
			require.ErrorIs(t, err, ErrMalformed, fmt.Sprint(place))
		})
	}
}
