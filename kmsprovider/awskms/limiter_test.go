package awskms_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

// latencies collects how long calls took, and whether any failed.
type latencies struct {
	mu   sync.Mutex
	took []time.Duration
	errs []error
}

func (l *latencies) measure(call func() error) {
	start := time.Now()
	err := call()
	took := time.Since(start)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

func (l *latencies) longest() time.Duration { return slices.Max(l.took) }

// answerTime is how long the service of these tests takes for an answer.
const answerTime = 10 * time.Millisecond

// crowd is a service with two root keys and one provider for all.
func crowd(t *testing.T) (b bench, generate func(arn string) error) {
	t.Helper()
	b = newBench(t, nil)
	b.Inject(fakekms.Fault{Delay: answerTime})
	return b, func(arn string) error {
		_, err := b.p.GenerateDataKey(t.Context(), "aws-kms://"+arn, ec)
		return err
	}
}

// What isn't throttled isn't held back for long, however many come at once.
func TestLimiterIsNoLimitWithoutThrottling(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b, generate := crowd(t)
		defer b.Close()
		var l latencies
		var wg sync.WaitGroup
		for range 2000 {
			wg.Go(func() { l.measure(func() error { return generate(b.arn) }) })
		}
		wg.Wait()
		require.Empty(t, l.errs)
		require.LessOrEqual(t, l.longest(), 8*answerTime)
		require.Equal(t, 2000, b.Count())
	})
}

// A root key whose calls hang, or fail, is no limit to another.
func TestLimiterDoesNotCountWhatHasNoAnswer(t *testing.T) {
	for name, fault := range map[string]fakekms.Fault{"hang": {Break: fakekms.Hang}, "drop": {Break: fakekms.Drop}, "5xx": {Error: "KMSInternalException"}} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				b, generate := crowd(t)
				defer b.Close()
				fault.Keys = []string{b.other}
				b.Inject(fault)
				var bad, good latencies
				var wg sync.WaitGroup
				for range 200 {
					wg.Go(func() { bad.measure(func() error { return generate(b.other) }) })
				}
				for range 100 {
					time.Sleep(20 * time.Millisecond)
					good.measure(func() error { return generate(b.arn) })
				}
				wg.Wait()
				require.Len(t, bad.errs, 200)
				require.Empty(t, good.errs)
				slices.Sort(good.took)
				require.Equal(t, answerTime, good.took[len(good.took)/2])
				require.LessOrEqual(t, good.longest(), 500*time.Millisecond, "at most while 200 calls are begun")
			})
		})
	}
}

// A root key that is throttled by itself, as one in an external key store, uses
// up its own allowance.
func TestThrottledRootKeyDoesNotSlowOthers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b, generate := crowd(t)
		defer b.Close()
		b.Inject(fakekms.Fault{Keys: []string{b.other}, Error: "ThrottlingException"})
		var bad, good latencies
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { bad.measure(func() error { return generate(b.other) }) })
		}
		for range 100 {
			time.Sleep(200 * time.Millisecond)
			good.measure(func() error { return generate(b.arn) })
		}
		wg.Wait()
		require.Empty(t, good.errs)
		slices.Sort(good.took)
		require.Equal(t, answerTime, good.took[len(good.took)*9/10])
		require.LessOrEqual(t, good.longest(), 500*time.Millisecond)
		require.Len(t, bad.errs, 100)
		for _, err := range bad.errs {
			require.Equal(t, kmsprovider.ErrThrottled, providertest.ClassOf(err), "%v", err)
		}
		sent := b.Count() - 100
		require.Less(t, sent, 300, "5 calls a second, and the first ones")
	})
}

// When the throttling is over, so is the limit.
func TestLimiterRecovers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b, generate := crowd(t)
		defer b.Close()
		end := b.Inject(fakekms.Fault{Error: "ThrottlingException"})
		var l latencies
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { l.measure(func() error { return generate(b.arn) }) })
		}
		time.Sleep(10 * time.Second)
		sent := b.Count()
		require.Less(t, sent, 150, "while all calls are throttled")
		end()
		wg.Wait()
		require.Empty(t, l.errs)
		require.LessOrEqual(t, l.longest(), 13*time.Second, "3 seconds after its end")
		require.Equal(t, sent+500, b.Count(), "none for nothing")
	})
}

// What a caller is told whose call was held back and never made.
func TestHeldBack(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b, generate := crowd(t)
		defer b.Close()
		b.Inject(fakekms.Fault{Error: "ThrottlingException"})
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { _ = generate(b.arn) })
		}
		time.Sleep(time.Second)
		held := func(ctx context.Context) error {
			_, err := b.p.GenerateDataKey(ctx, "aws-kms://"+b.arn, ec)
			require.Empty(t, awskms.RequestID(err), "no call was made")
			return err
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		start := time.Now()
		err := held(ctx)
		cancel()
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, err, kmsprovider.ErrThrottled)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "held back, since KMS throttles the calls before it until the caller's deadline")

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start = time.Now()
		err = held(ctx)
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, context.Canceled, providertest.ClassOf(err), "%v", err)

		short, err := awskms.New(b.Config(), &awskms.Options{ThrottledFor: 3 * time.Second})
		require.NoError(t, err)
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for range 500 {
			wg.Go(func() { _, _ = short.GenerateDataKey(ctx, "aws-kms://"+b.arn, ec) })
		}
		time.Sleep(time.Second)
		start = time.Now()
		_, err = short.GenerateDataKey(t.Context(), "aws-kms://"+b.arn, ec)
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, kmsprovider.ErrThrottled, providertest.ClassOf(err), "%v", err)
		require.ErrorContains(t, err, "held back, since KMS throttles the calls before it in 3s, and the caller set no deadline")
		wg.Wait()
	})
}

// Who began first goes first: without that, some would wait for ever.
func TestOldestCallerGoesFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b, generate := crowd(t)
		defer b.Close()
		b.Inject(fakekms.Fault{Above: 20, Error: "ThrottlingException"})
		var l latencies
		var wg sync.WaitGroup
		// Twice as many as the quota allows, for ten seconds.
		for range 400 {
			wg.Go(func() { l.measure(func() error { return generate(b.arn) }) })
			time.Sleep(25 * time.Millisecond)
		}
		wg.Wait()
		require.Empty(t, l.errs)
		// 400 calls at 20 a second are done after 19 seconds: the last to come
		// waits for 9 at best, and so may everyone.
		require.LessOrEqual(t, l.longest(), 14*time.Second)
	})
}
