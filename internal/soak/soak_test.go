package main

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func shortRun(t *testing.T, leak func(*service)) error {
	t.Helper()
	return soak(t.Context(), config{
		length: 3 * time.Second, report: time.Second, tenants: 40, places: 5, out: t.Output(), leak: leak,
	})
}

func TestSoak(t *testing.T) { require.NoError(t, shortRun(t, nil)) }

// TestSoakNotices breaks the service in each way that a run is to notice.
func TestSoakNotices(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	var memory [][]byte
	var once sync.Once
	for want, leak := range map[string]func(*service){
		"goroutines are left": func(*service) { go func() { <-end }() },
		"open files are left": func(*service) {
			if f, err := os.Open(os.DevNull); err == nil && len(files) < 100 {
				files = append(files, f)
			}
		},
		"the heap grew": func(*service) {
			if len(memory) < 1<<11 { // a busy machine writes little in 3 seconds
				memory = append(memory, make([]byte, 1<<20))
			}
		},
		"holds another value": func(s *service) {
			once.Do(func() { _, _ = s.db.Exec("UPDATE contacts SET version = version + 1 WHERE tenant % 2 = 1") })
		},
	} {
		t.Run(want, func(t *testing.T) {
			var mu sync.Mutex
			writes := 0
			require.ErrorContains(t, shortRun(t, func(s *service) {
				mu.Lock()
				defer mu.Unlock()
				if writes++; writes > s.tenants*ids { // the first ones fill the table
					leak(s)
				}
			}), want)
		})
	}
}
