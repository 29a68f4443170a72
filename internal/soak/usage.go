package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// A usage is what the process holds.
type usage struct {
	heap       int64 // bytes that live after a collection
	rss        int64 // bytes of memory, by the operating system
	goroutines int
	handles    int // open files and sockets; -1 where the system doesn't say
}

func usageNow() usage {
	for range 3 { // cleanups, and the two lives of what is in a sync.Pool
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{heap: int64(m.HeapAlloc), rss: rss(), goroutines: runtime.NumGoroutine(), handles: -1}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.handles = len(open)
	}
	return u
}

// settled is the usage once it is no more than before, or after a while.
func settled(before usage) (now usage) {
	for range 40 {
		now = usageNow()
		if now.goroutines <= before.goroutines && now.handles <= before.handles {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return now
}

// rss reads VmRSS, which Linux alone has.
func rss() int64 {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			var kib int64
			_, _ = fmt.Sscan(text, &kib)
			return kib << 10
		}
	}
	return 0
}

const mib = 1 << 20

func (u usage) String() string {
	return fmt.Sprintf("heap %.1f MiB, resident %.1f MiB, %d goroutines, %d open files",
		float64(u.heap)/mib, float64(u.rss)/mib, u.goroutines, u.handles)
}

// Memory may grow by a tenth, and by what the allocator and SQLite's page caches
// keep for themselves.
const (
	heapSlack = 4 * mib
	rssSlack  = 48 * mib
)

// grown says what has become more than it may be: memory while all runs, from
// warm to late; goroutines and handles from before all began to its end.
func grown(before, warm, late, after usage) (what []string) {
	if most := warm.heap + warm.heap/10 + heapSlack; late.heap > most {
		what = append(what, fmt.Sprintf("the heap grew from %d bytes to %d, it may be %d", warm.heap, late.heap, most))
	}
	if most := warm.rss + warm.rss/10 + rssSlack; late.rss > most {
		what = append(what, fmt.Sprintf("resident memory grew from %d bytes to %d, it may be %d", warm.rss, late.rss, most))
	}
	if after.goroutines > before.goroutines {
		what = append(what, fmt.Sprintf("%d goroutines are left", after.goroutines-before.goroutines))
	}
	if after.handles > before.handles {
		what = append(what, fmt.Sprintf("%d open files are left", after.handles-before.handles))
	}
	return what
}
