package fakekms_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

func TestErrorsAreThoseOfTheSDK(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	is := func(target any) func(error) bool { return func(err error) bool { return errors.As(err, target) } }
	codeOnly := func(error) bool { return true }
	for code, test := range map[string]struct {
		status int
		typed  func(error) bool
	}{
		"DisabledException":           {400, is(new(*types.DisabledException))},
		"KMSInvalidStateException":    {400, is(new(*types.KMSInvalidStateException))},
		"NotFoundException":           {400, is(new(*types.NotFoundException))},
		"InvalidCiphertextException":  {400, is(new(*types.InvalidCiphertextException))},
		"IncorrectKeyException":       {400, is(new(*types.IncorrectKeyException))},
		"InvalidKeyUsageException":    {400, is(new(*types.InvalidKeyUsageException))},
		"InvalidArnException":         {400, is(new(*types.InvalidArnException))},
		"LimitExceededException":      {400, is(new(*types.LimitExceededException))},
		"KMSInternalException":        {500, is(new(*types.KMSInternalException))},
		"DependencyTimeoutException":  {500, is(new(*types.DependencyTimeoutException))},
		"KeyUnavailableException":     {500, is(new(*types.KeyUnavailableException))},
		"ValidationException":         {400, codeOnly},
		"AccessDeniedException":       {400, codeOnly},
		"ThrottlingException":         {400, codeOnly},
		"UnrecognizedClientException": {400, codeOnly},
		"ExpiredTokenException":       {400, codeOnly},
		"ServiceUnavailable":          {503, codeOnly},
	} {
		t.Run(code, func(t *testing.T) {
			defer srv.Inject(fakekms.Fault{Error: code})()
			// Decrypt's own errors are typed, ReEncrypt's are a superset.
			_, err := c.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: []byte("x"), SourceKeyId: &arn, DestinationKeyId: &arn})
			requireCode(t, err, code)
			require.True(t, test.typed(err), "%T", err)
			answer, ok := errors.AsType[*awshttp.ResponseError](err)
			require.True(t, ok)
			require.Equal(t, test.status, answer.HTTPStatusCode())
			require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, answer.ServiceRequestID())
			require.Equal(t, code, srv.Calls()[srv.Count()-1].Err)
		})
	}
	require.NoError(t, generate(t, c, arn), "no fault is left")
}

func TestStatus(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	for name, test := range map[string]struct {
		fault fakekms.Fault
		code  string
		want  int
	}{
		"proxy":     {fakekms.Fault{Status: 503}, "", 503},
		"forbidden": {fakekms.Fault{Status: 403}, "", 403},
		"throttled": {fakekms.Fault{Status: 429, Error: "ThrottlingException"}, "ThrottlingException", 429},
	} {
		t.Run(name, func(t *testing.T) {
			defer srv.Inject(test.fault)()
			err := generate(t, c, arn)
			answer, ok := errors.AsType[*awshttp.ResponseError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, test.want, answer.HTTPStatusCode())
			if test.code != "" {
				requireCode(t, err, test.code)
			}
		})
	}
}

func TestFaultsStrikeOnlyWhatTheyName(t *testing.T) {
	srv := pipe(t)
	c := client(srv)
	one, two := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	srv.CreateAlias("alias/one", one)
	id := one[len("arn:aws:kms:eu-central-1:111122223333:key/"):]
	blob := dataKey(t, c, one, nil).CiphertextBlob
	cfg := srv.Config()
	cfg.Credentials = credentials("AKIDEXAMPLEEXAMPLE99")
	other := clientOf(cfg)

	calls := map[string]func() error{
		"generate one":       func() error { return generate(t, c, one) },
		"generate one by ID": func() error { return generate(t, c, id) },
		"generate alias":     func() error { return generate(t, c, "alias/one") },
		"generate two":       func() error { return generate(t, c, two) },
		"decrypt one":        func() error { _, err := decrypt(t, c, one, blob, nil); return err },
		"decrypt any":        func() error { _, err := decrypt(t, c, "", blob, nil); return err },
		"rewrap one to two": func() error {
			_, err := c.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, SourceKeyId: &one, DestinationKeyId: &two})
			return err
		},
		"generate two as other": func() error { return generate(t, other, two) },
	}
	fail := func(f fakekms.Fault) func() func() {
		return func() func() { f.Error = "AccessDeniedException"; return srv.Inject(f) }
	}
	for name, test := range map[string]struct {
		inject func() (remove func())
		struck []string
	}{
		"operation":      {fail(fakekms.Fault{Ops: []string{"Decrypt", "ReEncrypt"}}), []string{"decrypt one", "decrypt any", "rewrap one to two"}},
		"key by ARN":     {fail(fakekms.Fault{Keys: []string{one}}), []string{"generate one", "generate one by ID", "generate alias", "decrypt one", "decrypt any", "rewrap one to two"}},
		"key by ID":      {fail(fakekms.Fault{Keys: []string{id}}), []string{"generate one", "generate one by ID", "generate alias", "decrypt one", "decrypt any", "rewrap one to two"}},
		"key by alias":   {fail(fakekms.Fault{Keys: []string{"alias/one"}}), []string{"generate one", "generate one by ID", "generate alias", "decrypt one", "decrypt any", "rewrap one to two"}},
		"target":         {fail(fakekms.Fault{Keys: []string{two}}), []string{"generate two", "rewrap one to two", "generate two as other"}},
		"both":           {fail(fakekms.Fault{Ops: []string{"Decrypt"}, Keys: []string{one}}), []string{"decrypt one", "decrypt any"}},
		"caller":         {fail(fakekms.Fault{AccessKeyID: "AKIDEXAMPLEEXAMPLE99"}), []string{"generate two as other"}},
		"missing key":    {fail(fakekms.Fault{Keys: []string{"none"}}), nil},
		"Deny key":       {func() func() { return srv.Deny(two) }, []string{"generate two", "rewrap one to two", "generate two as other"}},
		"Deny operation": {func() func() { return srv.Deny("", "Decrypt") }, []string{"decrypt one", "decrypt any"}},
	} {
		t.Run(name, func(t *testing.T) {
			remove := test.inject()
			var struck []string
			for call, do := range calls {
				if err := do(); err != nil {
					requireCode(t, err, "AccessDeniedException")
					struck = append(struck, call)
				}
			}
			require.ElementsMatch(t, test.struck, struck)
			remove()
			for _, do := range calls {
				require.NoError(t, do())
			}
		})
	}
}

func credentials(accessKeyID string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: "an-example-secret-that-is-no-secret"}, nil
	})
}

func TestRateIsRepeatable(t *testing.T) {
	run := func(seed uint64, rate float64) (failed [200]bool) {
		srv := fakekms.New(fakekms.Options{Seed: seed})
		defer srv.Close()
		arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
		srv.Inject(fakekms.Fault{Rate: rate, Error: "ThrottlingException"})
		for i := range failed {
			failed[i] = codeOf(generate(t, c, arn)) == "ThrottlingException"
		}
		return failed
	}
	count := func(failed [200]bool) (n int) {
		for _, f := range failed {
			if f {
				n++
			}
		}
		return n
	}
	half := run(1, 0.5)
	require.Equal(t, half, run(1, 0.5))
	require.NotEqual(t, half, run(2, 0.5))
	require.InDelta(t, 100, count(half), 35)
	require.InDelta(t, 20, count(run(1, 0.1)), 19)
	require.Equal(t, 200, count(run(1, 1)))
}

// A quota passes so many calls a second, however they come.
func TestAboveIsAQuota(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		srv := pipe(t)
		defer srv.Close()
		one, other, c := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{}), client(srv)
		lift := srv.Inject(fakekms.Fault{Above: 10, Error: "ThrottlingException", Keys: []string{one}})
		passed := func(calls int, pause time.Duration) (n int) {
			for range calls {
				if err := generate(t, c, one); err == nil {
					n++
				} else {
					requireCode(t, err, "ThrottlingException")
				}
				require.NoError(t, generate(t, c, other), "its calls don't count")
				time.Sleep(pause)
			}
			return n
		}
		require.Equal(t, 10, passed(30, 0), "a second's calls at once")
		time.Sleep(500 * time.Millisecond)
		require.Equal(t, 5, passed(30, 0), "half a second's calls")
		time.Sleep(time.Hour)
		require.Equal(t, 10, passed(30, 0), "no more than a second's are saved up")
		time.Sleep(time.Second)
		require.Equal(t, 20, passed(20, 100*time.Millisecond), "at the quota")
		time.Sleep(time.Second)
		require.Equal(t, 10+49, passed(200, 25*time.Millisecond), "10 at once, then one in four")
		lift()
		require.Equal(t, 30, passed(30, 0))
	})
}

func TestTimes(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	srv.Inject(fakekms.Fault{Times: 2, Error: "KMSInternalException"})
	srv.Inject(fakekms.Fault{Times: 1, Error: "ThrottlingException"})
	for _, code := range []string{"KMSInternalException", "KMSInternalException", "ThrottlingException", ""} {
		require.Equal(t, code, codeOf(generate(t, c, arn)))
	}
}

func TestDelaysAddUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		srv := fakekms.New(fakekms.Options{})
		defer srv.Close()
		slow, fast := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
		c := client(srv)
		took := func(keyID string) time.Duration {
			start := time.Now()
			require.NoError(t, generate(t, c, keyID))
			return time.Since(start)
		}
		require.Zero(t, took(slow))
		srv.Inject(fakekms.Fault{Delay: 20 * time.Millisecond})
		srv.Inject(fakekms.Fault{Delay: 3 * time.Second, Keys: []string{slow}, Ops: []string{"GenerateDataKey"}})
		require.Equal(t, 20*time.Millisecond, took(fast))
		require.Equal(t, 3020*time.Millisecond, took(slow))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &slow, KeySpec: types.DataKeySpecAes256})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		last := srv.Calls()[srv.Count()-1]
		require.True(t, last.Done)
		require.Equal(t, "gone", last.Err)
	})
}

func TestHang(t *testing.T) {
	for name, start := range transports {
		t.Run(name, func(t *testing.T) {
			srv := start(t)
			stuck, fine := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
			c := client(srv)
			srv.Inject(fakekms.Fault{Break: fakekms.Hang, Keys: []string{stuck}})
			ctx, cancel := context.WithCancel(t.Context())
			var calls sync.WaitGroup
			hang := func(ctx context.Context, want func(error)) {
				calls.Go(func() {
					_, err := c.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &stuck, KeySpec: types.DataKeySpecAes256})
					want(err)
				})
			}
			for range 5 {
				hang(ctx, func(err error) {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("want the client's own error, got %v", err)
					}
				})
			}
			inFlight := func(n int) func() bool { return func() bool { return srv.InFlight() == n } }
			require.Eventually(t, inFlight(5), 5*time.Second, time.Millisecond)
			require.NoError(t, generate(t, c, fine), "the other key's calls go on")
			require.False(t, srv.Calls()[0].Done)
			require.Equal(t, 6, srv.MaxInFlight())

			cancel() // ended by the clients
			calls.Wait()
			require.Eventually(t, inFlight(0), 5*time.Second, time.Millisecond)
			require.Equal(t, "hang", srv.Calls()[0].Err)

			for range 5 { // ended by Close
				hang(t.Context(), func(err error) {
					if err == nil {
						t.Error("want an error")
					}
				})
			}
			require.Eventually(t, inFlight(5), 5*time.Second, time.Millisecond)
			srv.Close()
			require.Zero(t, srv.InFlight())
			calls.Wait()
			require.Error(t, generate(t, c, fine))
			srv.Close()
			require.Error(t, srv.Listen())
		})
	}
}

func TestFaultsChangeUnderLoad(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	other := srv.CreateKey(fakekms.KeyOptions{})
	var load, changes sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		changes.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					srv.Inject(fakekms.Fault{Rate: 0.5, Error: "ThrottlingException", Keys: []string{arn}})()
					srv.Disable(arn)
					srv.Enable(arn)
					srv.RotateKey(other)
					srv.Calls()
					time.Sleep(100 * time.Microsecond)
				}
			}
		})
		load.Go(func() {
			for range 50 {
				made, err := c.GenerateDataKey(context.Background(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
				switch codeOf(err) {
				case "":
					if err != nil || len(made.Plaintext) != 32 {
						t.Errorf("no code, but %v", err)
					}
				case "ThrottlingException", "DisabledException":
				default:
					t.Errorf("unexpected: %v", err)
				}
			}
		})
	}
	load.Wait()
	close(stop)
	changes.Wait()
	require.Equal(t, 200, srv.Count())
	require.LessOrEqual(t, srv.MaxInFlight(), 4)
	require.NoError(t, generate(t, c, arn))
}

func TestDroppedConnectionReachesAnyHTTPClient(t *testing.T) {
	srv := fakekms.Start(t)
	defer srv.Inject(fakekms.Fault{Break: fakekms.Drop})()
	cfg := srv.Config()
	cfg.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // by the socket
	require.ErrorContains(t, generate(t, clientOf(cfg), "none"), "EOF")
	require.Equal(t, 1, srv.Count("GenerateDataKey"))
}
