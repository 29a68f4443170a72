package fieldcrypt

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func TestParseDate(t *testing.T) {
	for text, want := range map[string]CivilDate{
		"2024-02-29":        {2024, time.February, 29},
		"2000-02-29":        {2000, time.February, 29},
		"0000-01-01":        {0, time.January, 1},
		"9999-12-31":        {9999, time.December, 31},
		"-0044-03-15":       {-44, time.March, 15},
		"+10000-01-01":      {10000, time.January, 1},
		"+2147483647-12-31": {math.MaxInt32, time.December, 31},
		"-2147483648-01-01": {math.MinInt32, time.January, 1},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := ParseDate(text)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.True(t, got.Valid())
			require.Equal(t, text, got.String())
			b, err := json.Marshal(got)
			require.NoError(t, err)
			var again CivilDate
			require.NoError(t, json.Unmarshal(b, &again))
			require.Equal(t, want, again)
		})
	}
}

func TestParseDateRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "word": "yesterday!", "no day": "2024-02", "29 February": "2023-02-29", "1900": "1900-02-29",
		"30 February": "2024-02-30", "31 April": "2024-04-31", "month 0": "2024-00-10", "month 13": "2024-13-10", "day 0": "2024-01-00",
		"day 32": "2024-01-32", "one digit": "2024-1-100", "three digits of a year": "024-01-01", "needless plus": "+2024-01-01",
		"negative zero": "-0000-01-01", "zeros before the year": "+02024-01-01", "year past 32 bits": "+2147483648-01-01",
		"year far past": "+99999999999999999999-01-01", "slashes": "2024/01/01", "time": "2024-01-01T00:00:00Z",
		"space": " 2024-01-01", "line break": "2024-01-01\n", "signs inside": "2024-+1-01", "other digits": "２０２４-01-01",
		"underscore": "2_24-01-01", "sign alone": "----01-01",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseDate(text)
			require.ErrorIs(t, err, envelope.ErrMalformed)
			if text != "" {
				require.NotContains(t, err.Error(), text)
			}
			d := CivilDate{2001, 2, 3}
			require.ErrorIs(t, d.UnmarshalText([]byte(text)), envelope.ErrMalformed)
			require.Equal(t, CivilDate{2001, 2, 3}, d)
		})
	}
}

func TestDateOf(t *testing.T) {
	moment := time.Date(2024, 3, 1, 1, 0, 0, 0, time.FixedZone("X", 3*3600))
	require.Equal(t, CivilDate{2024, 3, 1}, DateOf(moment))
	require.Equal(t, CivilDate{2024, 2, 29}, DateOf(moment.UTC()))
}

func TestDatesThatAreNot(t *testing.T) {
	for _, d := range []CivilDate{{}, {2023, 2, 29}, {2023, 13, 1}, {2023, -1, 1}, {2023, 1, 257}, {math.MaxInt32 + 1, 1, 1}} {
		require.False(t, d.Valid(), d)
		_, err := d.MarshalText()
		require.ErrorIs(t, err, envelope.ErrMalformed)
	}
}

func TestDecimalString(t *testing.T) {
	for _, text := range []string{"0", "0.0", "10.50", "-10.5", "-0.01", "123456789012345678901234567890.000"} {
		d, err := ParseDecimal(text)
		require.NoError(t, err, text)
		require.True(t, d.Valid())
		require.Equal(t, text, d.String())
		b, err := d.MarshalText()
		require.NoError(t, err)
		var again DecimalString
		require.NoError(t, again.UnmarshalText(b))
		require.Equal(t, d, again)
	}
	for _, text := range []string{
		"", "-", ".", ".5", "5.", "-0", "-0.00", "+1", "01", "00", "1e5", "1,5", "1.2.3", " 1", "1 ", "0x1", "NaN", "Inf", "1_000", "١", "--1", "1\n",
	} {
		_, err := ParseDecimal(text)
		require.ErrorIs(t, err, envelope.ErrMalformed, text)
		require.False(t, DecimalString(text).Valid())
		_, err = DecimalString(text).MarshalText()
		require.ErrorIs(t, err, envelope.ErrMalformed, text)
		d := DecimalString("1")
		require.ErrorIs(t, d.UnmarshalText([]byte(text)), envelope.ErrMalformed)
		require.Equal(t, DecimalString("1"), d)
	}
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"2024-02-29", "-0044-03-15", "+2147483647-12-31", "2023-02-29", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { checkDate(t, text) })
}

func checkDate(t require.TestingT, text string) {
	d, err := ParseDate(text)
	if err != nil {
		require.Zero(t, d)
		return
	}
	require.True(t, d.Valid())
	require.Equal(t, text, d.String())
}
