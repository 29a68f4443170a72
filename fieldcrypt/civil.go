package fieldcrypt

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A CivilDate is a day of the proleptic Gregorian calendar, without a time of
// day or a zone: a date of birth is one. Like a string it prints as it is; a
// [Date] holds one and doesn't.
type CivilDate struct {
	Year  int // astronomical: 0 is 1 BC; 32 bits
	Month time.Month
	Day   int
}

// DateOf returns the day that t has in its own zone.
func DateOf(t time.Time) CivilDate {
	var d CivilDate
	d.Year, d.Month, d.Day = t.Date()
	return d
}

// ParseDate reads what String writes of a valid date: YYYY-MM-DD (RFC 3339,
// full-date), with a sign before years below 0 and above 9999. Each day has
// one text. The error doesn't hold text.
func ParseDate(text string) (CivilDate, error) {
	fail := func() (CivilDate, error) {
		return CivilDate{}, fmt.Errorf("fieldcrypt: parse a date: %w: not a day in the form YYYY-MM-DD", envelope.ErrMalformed)
	}
	// 17 bytes are what the longest year of 32 bits takes.
	if len(text) < 10 || len(text) > 17 {
		return fail()
	}
	cut := len(text) - 6
	rest := text[cut:]
	if rest[0] != '-' || rest[3] != '-' {
		return fail()
	}
	year, errYear := strconv.ParseInt(text[:cut], 10, 32)
	month, errMonth := strconv.ParseUint(rest[1:3], 10, 8)
	day, errDay := strconv.ParseUint(rest[4:], 10, 8)
	d := CivilDate{Year: int(year), Month: time.Month(month), Day: int(day)}
	if errYear != nil || errMonth != nil || errDay != nil || !d.Valid() || d.String() != text {
		return fail()
	}
	return d, nil
}

// Valid reports whether the calendar has such a day and the format can hold
// it. The zero CivilDate is not valid.
func (d CivilDate) Valid() bool {
	_, err := envelope.AppendDate(make([]byte, 0, 8), d.Year, d.Month, d.Day)
	return err == nil
}

// String returns the date as YYYY-MM-DD, with a sign before years below 0 and
// above 9999.
func (d CivilDate) String() string {
	sign, year := "", d.Year
	switch {
	case year < 0:
		sign, year = "-", -year
	case year > 9999:
		sign = "+"
	}
	return fmt.Sprintf("%s%04d-%02d-%02d", sign, year, int(d.Month), d.Day)
}

// MarshalText implements [encoding.TextMarshaler] with String's form. A date
// that is not valid is an error.
func (d CivilDate) MarshalText() ([]byte, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("fieldcrypt: marshal a date: %w: no such day in the calendar", envelope.ErrMalformed)
	}
	return []byte(d.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler] with ParseDate.
func (d *CivilDate) UnmarshalText(text []byte) error {
	parsed, err := ParseDate(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}

// A DecimalString is a decimal number as text: -?(0|[1-9][0-9]*)(\.[0-9]+)?
// in ASCII, without negative zero. Its scale is kept: 10.50 and 10.5 are two
// values. Like a string it prints as it is; a [Decimal] holds one and doesn't.
type DecimalString string

// ParseDecimal checks text and returns it. The error doesn't hold text.
func ParseDecimal(text string) (DecimalString, error) {
	if _, err := envelope.AppendDecimal(nil, text); err != nil {
		return "", fmt.Errorf("fieldcrypt: parse a decimal: %w", err)
	}
	return DecimalString(strings.Clone(text)), nil
}

// Valid reports whether d has the form of a decimal number. The empty
// DecimalString has not.
func (d DecimalString) Valid() bool {
	_, err := envelope.AppendDecimal(nil, string(d))
	return err == nil
}

// String returns the number's text.
func (d DecimalString) String() string { return string(d) }

// MarshalText implements [encoding.TextMarshaler]. A text that isn't a decimal
// number is an error.
func (d DecimalString) MarshalText() ([]byte, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("fieldcrypt: marshal a decimal: %w: not a decimal number", envelope.ErrMalformed)
	}
	return []byte(d), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler] with ParseDecimal.
func (d *DecimalString) UnmarshalText(text []byte) error {
	parsed, err := ParseDecimal(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}
