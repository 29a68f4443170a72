package awskms_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

var (
	good       = always(200, dataKey(arnA, plainKey, []byte("wrapped")))
	throttling = always(400, apiError("ThrottlingException", "Rate exceeded"))
	failing    = always(500, apiError("KMSInternalException", "x"))
	hanging    = wire(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
)

// inTurn answers the first request with the first wire and so on; the last one
// answers all that follow.
func inTurn(wires ...wire) wire {
	n := 0
	return func(r *http.Request) (*http.Response, error) {
		w := wires[min(n, len(wires)-1)]
		n++
		return w(r)
	}
}

func generate(ctx context.Context, p *awskms.Provider) error {
	_, err := p.GenerateDataKey(ctx, keyA, ec)
	return err
}

// S13: half of all calls throttled.
func TestHalfOfAllCallsThrottled(t *testing.T) {
	const needed = 200
	half := func(sent *int) wire {
		random := rand.New(rand.NewPCG(1, 2))
		return counting(sent, func(r *http.Request) (*http.Response, error) {
			if random.IntN(2) == 0 {
				return throttling(r)
			}
			return good(r)
		})
	}
	bubble.Test(t, func(t *testing.T) {
		sent := 0
		p := newOn(t, half(&sent), nil)
		for range needed {
			require.NoError(t, generate(t.Context(), p))
		}
		require.Less(t, sent, needed*5/2)
		t.Logf("%d calls needed, %d made", needed, sent)
	})
	t.Run("control: the SDK's own retries", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			sent, failed := 0, 0
			client := kms.NewFromConfig(configFor(half(&sent)))
			for range needed {
				if _, err := client.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: aws.String(arnA)}); err != nil {
					failed++
				}
			}
			require.NotZero(t, failed)
			t.Logf("%d of %d calls failed", failed, needed)
		})
	})
}

func TestOutageIsBounded(t *testing.T) {
	for name, w := range map[string]wire{
		"hang":               hanging,
		"drop":               fails(io.EOF),
		"connection refused": fails(fmt.Errorf("dial tcp: connection refused")),
		"5xx":                failing,
		"5xx without a code": always(503, "<html>"),
		"nonsense":           always(200, "{}"),
		"hang, then drop":    inTurn(hanging, fails(io.EOF)),
		"slow 5xx": func(r *http.Request) (*http.Response, error) {
			time.Sleep(300 * time.Millisecond)
			return failing(r)
		},
	} {
		for _, bound := range []time.Duration{0, 100 * time.Millisecond, 10 * time.Second} {
			t.Run(fmt.Sprintf("%s, %v", name, bound), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					sent := 0
					p := newOn(t, counting(&sent, w), &awskms.Options{UnreachableAfter: bound})
					most := bound
					if most == 0 {
						most = 2 * time.Second
					}
					for _, c := range calls([]byte("wrapped")) {
						start := time.Now()
						sent = 0
						err := c.do(t.Context(), p)
						require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%s: %v", c.name, err)
						require.LessOrEqual(t, time.Since(start), most+300*time.Millisecond, c.name)
						require.GreaterOrEqual(t, sent, 1, c.name)
						if most >= time.Second {
							require.GreaterOrEqual(t, time.Since(start), most/2, c.name)
							require.GreaterOrEqual(t, sent, 2, "%s: one hung attempt isn't the whole call", c.name)
							require.LessOrEqual(t, sent, 20, c.name)
						}
					}
				})
			})
		}
	}
}

func TestOutageThatEndsInTime(t *testing.T) {
	for name, w := range map[string]wire{
		"hang": inTurn(hanging, good),
		"drop": inTurn(fails(io.EOF), fails(io.EOF), fails(io.EOF), good),
		"5xx":  inTurn(failing, failing, good),
		"both": inTurn(failing, throttling, fails(io.EOF), throttling, good),
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				require.NoError(t, generate(t.Context(), newOn(t, w, nil)))
			})
		})
	}
}

// Refusals are final: another attempt would get the same answer.
func TestRefusalsAreNotRetried(t *testing.T) {
	for _, code := range []string{
		"AccessDeniedException", "DisabledException", "KMSInvalidStateException", "NotFoundException",
		"InvalidCiphertextException", "IncorrectKeyException", "ExpiredTokenException", "ValidationException", "SomethingNewException",
	} {
		for _, c := range calls([]byte("wrapped")) {
			sent := 0
			require.Error(t, c.do(t.Context(), newOn(t, counting(&sent, always(400, apiError(code, "x"))), nil)))
			require.Equal(t, 1, sent, "%s, %s", c.name, code)
		}
	}
}

func TestThrottledWithoutEnd(t *testing.T) {
	t.Run("no deadline", func(t *testing.T) {
		for most, opts := range map[time.Duration]*awskms.Options{30 * time.Second: nil, time.Second: {ThrottledFor: time.Second}} {
			bubble.Test(t, func(t *testing.T) {
				sent := 0
				start := time.Now()
				err := generate(t.Context(), newOn(t, counting(&sent, throttling), opts))
				require.Equal(t, kmsprovider.ErrThrottled, providertest.ClassOf(err), "%v", err)
				require.ErrorContains(t, err, "the caller set no deadline")
				require.ErrorContains(t, err, fmt.Sprintf("throttled %d times in %v", sent, most))
				require.Equal(t, most, time.Since(start))
				require.Less(t, sent, 120, "no stampede")
			})
		}
	})
	t.Run("deadline", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			start := time.Now()
			err := generate(ctx, newOn(t, throttling, nil))
			require.ErrorIs(t, err, kmsprovider.ErrThrottled)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, kmsprovider.ErrUnavailable)
			require.ErrorContains(t, err, "until the caller's deadline")
			require.Equal(t, 5*time.Minute, time.Since(start), "the deadline bounds it, not our default")
			require.NotEmpty(t, awskms.RequestID(err))
		})
	})
}

// A service that throttles is there: the time doesn't count as an outage.
func TestThrottledTimeIsNoOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		start := time.Now()
		throttled := wire(func(r *http.Request) (*http.Response, error) {
			if time.Since(start) < 20*time.Second {
				return throttling(r)
			}
			return nil, io.EOF
		})
		n := 0
		w := wire(func(r *http.Request) (*http.Response, error) {
			if time.Since(start) < 20*time.Second {
				return throttled(r)
			}
			if n++; n < 4 {
				return throttled(r)
			}
			return good(r)
		})
		require.NoError(t, generate(t.Context(), newOn(t, w, nil)))
		require.Greater(t, time.Since(start), 20*time.Second)
	})
}

// Whatever the AWS configuration says about retries, there is one loop.
func TestSDKRetriesAreOff(t *testing.T) {
	for _, c := range []struct {
		name string
		env  string
		cfg  func(*aws.Config)
	}{
		{"AWS_MAX_ATTEMPTS", "AWS_MAX_ATTEMPTS=9", nil},
		{"AWS_RETRY_MODE", "AWS_RETRY_MODE=adaptive", nil},
		{"retryer", "AWS_MAX_ATTEMPTS=3", func(c *aws.Config) { c.Retryer = func() aws.Retryer { return retry.NewStandard() } }},
		{"attempts", "AWS_MAX_ATTEMPTS=3", func(c *aws.Config) { c.RetryMaxAttempts = 9 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ownEnvironment(t, c.env)
			sent := 0
			w := counting(&sent, failing)
			cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region), config.WithHTTPClient(w),
				config.WithCredentialsProvider(configFor(nil).Credentials))
			require.NoError(t, err)
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			// Too short for a second attempt of ours.
			p, err := awskms.New(cfg, &awskms.Options{UnreachableAfter: 1})
			require.NoError(t, err)
			require.ErrorIs(t, generate(t.Context(), p), kmsprovider.ErrUnavailable)
			require.LessOrEqual(t, sent, 1)
		})
	}
}

// The SDK notices a wrong clock from an answer's Date and corrects itself for
// the next attempt. Its own retryer would make that attempt; ours must too.
func TestWrongClockIsCorrectedOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) { // the year is 2000 here
		refuse := wire(func(r *http.Request) (*http.Response, error) {
			a := answer(r, 400, apiError("InvalidSignatureException", "Signature expired"))
			a.Header.Set("Date", time.Now().Add(3*time.Hour).UTC().Format(http.TimeFormat))
			return a, nil
		})
		sent := 0
		require.NoError(t, generate(t.Context(), newOn(t, counting(&sent, inTurn(refuse, good)), nil)))
		require.Equal(t, 2, sent)

		sent = 0
		err := generate(t.Context(), newOn(t, counting(&sent, always(400, apiError("InvalidSignatureException", "x"))), nil))
		require.ErrorIs(t, err, kmsprovider.ErrDenied)
		require.Equal(t, 1, sent, "a bad signature with a right clock is final")
	})
}

// The SDK's slices are wiped; the caller's are not.
func TestPlaintextBuffersAreWiped(t *testing.T) {
	for _, c := range []struct {
		name string
		body string
		ok   bool
	}{
		{"good", dataKey(arnA, plainKey, []byte("wrapped")), true},
		{"another key's", dataKey(arnB, plainKey, []byte("wrapped")), false},
		{"too long", dataKey(arnA, append(plainKey[:32:32], 0xA7), []byte("wrapped")), false},
		{"wrapped too long", dataKey(arnA, plainKey, make([]byte, 6145)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var held [][]byte
				cfg := configFor(always(200, c.body))
				cfg.APIOptions = append(cfg.APIOptions, func(s *middleware.Stack) error {
					return s.Initialize.Add(middleware.InitializeMiddlewareFunc("hold", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
						out, meta, err := next.HandleInitialize(ctx, in)
						switch result := out.Result.(type) {
						case *kms.GenerateDataKeyOutput:
							held = append(held, result.Plaintext)
						case *kms.DecryptOutput:
							held = append(held, result.Plaintext)
						}
						return out, meta, err
					}), middleware.Before)
				})
				opts := &awskms.Options{UnreachableAfter: 100 * time.Millisecond} // bad answers are asked for again until then
				if c.ok {
					opts = nil
				}
				p, err := awskms.New(cfg, opts)
				require.NoError(t, err)
				dk, err := p.GenerateDataKey(t.Context(), keyA, ec)
				require.Equal(t, c.ok, err == nil)
				plain, err := p.Unwrap(t.Context(), keyA, []byte("wrapped"), ec)
				if c.ok {
					require.NoError(t, err)
					require.Equal(t, plainKey, dk.Plaintext)
					require.Equal(t, plainKey, plain)
				}
				require.GreaterOrEqual(t, len(held), 2)
				for _, h := range held {
					require.NotEmpty(t, h)
					require.Equal(t, make([]byte, len(h)), h)
				}
			})
		})
	}
}
