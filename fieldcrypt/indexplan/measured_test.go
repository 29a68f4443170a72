package indexplan

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"math/rand/v2"
	"slices"

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
	var byValue, byRow []found
	var m measured
	for key := range keys {
		t := newTagger(byte(key), bits)
		rows, heavyRows, n2, squares := map[uint64]int{}, map[uint64]int{}, 0, 0
		shares, in := make([]share, 0, len(counts)), make([]int, partitions+1)
		tags, own := make([]uint64, 0, len(counts)*partitions), make([]map[uint64]int, heavy)
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
						if own[v] == nil {
							own[v] = map[uint64]int{}
						}
						own[v][tag] += in[p]
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
			byValue = append(byValue, found{hits - count, 1})
			m.byValues.FalsePositives += float64(hits-count) / float64(len(counts)*keys)
			others := hits - count
			if v < heavy { // those among themselves are measured apart
				others = hits - heavyHits
				byRow = append(byRow, t.redrawn(v, count, partitions, rows, own[v])...)
			} else {
				byRow = append(byRow, found{others, float64(count)})
			}
			m.byRows.FalsePositives += float64(others) * float64(count) / float64(n*keys)
		}
		l := leakOf(shares, n, partitions, counts)
		m.leak.LearnedBits += l.LearnedBits / float64(keys)
		m.leak.Guess += l.Guess / float64(keys)
		m.leak.GuessWithKey += l.GuessWithKey / float64(keys)
		m.leak.GuessWithout = l.GuessWithout
		m.byRows.Matches, m.byValues.Matches = float64(squares)/float64(n), float64(n)/float64(len(counts))
	}
	m.byRows.FalsePositives += amongHeavy(counts[:min(heavy, len(counts))], n, bits, partitions)
	m.byValues.P95, m.byRows.P95 = percentileOf(byValue), percentileOf(byRow)
	return m
}

// found is how many rows were found in vain, by how many searches.
type found struct {
	inVain   int
	searches float64
}

func percentileOf(all []found) float64 {
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.inVain, b.inVain) })
	total, sum := 0.0, 0.0
	for _, f := range all {
		total += f.searches
	}
	for _, f := range all {
		if sum += f.searches; sum >= 0.95*total {
			return float64(f.inVain)
		}
	}
	return math.NaN()
}

// redrawn searches for a frequent value as if it had other tags than it has, as
// under another key: a few such values are most of what is searched for by row,
// and one key has but one outcome for each.
func (t *tagger) redrawn(v, count, partitions int, rows, own map[uint64]int) []found {
	const times = 50
	var value [8]byte
	all := make([]found, times)
	for i := range all {
		binary.BigEndian.PutUint64(value[:], uint64(i+1)<<32|uint64(v))
		asked := make([]uint64, partitions)
		for p := range asked {
			asked[p] = t.tag(wirePartition(p+1, partitions), value[:])
		}
		slices.Sort(asked)
		for _, tag := range slices.Compact(asked) {
			all[i].inVain += rows[tag] - own[tag]
		}
		all[i].searches = float64(count) / times
	}
	return all
}

// The mean over rows is made to a great part by the few keys under which two of
// the most frequent values collide. These are tried under many more keys, with
// their rows shared out evenly over the partitions.
const heavy = 200

func amongHeavy(counts []int, n, bits, partitions int) (mean float64) {
	var value [8]byte
	heavyKeys := scoreboard.Count(4000, 20_000) / partitions
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
