package indexplan

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
)

// ErrHistogram says that a histogram isn't one, or is too large to plan with.
var ErrHistogram = errors.New("the histogram can't be used")

// Limits of a histogram. Take the histogram of one tenant where a column has
// more.
const (
	MaxRows   = 1 << 40
	MaxValues = 1 << 24 // distinct ones
)

// A Bucket says that Values different values have Rows rows each.
type Bucket struct {
	Rows   int64 `json:"rows"`
	Values int64 `json:"values"`
}

// A Histogram holds how often values occur, and not which. The order of its
// buckets doesn't matter, and two may have the same Rows.
type Histogram []Bucket

// HistogramOf counts values. Give it normalised ones: spellings that a
// normaliser makes equal are one value to an index, which SQL can't tell.
func HistogramOf(values iter.Seq[string]) Histogram {
	counts := map[string]int64{}
	for v := range values {
		counts[v]++
	}
	byRows := map[int64]int64{}
	for _, n := range counts {
		byRows[n]++
	}
	h := make(Histogram, 0, len(byRows))
	for rows, n := range byRows {
		h = append(h, Bucket{rows, n})
	}
	h.sort()
	return h
}

// Rows returns the number of rows with a value.
func (h Histogram) Rows() (n int64) {
	for _, b := range h {
		n += b.Rows * b.Values
	}
	return n
}

// Values returns the number of different values.
func (h Histogram) Values() (n int64) {
	for _, b := range h {
		n += b.Values
	}
	return n
}

// Entropy returns Shannon's entropy of the values, in bits.
func (h Histogram) Entropy() float64 {
	n := float64(h.Rows())
	bits := 0.0
	for _, b := range h {
		p := float64(b.Rows) / n
		bits -= float64(b.Values) * p * math.Log2(p)
	}
	return max(0, bits)
}

// squares returns the sum of the squares of the values' rows.
func (h Histogram) squares() (sum float64) {
	for _, b := range h {
		sum += float64(b.Values) * float64(b.Rows) * float64(b.Rows)
	}
	return sum
}

// most returns the rows of the most frequent value.
func (h Histogram) most() (rows int64) {
	for _, b := range h {
		rows = max(rows, b.Rows)
	}
	return rows
}

// check refuses what can't be counted with.
func (h Histogram) check() error {
	if len(h) == 0 {
		return fmt.Errorf("%w: it is empty: no row has a value", ErrHistogram)
	}
	rows, values := int64(0), int64(0)
	for i, b := range h {
		if b.Rows < 1 || b.Values < 1 {
			return fmt.Errorf("%w: bucket %d has %d values of %d rows each: both are 1 or more", ErrHistogram, i, b.Values, b.Rows)
		}
		if b.Values > MaxValues-values {
			return fmt.Errorf("%w: it has more than %d different values: take the histogram of one tenant", ErrHistogram, MaxValues)
		}
		values += b.Values
		if b.Rows > (MaxRows-rows)/b.Values {
			return fmt.Errorf("%w: it has more than %d rows: take the histogram of one tenant", ErrHistogram, int64(MaxRows))
		}
		rows += b.Rows * b.Values
	}
	return nil
}

// grown returns the histogram of a column with more rows, whose other values
// are as frequent as those there are.
func (h Histogram) grown(rows int64) Histogram {
	factor := float64(rows) / float64(h.Rows())
	all := make(Histogram, len(h))
	for i, b := range h {
		all[i] = Bucket{b.Rows, max(b.Values, int64(math.Round(float64(b.Values)*factor)))}
	}
	return all
}

func (h Histogram) sort() {
	slices.SortFunc(h, func(a, b Bucket) int { return cmp.Compare(a.Rows, b.Rows) })
}
