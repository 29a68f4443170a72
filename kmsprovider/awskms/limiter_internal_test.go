package awskms

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

// A root key that was throttled a while ago, and hasn't been answered since,
// keeps to the pace of one without answers.
func TestLimiterCountsAfterThrottling(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newLimiter()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l.throttled("a") // and then its calls hang
		var passed atomic.Int64
		for range 500 {
			go func() {
				if l.wait(ctx, "a", time.Now(), time.Time{}) {
					passed.Add(1)
				}
			}()
		}
		for range 1500 {
			before := passed.Load()
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			require.LessOrEqual(t, passed.Load()-before, int64(2*time.Millisecond/pace)+1, "not all at once")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, int64(500), passed.Load(), "it goes on")
	})
}
