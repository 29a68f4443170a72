package awskms_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// operation makes a data key in one way or another.
type operation func(context.Context) error

// ours is a Provider of its own, as each process has one.
func ours(t *testing.T, srv *fakekms.Server, arn string) operation {
	p, err := awskms.New(srv.Config(), nil)
	require.NoError(t, err)
	return func(ctx context.Context) error {
		dk, err := p.GenerateDataKey(ctx, "aws-kms://"+arn, ec)
		dk.Wipe()
		return err
	}
}

// standard is the SDK with its own retries.
func standard(_ *testing.T, srv *fakekms.Server, arn string) operation {
	c := kms.NewFromConfig(srv.Config(), func(o *kms.Options) { o.Retryer = retry.NewStandard() })
	return func(ctx context.Context) error {
		_, err := c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: aws.String(arn), KeySpec: types.DataKeySpecAes256})
		return err
	}
}

// A throttled run is so many operations of several processes on a service that
// throttles.
type throttledRun struct {
	needed, failed, made int
	longest              time.Duration
}

func (r throttledRun) ratio() float64 { return float64(r.made) / float64(r.needed) }

func (r throttledRun) String() string {
	return fmt.Sprintf("%d of %d, %.2fx calls", r.needed-r.failed, r.needed, r.ratio())
}

// runThrottled makes needed operations, each with a deadline of 30 seconds, by
// 4 processes with 25 callers each.
func runThrottled(t *testing.T, needed int, throttling fakekms.Fault, build func(*testing.T, *fakekms.Server, string) operation) (r throttledRun) {
	t.Helper()
	const processes, callers = 4, 25
	throttling.Error = "ThrottlingException"
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{})
		defer srv.Close()
		arn := srv.CreateKey(fakekms.KeyOptions{})
		srv.Inject(fakekms.Fault{Delay: 5 * time.Millisecond})
		srv.Inject(throttling)
		var next, failed, longest atomic.Int64
		var wg sync.WaitGroup
		for range processes {
			op := build(t, srv, arn)
			for range callers {
				wg.Go(func() {
					for int(next.Add(1)) <= needed {
						ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
						start := time.Now()
						if op(ctx) != nil {
							failed.Add(1)
						}
						cancel()
						took := int64(time.Since(start))
						for was := longest.Load(); took > was && !longest.CompareAndSwap(was, took); was = longest.Load() {
						}
					}
				})
			}
		}
		wg.Wait()
		r = throttledRun{needed, int(failed.Load()), srv.Count("GenerateDataKey"), time.Duration(longest.Load())}
	})
	return r
}

// TestScoreboardS13: half of all calls are throttled. At random, as where others
// use up the quota; and by a quota that is too low for the callers, where who
// calls less is throttled less.
func TestScoreboardS13(t *testing.T) {
	needed := scoreboard.Count(1000, 10_000)
	for _, c := range []struct {
		name  string
		fault fakekms.Fault
	}{{"at random", fakekms.Fault{Rate: 0.5}}, {"by a quota", fakekms.Fault{Above: 100}}} {
		got := runThrottled(t, needed, c.fault, ours)
		control := runThrottled(t, needed, c.fault, standard)
		t.Logf("%s: longest %v; control %v", c.name, got.longest, control.longest)
		scoreboard.Row(t, "S13", got.failed == 0 && got.ratio() <= 2.5 && control.failed > 0,
			"throttled "+c.name+": "+got.String(), "100 %, <= 2.5x", "the SDK's own retries: "+control.String())
	}
}
