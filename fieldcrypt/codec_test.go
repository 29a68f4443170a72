package fieldcrypt

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// framesOf holds one good frame of every type.
func framesOf(t testing.TB) map[envelope.Type][]byte {
	t.Helper()
	moment, err := envelope.AppendTime(nil, time.Unix(1, 2).UTC())
	require.NoError(t, err)
	day, err := envelope.AppendDate(nil, 2024, 2, 29)
	require.NoError(t, err)
	decimal, err := envelope.AppendDecimal(nil, "10.50")
	require.NoError(t, err)
	return map[envelope.Type][]byte{
		envelope.TypeBytes:   envelope.AppendFrame(nil, envelope.TypeBytes, []byte("abc")),
		envelope.TypeString:  envelope.AppendString(nil, "abc"),
		envelope.TypeInt64:   envelope.AppendInt64(nil, -1),
		envelope.TypeUint64:  envelope.AppendUint64(nil, 1),
		envelope.TypeFloat64: envelope.AppendFloat64(nil, 1.5),
		envelope.TypeBool:    envelope.AppendBool(nil, true),
		envelope.TypeTime:    moment,
		envelope.TypeDate:    day,
		envelope.TypeDecimal: decimal,
		envelope.TypeJSON:    envelope.AppendFrame(nil, envelope.TypeJSON, []byte(`{"a":1}`)),
	}
}

func testCodec[T Plain](t *testing.T, want envelope.Type, contents ...T) {
	t.Run(want.String(), func(t *testing.T) {
		require.Equal(t, want, typeOf[T]())
		value := new(Value[T])
		require.Equal(t, want, value.frameType())
		for _, content := range contents {
			frame, err := appendFrame([]byte("kept"), &content)
			require.NoError(t, err)
			require.Equal(t, "kept", string(frame[:4]))
			frame = frame[4:]

			require.NoError(t, value.Scan(envelopeOf('e')))
			require.NoError(t, value.decode(bytes.Clone(frame), testField, testOrigin, false))
			again, err := value.appendFrame(nil)
			require.NoError(t, err)
			require.Equal(t, frame, again)

			padded, err := envelope.PadFrame(append([]byte(nil), frame...), 64)
			require.NoError(t, err)
			require.NoError(t, value.decode(padded, testField, testOrigin, false))
			got, err := value.Plain()
			require.NoError(t, err)
			if f, ok := any(content).(float64); ok && math.IsNaN(f) {
				require.True(t, math.IsNaN(any(got).(float64)))
			} else if moment, ok := any(content).(time.Time); ok {
				require.True(t, moment.Equal(any(got).(time.Time)))
			} else {
				require.Equal(t, content, got)
			}
		}
		for other, frame := range framesOf(t) {
			err := decodeFrame(new(T), frame)
			if other == want {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, envelope.ErrNotAuthentic, other)
			require.Equal(t, envelope.ErrNotAuthentic.Error(), err.Error(), "it tells that the type was wrong")
		}
		for name, frame := range map[string][]byte{
			"empty": nil, "unknown type": {0x7f, 1}, "padding without its mark": {byte(want) | 0x80, 0},
		} {
			require.ErrorIs(t, decodeFrame(new(T), frame), envelope.ErrNotAuthentic, name)
		}
	})
}

func TestCodec(t *testing.T) {
	testCodec(t, envelope.TypeString, "", "a", "Zoë Åström", "fc1.looks like an envelope", strings.Repeat("x", 1<<16), "\x00")
	testCodec(t, envelope.TypeBytes, []byte{}, []byte{0}, []byte("\xff\xfe"), envelopeOf('e'))
	testCodec[int64](t, envelope.TypeInt64, 0, 1, -1, math.MinInt64, math.MaxInt64)
	testCodec[uint64](t, envelope.TypeUint64, 0, 1, math.MaxUint64)
	testCodec(t, envelope.TypeFloat64, 0, math.Copysign(0, -1), 1.5, math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64)
	testCodec(t, envelope.TypeBool, true, false)
	testCodec(t, envelope.TypeTime, time.Time{}, time.Unix(0, 0), time.Date(2024, 2, 29, 1, 2, 3, 456789, time.FixedZone("X", -3*3600)), time.Unix(1<<40, 999999999))
	testCodec(t, envelope.TypeDate, CivilDate{2024, 2, 29}, CivilDate{1, 1, 1}, CivilDate{-44, 3, 15}, CivilDate{math.MaxInt32, 12, 31})
	testCodec[DecimalString](t, envelope.TypeDecimal, "0", "0.00", "-10.50", "123456789012345678901234567890.1")
	testCodec(t, envelope.TypeJSON, json.RawMessage(`{}`), json.RawMessage(` {"b": 1, "a": [null]} `), json.RawMessage(`"x"`), json.RawMessage(`null`))
}

func refused[T Plain](name string, content T) (string, func() error) {
	return name, func() error {
		v := Of(content)
		dst := []byte("kept")
		out, err := v.appendFrame(dst)
		if string(out) != "kept" {
			return nil // dst has to stay what it was
		}
		return err
	}
}

func TestCodecRefuses(t *testing.T) {
	const canary = "7734"
	cases := map[string]func() error{}
	add := func(name string, f func() error) { cases[name] = f }
	add(refused("string that is not UTF-8", canary+"\xff"))
	add(refused("empty JSON", json.RawMessage{}))
	add(refused("nil JSON", json.RawMessage(nil)))
	add(refused("JSON cut short", json.RawMessage(`{"a":`+canary)))
	add(refused("two JSON documents", json.RawMessage(canary+" "+canary)))
	add(refused("JSON that is not UTF-8", json.RawMessage("\"7734\xff\"")))
	add(refused("zero date", CivilDate{}))
	add(refused("29 February of a common year", CivilDate{7734, 2, 29}))
	add(refused("month 13", CivilDate{7734, 13, 1}))
	add(refused("day 0", CivilDate{7734, 1, 0}))
	add(refused("day 256", CivilDate{7734, 1, 256}))
	add(refused("year past 32 bits", CivilDate{math.MaxInt32 + 1, 1, 1}))
	add(refused("empty decimal", DecimalString("")))
	add(refused("negative zero", DecimalString("-0.0")))
	add(refused("exponent", DecimalString("7734e1")))
	add(refused("leading zero", DecimalString("07734")))
	add(refused("zone a day away", time.Date(7734, 1, 1, 0, 0, 0, 0, time.FixedZone("X", 86400))))
	for name, try := range cases {
		t.Run(name, func(t *testing.T) {
			err := try()
			require.ErrorIs(t, err, envelope.ErrMalformed)
			require.NotContains(t, err.Error(), canary)
		})
	}
}

func allocs[T Plain](t *testing.T, name string, content T, ofDecode float64) {
	t.Run(name, func(t *testing.T) {
		v := Of(content)
		buf := make([]byte, 0, 64)
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = v.appendFrame(buf) }))
		frame, err := v.appendFrame(nil)
		require.NoError(t, err)
		require.NoError(t, v.Scan(envelopeOf('e')))
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
			_ = v.decode(frame, testField, testOrigin, false)
		}), ofDecode)
	})
}

// Reading a frame allocates what holds the content, and nothing else.
func TestCodecAllocates(t *testing.T) {
	allocs(t, "string", "ada@example.com", 2)
	allocs(t, "bytes", []byte("ada@example.com"), 2)
	allocs(t, "decimal", DecimalString("10.50"), 2)
	allocs(t, "int64", int64(1<<40), 1)
	allocs(t, "uint64", uint64(1<<40), 1)
	allocs(t, "float64", 1.5, 1)
	allocs(t, "bool", true, 1)
	allocs(t, "date", CivilDate{2024, 2, 29}, 1)
	allocs(t, "time in UTC", time.Unix(1<<30, 0).UTC(), 1)
}

func BenchmarkDecode(b *testing.B) {
	frame := envelope.AppendString(nil, "ada.lovelace@example.com")
	var v String
	_ = v.Scan(envelopeOf('e'))
	b.ReportAllocs()
	for b.Loop() {
		_ = v.decode(frame, testField, testOrigin, false)
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	v := Of("ada.lovelace@example.com")
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = v.appendFrame(buf)
	}
}

func BenchmarkScan(b *testing.B) {
	env := envelopeOf('e')
	var v String
	b.ReportAllocs()
	for b.Loop() {
		_ = v.Scan(env)
	}
}
