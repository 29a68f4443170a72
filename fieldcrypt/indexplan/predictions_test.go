package indexplan

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

const uniformName = "uniform, 50 rows a value"

var measuredColumns = []struct {
	name string
	of   func(n int) Histogram
}{{"unique", unique}, {uniformName, uniform}, {"Zipf", zipf}}

// Bounds within which predictions hold. The mean of a skewed column varies with
// the key, as it depends on what the most frequent values collide with.
const (
	meanBound = 0.10 // of the mean
	p95Bound  = 0.10 // of the percentile, and p95Rows
	p95Rows   = 2
)

func off(predicted, measured Cost) (mean, p95 bool) {
	return math.Abs(predicted.FalsePositives-measured.FalsePositives) > meanBound*measured.FalsePositives,
		math.Abs(predicted.P95-measured.P95) > p95Bound*measured.P95+p95Rows
}

// What the planner predicts is what tags of FORMAT.md do. The table is that of
// docs/search-planning.md.
func TestPredictionsHold(t *testing.T) {
	n, tags := scoreboard.Count(100_000, 1_000_000), scoreboard.Count(1_500_000, 8_000_000)
	numbers := []int{1, 4, 16}
	quick := testing.Short()
	if quick {
		numbers = []int{1}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| column of %s rows | bits | partitions | searches | false positives: predicted | measured | 95 of 100: predicted | measured | learned, bits a row | guessed by rank | with the key |\n|---|---|---|---|---|---|---|---|---|---|---|\n", thousands(n))
	if scoreboard.UnderRace() {
		return // it has no goroutines, and takes minutes there
	}
	for _, column := range measuredColumns {
		t.Run(column.name, func(t *testing.T) {
			h := column.of(n)
			for _, partitions := range numbers {
				// As many keys as the time for that many tags allows: few values vary
				// more with the key.
				keys := min(max(1, tags/(int(h.Values())*partitions)), 20)
				predictionsHold(t, &table, column.name, h, partitions, keys)
			}
		})
	}
	t.Log("\n" + table.String())
	if !quick {
		page, err := os.ReadFile("../../docs/search-planning.md")
		require.NoError(t, err)
		if !strings.Contains(string(page), table.String()) {
			t.Error("docs/search-planning.md shows another table")
		}
	}
}

func predictionsHold(t *testing.T, table *strings.Builder, name string, h Histogram, partitions, keys int) {
	p, err := New(Column{Field: name, Histogram: h}, &Options{Partitions: partitions, AllowLowEntropy: true})
	require.NoError(t, err)
	m := measure(h, p.Bits, p.Partitions, keys)
	for _, c := range []struct {
		by                  string
		predicted, measured Cost
	}{{"by row", p.ByRows, m.byRows}, {"by value", p.ByValues, m.byValues}} {
		line := fmt.Sprintf("| %s | %d | %d | %s | %.1f | %.1f | %.0f | %.0f | %.1f of %.1f | %s | %s |\n", name, p.Bits, p.Partitions, c.by,
			c.predicted.FalsePositives, c.measured.FalsePositives, c.predicted.P95, c.measured.P95, p.Leak.LearnedBits, p.ValueBits, percent(p.Leak.Guess), percent(p.Leak.GuessWithKey))
		t.Log(line)
		table.WriteString(line)
		mean, p95 := off(c.predicted, c.measured)
		require.False(t, mean, "%d partitions, %s: mean %.2f, measured %.2f", partitions, c.by, c.predicted.FalsePositives, c.measured.FalsePositives)
		require.False(t, p95, "%d partitions, %s: 95 of 100 %.0f, measured %.0f", partitions, c.by, c.predicted.P95, c.measured.P95)
		require.InDelta(t, c.measured.Matches, c.predicted.Matches, 0.001*c.measured.Matches)

		// Controls: formulas that are wrong don't hold.
		mean, _ = off(Cost{}, c.measured)
		require.True(t, mean, "collisions ignored")
		if partitions > 1 {
			mean, _ = off(Cost{FalsePositives: c.predicted.FalsePositives / float64(partitions)}, c.measured)
			require.True(t, mean, "the tags of one partition only")
		}
		if name == uniformName && partitions == 1 {
			single := c.predicted.FalsePositives + 1.645*math.Sqrt(c.predicted.FalsePositives)
			_, p95 = off(Cost{P95: single}, c.measured)
			require.True(t, p95, "collisions of single rows and not of lumps: %v, measured %v", single, c.measured.P95)
		}
	}
	require.InDelta(t, m.leak.LearnedBits, p.Leak.LearnedBits, 0.1)
	require.InDelta(t, m.leak.Guess, p.Leak.Guess, 0.04)
	require.InDelta(t, m.leak.GuessWithKey, p.Leak.GuessWithKey, 0.02)
	require.InDelta(t, m.leak.GuessWithout, p.Leak.GuessWithout, 1e-9)
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
