package fieldcrypt

import (
	"bytes"
	"database/sql/driver"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// envelopeInMode returns bytes of the shape of an envelope with its own key.
func envelopeInMode(m envelope.Mode) []byte {
	env := append([]byte{0xFC, 0x01, byte(m)}, bytes.Repeat([]byte{1}, 32)...)
	env = append(env, 0, 1, 'u', 0, 1, 'w')
	return append(env, bytes.Repeat([]byte{2}, 64)...)
}

func deterministic() []byte {
	env := envelopeOf('d')
	env[2] = byte(envelope.ModeDeterministic)
	return env
}

func TestScanTakesEnvelopes(t *testing.T) {
	for name, env := range map[string][]byte{
		"by reference":  envelopeOf('e'),
		"inline":        envelopeInMode(envelope.ModeInline),
		"deterministic": deterministic(),
	} {
		text := textOf(t, env)
		for form, c := range map[string]struct{ src, written any }{
			"bytes":          {env, env},
			"string":         {string(env), env},
			"text as string": {text, text},
			"text as bytes":  {[]byte(text), text},
		} {
			t.Run(name+"/"+form, func(t *testing.T) {
				var v Int64
				require.NoError(t, v.Scan(c.src))
				require.Equal(t, stateSealed, v.current())
				require.Equal(t, env, v.sealedBytes())
				for range 2 {
					written, err := v.Value()
					require.NoError(t, err)
					require.Equal(t, c.written, written)
					require.True(t, driver.IsValue(written))
				}
			})
		}
	}
}

func TestScanTakesNull(t *testing.T) {
	for name, src := range map[string]any{"nil": nil, "nil bytes": []byte(nil)} {
		t.Run(name, func(t *testing.T) {
			v := Of(int64(1))
			require.NoError(t, v.Scan(src))
			require.True(t, v.IsNull())
			written, err := v.Value()
			require.NoError(t, err)
			require.Nil(t, written)
		})
	}
}

func TestScanRefuses(t *testing.T) {
	env := envelopeOf('e')
	text := textOf(t, env)
	edited := func(at int, b byte) []byte {
		c := bytes.Clone(env)
		c[at] = b
		return c
	}
	recoded := func(at int, b byte) string {
		return "fc1." + base64.RawURLEncoding.EncodeToString(edited(at, b))
	}
	cases := map[string]struct {
		src any
		is  error
	}{
		"plaintext":                 {"ada@example.com", envelope.ErrMalformed},
		"plaintext bytes":           {[]byte("ada@example.com"), envelope.ErrMalformed},
		"empty string":              {"", envelope.ErrMalformed},
		"empty bytes":               {[]byte{}, envelope.ErrMalformed},
		"first byte alone":          {"\xfc", envelope.ErrMalformed},
		"header alone":              {env[:35], envelope.ErrMalformed},
		"cut short":                 {env[:63], envelope.ErrMalformed},
		"other magic":               {edited(0, 0xFB), envelope.ErrMalformed},
		"other version":             {edited(1, 2), envelope.ErrUnknownVersion},
		"mode 0":                    {edited(2, 0), envelope.ErrMalformed},
		"mode 5":                    {edited(2, 5), envelope.ErrMalformed},
		"stream":                    {envelopeInMode(envelope.ModeStream), envelope.ErrModeNotAllowed},
		"reference called inline":   {edited(2, byte(envelope.ModeInline)), envelope.ErrMalformed},
		"hexadecimal as PostgreSQL": {`\xfc0102`, envelope.ErrMalformed},
		"text marker alone":         {"fc1.", envelope.ErrMalformed},
		"text of version 2":         {"fc2." + text[4:], envelope.ErrMalformed},
		"text, its bytes version 2": {recoded(1, 2), envelope.ErrMalformed},
		"text of another magic":     {recoded(0, 0xFB), envelope.ErrMalformed},
		"text of mode 5":            {recoded(2, 5), envelope.ErrMalformed},
		"text of a stream":          {recoded(2, byte(envelope.ModeStream)), envelope.ErrMalformed},
		"text of header alone":      {"fc1." + base64.RawURLEncoding.EncodeToString(env[:35]), envelope.ErrMalformed},
		"text in upper case":        {strings.ToUpper(text), envelope.ErrMalformed},
		"text with padding":         {text + "=", envelope.ErrMalformed},
		"text with a line break":    {text + "\n", envelope.ErrMalformed},
		"text with a space before":  {" " + text, envelope.ErrMalformed},
		"text cut short":            {text[:20], envelope.ErrMalformed},
		"redaction marker":          {Redacted, envelope.ErrMalformed},
		"word that starts with fc":  {"fc Bayern", envelope.ErrMalformed},
		"int64":                     {int64(7734), envelope.ErrMalformed},
		"float64":                   {77.34, envelope.ErrMalformed},
		"bool":                      {true, envelope.ErrMalformed},
		"time":                      {time.Unix(7734, 0), envelope.ErrMalformed},
		"a value":                   {Of("ada@example.com"), envelope.ErrMalformed},
		"pointer to a string":       {new(string), envelope.ErrMalformed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := valueIn(t, "decrypted text")
			require.NoError(t, v.Scan(c.src))
			require.Equal(t, stateUnavailable, v.current())
			_, err := v.Plain()
			require.ErrorIs(t, err, ErrNotEnvelope)
			require.ErrorIs(t, err, c.is)
			written, refused := v.Value()
			require.Equal(t, Redacted, written, "nil would be NULL to those who drop the error")
			require.ErrorIs(t, refused, ErrNotEnvelope)
			if s := fmt.Sprintf("%s", c.src); s != "" && s != "\xfc" {
				require.NotContains(t, err.Error()+refused.Error(), s)
			}
			// What Decrypt may take for the value of a migrating field is kept
			// until then, and nothing of what begins like an envelope.
			switch name {
			case "plaintext", "plaintext bytes", "empty string", "empty bytes", "other magic", "hexadecimal as PostgreSQL", "text in upper case",
				"text with a space before", "redaction marker", "word that starts with fc", "int64", "float64", "bool", "time":
				require.True(t, v.isCandidate())
				v.drop(v.err)
			}
			require.Equal(t, Value[string]{err: v.err, state: stateUnavailable}, *v, "something of the cell was kept")
		})
	}
}

// What is too long for an envelope, or isn't one, is refused before it is
// copied.
func TestScanCopiesEnvelopesOnly(t *testing.T) {
	most := make([]byte, 20<<20) // more than an envelope in binary form
	copy(most, envelopeOf('e')[:3])
	bad := make([]byte, 1<<20)
	copy(bad, "\xfc\x01\x07")
	text := bytes.Repeat([]byte("A"), 40<<20)
	copy(text, "fc1.")
	for name, src := range map[string]any{
		"binary too long": most, "no envelope": bad, "text too long": text, "text too long, as string": string(text),
	} {
		t.Run(name, func(t *testing.T) {
			var v String
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = v.Scan(src)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10))
			_, err := v.Plain()
			require.ErrorIs(t, err, ErrNotEnvelope)
		})
	}
}

// plaintexts calls try with n plaintexts of many shapes, as a database may
// hold them in a column that was never encrypted.
func plaintexts(n int, try func(src any)) {
	r := rand.New(rand.NewPCG(1, 2))
	starts := []string{"", "ada", "fc", "fc1.", "\xfc", "\xfc\x01", "\xfc\x01\x04", "{\"a\":", "-12.5"}
	buf := make([]byte, 0, 160)
	for i := range n {
		buf = append(buf[:0], starts[i%len(starts)]...)
		for range r.IntN(96) {
			buf = append(buf, "ABCDEFGHabcdefgh01234567 .,-=/+@"[r.IntN(32)])
		}
		if i&1 == 0 {
			try(buf)
		} else {
			try(string(buf))
		}
	}
}

// Of a million plaintexts in columns none is returned by Plain or written
// again by Value. The control is a field type without checks.
func TestScannedPlaintextGoesNowhere(t *testing.T) {
	const n = 1_000_000
	passed, control := 0, 0
	var v String
	var loose looseValue
	plaintexts(n, func(src any) {
		_ = v.Scan(src)
		if s, err := v.Plain(); err == nil || s != "" {
			passed++
		}
		if written, err := v.Value(); err == nil || written != Redacted {
			passed++
		}
		_ = loose.Scan(src)
		if written, err := loose.Value(); err == nil && written != nil {
			control++
		}
	})
	require.Zero(t, passed)
	require.Equal(t, n, control, "the control let through less than everything")
}

// looseValue is what Value would be if Scan kept what it is given.
type looseValue struct{ env []byte }

func (l *looseValue) Scan(src any) error {
	switch src := src.(type) {
	case []byte:
		l.env = append(l.env[:0], src...)
	case string:
		l.env = append(l.env[:0], src...)
	}
	return nil
}

func (l looseValue) Value() (driver.Value, error) { return l.env, nil }

func FuzzScan(f *testing.F) {
	for _, env := range [][]byte{envelopeOf('e'), envelopeInMode(envelope.ModeInline), envelopeInMode(envelope.ModeStream), deterministic()} {
		f.Add(env)
		f.Add(env[:len(env)-1])
	}
	f.Add([]byte(textOf(f, envelopeOf('e'))))
	f.Add([]byte("ada@example.com"))
	f.Fuzz(func(t *testing.T, src []byte) { checkScan(t, src) })
}

// settled is what a value is but for the memory of a candidate: its text, and
// the value without it.
func settled(t require.TestingT, v *String) [2]any {
	c := v.candidate()
	if !v.isCandidate() {
		return [2]any{nil, *v}
	}
	text, _ := c.content.(string)
	if b, ok := c.content.([]byte); ok {
		text = string(b)
	}
	require.False(t, c.inside)
	without := *v
	without.drop(v.err)
	return [2]any{text, without}
}

func checkScan(t require.TestingT, src []byte) {
	var v, w String
	require.NoError(t, v.Scan(src))
	require.NoError(t, w.Scan(string(src)))
	if src == nil {
		return
	}
	require.Equal(t, settled(t, &w), settled(t, &v), "a string scans unlike the same bytes")
	written, err := v.Value()
	if v.current() == stateUnavailable {
		require.ErrorIs(t, err, ErrNotEnvelope)
		return
	}
	require.NoError(t, err)
	if text, ok := written.(string); ok {
		written = []byte(text)
	}
	require.Equal(t, src, written)
}
