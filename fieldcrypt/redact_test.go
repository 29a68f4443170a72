package fieldcrypt

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRedactedForms(t *testing.T) {
	states := []string{"plain", "sealed", "sealed text", "encrypted", "decrypted", "unavailable", "no envelope"}
	for _, name := range states {
		t.Run(name, func(t *testing.T) {
			v := valueIn(t, name)
			require.Equal(t, Redacted, v.String())
			require.Equal(t, Redacted, fmt.Sprintf("%#v", v))
			require.Equal(t, Redacted, v.GoString())
			require.Equal(t, Redacted, v.LogValue().String())
			b, err := json.Marshal(v)
			require.NoError(t, err)
			require.Equal(t, `"[REDACTED]"`, string(b))
			b, err = v.MarshalText()
			require.NoError(t, err)
			require.Equal(t, Redacted, string(b))
			_, err = v.GobEncode()
			require.ErrorIs(t, err, ErrGob)
		})
	}
	t.Run("null", func(t *testing.T) {
		var v String
		require.Equal(t, "<nil>", fmt.Sprint(v))
		require.Nil(t, v.LogValue().Any())
		b, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, "null", string(b))
		b, err = v.MarshalText()
		require.NoError(t, err)
		require.Empty(t, b)
		_, err = v.GobEncode()
		require.ErrorIs(t, err, ErrGob)
	})
	t.Run("omitzero", func(t *testing.T) {
		type contact struct {
			Email String `json:"email,omitzero"`
		}
		b, err := json.Marshal(contact{})
		require.NoError(t, err)
		require.Equal(t, "{}", string(b))
		b, err = json.Marshal(contact{Email: Of("")})
		require.NoError(t, err)
		require.Equal(t, `{"email":"[REDACTED]"}`, string(b))
	})
	t.Run("nil pointer", func(t *testing.T) {
		var v *String
		require.Equal(t, "<nil>", fmt.Sprint(v))
		b, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, "null", string(b))
	})
}

func reads[T Plain](t *testing.T, data string, want T) {
	t.Helper()
	var v Value[T]
	require.NoError(t, json.Unmarshal([]byte(data), &v), data)
	require.Equal(t, statePlain, v.current())
	got, err := v.Plain()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestUnmarshalJSON(t *testing.T) {
	reads(t, `"ada"`, "ada")
	reads(t, `""`, "")
	reads(t, `"null"`, "null")
	reads(t, `"\u0041[REDACTED]"`, "A[REDACTED]")
	reads(t, `"AQI="`, []byte{1, 2})
	reads(t, `-12`, int64(-12))
	reads(t, `18446744073709551615`, uint64(18446744073709551615))
	reads(t, `1.5e3`, 1500.0)
	reads(t, `true`, true)
	reads(t, `"2024-02-29T01:02:03.5Z"`, time.Date(2024, 2, 29, 1, 2, 3, 5e8, time.UTC))
	reads(t, `"2024-02-29"`, CivilDate{2024, 2, 29})
	reads(t, `"10.50"`, DecimalString("10.50"))
	reads(t, `10.50`, DecimalString("10.50"))
	reads(t, `{"a": [1, null]}`, json.RawMessage(`{"a": [1, null]}`))
	reads(t, `"text"`, json.RawMessage(`"text"`))
	reads(t, `[ ]`, json.RawMessage(`[ ]`))
}

// A marshalled record doesn't come back as if its markers were values.
func TestMarkersDontComeBack(t *testing.T) {
	type contact struct {
		Name  string
		Email String
	}
	b, err := json.Marshal(contact{"Ada", Of("ada@example.com")})
	require.NoError(t, err)
	var c contact
	require.ErrorIs(t, json.Unmarshal(b, &c), ErrRedacted)
	require.True(t, c.Email.IsNull())

	x, err := xml.Marshal(contact{"Ada", Of("ada@example.com")})
	require.NoError(t, err)
	require.Contains(t, string(x), "<Email>[REDACTED]</Email>")
	require.ErrorIs(t, xml.Unmarshal(x, &c), ErrRedacted)
	require.True(t, c.Email.IsNull())
	require.NoError(t, xml.Unmarshal([]byte(`<contact><Email>ada</Email></contact>`), &c))
	got, err := c.Email.Plain()
	require.NoError(t, err)
	require.Equal(t, "ada", got)
}

func unmarshals[T Plain](t *testing.T, bad ...string) {
	t.Helper()
	const canary = "7734"
	name := typeOf[T]().String()
	for _, data := range append(bad, `"[REDACTED]"`, `"\u005bREDACTED]"`, ` "[REDACTED]" `, `" [REDACTED]\n"`, ``, `{"a":7734`, `7734 7734`, `nul`) {
		t.Run(name+"/"+data, func(t *testing.T) {
			v := new(Value[T])
			require.NoError(t, v.Scan(envelopeOf('e')))
			before := *v
			err := v.UnmarshalJSON([]byte(data))
			require.Error(t, err)
			require.Equal(t, before, *v)
			require.NotContains(t, err.Error(), canary)
			if strings.Contains(data, "REDACTED") {
				require.ErrorIs(t, err, ErrRedacted)
				return
			}
			require.ErrorContains(t, err, name)
			err = json.Unmarshal([]byte(data), v) // may be stopped earlier, and then by JSON itself
			require.Error(t, err)
			require.Equal(t, before, *v)
		})
	}
	v := Of(*new(T))
	require.NoError(t, v.UnmarshalJSON([]byte(`null`)))
	require.True(t, v.IsNull())
	require.ErrorIs(t, v.UnmarshalText([]byte(Redacted)), ErrRedacted)
	require.ErrorIs(t, v.UnmarshalText([]byte("\t"+Redacted+"\r\n")), ErrRedacted)
	require.Error(t, v.UnmarshalText([]byte("7734\xff")))
	require.ErrorIs(t, v.GobDecode(nil), ErrGob)
	require.True(t, v.IsNull())
}

func TestUnmarshalRefuses(t *testing.T) {
	unmarshals[string](t, `7734`, `true`, `{"7734":7734}`, `["7734"]`, "\"7734\xff\"")
	unmarshals[[]byte](t, `7734`, `"7734!"`, `[7,7,3,4]`, `"7734A"`)
	unmarshals[int64](t, `"7734"`, `7734.5`, `77340000000000000000`, `7734e1`, `true`, `[7734]`)
	unmarshals[uint64](t, `"7734"`, `-7734`, `7734.5`, `773400000000000000000`, `{}`)
	unmarshals[float64](t, `"7734"`, `7734e400`, `false`, `[]`)
	unmarshals[bool](t, `"true"`, `7734`, `0`, `"7734"`)
	unmarshals[time.Time](t, `7734`, `"7734-02-29"`, `"7734-13-01T00:00:00Z"`, `"yesterday 7734"`)
	unmarshals[CivilDate](t, `7734`, `"7734-02-29"`, `"7734-1-1"`, `{"Year":7734}`)
	unmarshals[DecimalString](t, `"7734e1"`, `7734e1`, `"07734"`, `-0.0`, `true`, `"7734 EUR"`)
	unmarshals[json.RawMessage](t, `{7734}`, "\"7734\xff\"")
}

func TestUnmarshalTextReads(t *testing.T) {
	var n Int64
	require.NoError(t, n.UnmarshalText([]byte("-12")))
	var j JSON
	require.NoError(t, j.UnmarshalText([]byte(`{"a":1}`)))
	require.Error(t, j.UnmarshalText([]byte(`{"a":`)))
	var s String
	require.NoError(t, s.UnmarshalText(nil))
	require.False(t, s.IsNull())

	// A null doesn't come back from a text.
	text, err := String{}.MarshalText()
	require.NoError(t, err)
	require.NoError(t, s.UnmarshalText(text))
	require.False(t, s.IsNull())
	require.Error(t, n.UnmarshalText(text))
}
