package madeup

import (
	"math/rand/v2"
	"sort"
)

// A distribution draws a number from 0 with integer weights: floating point
// would differ between platforms.
type distribution struct{ upTo []uint64 } // sums of the weights

// zipf gives rank k, from 0, the weight 1/(k+1+flat). A flat of 0 is Zipf's law;
// a greater one makes the first ranks less frequent (Mandelbrot).
func zipf(n, flat int) distribution {
	d := distribution{make([]uint64, n)}
	sum := uint64(0)
	for k := range n {
		sum += 1 << 40 / uint64(k+1+flat)
		d.upTo[k] = sum
	}
	return d
}

func weighted(weights ...uint64) distribution {
	d := distribution{make([]uint64, len(weights))}
	sum := uint64(0)
	for k, w := range weights {
		sum += w
		d.upTo[k] = sum
	}
	return d
}

func (d distribution) draw(r *rand.Rand) int {
	at := r.Uint64N(d.upTo[len(d.upTo)-1])
	return sort.Search(len(d.upTo), func(k int) bool { return d.upTo[k] > at })
}
