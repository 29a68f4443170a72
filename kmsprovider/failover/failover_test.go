package failover_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

// The defaults.
const (
	patience   = 500 * time.Millisecond
	failures   = 3
	probeAfter = 30 * time.Second
)

// down is every way in which a region can be away.
var down = map[string]fakekms.Fault{
	"hang": {Break: fakekms.Hang},
	"drop": {Break: fakekms.Drop},
	"5xx":  {Error: "KMSInternalException"},
	"503":  {Status: http.StatusServiceUnavailable},
	"slow": {Delay: time.Minute},
}

func TestAllWell(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		defer p.close()
		for _, m := range p.methods(t) {
			start := time.Now()
			require.NoError(t, m.do(t.Context()), m.name)
			require.Equal(t, answerTime, time.Since(start), m.name)
			require.Equal(t, [2]int{1, 0}, p.calls(), m.name)
		}
		for _, h := range p.provider.Health() {
			require.Equal(t, failover.Health{Provider: h.Provider}, h)
		}
	})
}

func TestPrimaryDownAndBack(t *testing.T) {
	for name, fault := range down {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := newPair(t, nil)
				defer p.close()
				methods := p.methods(t)
				back := p.primary.Inject(fault)

				// Until it is known to be down, each call waits for it.
				for i := range failures {
					start := time.Now()
					require.NoError(t, methods[i].do(t.Context()), methods[i].name)
					require.Equal(t, patience+answerTime, time.Since(start))
					n := p.calls()
					require.NotZero(t, n[0])
					require.Equal(t, 1, n[1])
				}
				// Then the other one is asked first, and it alone.
				whileDown := func() {
					t.Helper()
					for _, m := range methods {
						start := time.Now()
						require.NoError(t, m.do(t.Context()), m.name)
						require.Equal(t, answerTime, time.Since(start), m.name)
						require.Equal(t, [2]int{0, 1}, p.calls(), m.name)
					}
				}
				whileDown()
				health := p.provider.Health()[0]
				require.True(t, health.Last)
				require.Equal(t, failures, health.Failures)

				// One call tries it, which costs the caller its patience.
				for range 3 {
					time.Sleep(probeAfter)
					start := time.Now()
					require.NoError(t, methods[1].do(t.Context()))
					require.Equal(t, patience+answerTime, time.Since(start))
					n := p.calls()
					require.NotZero(t, n[0])
					require.Equal(t, 1, n[1])
					whileDown()
				}

				back()
				whileDown()
				time.Sleep(probeAfter)
				for _, m := range methods {
					start := time.Now()
					require.NoError(t, m.do(t.Context()), m.name)
					require.Equal(t, answerTime, time.Since(start), m.name)
					require.Equal(t, [2]int{1, 0}, p.calls(), m.name)
				}
				require.Zero(t, p.provider.Health()[0].Failures)
			})
		})
	}
}

func TestBothDownAndBack(t *testing.T) {
	for name, fault := range down {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := newPair(t, nil)
				defer p.close()
				methods := p.methods(t)
				there, here := p.replica.Inject(fault), p.primary.Inject(fault)
				for range 3 {
					for _, m := range methods {
						start := time.Now()
						err := m.do(t.Context())
						require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%s: %v", m.name, err)
						require.ErrorContains(t, err, "no provider answered: awskms: ")
						require.ErrorContains(t, err, "; awskms: ")
						require.NotContains(t, err.Error(), "\n")
						require.LessOrEqual(t, time.Since(start), 2*time.Second+patience, m.name)
					}
				}
				// Neither is forgotten: whichever comes back serves at once.
				there()
				for _, m := range methods {
					start := time.Now()
					require.NoError(t, m.do(t.Context()), m.name)
					require.LessOrEqual(t, time.Since(start), patience+answerTime, m.name)
				}
				replica := p.replica.Inject(fault)
				here()
				for _, m := range methods {
					start := time.Now()
					require.NoError(t, m.do(t.Context()), m.name)
					require.LessOrEqual(t, time.Since(start), patience+answerTime, m.name)
				}
				replica()
			})
		})
	}
}

// A primary that is slower than the next one and its patience is down; one that
// is only slower isn't.
func TestSlowPrimary(t *testing.T) {
	for _, c := range []struct {
		delay, first, later time.Duration
		last                bool
	}{
		{200 * time.Millisecond, 210 * time.Millisecond, 210 * time.Millisecond, false},
		{490 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond, false},
		{700 * time.Millisecond, patience + answerTime, answerTime, true},
		{5 * time.Second, patience + answerTime, answerTime, true},
	} {
		t.Run(c.delay.String(), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := newPair(t, nil)
				defer p.close()
				methods := p.methods(t)
				p.primary.Inject(fakekms.Fault{Delay: c.delay})
				for i, want := range []time.Duration{c.first, c.first, c.first, c.later, c.later} {
					start := time.Now()
					require.NoError(t, methods[i].do(t.Context()))
					require.Equal(t, want, time.Since(start), "call %d", i)
				}
				require.Equal(t, c.last, p.provider.Health()[0].Last)
			})
		})
	}
}

// A no is a no, whoever says it.
func TestRefusalsDoNotFailOver(t *testing.T) {
	for code, class := range map[string]error{
		"AccessDeniedException":       kmsprovider.ErrDenied,
		"UnrecognizedClientException": kmsprovider.ErrDenied,
		"ExpiredTokenException":       kmsprovider.ErrDenied,
		"DisabledException":           kmsprovider.ErrKeyUnusable,
		"KMSInvalidStateException":    kmsprovider.ErrKeyUnusable,
		"NotFoundException":           kmsprovider.ErrKeyUnusable,
		"InvalidKeyUsageException":    kmsprovider.ErrKeyUnusable,
		"InvalidCiphertextException":  kmsprovider.ErrInvalidCiphertext,
		"IncorrectKeyException":       kmsprovider.ErrInvalidCiphertext,
	} {
		t.Run(code, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := newPair(t, nil)
				defer p.close()
				methods := p.methods(t)
				allow := p.primary.Inject(fakekms.Fault{Error: code})
				for range failures + 1 { // and it is no failure of the provider
					for _, m := range methods {
						err := m.do(t.Context())
						require.Equal(t, class, providertest.ClassOf(err), "%s: %v", m.name, err)
						require.Equal(t, [2]int{1, 0}, p.calls(), m.name)
					}
				}
				require.Equal(t, failover.Health{Provider: p.inPrimary}, p.provider.Health()[0])
				allow()

				// The control, and the no of the other one where that is asked.
				p.primary.Inject(fakekms.Fault{Break: fakekms.Drop})
				for _, m := range methods {
					require.NoError(t, m.do(t.Context()), m.name)
				}
				p.replica.Inject(fakekms.Fault{Error: code})
				for _, m := range methods {
					err := m.do(t.Context())
					require.Equal(t, class, providertest.ClassOf(err), "%s: %v", m.name, err)
				}
			})
		})
	}
}

// A root key that is disabled in its region stops, though its replica isn't.
func TestDisabledPrimaryStops(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		defer p.close()
		methods := p.methods(t)
		p.primary.Disable(p.primaryARN)
		for _, m := range methods {
			require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(m.do(t.Context())), m.name)
		}
		require.Zero(t, p.replica.Count())
		p.primary.Enable(p.primaryARN)
		for _, m := range methods {
			require.NoError(t, m.do(t.Context()), m.name)
		}
	})
}

// A throttled primary has a replica with a quota of its own, and isn't away.
func TestThrottledPrimary(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		defer p.close()
		methods := p.methods(t)
		end := p.primary.Inject(fakekms.Fault{Error: "ThrottlingException"})
		for _, m := range methods {
			start := time.Now()
			require.NoError(t, m.do(t.Context()), m.name)
			require.LessOrEqual(t, time.Since(start), patience+answerTime, m.name)
		}
		end()
		p.primary.Inject(fakekms.Fault{Error: "ThrottlingException"})
		p.replica.Inject(fakekms.Fault{Error: "ThrottlingException"})
		for _, m := range methods {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			start := time.Now()
			err := m.do(ctx)
			cancel()
			require.Equal(t, 3*time.Second, time.Since(start), m.name)
			require.ErrorIs(t, err, kmsprovider.ErrThrottled, m.name)
			require.ErrorIs(t, err, context.DeadlineExceeded, m.name)

			err = m.do(t.Context())
			require.Equal(t, kmsprovider.ErrThrottled, providertest.ClassOf(err), "%s: %v", m.name, err)
		}
	})
}

// The end of the caller's context is the caller's, and says nothing of the
// providers.
func TestCallerLeaves(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		defer p.close()
		methods := p.methods(t)
		p.primary.Inject(fakekms.Fault{Break: fakekms.Hang})
		p.replica.Inject(fakekms.Fault{Break: fakekms.Hang})
		for range failures + 1 {
			for _, m := range methods {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(77*time.Millisecond, cancel)
				start := time.Now()
				err := m.do(ctx)
				require.Equal(t, context.Canceled, providertest.ClassOf(err), "%s: %v", m.name, err)
				require.Equal(t, 77*time.Millisecond, time.Since(start))

				ctx, cancel = context.WithTimeout(t.Context(), 900*time.Millisecond)
				start = time.Now()
				err = m.do(ctx)
				cancel()
				require.Equal(t, context.DeadlineExceeded, providertest.ClassOf(err), "%s: %v", m.name, err)
				require.Equal(t, 900*time.Millisecond, time.Since(start))
			}
		}
		for _, h := range p.provider.Health() {
			require.Zero(t, h.Failures)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		p.calls()
		for _, m := range methods {
			require.Equal(t, context.Canceled, providertest.ClassOf(m.do(ended)), m.name)
		}
		require.Equal(t, [2]int{0, 0}, p.calls())
	})
}

// A deadline that comes soon is shared among the providers.
func TestPatienceIsWithinTheDeadline(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		defer p.close()
		methods := p.methods(t)
		p.primary.Inject(fakekms.Fault{Break: fakekms.Hang})
		for _, m := range methods {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			start := time.Now()
			require.NoError(t, m.do(ctx), m.name)
			require.Equal(t, 100*time.Millisecond+answerTime, time.Since(start), m.name)
			cancel()
		}
		require.Zero(t, p.provider.Health()[0].Failures, "it didn't have the patience that it is due")
	})
}

// One that hangs is asked last also where deadlines leave it less than all of its
// patience, if they leave it half.
func TestHangWithinShortDeadlines(t *testing.T) {
	for _, c := range []struct {
		deadline, first, later time.Duration
		last                   bool
	}{
		{900 * time.Millisecond, 450*time.Millisecond + answerTime, answerTime, true},
		{500 * time.Millisecond, 250*time.Millisecond + answerTime, answerTime, true},
		{400 * time.Millisecond, 200*time.Millisecond + answerTime, 200*time.Millisecond + answerTime, false},
	} {
		bubble.Test(t, func(t *testing.T) {
			p := newPair(t, nil)
			defer p.close()
			unwrap := p.methods(t)[1]
			p.primary.Inject(fakekms.Fault{Break: fakekms.Hang})
			for i := range failures + 2 {
				ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
				start := time.Now()
				require.NoError(t, unwrap.do(ctx))
				want := c.first
				if i >= failures {
					want = c.later
				}
				require.Equal(t, want, time.Since(start), "%v, call %d", c.deadline, i)
				cancel()
			}
			require.Equal(t, c.last, p.provider.Health()[0].Last)
		})
	}
}

// Of many calls at the time of a probe, one makes it and none of the others
// waits.
func TestOneProbeAtATime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		defer p.close()
		unwrap := p.methods(t)[1]
		p.primary.Inject(fakekms.Fault{Break: fakekms.Hang})
		for range failures {
			require.NoError(t, unwrap.do(t.Context()))
		}
		time.Sleep(probeAfter)
		p.calls()
		slow := make(chan bool, 50)
		for range cap(slow) {
			go func() {
				start := time.Now()
				err := unwrap.do(t.Context())
				slow <- err == nil && time.Since(start) >= patience
			}()
		}
		probes := 0
		for range cap(slow) {
			if <-slow {
				probes++
			}
		}
		require.Equal(t, 1, probes)
		require.Equal(t, [2]int{1, 50}, p.calls())
	})
}

// Both regions' keys open what either of them made, under one name.
func TestDataKeysOfBothAreOne(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		defer p.close()
		back := p.primary.Inject(fakekms.Fault{Break: fakekms.Drop})
		dk, err := p.provider.GenerateDataKey(t.Context(), p.rootKey, ec)
		require.NoError(t, err)
		require.Equal(t, p.rootKey, dk.RootKey)
		back()
		p.replica.Inject(fakekms.Fault{Break: fakekms.Drop})
		plain, err := p.inPrimary.Unwrap(t.Context(), p.rootKey, dk.Wrapped, ec)
		require.NoError(t, err)
		require.Equal(t, dk.Plaintext, plain)
	})
}

// An alias is the first provider's: in another region it may be another key.
func TestAliasIsThePrimarys(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		defer p.close()
		p.primary.CreateAlias("alias/crm", p.primaryARN)
		p.replica.CreateAlias("alias/crm", p.replica.CreateKey(fakekms.KeyOptions{}))
		uri, err := p.provider.Resolve(t.Context(), "aws-kms://alias/crm")
		require.NoError(t, err)
		require.Equal(t, p.rootKey, uri)
		p.primary.Inject(fakekms.Fault{Break: fakekms.Drop})
		dk, err := p.provider.GenerateDataKey(t.Context(), "aws-kms://alias/crm", ec)
		require.NoError(t, err)
		require.Equal(t, p.rootKey, dk.RootKey, "made by the replica")
		_, uri, err = p.provider.Wrap(t.Context(), "aws-kms://alias/crm", dk.Plaintext, ec)
		require.NoError(t, err)
		require.Equal(t, p.rootKey, uri)
		_, uri, err = p.provider.Rewrap(t.Context(), p.rootKey, dk.Wrapped, "aws-kms://alias/crm", ec)
		require.NoError(t, err)
		require.Equal(t, p.rootKey, uri)
		_, err = p.provider.GenerateDataKey(t.Context(), "aws-kms://alias/other", ec)
		require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%v", err)
	})
}

func TestCheckEach(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := newPair(t, nil)
		defer p.close()
		require.NoError(t, p.provider.CheckEach(t.Context(), p.rootKey))
		require.Equal(t, [2]int{1, 1}, p.calls())
		p.replica.Disable(p.replicaARN)
		require.NoError(t, p.provider.Check(t.Context(), p.rootKey), "the control: it isn't asked")
		err := p.provider.CheckEach(t.Context(), p.rootKey)
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		require.ErrorContains(t, err, "awskms.Provider(eu-west-1, ")
	})
}
