package fakekms_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

func TestCalls(t *testing.T) {
	srv := pipe(t)
	c := client(srv)
	one, two := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	srv.CreateAlias("alias/one", one)
	require.Zero(t, srv.Count(), "what the test arranges is no call")

	blob := dataKey(t, c, "alias/one", acme).CiphertextBlob
	_, err := decrypt(t, c, "", blob, acme)
	require.NoError(t, err)
	_, err = c.ReEncrypt(t.Context(), &kms.ReEncryptInput{
		CiphertextBlob: blob, SourceKeyId: &one, DestinationKeyId: &two,
		SourceEncryptionContext: acme, DestinationEncryptionContext: acme,
	})
	require.NoError(t, err)
	_, err = decrypt(t, c, two, blob, nil)
	requireCode(t, err, "IncorrectKeyException")
	requireCode(t, generate(t, c, "none"), "NotFoundException")

	calls := srv.Calls()
	ids := map[string]bool{}
	for i := range calls {
		require.WithinDuration(t, time.Now(), calls[i].Time, time.Minute)
		ids[calls[i].RequestID] = true
		calls[i].Time, calls[i].RequestID = time.Time{}, ""
	}
	require.Len(t, ids, 5, "request IDs are unique")
	ec, who := kmsprovider.EncryptionContext(acme), fakekms.DefaultAccessKeyID
	require.Equal(t, []fakekms.Call{
		{Op: "GenerateDataKey", KeyID: "alias/one", KeyARN: one, EncryptionContext: ec, AccessKeyID: who, Done: true},
		{Op: "Decrypt", KeyARN: one, EncryptionContext: ec, AccessKeyID: who, Done: true},
		{Op: "ReEncrypt", KeyID: one, KeyARN: one, DestinationKeyARN: two, EncryptionContext: ec, AccessKeyID: who, Done: true},
		{Op: "Decrypt", KeyID: two, KeyARN: two, AccessKeyID: who, Done: true, Err: "IncorrectKeyException"},
		{Op: "GenerateDataKey", KeyID: "none", AccessKeyID: who, Done: true, Err: "NotFoundException"},
	}, calls)
	require.Equal(t, 5, srv.Count())
	require.Equal(t, 2, srv.Count("Decrypt"))
	require.Equal(t, 3, srv.Count("Decrypt", "ReEncrypt", "Decrypt"))
	require.Zero(t, srv.Count("Encrypt"))

	srv.Calls()[0].EncryptionContext["tenant"] = "globex" // a copy
	require.Equal(t, "acme", srv.Calls()[0].EncryptionContext["tenant"])
	srv.ResetCalls()
	require.Empty(t, srv.Calls())
	require.Zero(t, srv.Count())
}

func TestCallsAreBounded(t *testing.T) {
	srv := pipe(t)
	const more = 5
	for i := range fakekms.MaxCalls + more {
		post(srv, "Decrypt", string('a'+rune(i%26)))
	}
	require.Equal(t, fakekms.MaxCalls+more, srv.Count())
	calls := srv.Calls()
	require.Len(t, calls, fakekms.MaxCalls)
	for i := 1; i < len(calls); i++ {
		require.False(t, calls[i].Time.Before(calls[i-1].Time), "oldest first")
	}
}

func TestMaxInFlight(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{})
		defer srv.Close()
		arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
		for range 20 {
			require.NoError(t, generate(t, c, arn))
		}
		require.Equal(t, 1, srv.MaxInFlight(), "one after the other")

		srv.Inject(fakekms.Fault{Delay: time.Second})
		var calls sync.WaitGroup
		for range 7 {
			calls.Go(func() {
				_, err := c.GenerateDataKey(context.Background(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
				if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		require.Equal(t, 7, srv.InFlight())
		srv.ResetCalls()
		require.Equal(t, 7, srv.MaxInFlight(), "those under way count")
		calls.Wait()
		require.Zero(t, srv.InFlight())
		require.NoError(t, generate(t, c, arn))
		require.Equal(t, 7, srv.MaxInFlight(), "the most, not the latest")
		srv.ResetCalls()
		require.Zero(t, srv.MaxInFlight())
	})
}

// TestHalfAnHourInABubble lets clients call for 30 simulated minutes, of which
// the service is away for 10 in three different ways. The bubble would not end
// if a goroutine were left after Close.
func TestHalfAnHourInABubble(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{Seed: 7})
		us := srv.Region("us-east-1")
		arn := srv.CreateKey(fakekms.KeyOptions{MultiRegion: true})
		replica := srv.ReplicateKey(arn, "us-east-1")
		began := time.Now()
		outage := func(f fakekms.Fault) {
			time.Sleep(5 * time.Minute)
			remove := srv.Inject(f)
			time.Sleep(200 * time.Second)
			remove()
		}
		var done sync.WaitGroup
		done.Go(func() {
			outage(fakekms.Fault{Break: fakekms.Drop})
			outage(fakekms.Fault{Break: fakekms.Hang})
			outage(fakekms.Fault{Status: 503})
		})
		var failed, fine [2]int
		for i, call := range []func(ctx context.Context) error{
			func(ctx context.Context) error {
				_, err := client(srv).GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
				return err
			},
			func(ctx context.Context) error {
				_, err := client(us).GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &replica, KeySpec: types.DataKeySpecAes256})
				return err
			},
		} {
			done.Go(func() {
				for time.Since(began) < 30*time.Minute {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					if call(ctx) != nil {
						failed[i]++
					} else {
						fine[i]++
					}
					cancel()
					time.Sleep(1500 * time.Millisecond)
				}
			})
		}
		done.Wait()
		require.GreaterOrEqual(t, time.Since(began), 30*time.Minute)
		require.InDelta(t, 133+80+133, failed[0], 3)
		require.InDelta(t, 800, fine[0], 4)
		require.Equal(t, [2]int{failed[0], 0}, failed, "the other region isn't touched")
		require.Equal(t, 1200, fine[1])
		require.Equal(t, failed[0]+fine[0], srv.Count())
		srv.Close()
	})
}

// TestClientOfItsOwnInABubble: a retrying SDK client gets through a throttled
// service, and its back-off costs no real time.
func TestClientOfItsOwnInABubble(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{})
		defer srv.Close()
		arn := srv.CreateKey(fakekms.KeyOptions{})
		srv.Inject(fakekms.Fault{Times: 2, Error: "ThrottlingException"})
		c := kms.NewFromConfig(srv.Config(), func(o *kms.Options) { o.RetryMaxAttempts = 3 })
		_, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: aws.String(arn), KeySpec: types.DataKeySpecAes256})
		require.NoError(t, err)
		require.Equal(t, 3, srv.Count())
	})
}
