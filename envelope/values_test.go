package envelope

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// payloadOf parses the frame that an Append function wrote behind something.
func payloadOf(t *testing.T, appended []byte, want Type) []byte {
	t.Helper()
	frame, ok := bytes.CutPrefix(appended, []byte("before"))
	require.True(t, ok, "what was in front is gone")
	typ, p, err := ParseFrame(frame)
	require.NoError(t, err)
	require.Equal(t, want, typ)
	return p
}

func before() []byte { return []byte("before") }

func TestIntegers(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 127, 128, 255, 256, -256, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		p := payloadOf(t, AppendInt64(before(), v), TypeInt64)
		require.Len(t, p, 8)
		require.Equal(t, v, DecodeInt64(p))
		u := uint64(v)
		require.Equal(t, u, DecodeUint64(payloadOf(t, AppendUint64(before(), u), TypeUint64)))
	}
	require.Equal(t, []byte{2, 0, 0, 0, 0, 0, 0, 1, 2}, AppendInt64(nil, 258))
	require.Equal(t, []byte{9, 0, 0, 0, 0, 0, 0, 1, 2}, AppendUint64(nil, 258))
}

func TestFloats(t *testing.T) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN()} {
		got := DecodeFloat64(payloadOf(t, AppendFloat64(before(), v), TypeFloat64))
		require.Equal(t, math.Float64bits(v), math.Float64bits(got), "%v", v)
	}
}

func TestBools(t *testing.T) {
	for _, v := range []bool{true, false} {
		require.Equal(t, v, DecodeBool(payloadOf(t, AppendBool(before(), v), TypeBool)))
	}
}

func TestStrings(t *testing.T) {
	for _, v := range []string{"", "ada@example.com", "\x00", "日本", "\u202e", "fc1._AEB", string([]byte{0x7f}), strings.Repeat("a", 70_000)} {
		require.Equal(t, v, string(payloadOf(t, AppendString(before(), v), TypeString)))
	}
	for _, v := range []string{"\xff", "a\x80", "\xc0\xaf", "\xed\xa0\x80"} {
		_, _, err := ParseFrame(AppendString(nil, v))
		require.ErrorIs(t, err, errBadFrame, "%q", v)
	}
}

func TestTimes(t *testing.T) {
	zone := func(offset int) *time.Location { return time.FixedZone("made up", offset) }
	for name, v := range map[string]time.Time{
		"zero":                  {},
		"epoch":                 time.Unix(0, 0).UTC(),
		"just before epoch":     time.Unix(0, -1).UTC(),
		"nanoseconds":           time.Unix(1_700_000_000, 999_999_999).UTC(),
		"east":                  time.Unix(1_700_000_000, 1).In(zone(5*3600 + 1800)),
		"west":                  time.Unix(1_700_000_000, 1).In(zone(-9 * 3600)),
		"seconds in the offset": time.Unix(-2_000_000_000, 0).In(zone(-1)),
		"widest offset":         time.Unix(0, 0).In(zone(daySecond - 1)),
		"widest offset west":    time.Unix(0, 0).In(zone(1 - daySecond)),
		"year 9999":             time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		"year 0":                time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		"year -5000":            time.Date(-5000, 6, 1, 0, 0, 0, 0, time.UTC),
		"last second":           time.Unix(math.MaxInt64, 0).UTC(),
		"first second":          time.Unix(math.MinInt64, 0).UTC(),
		"monotonic":             time.Now(),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := AppendTime(before(), v)
			require.NoError(t, err)
			got := DecodeTime(payloadOf(t, out, TypeTime))
			require.True(t, got.Equal(v), "%v", got)
			_, want := v.Zone()
			_, offset := got.Zone()
			require.Equal(t, want, offset)
			if want == 0 {
				require.Equal(t, time.UTC, got.Location())
			}
		})
	}
	for _, offset := range []int{daySecond, -daySecond, 1 << 20} {
		out, err := AppendTime(before(), time.Unix(0, 0).In(zone(offset)))
		require.ErrorIs(t, err, ErrMalformed)
		require.Equal(t, "before", string(out))
	}
}

func TestTimePayloadsRefused(t *testing.T) {
	good, err := AppendTime(nil, time.Unix(1, 2))
	require.NoError(t, err)
	for name, alter := range map[string]func([]byte) []byte{
		"a billion nanoseconds": func(b []byte) []byte { return append(append(b[:9:9], 0x3b, 0x9a, 0xca, 0), b[13:]...) },
		"most nanoseconds":      func(b []byte) []byte { return append(append(b[:9:9], 0xff, 0xff, 0xff, 0xff), b[13:]...) },
		"offset of a day":       func(b []byte) []byte { return append(b[:13:13], 0, 1, 0x51, 0x80) },
		"offset of a day west":  func(b []byte) []byte { return append(b[:13:13], 0xff, 0xfe, 0xae, 0x80) },
		"least offset":          func(b []byte) []byte { return append(b[:13:13], 0x80, 0, 0, 0) },
		"a byte too few":        func(b []byte) []byte { return b[:16] },
		"a byte too many":       func(b []byte) []byte { return append(b[:17:17], 0) },
		"empty":                 func(b []byte) []byte { return b[:1] },
	} {
		_, _, err := ParseFrame(alter(bytes.Clone(good)))
		require.ErrorIs(t, err, errBadFrame, name)
	}
}

// Every day of some years, against the calendar of package time.
func TestDates(t *testing.T) {
	years := []int{-400, -4, -1, 0, 1, 4, 100, 400, 1582, 1700, 1752, 1900, 1970, 2000, 2023, 2024, 2100, 9999, 10_000, 292_277_026}
	for _, year := range years {
		for month := time.Month(0); month <= 13; month++ {
			for day := range 33 {
				d := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
				exists := d.Year() == year && d.Month() == month && d.Day() == day
				out, err := AppendDate(before(), year, month, day)
				if !exists {
					require.ErrorIs(t, err, ErrMalformed, "%d-%d-%d", year, month, day)
					require.Equal(t, "before", string(out))
					_, _, err := ParseFrame([]byte{byte(TypeDate), byte(year >> 24), byte(year >> 16), byte(year >> 8), byte(year), byte(month), byte(day)})
					require.ErrorIs(t, err, errBadFrame)
					continue
				}
				require.NoError(t, err, "%d-%d-%d", year, month, day)
				y, m, dd := DecodeDate(payloadOf(t, out, TypeDate))
				require.Equal(t, []int{year, int(month), day}, []int{y, int(m), dd})
			}
		}
	}
	for _, year := range []int{math.MinInt32, math.MaxInt32} {
		out, err := AppendDate(before(), year, 1, 1)
		require.NoError(t, err)
		y, _, _ := DecodeDate(payloadOf(t, out, TypeDate))
		require.Equal(t, year, y)
	}
	for _, bad := range [][3]int{{math.MinInt32 - 1, 1, 1}, {math.MaxInt32 + 1, 1, 1}, {2024, -1, 1}, {2024, 257, 1}, {2024, 1, -1}, {2024, 1, 257}, {2024, 2 + 256, 1 + 256}} {
		_, err := AppendDate(nil, bad[0], time.Month(bad[1]), bad[2])
		require.ErrorIs(t, err, ErrMalformed, "%v", bad)
	}
}

func TestDecimals(t *testing.T) {
	for _, v := range []string{
		"0", "1", "-1", "10", "0.0", "0.00", "1.50", "-0.01", "-0.10", "123456789012345678901234567890.000000000001",
		strings.Repeat("9", 5000), "0." + strings.Repeat("0", 5000) + "1",
	} {
		out, err := AppendDecimal(before(), v)
		require.NoError(t, err, v)
		require.Equal(t, v, string(payloadOf(t, out, TypeDecimal)))
	}
	for _, v := range []string{
		"", "-", "+1", "01", "00", "-01", "-0", "-0.0", "-0.000", ".5", "5.", "-.5", "1..2", "1.2.3", "1.-2", "--1", "1e5", "1E5", "0x1",
		" 1", "1 ", "1\n", "1,5", "1_000", "NaN", "Inf", "٣", "1\x00", "\xff", "0-", "1-", "1.a", "a.1", "1.", ".",
	} {
		out, err := AppendDecimal(before(), v)
		require.ErrorIs(t, err, ErrMalformed, "%q", v)
		require.Equal(t, "before", string(out))
		_, _, err = ParseFrame(AppendFrame(nil, TypeDecimal, []byte(v)))
		require.ErrorIs(t, err, errBadFrame, "%q", v)
	}
}

// What is refused was the caller's plaintext: none of it may stay in the memory
// behind what was passed in.
func TestNothingOfRefusedValuesIsLeftBehind(t *testing.T) {
	for name, try := range map[string]func(dst []byte) ([]byte, error){
		"decimal with commas": func(dst []byte) ([]byte, error) { return AppendDecimal(dst, "1,234,567.89") },
		"decimal with text":   func(dst []byte) ([]byte, error) { return AppendDecimal(dst, "12 EUR") },
		"negative zero":       func(dst []byte) ([]byte, error) { return AppendDecimal(dst, "-0.00") },
		"no decimal":          func(dst []byte) ([]byte, error) { return AppendDecimal(dst, "") },
		"day that isn't":      func(dst []byte) ([]byte, error) { return AppendDate(dst, 1981, time.February, 29) },
		"day past the month":  func(dst []byte) ([]byte, error) { return AppendDate(dst, 1981, time.June, 31) },
		"day past a byte":     func(dst []byte) ([]byte, error) { return AppendDate(dst, 1981, time.June, 257) },
		"month past a byte":   func(dst []byte) ([]byte, error) { return AppendDate(dst, 1981, 257, 1) },
		"year past 32 bits":   func(dst []byte) ([]byte, error) { return AppendDate(dst, math.MaxInt32+1, time.June, 1) },
		"zone a day away or more": func(dst []byte) ([]byte, error) {
			return AppendTime(dst, time.Unix(1, 0).In(time.FixedZone("", 86_400)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			memory := make([]byte, 64)
			copy(memory, "before")
			out, err := try(memory[:6])
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, "before", string(out))
			require.Equal(t, make([]byte, 64-6), memory[6:])
		})
	}
	memory := make([]byte, 64) // the control
	_, err := AppendDecimal(memory[:0], "1234567.89")
	require.NoError(t, err)
	require.Contains(t, string(memory), "1234567.89")
}

func TestRandomValuesRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		i, u, f := rng.Int64(), rng.Uint64(), math.Float64frombits(rng.Uint64())
		require.Equal(t, i, DecodeInt64(payloadOf(t, AppendInt64(before(), i), TypeInt64)))
		require.Equal(t, u, DecodeUint64(payloadOf(t, AppendUint64(before(), u), TypeUint64)))
		require.Equal(t, math.Float64bits(f), math.Float64bits(DecodeFloat64(payloadOf(t, AppendFloat64(before(), f), TypeFloat64))))
		when := time.Unix(int64(u>>20)-1<<43, int64(u%1e9)).In(time.FixedZone("", int(i%daySecond)))
		out, err := AppendTime(before(), when)
		require.NoError(t, err)
		require.True(t, when.Equal(DecodeTime(payloadOf(t, out, TypeTime))))
	}
}
