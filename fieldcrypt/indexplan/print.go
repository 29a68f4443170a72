package indexplan

import (
	"fmt"
	"strings"
)

// String returns the plan as a table.
func (p *Plan) String() string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-28s"+format+"\n", append([]any{what}, args...)...)
	}
	line("field", "%s", p.Field)
	line("rows, values", "%d, %d", p.Rows, p.Values)
	line("entropy of the values", "%.1f bits", p.ValueBits)
	if p.Index {
		line("index", "yes, %d bits in %s", p.Bits, partitionText(p.Partitions))
	} else {
		line("index", "no")
	}
	line("a search by row", "%.3g matches, %.3g false positives, 95 of 100 searches at most %.0f", p.ByRows.Matches, p.ByRows.FalsePositives, p.ByRows.P95)
	line("a search by value", "%.3g matches, %.3g false positives, 95 of 100 searches at most %.0f", p.ByValues.Matches, p.ByValues.FalsePositives, p.ByValues.P95)
	line("learned from the tags", "%.1f bits a row, %.1f with the other indexes", p.Leak.LearnedBits, p.TogetherBits)
	line("rows guessed by rank", "%s, without the tags %s, with the key %s", percent(p.Leak.Guess), percent(p.Leak.GuessWithout), percent(p.Leak.GuessWithKey))
	for _, w := range p.Warnings {
		line("warning", "%s", w)
	}
	return b.String()
}

func partitionText(n int) string {
	if n == 1 {
		return "1 partition"
	}
	return fmt.Sprintf("%d partitions", n)
}

func percent(fraction float64) string {
	if p := 100 * fraction; p < 10 {
		return fmt.Sprintf("%.2g %%", p)
	}
	return fmt.Sprintf("%.0f %%", 100*fraction)
}
