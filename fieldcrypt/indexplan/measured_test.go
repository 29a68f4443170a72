package indexplan

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// A tagger makes tags as FORMAT.md says, "Blind index".
type tagger struct {
	mac  hash.Hash
	head []byte
	bits int
}

func newTagger(key byte, bits int) *tagger {
	k := sha256.Sum256([]byte{key})
	return &tagger{hmac.New(sha256.New, k[:]), nil, bits}
}

func (t *tagger) sum(parts ...[]byte) uint64 {
	t.mac.Reset()
	for _, p := range parts {
		t.mac.Write(p)
	}
	var out [sha256.Size]byte
	return binary.BigEndian.Uint64(t.mac.Sum(out[:0]))
}

func (t *tagger) tag(partition int, value []byte) uint64 {
	t.head = append(binary.BigEndian.AppendUint16(t.head[:0], uint16(t.bits)), byte(partition))
	return t.sum(t.head, value) >> (64 - t.bits)
}

func (t *tagger) partition(record []byte, of int) int {
	t.head = binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(len(record)))
	return 1 + int(uint32(t.sum(t.head, record)>>32)%uint32(of))
}

// A measured is what searches found, over several keys.
type measured struct {
	byRows, byValues Cost
	leak             Leak // in the mean of the keys
}

// measure stores a column under several keys, searches for each of its values,
// and counts.
func measure(h Histogram, bits, partitions, keys int) measured {
	var counts []int
	for _, b := range slices.Backward(h) {
		for range b.Values {
			counts = append(counts, int(b.Rows))
		}
	}
	n := 0
	type found struct{ false, rows int }
	var all []found
	var m measured
	for key := range keys {
		t := newTagger(byte(key), bits)
		rows, heavyRows, n2, squares := map[uint64]int{}, map[uint64]int{}, 0, 0
		shares, in := make([]share, 0, len(counts)), make([]int, partitions+1)
		tags := make([]uint64, 0, len(counts)*partitions)
		var value [8]byte
		for v, count := range counts {
			binary.BigEndian.PutUint64(value[:], uint64(v))
			clear(in)
			for range count {
				n2++
				if partitions == 1 {
					in[1]++
				} else {
					in[t.partition(binary.AppendUvarint(nil, uint64(n2)), partitions)]++
				}
			}
			for p := 1; p <= partitions; p++ {
				tag := t.tag(wirePartition(p, partitions), value[:])
				tags = append(tags, tag)
				if in[p] > 0 {
					rows[tag] += in[p]
					if v < heavy {
						heavyRows[tag] += in[p]
					}
					shares = append(shares, share{tag, int32(v), int64(in[p])})
				}
			}
			squares += count * count
		}
		n = n2
		for v, count := range counts {
			asked := tags[v*partitions : (v+1)*partitions]
			slices.Sort(asked)
			hits, heavyHits := 0, 0
			for _, tag := range slices.Compact(asked) {
				hits += rows[tag]
				heavyHits += heavyRows[tag]
			}
			all = append(all, found{hits - count, count})
			m.byValues.FalsePositives += float64(hits-count) / float64(len(counts)*keys)
			byRow := hits - count
			if v < heavy { // those among themselves are measured apart
				byRow = hits - heavyHits
			}
			m.byRows.FalsePositives += float64(byRow) * float64(count) / float64(n*keys)
		}
		l := leakOf(shares, n, partitions, counts)
		m.leak.LearnedBits += l.LearnedBits / float64(keys)
		m.leak.Guess += l.Guess / float64(keys)
		m.leak.GuessWithKey += l.GuessWithKey / float64(keys)
		m.leak.GuessWithout = l.GuessWithout
		m.byRows.Matches, m.byValues.Matches = float64(squares)/float64(n), float64(n)/float64(len(counts))
	}
	m.byRows.FalsePositives += amongHeavy(counts[:min(heavy, len(counts))], n, bits, partitions)
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.false, b.false) })
	m.byValues.P95 = float64(all[int(math.Ceil(0.95*float64(len(all))))-1].false)
	seen := 0
	for _, f := range all {
		if seen += f.rows; float64(seen) >= 0.95*float64(n*keys) {
			m.byRows.P95 = float64(f.false)
			break
		}
	}
	return m
}

// The mean over rows is made to a great part by the few keys under which two of
// the most frequent values collide. These are tried under many more keys, with
// their rows shared out evenly over the partitions.
const heavy = 200

func amongHeavy(counts []int, n, bits, partitions int) (mean float64) {
	var value [8]byte
	heavyKeys := scoreboard.Count(4000, 40_000) / partitions
	for key := range heavyKeys {
		t := newTagger(0, bits)
		rows := map[uint64]float64{}
		tags := make([]uint64, 0, len(counts)*partitions)
		for v, count := range counts {
			binary.BigEndian.PutUint64(value[:], uint64(key+1)<<32|uint64(v)) // as good as another key
			for p := 1; p <= partitions; p++ {
				tag := t.tag(wirePartition(p, partitions), value[:])
				tags = append(tags, tag)
				rows[tag] += float64(count) / float64(partitions)
			}
		}
		if len(rows) == len(tags) {
			continue // no two collide
		}
		for v, count := range counts {
			own := slices.Clone(tags[v*partitions : (v+1)*partitions])
			slices.Sort(own)
			found := -float64(count)
			for _, tag := range slices.Compact(own) {
				found += rows[tag]
			}
			mean += found * float64(count) / float64(n) / float64(heavyKeys)
		}
	}
	return mean
}

// wirePartition is the byte that is hashed: 0 where there are none.
func wirePartition(p, partitions int) int {
	if partitions == 1 {
		return 0
	}
	return p
}

// leakOf counts by maps, for a second opinion on leak.
func leakOf(shares []share, n, partitions int, counts []int) Leak {
	byTag := map[uint64]map[int32]int64{}
	ofTag := map[uint64]int64{}
	for _, s := range shares {
		if byTag[s.tag] == nil {
			byTag[s.tag] = map[int32]int64{}
		}
		byTag[s.tag][s.value] += s.rows
		ofTag[s.tag] += s.rows
	}
	// I(value; tag) = H(value) - H(value|tag), where equal tags of a value's
	// partitions count as one.
	var l Leak
	tags := make([]uint64, 0, len(byTag))
	valueBits, left := 0.0, 0.0
	for _, c := range counts {
		valueBits -= float64(c) / float64(n) * math.Log2(float64(c)/float64(n))
	}
	for tag, values := range byTag {
		tags = append(tags, tag)
		most := int64(0)
		for _, rows := range values {
			left -= float64(rows) / float64(n) * math.Log2(float64(rows)/float64(ofTag[tag]))
			most = max(most, rows)
		}
		l.GuessWithKey += float64(most) / float64(n)
	}
	l.LearnedBits = valueBits - left
	slices.SortFunc(tags, func(a, b uint64) int { return cmp.Or(cmp.Compare(ofTag[b], ofTag[a]), cmp.Compare(a, b)) })
	ranked := make([]int32, len(counts))
	for i := range ranked {
		ranked[i] = int32(i)
	}
	slices.SortStableFunc(ranked, func(a, b int32) int { return cmp.Compare(counts[b], counts[a]) })
	for rank, tag := range tags {
		if v := rank / partitions; v < len(ranked) {
			l.Guess += float64(byTag[tag][ranked[v]]) / float64(n)
		}
	}
	l.GuessWithout = float64(slices.Max(counts)) / float64(n)
	return l
}

// Columns of n rows.
func unique(n int) Histogram { return Histogram{{1, int64(n)}} }

func uniform(n int) Histogram {
	r := rand.New(rand.NewPCG(1, 1))
	counts := make([]int64, n/50)
	for range n {
		counts[r.IntN(len(counts))]++
	}
	return ofCounts(counts)
}

// zipf draws from Zipf's law, of twice as many values as there are rows.
func zipf(n int) Histogram {
	weights := make([]uint64, 2*n)
	sum := uint64(0)
	for k := range weights {
		sum += 1 << 40 / uint64(k+1)
		weights[k] = sum
	}
	r := rand.New(rand.NewPCG(1, 1))
	counts := make([]int64, len(weights))
	for range n {
		k, _ := slices.BinarySearch(weights, 1+r.Uint64N(sum))
		counts[k]++
	}
	return ofCounts(counts)
}

func ofCounts(counts []int64) Histogram {
	byRows := map[int64]int64{}
	for _, c := range counts {
		if c > 0 {
			byRows[c]++
		}
	}
	h := make(Histogram, 0, len(byRows))
	for rows, values := range byRows {
		h = append(h, Bucket{rows, values})
	}
	h.sort()
	return h
}

var measuredColumns = []struct {
	name string
	of   func(n int) Histogram
}{{"unique", unique}, {"uniform, 50 rows a value", uniform}, {"Zipf", zipf}}

// Bounds within which predictions hold. The mean of a skewed column varies with
// the key, as it depends on what the most frequent values collide with.
const (
	meanBound = 0.10 // of the mean
	p95Bound  = 0.10 // of the percentile, and p95Rows
	p95Rows   = 3
)

func off(predicted, measured Cost) (mean, p95 bool) {
	return math.Abs(predicted.FalsePositives-measured.FalsePositives) > meanBound*measured.FalsePositives,
		math.Abs(predicted.P95-measured.P95) > p95Bound*measured.P95+p95Rows
}

// What the planner predicts is what tags of FORMAT.md do. The table is that of
// docs/search-planning.md.
func TestPredictionsHold(t *testing.T) {
	n, tags := scoreboard.Count(100_000, 1_000_000), scoreboard.Count(1_500_000, 40_000_000)
	numbers := []int{1, 4, 16}
	quick := testing.Short() || scoreboard.UnderRace()
	if quick {
		numbers = []int{1, 4}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| column of %s rows | bits | partitions | searches | false positives: predicted | measured | 95 of 100: predicted | measured | learned, bits a row | guessed by rank | with the key |\n|---|---|---|---|---|---|---|---|---|---|---|\n", thousands(n))
	for _, column := range measuredColumns {
		h := column.of(n)
		for _, partitions := range numbers {
			p, err := New(Column{Field: column.name, Histogram: h}, &Options{Partitions: partitions, AllowLowEntropy: true})
			require.NoError(t, err)
			// As many keys as the time for that many tags allows: few values vary
			// more with the key.
			m := measure(h, p.Bits, p.Partitions, min(max(1, tags/(int(h.Values())*partitions)), 20))
			for _, c := range []struct {
				by                  string
				predicted, measured Cost
			}{{"by row", p.ByRows, m.byRows}, {"by value", p.ByValues, m.byValues}} {
				fmt.Fprintf(&table, "| %s | %d | %d | %s | %.1f | %.1f | %.0f | %.0f | %.1f of %.1f | %s | %s |\n", column.name, p.Bits, p.Partitions, c.by,
					c.predicted.FalsePositives, c.measured.FalsePositives, c.predicted.P95, c.measured.P95, p.Leak.LearnedBits, p.ValueBits, percent(p.Leak.Guess), percent(p.Leak.GuessWithKey))
				mean, p95 := off(c.predicted, c.measured)
				require.False(t, mean, "%s, %d partitions, %s: mean %.2f, measured %.2f", column.name, partitions, c.by, c.predicted.FalsePositives, c.measured.FalsePositives)
				require.False(t, p95, "%s, %d partitions, %s: 95 of 100 %.0f, measured %.0f", column.name, partitions, c.by, c.predicted.P95, c.measured.P95)
				require.InDelta(t, c.measured.Matches, c.predicted.Matches, 0.001*c.measured.Matches)

				// Controls: formulas that are wrong don't hold.
				ignored := Cost{0, 0, 0}
				mean, _ = off(ignored, c.measured)
				require.True(t, mean, "collisions ignored")
				if partitions > 1 {
					onePartition := Cost{0, c.predicted.FalsePositives / float64(partitions), 0}
					mean, _ = off(onePartition, c.measured)
					require.True(t, mean, "the tags of one partition only")
				}
				if column.name == "Zipf" && partitions == 1 {
					poisson := c.predicted
					poisson.P95 = c.predicted.FalsePositives + 1.645*math.Sqrt(c.predicted.FalsePositives)
					_, p95 = off(poisson, c.measured)
					require.True(t, p95, "collisions of single rows and not of lumps: %v, measured %v", poisson.P95, c.measured.P95)
				}
			}
			require.InDelta(t, m.leak.LearnedBits, p.Leak.LearnedBits, 0.1)
			require.InDelta(t, m.leak.Guess, p.Leak.Guess, 0.04)
			require.InDelta(t, m.leak.GuessWithKey, p.Leak.GuessWithKey, 0.02)
			require.InDelta(t, m.leak.GuessWithout, p.Leak.GuessWithout, 1e-9)
		}
	}
	t.Log("\n" + table.String())
	if !scoreboard.Full() && !quick {
		page, err := os.ReadFile("../../docs/search-planning.md")
		require.NoError(t, err)
		require.Contains(t, string(page), table.String(), "the page shows another table")
	}
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
