package providertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/conformance"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// faultLimit bounds a call on a service that answers with an error: the
// provider may retry, but not for ever.
const faultLimit = 30 * time.Second

func faultChecks() []check {
	return []check{
		{
			name: "unavailable", needs: hook("Unavailable", func(h Harness) bool { return h.Unavailable != nil }),
			run: func(p probe) error { return p.fault("unavailable", p.h.Unavailable, kmsprovider.ErrUnavailable) },
		},
		{
			name: "throttled", needs: hook("Throttle", func(h Harness) bool { return h.Throttle != nil }),
			run: func(p probe) error { return p.fault("throttling", p.h.Throttle, kmsprovider.ErrThrottled) },
		},
		{
			name: "denied", needs: hook("Deny", func(h Harness) bool { return h.Deny != nil }),
			run: func(p probe) error { return p.fault("denying", p.h.Deny, kmsprovider.ErrDenied) },
		},
		{
			name: "context-ends-in-call", needs: hook("Hang", func(h Harness) bool { return h.Hang != nil }),
			run: contextEndsInCall,
		},
		{
			name: "own-timeout", needs: hook("Hang or Timeout", func(h Harness) bool { return h.Hang != nil && h.Timeout > 0 }),
			run: ownTimeout,
		},
	}
}

func (p probe) fault(state string, begin func(testing.TB) func(), want error) error {
	pr := p.provider()
	dk, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	if err := p.whileFaulty(pr, state, begin, dk.Wrapped, want); err != nil {
		return err
	}
	if err := p.opens(pr, p.h.RootKey, dk.Wrapped, sampleContext(), dk.Plaintext); err != nil {
		return fmt.Errorf("after the service came back: %w", err)
	}
	_, err = p.generate(pr, p.h.RootKey, sampleContext())
	return err
}

func (p probe) whileFaulty(pr kmsprovider.Provider, state string, begin func(testing.TB) func(), wrapped []byte, want error) error {
	defer begin(p.tb)()
	for _, c := range p.calls(pr, p.h.RootKey, wrapped) {
		what := fmt.Sprintf("%s on a service that is %s", c.name, state)
		err, late := conformance.Within(faultLimit, func() error { return c.do(p.ctx) })
		if late != nil {
			return fmt.Errorf("%s: %w", what, late)
		}
		if err := refused(what, err, want); err != nil {
			return err
		}
	}
	return nil
}

func contextEndsInCall(p probe) error {
	pr := p.provider()
	dk, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	if err := p.endInCall(pr, dk.Wrapped); err != nil {
		return err
	}
	return p.opens(pr, p.h.RootKey, dk.Wrapped, sampleContext(), dk.Plaintext)
}

func (p probe) endInCall(pr kmsprovider.Provider, wrapped []byte) error {
	defer p.h.Hang(p.tb)()
	const wait = 50 * time.Millisecond
	for _, c := range p.calls(pr, p.h.RootKey, wrapped) {
		for _, ending := range []struct {
			name string
			ctx  func() (context.Context, context.CancelFunc)
			want error
		}{
			{"canceled", func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(p.ctx)
				stop := time.AfterFunc(wait, cancel)
				return ctx, func() { stop.Stop(); cancel() }
			}, context.Canceled},
			{"expired", func() (context.Context, context.CancelFunc) { return context.WithTimeout(p.ctx, wait) }, context.DeadlineExceeded},
		} {
			what := fmt.Sprintf("%s whose context is %s while the service hangs", c.name, ending.name)
			ctx, cancel := ending.ctx()
			err, late := conformance.Within(wait+prompt, func() error { return c.do(ctx) })
			cancel()
			if late != nil {
				return fmt.Errorf("%s: %w", what, late)
			}
			if err := refused(what, err, ending.want); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownTimeout checks that a call which the provider itself gives up is an
// outage: the caller's context has not ended, and must not seem to have.
func ownTimeout(p probe) error {
	pr := p.provider()
	dk, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	defer p.h.Hang(p.tb)()
	err, late := conformance.Within(p.h.Timeout+prompt, func() error {
		_, err := pr.Unwrap(p.ctx, p.h.RootKey, dk.Wrapped, sampleContext())
		return err
	})
	if late != nil {
		return fmt.Errorf("calling Unwrap while the service hangs, with a provider that gives up after %v: %w", p.h.Timeout, late)
	}
	return refused("Unwrap while the service hangs", err, kmsprovider.ErrUnavailable)
}
