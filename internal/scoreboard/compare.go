package scoreboard

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// roundTime is shorter than what an operating system gives a thread at a time,
// so that most rounds are not interrupted where other programs run too.
const roundTime = time.Millisecond

// Rounds returns how often a figure of time is taken. It is odd, for a median
// that was measured.
func Rounds() int {
	if testing.Short() || UnderRace() {
		return 9
	}
	return Count(271, 2001)
}

// Repeat returns the time that n calls of f take.
func Repeat(n int, f func()) time.Duration {
	begun := time.Now()
	for range n {
		f()
	}
	return time.Since(begun)
}

// CallsIn returns how many calls of f take about as long as a round.
func CallsIn(f func()) int {
	n := 1
	for {
		took := Repeat(n, f)
		if took >= roundTime/4 {
			return max(1, int(float64(n)*float64(roundTime)/float64(took)))
		}
		n *= 2
	}
}

// Median sorts d and returns its middle.
func Median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// Compare prints a row of P: the time of a call of subject over that of limit.
// Both run in turns, so that they meet the same machine, and the medians of
// their rounds are compared.
func Compare(t testing.TB, row, what string, target float64, subject, limit func()) {
	t.Helper()
	n := CallsIn(limit)
	CallsIn(subject) // brings its keys and buffers into memory
	var subjects, limits []time.Duration
	for range Rounds() {
		subjects = append(subjects, Repeat(n, subject))
		limits = append(limits, Repeat(n, limit))
	}
	took := max(1, Median(subjects)/time.Duration(n))
	least := max(1, Median(limits)/time.Duration(n))
	ratio := float64(took) / float64(least)
	Row(t, row, ratio <= target, fmt.Sprintf("%s %.2fx", what, ratio), fmt.Sprintf("<= %.2fx", target),
		fmt.Sprintf("%d ns, limit %d ns", took.Nanoseconds(), least.Nanoseconds()))
}

// UnderRace reports whether the race detector is compiled in.
func UnderRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
