package indexplan

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// A Leak is what someone with a copy of one tenant's rows learns from the tags
// of an index: see the package's comment.
type Leak struct {
	LearnedBits  float64 `json:"learned_bits"`  // mutual information of value and tag, a row
	Guess        float64 `json:"guess"`         // fraction of rows guessed right by rank
	GuessWithout float64 `json:"guess_without"` // the same without the tags
	GuessWithKey float64 `json:"guess_with_key"`
}

// A share is the rows of one value in one partition, under their tag.
type share struct {
	tag   uint64
	value int32
	rows  int64
}

// Which values collide is up to the key. leak averages over several, as long as
// that costs no more than sharesDrawn.
const (
	maxDraws    = 16
	sharesDrawn = 1 << 20
)

// leak counts what the tags of random functions tell, in the mean.
func leak(h Histogram, bits, partitions int) Leak {
	var sum Leak
	draws, done := 1, 0
	for done < draws {
		l, shares := leakOnce(h, bits, partitions, uint64(done))
		sum.LearnedBits += l.LearnedBits
		sum.Guess += l.Guess
		sum.GuessWithKey += l.GuessWithKey
		if done == 0 {
			draws = min(max(1, sharesDrawn/shares), maxDraws)
		}
		done++
	}
	n := float64(draws)
	return Leak{sum.LearnedBits / n, sum.Guess / n, float64(h.most()) / float64(h.Rows()), sum.GuessWithKey / n}
}

func leakOnce(h Histogram, bits, partitions int, seed uint64) (l Leak, of int) {
	n := float64(h.Rows())
	shares, withinValues := draw(h, bits, partitions, seed)
	slices.SortFunc(shares, func(a, b share) int {
		return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.value, b.value))
	})

	type group struct {
		rows     int64
		from, to int // of shares
	}
	var groups []group
	tagEntropy := 0.0
	for from := 0; from < len(shares); {
		g := group{from: from, to: from}
		largest, ofValue := int64(0), int64(0)
		for ; g.to < len(shares) && shares[g.to].tag == shares[from].tag; g.to++ {
			s := &shares[g.to]
			g.rows += s.rows
			if g.to > from && shares[g.to-1].value == s.value {
				ofValue += s.rows
			} else {
				ofValue = s.rows
			}
			largest = max(largest, ofValue)
		}
		l.GuessWithKey += float64(largest) / n
		p := float64(g.rows) / n
		tagEntropy -= p * math.Log2(p)
		groups = append(groups, g)
		from = g.to
	}
	l.LearnedBits = min(max(0, tagEntropy-withinValues), h.Entropy())

	// Values were numbered from the most frequent on. The order of tags with
	// equally many rows is that of their random numbers.
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(b.rows, a.rows) })
	for rank, g := range groups {
		guess := int32(rank / partitions)
		for _, s := range shares[g.from:g.to] {
			if s.value == guess {
				l.Guess += float64(s.rows) / n
			}
		}
	}
	return l, len(shares)
}

// draw gives each value's rows in each partition a random tag. It also returns
// the entropy of the partitions within the values, in bits a row.
func draw(h Histogram, bits, partitions int, seed uint64) (shares []share, withinValues float64) {
	r := rand.New(rand.NewPCG(seed, 0x706c616e)) //nolint:gosec // the same plan each time; nothing secret comes of it
	descending := slices.Clone(h)
	slices.SortFunc(descending, func(a, b Bucket) int { return cmp.Compare(b.Rows, a.Rows) })
	n := float64(h.Rows())
	parts := make([]int64, partitions)
	value := int32(0)
	for _, b := range descending {
		for range b.Values {
			split(r, b.Rows, parts)
			for _, rows := range parts {
				if rows == 0 {
					continue
				}
				shares = append(shares, share{r.Uint64() >> (64 - min(bits, 64)), value, rows})
				withinValues += float64(rows) / n * math.Log2(float64(b.Rows)/float64(rows))
			}
			value++
		}
	}
	return shares, withinValues
}

// manyRows is the mean of a partition's rows from which on their number is drawn
// and not each row's partition.
const manyRows = 1000

func split(r *rand.Rand, rows int64, parts []int64) {
	clear(parts)
	if mean := float64(rows) / float64(len(parts)); len(parts) > 1 && mean > manyRows {
		left := rows
		for i := range parts[1:] {
			parts[i] = min(left, int64(max(0, mean+math.Sqrt(mean)*r.NormFloat64())))
			left -= parts[i]
		}
		parts[len(parts)-1] = left
		return
	}
	if len(parts) == 1 {
		parts[0] = rows
		return
	}
	for range rows {
		parts[r.IntN(len(parts))]++
	}
}
