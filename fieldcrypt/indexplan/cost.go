package indexplan

import "math"

// A Cost is what one search finds in the mean.
type Cost struct {
	Matches        float64 `json:"matches"`             // rows with the value
	FalsePositives float64 `json:"false_positives"`     // rows of other values, which the reader opens in vain
	P95            float64 `json:"false_positives_p95"` // 95 of 100 searches find no more of them
}

// costs returns the cost of searches for values that are as frequent as those of
// rows drawn at random, and for values drawn at random.
func costs(h Histogram, bits, partitions int) (byRows, byValues Cost) {
	n, values := float64(h.Rows()), float64(h.Values())
	q := collisionChance(bits, partitions)
	byRows.Matches = h.squares() / n
	byValues.Matches = n / values
	byRows.FalsePositives = (n - byRows.Matches) * q
	byValues.FalsePositives = (n - byValues.Matches) * q
	c := collisionsOf(lumps(h, partitions), q)
	byRows.P95 = percentile(h, c, func(b Bucket) float64 { return float64(b.Values) * float64(b.Rows) / n })
	byValues.P95 = percentile(h, c, func(b Bucket) float64 { return float64(b.Values) / values })
	return byRows, byValues
}

// percentile returns the least number of false positives that 95 of 100
// searches don't exceed, where weight says how many searches are for a bucket's
// values. A value doesn't collide with itself: for it the distribution of all
// rows is shrunk by its own.
func percentile(h Histogram, c *collisions, weight func(Bucket) float64) float64 {
	n := float64(h.Rows())
	within := func(x float64) bool {
		sum := 0.0
		for _, b := range h {
			w, others := weight(b), n-float64(b.Rows)
			if others > 0 {
				w *= c.probability(x * n / others)
			}
			sum += w
		}
		return sum >= 0.95
	}
	low, high := -1.0, n
	for high-low > 1 {
		if middle := math.Floor((low + high) / 2); within(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}
