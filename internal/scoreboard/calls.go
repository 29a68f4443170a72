package scoreboard

import (
	"slices"
	"sync"
	"time"
)

// P99 calls do with 0 to n-1, by so many callers at a time, and returns what 99 of
// 100 calls took at most.
func P99(callers, n int, do func(i int)) time.Duration {
	took, queue := make([]time.Duration, n), make(chan int)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := range queue {
				began := time.Now()
				do(i)
				took[i] = time.Since(began)
			}
		})
	}
	for i := range n {
		queue <- i
	}
	close(queue)
	all.Wait()
	slices.Sort(took)
	return took[n*99/100]
}
