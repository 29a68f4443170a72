package envelope

import (
	"encoding/binary"
	"math"
	"time"
)

// The payloads of the typed values. Integers are big-endian. The Append
// functions write a whole frame; the Decode functions read a payload that
// ParseFrame returned, and panic on one that it would have refused.

// AppendInt64 appends the frame of v: 8 bytes, two's complement.
func AppendInt64(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(TypeInt64)), uint64(v))
}

// DecodeInt64 reads a payload of [TypeInt64].
func DecodeInt64(p []byte) int64 { return int64(binary.BigEndian.Uint64(p)) }

// AppendUint64 appends the frame of v: 8 bytes.
func AppendUint64(dst []byte, v uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(TypeUint64)), v)
}

// DecodeUint64 reads a payload of [TypeUint64].
func DecodeUint64(p []byte) uint64 { return binary.BigEndian.Uint64(p) }

// AppendFloat64 appends the frame of v: its IEEE 754 bits, 8 bytes.
func AppendFloat64(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(TypeFloat64)), math.Float64bits(v))
}

// DecodeFloat64 reads a payload of [TypeFloat64].
func DecodeFloat64(p []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(p)) }

// AppendBool appends the frame of v: one byte, 0 or 1.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, byte(TypeBool), 1)
	}
	return append(dst, byte(TypeBool), 0)
}

// DecodeBool reads a payload of [TypeBool].
func DecodeBool(p []byte) bool { return p[0] == 1 }

const (
	timeSize  = 8 + 4 + 4
	daySecond = 86_400
)

// AppendTime appends the frame of v: Unix seconds (8 bytes), nanoseconds (4)
// and the zone's offset from UTC in seconds (4). The zone's name and the
// monotonic reading are not kept.
func AppendTime(dst []byte, v time.Time) ([]byte, error) {
	_, offset := v.Zone()
	if offset <= -daySecond || offset >= daySecond {
		return dst, malformed("the time's zone is a day or more away from UTC")
	}
	dst = binary.BigEndian.AppendUint64(append(dst, byte(TypeTime)), uint64(v.Unix()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(v.Nanosecond()))
	return binary.BigEndian.AppendUint32(dst, uint32(int32(offset))), nil
}

// DecodeTime reads a payload of [TypeTime]. An offset of 0 gives time.UTC.
func DecodeTime(p []byte) time.Time {
	sec, nsec, offset := splitTime(p)
	zone := time.UTC
	if offset != 0 {
		zone = time.FixedZone("", int(offset))
	}
	return time.Unix(sec, int64(nsec)).In(zone)
}

func splitTime(p []byte) (sec int64, nsec uint32, offset int32) {
	return int64(binary.BigEndian.Uint64(p)), binary.BigEndian.Uint32(p[8:]), int32(binary.BigEndian.Uint32(p[12:]))
}

func validTime(p []byte) bool {
	if len(p) != timeSize {
		return false
	}
	_, nsec, offset := splitTime(p)
	return nsec < 1e9 && offset > -daySecond && offset < daySecond
}

const dateSize = 4 + 1 + 1

// AppendDate appends the frame of a day of the proleptic Gregorian calendar:
// year (4 bytes, signed), month and day (1 each). Nothing of a day that isn't
// one is left behind dst.
func AppendDate(dst []byte, year int, month time.Month, day int) ([]byte, error) {
	if year < math.MinInt32 || year > math.MaxInt32 || !validDay(year, month, day) {
		return dst, malformed("no such day in the calendar")
	}
	dst = binary.BigEndian.AppendUint32(append(dst, byte(TypeDate)), uint32(int32(year)))
	return append(dst, byte(month), byte(day)), nil
}

// DecodeDate reads a payload of [TypeDate].
func DecodeDate(p []byte) (year int, month time.Month, day int) {
	return int(int32(binary.BigEndian.Uint32(p))), time.Month(p[4]), int(p[5])
}

func validDate(p []byte) bool {
	if len(p) != dateSize {
		return false
	}
	return validDay(DecodeDate(p))
}

func validDay(year int, month time.Month, day int) bool {
	if month < 1 || month > 12 || day < 1 {
		return false
	}
	days := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	if month == time.February && year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		days++
	}
	return day <= days
}

// AppendDecimal appends the frame of a decimal number in ASCII:
// -?(0|[1-9][0-9]*)(\.[0-9]+)?, scale kept, without negative zero. Nothing of a
// text that isn't one is left behind dst.
func AppendDecimal(dst []byte, v string) ([]byte, error) {
	if !validDecimal(v) {
		return dst, malformed("not a decimal number: digits, at most one point between digits, no exponent, no plus sign, no leading zeros, no negative zero")
	}
	return append(append(dst, byte(TypeDecimal)), v...), nil
}

func validDecimal[text string | []byte](p text) bool {
	negative := len(p) > 0 && p[0] == '-'
	if negative {
		p = p[1:]
	}
	whole := digits(p)
	if whole == 0 || (whole > 1 && p[0] == '0') {
		return false
	}
	if rest := p[whole:]; len(rest) > 0 {
		if rest[0] != '.' || len(rest) == 1 || digits(rest[1:]) != len(rest)-1 {
			return false
		}
	}
	if !negative {
		return true
	}
	for i := range len(p) {
		if p[i] != '0' && p[i] != '.' {
			return true
		}
	}
	return false // negative zero
}

// digits counts the ASCII digits that p starts with.
func digits[text string | []byte](p text) int {
	for i := range len(p) {
		if p[i] < '0' || p[i] > '9' {
			return i
		}
	}
	return len(p)
}

// AppendString appends the frame of a string, which must be UTF-8.
func AppendString(dst []byte, v string) []byte { return append(append(dst, byte(TypeString)), v...) }
