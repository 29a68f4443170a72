package indexplan

import (
	"cmp"
	"math"
	"math/cmplx"
	"slices"
)

// collisionChance is q: that a row of another value has one of the P tags which
// a search asks for.
func collisionChance(bits, partitions int) float64 {
	return -math.Expm1(float64(partitions) * math.Log1p(-math.Exp2(-float64(bits))))
}

// A lump is the rows of one value in one partition: they collide together.
type lump struct {
	rows  float64
	count float64 // of such lumps, in expectation
}

// lumps splits the rows of each value over the partitions, by the binomial
// distribution.
func lumps(h Histogram, partitions int) []lump {
	byRows := map[int64]float64{}
	for _, b := range h {
		if partitions == 1 {
			byRows[b.Rows] += float64(b.Values)
			continue
		}
		n, p := float64(b.Rows), 1/float64(partitions)
		spread := 8*math.Sqrt(n*p*(1-p)) + 8
		from, to := max(1, int64(n*p-spread)), min(b.Rows, int64(n*p+spread))
		for k := from; k <= to; k++ {
			byRows[k] += float64(b.Values) * float64(partitions) * binomial(n, float64(k), p)
		}
	}
	all := make([]lump, 0, len(byRows))
	for rows, count := range byRows {
		all = append(all, lump{float64(rows), count})
	}
	return all
}

func binomial(n, k, p float64) float64 {
	lg := func(x float64) float64 { v, _ := math.Lgamma(x + 1); return v }
	return math.Exp(lg(n) - lg(k) - lg(n-k) + k*math.Log(p) + (n-k)*math.Log1p(-p))
}

// Parameters of the computation of a distribution.
const (
	cells      = 1 << 12
	rareChance = 0.01 // of a collision with any of the lumps that are left out as rare
	deviations = 10   // that the cells reach beyond the mean
)

// collisions is the distribution of the number of false positives.
type collisions struct {
	step   float64   // rows a cell
	atMost []float64 // the probability of no more than a cell's rows, over the lumps that aren't rare
	common float64   // the probability that no rare lump collides
}

func collisionsOf(all []lump, q float64) *collisions {
	slices.SortFunc(all, func(a, b lump) int { return cmp.Compare(b.rows, a.rows) })
	c := &collisions{common: 1}
	// The largest lumps would stretch the cells over a range that hardly any
	// search meets. As long as they are rare, they count as beyond it.
	rare := 0.0
	for len(all) > 1 && rare+all[0].count*q <= rareChance {
		rare += all[0].count * q
		all = all[1:]
	}
	c.common = 1 - rare
	mean, variance := 0.0, 0.0
	for _, l := range all {
		mean += l.count * l.rows * q
		variance += l.count * l.rows * l.rows * q * (1 - q)
	}
	c.step = max(1, math.Ceil((mean+deviations*math.Sqrt(variance)+all[0].rows)/(cells-1)))

	// A lump lies between two cells: it is shared out so that the mean stays.
	inCell := make([]complex128, cells)
	for _, l := range all {
		low := math.Floor(l.rows / c.step)
		part := l.rows/c.step - low
		inCell[int(low)] += complex(l.count*(1-part), 0)
		if part > 0 {
			inCell[int(low)+1] += complex(l.count*part, 0)
		}
	}
	// How many of a number of lumps collide is nearly Poisson's distribution, a
	// little wider, so that their sum is a compound of it: its characteristic
	// function is exp(q(f - f(0))), f being that of the lumps.
	transform(inCell, false)
	total := inCell[0]
	for j := range inCell {
		inCell[j] = cmplx.Exp(complex(q, 0) * (inCell[j] - total))
	}
	transform(inCell, true)
	c.atMost = make([]float64, cells)
	sum := 0.0
	for i, p := range inCell {
		sum += max(0, real(p))
		c.atMost[i] = sum
	}
	return c
}

// probability returns that of at most x false positives.
func (c *collisions) probability(x float64) float64 {
	cell := int(min(x/c.step, cells-1))
	return c.common * min(1, c.atMost[cell])
}

// transform is the discrete Fourier transform of a power of two of numbers, in
// place (Cooley and Tukey), or its inverse.
func transform(a []complex128, inverse bool) {
	n := len(a)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j ^= bit
		if i < j {
			a[i], a[j] = a[j], a[i]
		}
	}
	sign := -1.0
	if inverse {
		sign = 1
	}
	for size := 2; size <= n; size <<= 1 {
		for k := range size / 2 {
			turn := cmplx.Rect(1, sign*2*math.Pi*float64(k)/float64(size))
			for start := k; start < n; start += size {
				low, high := a[start], a[start+size/2]*turn
				a[start], a[start+size/2] = low+high, low-high
			}
		}
	}
	if inverse {
		for i := range a {
			a[i] /= complex(float64(n), 0)
		}
	}
}
