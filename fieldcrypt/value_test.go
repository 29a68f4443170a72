package fieldcrypt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// envelopeOf returns bytes that have the shape of an envelope by reference,
// filled with seed.
func envelopeOf(seed byte) []byte {
	env := bytes.Repeat([]byte{seed}, envelope.ReferenceOverhead+7)
	env[0], env[1], env[2] = 0xFC, 0x01, byte(envelope.ModeReference)
	return env
}

func textOf(t testing.TB, env []byte) string {
	t.Helper()
	text, err := envelope.AppendText(nil, env)
	require.NoError(t, err)
	return string(text)
}

var (
	testField  = envelope.MustField("Contacts", "email")
	testOrigin = &origin{scope: envelope.Scope{Tenant: "acme"}, record: "7"}
	errAway    = errors.New("key is away")
)

// valueIn returns a value in each state, with every way to get there.
func valueIn(t testing.TB, name string) *Value[string] {
	t.Helper()
	v := new(Value[string])
	switch name {
	case "null":
	case "plain":
		v.Set("old")
	case "sealed":
		require.NoError(t, v.Scan(envelopeOf('e')))
	case "sealed text":
		require.NoError(t, v.Scan(textOf(t, envelopeOf('e'))))
	case "encrypted":
		v.Set("old")
		v.setOpened(envelopeOf('e'), false, testField, testOrigin)
	case "encrypted text":
		v.Set("old")
		v.setOpened(envelopeOf('e'), true, testField, testOrigin)
	case "decrypted":
		require.NoError(t, v.Scan(envelopeOf('e')))
		require.NoError(t, v.decode(envelope.AppendString(nil, "old"), testField, testOrigin, false))
	case "decrypted text":
		require.NoError(t, v.Scan(textOf(t, envelopeOf('e'))))
		require.NoError(t, v.decode(envelope.AppendString(nil, "old"), testField, testOrigin, false))
	case "unavailable":
		require.NoError(t, v.Scan(envelopeOf('e')))
		v.setUnavailable(errAway, testField, testOrigin)
	case "no envelope":
		require.NoError(t, v.Scan("old@example.com"))
	default:
		t.Fatalf("no state %q", name)
	}
	return v
}

// seen is all that can be observed of a value without changing it.
type seen struct {
	state   state
	plain   string
	err     error // Plain
	env     string
	written any
	refused error // Value
	opened  bool  // sealedFor is known: it was opened, or that was tried
}

func see(t *testing.T, v *Value[string]) seen {
	t.Helper()
	s := seen{state: v.current(), env: string(v.sealedBytes())}
	s.plain, s.err = v.Plain()
	written, err := v.Value()
	if b, ok := written.([]byte); ok {
		written = "bytes:" + string(b)
	}
	if err != nil {
		require.Equal(t, Redacted, written)
		written = nil
	}
	s.written, s.refused = written, err
	f, o := v.sealedFor()
	s.opened = o != nil
	if s.opened {
		require.Equal(t, testField, f)
		require.Same(t, testOrigin, o)
	} else {
		require.Equal(t, envelope.Field{}, f)
	}
	return s
}

// requireSeen compares errors by errors.Is.
func requireSeen(t *testing.T, want, got seen) {
	t.Helper()
	require.ErrorIs(t, got.err, want.err)
	require.ErrorIs(t, got.refused, want.refused)
	want.err, got.err, want.refused, got.refused = nil, nil, nil, nil
	require.Equal(t, want, got)
}

func TestStates(t *testing.T) {
	old, other := string(envelopeOf('e')), string(envelopeOf('o'))
	oldText, otherText := textOf(t, envelopeOf('e')), textOf(t, envelopeOf('o'))

	null := seen{state: stateNull, err: ErrNull}
	plainOf := func(s string) seen { return seen{state: statePlain, plain: s, refused: ErrNotEncrypted} }
	sealedOf := func(env string, written any) seen {
		return seen{state: stateSealed, err: ErrNotDecrypted, env: env, written: written}
	}
	openedOf := func(s, env string, written any) seen {
		return seen{state: stateOpened, plain: s, env: env, written: written, opened: true}
	}
	awayOf := func(env string, written any, err error) seen {
		return seen{state: stateUnavailable, err: err, env: env, written: written, opened: true}
	}
	noEnvelope := seen{state: stateUnavailable, err: ErrNotEnvelope, refused: ErrNotEnvelope}

	states := map[string]seen{
		"null":           null,
		"plain":          plainOf("old"),
		"sealed":         sealedOf(old, "bytes:"+old),
		"sealed text":    sealedOf(old, oldText),
		"encrypted":      openedOf("old", old, "bytes:"+old),
		"encrypted text": openedOf("old", old, oldText),
		"decrypted":      openedOf("old", old, "bytes:"+old),
		"decrypted text": openedOf("old", old, oldText),
		"unavailable":    awayOf(old, "bytes:"+old, errAway),
		"no envelope":    noEnvelope,
	}
	// What a method makes of a value: by state, or of any ("*") or as it was ("").
	errWrongState := errors.New("any error")
	type outcome struct {
		seen
		err error
	}
	same := outcome{}
	methods := []struct {
		name string
		call func(*Value[string]) error
		to   map[string]outcome
	}{
		{"Set", func(v *Value[string]) error { v.Set("new"); return nil }, map[string]outcome{
			"*": {seen: plainOf("new")},
		}},
		{"Set empty", func(v *Value[string]) error { v.Set(""); return nil }, map[string]outcome{
			"*": {seen: plainOf("")},
		}},
		{"SetNull", func(v *Value[string]) error { v.SetNull(); return nil }, map[string]outcome{
			"*": {seen: null},
		}},
		{"Scan NULL", func(v *Value[string]) error { return v.Scan(nil) }, map[string]outcome{
			"*": {seen: null},
		}},
		{"Scan envelope", func(v *Value[string]) error { return v.Scan([]byte(other)) }, map[string]outcome{
			"*": {seen: sealedOf(other, "bytes:"+other)},
		}},
		{"Scan text", func(v *Value[string]) error { return v.Scan(otherText) }, map[string]outcome{
			"*": {seen: sealedOf(other, otherText)},
		}},
		{"Scan plaintext", func(v *Value[string]) error { return v.Scan("new@example.com") }, map[string]outcome{
			"*": {seen: noEnvelope},
		}},
		{"UnmarshalJSON", func(v *Value[string]) error { return v.UnmarshalJSON([]byte(`"new"`)) }, map[string]outcome{
			"*": {seen: plainOf("new")},
		}},
		{"UnmarshalJSON null", func(v *Value[string]) error { return v.UnmarshalJSON([]byte(`null`)) }, map[string]outcome{
			"*": {seen: null},
		}},
		{"UnmarshalJSON marker", func(v *Value[string]) error { return v.UnmarshalJSON([]byte(`"[REDACTED]"`)) }, map[string]outcome{
			"*": {err: ErrRedacted},
		}},
		{"UnmarshalJSON wrong type", func(v *Value[string]) error { return v.UnmarshalJSON([]byte(`12`)) }, map[string]outcome{
			"*": {err: errWrongState},
		}},
		{"UnmarshalText", func(v *Value[string]) error { return v.UnmarshalText([]byte("new")) }, map[string]outcome{
			"*": {seen: plainOf("new")},
		}},
		{"UnmarshalText marker", func(v *Value[string]) error { return v.UnmarshalText([]byte(Redacted)) }, map[string]outcome{
			"*": {err: ErrRedacted},
		}},
		{"GobDecode", func(v *Value[string]) error { return v.GobDecode([]byte("new")) }, map[string]outcome{
			"*": {err: ErrGob},
		}},
		{"appendFrame", func(v *Value[string]) error { _, err := v.appendFrame(nil); return err }, map[string]outcome{
			"*":              {err: ErrNotDecrypted},
			"null":           {err: ErrNull},
			"plain":          same,
			"encrypted":      same,
			"decrypted":      same,
			"encrypted text": same, "decrypted text": same,
		}},
		{"setOpened", func(v *Value[string]) error { v.setOpened([]byte(other), false, testField, testOrigin); return nil }, map[string]outcome{
			"*":              same,
			"plain":          {seen: openedOf("old", other, "bytes:"+other)},
			"encrypted":      {seen: openedOf("old", other, "bytes:"+other)},
			"decrypted":      {seen: openedOf("old", other, "bytes:"+other)},
			"encrypted text": {seen: openedOf("old", other, otherText)},
			"decrypted text": {seen: openedOf("old", other, otherText)},
		}},
		{"setOpened text", func(v *Value[string]) error { v.setOpened([]byte(other), true, testField, testOrigin); return nil }, map[string]outcome{
			"*":              same,
			"plain":          {seen: openedOf("old", other, otherText)},
			"encrypted":      {seen: openedOf("old", other, otherText)},
			"decrypted":      {seen: openedOf("old", other, otherText)},
			"encrypted text": {seen: openedOf("old", other, otherText)},
			"decrypted text": {seen: openedOf("old", other, otherText)},
		}},
		{"decode", func(v *Value[string]) error {
			return v.decode(envelope.AppendString(nil, "new"), testField, testOrigin, false)
		}, map[string]outcome{
			"*":              {seen: openedOf("new", old, "bytes:"+old)},
			"sealed text":    {seen: openedOf("new", old, oldText)},
			"encrypted text": {seen: openedOf("new", old, oldText)},
			"decrypted text": {seen: openedOf("new", old, oldText)},
			"null":           {err: ErrNotEnvelope},
			"plain":          {err: ErrNotEnvelope},
			"no envelope":    {err: ErrNotEnvelope},
		}},
		{"decode wrong type", func(v *Value[string]) error {
			return v.decode(envelope.AppendInt64(nil, 1), testField, testOrigin, false)
		}, map[string]outcome{
			"*":           {err: envelope.ErrNotAuthentic},
			"null":        {err: ErrNotEnvelope},
			"plain":       {err: ErrNotEnvelope},
			"no envelope": {err: ErrNotEnvelope},
		}},
		{"decode bad frame", func(v *Value[string]) error {
			return v.decode([]byte("\x01\xff"), testField, testOrigin, false)
		}, map[string]outcome{
			"*":           {err: envelope.ErrNotAuthentic},
			"null":        {err: ErrNotEnvelope},
			"plain":       {err: ErrNotEnvelope},
			"no envelope": {err: ErrNotEnvelope},
		}},
		{"setUnavailable", func(v *Value[string]) error {
			v.setUnavailable(envelope.ErrKeyDestroyed, testField, testOrigin)
			return nil
		}, map[string]outcome{
			"*":              {seen: awayOf(old, "bytes:"+old, envelope.ErrKeyDestroyed)},
			"sealed text":    {seen: awayOf(old, oldText, envelope.ErrKeyDestroyed)},
			"encrypted text": {seen: awayOf(old, oldText, envelope.ErrKeyDestroyed)},
			"decrypted text": {seen: awayOf(old, oldText, envelope.ErrKeyDestroyed)},
			"null":           same,
			"plain":          same,
			"no envelope":    {seen: seen{state: stateUnavailable, err: envelope.ErrKeyDestroyed, refused: envelope.ErrKeyDestroyed, opened: true}},
		}},
	}
	for from, before := range states {
		for _, m := range methods {
			t.Run(from+"/"+m.name, func(t *testing.T) {
				v := valueIn(t, from)
				requireSeen(t, before, see(t, v))
				bystander := *v
				err := m.call(v)
				want, ok := m.to[from]
				if !ok {
					want = m.to["*"]
				}
				if want.err == errWrongState { //nolint:errorlint // a marker of this table
					require.Error(t, err)
				} else {
					require.ErrorIs(t, err, want.err)
				}
				if want.seen == (seen{}) || want.err != nil {
					want.seen = before
				}
				if m.name == "SetNull" || m.name == "Scan NULL" || m.name == "UnmarshalJSON null" {
					want.seen = null
				}
				requireSeen(t, want.seen, see(t, v))
				requireSeen(t, before, see(t, &bystander)) // a copy made before sees nothing of it
			})
		}
	}
}

func TestStateNames(t *testing.T) {
	for s, name := range map[state]string{
		stateNull: "null", statePlain: "plain", stateSealed: "sealed", stateOpened: "opened",
		stateUnavailable: "unavailable", 99: "invalid",
	} {
		require.Equal(t, name, s.String())
	}
}

func TestBytesAreCopiedInAndOut(t *testing.T) {
	t.Run("content", func(t *testing.T) {
		in := []byte("abc")
		v := Of(in)
		in[0] = 'X'
		out, err := v.Plain()
		require.NoError(t, err)
		require.Equal(t, "abc", string(out))
		out[0] = 'Y'
		again, err := v.Plain()
		require.NoError(t, err)
		require.Equal(t, "abc", string(again))
	})
	t.Run("JSON", func(t *testing.T) {
		in := json.RawMessage(`{"a":1}`)
		v := Of(in)
		in[0] = 'X'
		out, err := v.Plain()
		require.NoError(t, err)
		out[1] = 'Y'
		again, err := v.Plain()
		require.NoError(t, err)
		require.JSONEq(t, `{"a":1}`, string(again))
	})
	t.Run("scanned", func(t *testing.T) {
		for _, env := range [][]byte{envelopeOf('e'), []byte(textOf(t, envelopeOf('e')))} {
			var v Bytes
			require.NoError(t, v.Scan(env))
			clear(env)
			require.Equal(t, envelopeOf('e'), v.sealedBytes())
		}
	})
	t.Run("written", func(t *testing.T) {
		v := valueIn(t, "sealed")
		other := *v
		first, err := v.Value()
		require.NoError(t, err)
		clear(first.([]byte))
		second, err := other.Value()
		require.NoError(t, err)
		require.Equal(t, envelopeOf('e'), second)
	})
	t.Run("decoded", func(t *testing.T) {
		frame := envelope.AppendFrame(nil, envelope.TypeBytes, []byte("abc"))
		var v Bytes
		require.NoError(t, v.Scan(envelopeOf('e')))
		require.NoError(t, v.decode(frame, testField, testOrigin, false)) // and the frame is v's
		got, err := v.Plain()
		require.NoError(t, err)
		clear(got)
		got, err = v.Plain()
		require.NoError(t, err)
		require.Equal(t, "abc", string(got))
	})
	t.Run("frames of what is refused are wiped", func(t *testing.T) {
		frame := envelope.AppendFrame(nil, envelope.TypeBytes, []byte("abc"))
		var v String
		require.NoError(t, v.Scan(envelopeOf('e')))
		require.ErrorIs(t, v.decode(frame, testField, testOrigin, false), envelope.ErrNotAuthentic)
		require.Equal(t, make([]byte, 4), frame)
	})
	t.Run("slices from UnmarshalJSON", func(t *testing.T) {
		in := []byte(`{"a":1}`)
		var v JSON
		require.NoError(t, v.UnmarshalJSON(in))
		clear(in)
		got, err := v.Plain()
		require.NoError(t, err)
		require.JSONEq(t, `{"a":1}`, string(got))
	})
}

// Many goroutines may read one value; the race detector watches.
func TestReadByManyGoroutines(t *testing.T) {
	v := valueIn(t, "decrypted text")
	done := make(chan string)
	for range 8 {
		go func() {
			plain, _ := v.Plain()
			written, _ := v.Value()
			done <- fmt.Sprint(plain, written, v)
		}()
	}
	want := <-done
	for range 7 {
		require.Equal(t, want, <-done)
	}
}

func TestEmptyIsNotNull(t *testing.T) {
	require.NotEqual(t, statePlain, new(String).state)
	empty := Of("")
	require.False(t, empty.IsNull())
	none := Of([]byte(nil))
	require.False(t, none.IsNull())
	frame, err := none.appendFrame(nil)
	require.NoError(t, err)
	require.Equal(t, []byte{byte(envelope.TypeBytes)}, frame)
	require.True(t, new(Time).IsNull())
	zero := Of(time.Time{})
	require.False(t, zero.IsNull())
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for err, words := range map[error]string{
		ErrNotEncrypted: "call Encrypt", ErrNotDecrypted: "call Decrypt", ErrGob: "Plain",
	} {
		require.ErrorContains(t, err, words)
	}
}
