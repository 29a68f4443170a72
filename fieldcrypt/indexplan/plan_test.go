package indexplan

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/internal/madeup"
)

func TestRefused(t *testing.T) {
	for name, h := range map[string]Histogram{
		"boolean":                 {{60_000, 1}, {40_000, 1}},
		"one value":               {{100, 1}},
		"one row":                 {{1, 1}},
		"state of 16":             {{10_000, 16}},
		"postal code":             {{125, 8000}},
		"last name, Zipf":         zipf(100_000),
		"country, a small tenant": {{30, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			column := Column{Field: "Contacts.x", Histogram: h}
			p, err := New(column, nil)
			require.Nil(t, p)
			require.ErrorIs(t, err, ErrLowEntropy)
			require.ErrorContains(t, err, "indexplan: plan an index of Contacts.x: its values are too few")
			require.ErrorContains(t, err, "set Options.AllowLowEntropy")
			var refused *LowEntropyError
			require.ErrorAs(t, err, &refused)
			require.False(t, refused.Plan.Index)
			require.NotEmpty(t, refused.Plan.Warnings)
			require.Contains(t, refused.Plan.String(), "index                       no\n")
			_, err = refused.Plan.DDL(Postgres, Target{Table: "t", Column: "c"})
			require.ErrorIs(t, err, ErrLowEntropy)

			p, err = New(column, &Options{AllowLowEntropy: true})
			require.NoError(t, err)
			require.True(t, p.Index)
			require.Equal(t, refused.Plan.Leak, p.Leak)
			require.Contains(t, p.Warnings[0], "low entropy")
		})
	}
}

func TestIndexed(t *testing.T) {
	for name, h := range map[string]Histogram{
		"unique":                  unique(100_000),
		"nearly unique":           {{1, 90_000}, {2, 5000}},
		"two rows a value":        {{2, 50_000}},
		"unique, a small tenant":  unique(300),
		"many frequent values":    {{50, 20_000}},
		"unique but for one junk": {{1, 100_000}, {1000, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(Column{Field: "Contacts.email", Histogram: h}, nil)
			require.NoError(t, err)
			require.True(t, p.Index)
			require.LessOrEqual(t, p.ByRows.FalsePositives, float64(DefaultFalsePositives))
			require.LessOrEqual(t, p.Leak.LearnedBits, p.ValueBits+1e-9)
			require.LessOrEqual(t, p.Leak.Guess, p.Leak.GuessWithKey)
			require.GreaterOrEqual(t, p.Leak.GuessWithKey, p.Leak.GuessWithout)
			one := *p
			if fewer := collisionChance(one.Bits-1, one.Partitions); one.Bits > 1 {
				require.Greater(t, fewer*(float64(p.Rows)-p.ByRows.Matches), float64(DefaultFalsePositives), "a bit less would do")
			}
		})
	}
}

func TestRefusedInput(t *testing.T) {
	good := unique(1000)
	for _, c := range []struct {
		name    string
		column  Column
		options *Options
		says    string
		is      error
	}{
		{"empty", Column{Field: "M.f"}, nil, "it is empty", ErrHistogram},
		{"no rows", Column{Histogram: Histogram{{0, 1}}}, nil, "bucket 0 has 1 values of 0 rows each", ErrHistogram},
		{"no values", Column{Histogram: Histogram{{1, 5}, {2, 0}}}, nil, "bucket 1 has 0 values", ErrHistogram},
		{"negative", Column{Histogram: Histogram{{-1, 5}}}, nil, "bucket 0", ErrHistogram},
		{"too many values", Column{Histogram: Histogram{{1, MaxValues}, {2, 1}}}, nil, "different values: take the histogram of one tenant", ErrHistogram},
		{"too many rows", Column{Histogram: Histogram{{MaxRows, 2}}}, nil, "rows: take the histogram of one tenant", ErrHistogram},
		{"overflow", Column{Histogram: Histogram{{math.MaxInt64, 2}}}, nil, "rows: take", ErrHistogram},
		{"overflow of values", Column{Histogram: Histogram{{1, math.MaxInt64}, {1, math.MaxInt64}}}, nil, "different values", ErrHistogram},
		{"shrinking", Column{Histogram: good, Rows: 10}, nil, "it has 1000 rows, and Column.Rows says 10", ErrHistogram},
		{"negative growth", Column{Histogram: good, Rows: -1}, nil, "Column.Rows says -1", ErrHistogram},
		{"too much growth", Column{Histogram: good, Rows: MaxRows + 1}, nil, "Column.Rows is", ErrHistogram},
		{"growth past the values", Column{Histogram: good, Rows: MaxValues * 2}, nil, "different values", ErrHistogram},
		{"bits", Column{Histogram: good}, &Options{Bits: 257}, "option Bits is 257", nil},
		{"negative bits", Column{Histogram: good}, &Options{Bits: -1}, "option Bits is -1", nil},
		{"partitions", Column{Histogram: good}, &Options{Partitions: 256}, "option Partitions is 256", nil},
		{"most partitions", Column{Histogram: good}, &Options{MaxPartitions: 256}, "option MaxPartitions is 256", nil},
		{"negative partitions", Column{Histogram: good}, &Options{MaxPartitions: -1}, "option MaxPartitions is -1", nil},
		{"false positives", Column{Histogram: good}, &Options{FalsePositives: -1}, "option FalsePositives is -1", nil},
		{"not a number", Column{Histogram: good}, &Options{FalsePositives: math.NaN()}, "option FalsePositives is NaN", nil},
		{"infinite", Column{Histogram: good}, &Options{MinEntropy: math.Inf(1)}, "option MinEntropy is +Inf", nil},
		{"guess", Column{Histogram: good}, &Options{MaxGuess: 1.5}, "option MaxGuess is 1.5", nil},
		{"other without bits", Column{Histogram: good, Others: []Index{{Name: "last4"}}}, nil, "other index 0, \"last4\": 0 bits", nil},
		{"other's partitions", Column{Histogram: good, Others: []Index{{Name: "last4", Bits: 8, Partitions: 300}}}, nil, "300 partitions", nil},
		{"other's histogram", Column{Histogram: good, Others: []Index{{Name: "last4", Bits: 8, Histogram: Histogram{}}}}, nil, "other index 0, \"last4\": the histogram", ErrHistogram},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.column.Field = "Contacts.email"
			p, err := New(c.column, c.options)
			require.Nil(t, p)
			require.ErrorContains(t, err, "indexplan: plan an index of Contacts.email: ")
			require.ErrorContains(t, err, c.says)
			require.Equal(t, c.is != nil, errors.Is(err, ErrHistogram))
			require.NotErrorIs(t, err, ErrLowEntropy)
		})
	}
}

// What all indexes of a field tell adds up, and to no more than there is.
func TestTogether(t *testing.T) {
	alone, err := New(Column{Field: "Contacts.phone", Histogram: unique(10_000)}, nil)
	require.NoError(t, err)
	require.InDelta(t, alone.Leak.LearnedBits, alone.TogetherBits, 1e-9)

	last4 := Histogram{{10, 1000}}
	two, err := New(Column{Field: "Contacts.phone", Histogram: unique(10_000), Others: []Index{{Name: "last4", Bits: 2, Histogram: last4}}}, nil)
	require.NoError(t, err)
	require.InDelta(t, alone.Leak.LearnedBits+2, two.TogetherBits, 0.05)

	three, err := New(Column{Field: "Contacts.phone", Histogram: unique(10_000), Others: []Index{{Name: "last4", Bits: 16, Histogram: last4}, {Name: "again", Bits: 16}}}, nil)
	require.NoError(t, err)
	require.InDelta(t, three.ValueBits, three.TogetherBits, 1e-9)
}

// More partitions than one, where rank tells too much; never worse.
func TestPartitionsAreChosen(t *testing.T) {
	h := Histogram{{1, 100_000}, {300, 20}, {350, 20}, {400, 20}}
	one, err := New(Column{Histogram: h}, &Options{Partitions: 1})
	require.NoError(t, err)
	chosen, err := New(Column{Histogram: h}, &Options{MaxGuess: 0.002})
	require.NoError(t, err)
	require.Greater(t, chosen.Partitions, 1)
	require.Less(t, chosen.Leak.Guess, one.Leak.Guess)
	require.LessOrEqual(t, chosen.ByRows.FalsePositives, float64(DefaultFalsePositives))
}

func TestGrowth(t *testing.T) {
	now, err := New(Column{Histogram: unique(1000)}, nil)
	require.NoError(t, err)
	later, err := New(Column{Histogram: unique(1000), Rows: 64_000}, nil)
	require.NoError(t, err)
	require.EqualValues(t, 64_000, later.Rows)
	require.Equal(t, now.Bits+6, later.Bits)
}

// Values that occur once and twice, and not which they are.
func TestHistogramOf(t *testing.T) {
	h := HistogramOf(slices.Values([]string{"a", "b", "a", "c", "", ""}))
	require.Equal(t, Histogram{{1, 2}, {2, 2}}, h)
	require.EqualValues(t, 6, h.Rows())
	require.EqualValues(t, 4, h.Values())
	require.InDelta(t, 2*(1.0/6)*math.Log2(6)+2*(2.0/6)*math.Log2(3), h.Entropy(), 1e-12)
	require.Empty(t, HistogramOf(slices.Values([]string(nil))))
}

// The fields of made-up contacts: which of them may be indexed.
func TestContacts(t *testing.T) {
	fields := map[string]func(madeup.Contact) string{
		"email": func(c madeup.Contact) string { return c.Email },
		"iban":  func(c madeup.Contact) string { return c.IBAN },
		"city":  func(c madeup.Contact) string { return c.City },
		"plz":   func(c madeup.Contact) string { return c.PostalCode },
		"last":  func(c madeup.Contact) string { return c.LastName },
		"born":  func(c madeup.Contact) string { return c.Birthday },
	}
	refused := []string{}
	for name, field := range fields {
		h := HistogramOf(func(yield func(string) bool) {
			for c := range madeup.Contacts(5, 50_000) {
				if !yield(field(c)) {
					return
				}
			}
		})
		_, err := New(Column{Field: name, Histogram: h}, nil)
		if errors.Is(err, ErrLowEntropy) {
			refused = append(refused, name)
		} else {
			require.NoError(t, err)
		}
	}
	slices.Sort(refused)
	require.Equal(t, []string{"city", "last", "plz"}, refused)
}

func TestJSON(t *testing.T) {
	p, err := New(Column{Field: "Contacts.email", Histogram: unique(1000), Others: []Index{{Name: "x", Bits: 4}}}, nil)
	require.NoError(t, err)
	text, err := json.Marshal(p)
	require.NoError(t, err)
	var again Plan
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, *p, again)
	for _, member := range []string{"field", "rows", "values", "value_bits", "index", "bits", "partitions", "by_rows", "by_values", "leak", "together_bits", "false_positives_p95", "guess_with_key"} {
		require.Contains(t, string(text), `"`+member+`"`)
	}
}

// The same input has the same plan, whatever the order of its buckets.
func TestDeterministic(t *testing.T) {
	h := zipf(5000)
	one, err := New(Column{Histogram: h}, &Options{AllowLowEntropy: true})
	require.NoError(t, err)
	back := slices.Clone(h)
	slices.Reverse(back)
	two, err := New(Column{Histogram: back}, &Options{AllowLowEntropy: true})
	require.NoError(t, err)
	require.Equal(t, one.Bits, two.Bits)
	require.Equal(t, one.Partitions, two.Partitions)
	require.InDelta(t, one.Leak.Guess, two.Leak.Guess, 1e-9)
	require.InDelta(t, one.ByRows.P95, two.ByRows.P95, 1e-9)
}

func TestLargeTagsAreTold(t *testing.T) {
	p, err := New(Column{Histogram: unique(1000)}, &Options{Bits: 256})
	require.NoError(t, err)
	require.InDelta(t, p.ValueBits, p.Leak.LearnedBits, 1e-9)
	require.InDelta(t, 1, p.Leak.GuessWithKey, 1e-9)
	require.Zero(t, p.ByRows.P95)

	few, err := New(Column{Histogram: unique(1000)}, &Options{Bits: 1})
	require.NoError(t, err)
	require.InDelta(t, 499.5, few.ByRows.FalsePositives, 1e-9)
	require.Contains(t, strings.Join(few.Warnings, "\n"), "500 false positives in the mean, 16 were wanted")
}

// The dialects are those of package fieldcrypt by another name.
func TestDialects(t *testing.T) {
	for d, of := range map[Dialect]fieldcrypt.Dialect{Postgres: fieldcrypt.Postgres, MariaDB: fieldcrypt.MariaDB, SQLite: fieldcrypt.SQLite} {
		require.Equal(t, d, Dialect(of))
		require.Equal(t, of.String(), d.String())
	}
	require.Equal(t, "dialect 9", Dialect(9).String())
}
