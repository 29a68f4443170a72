package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/conformance"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const (
	prompt     = 2 * time.Second // what a call may take at most once its context has ended
	goroutines = 16
	rounds     = 4
)

func callChecks() []check {
	return []check{
		{name: "context-ended", run: contextEnded},
		{name: "concurrent", run: concurrent},
	}
}

// A call is one method of the provider with arguments that are in order.
type call struct {
	name string
	do   func(ctx context.Context) error
}

// calls returns every method that the provider has and that may reach the
// service.
func (p probe) calls(pr kmsprovider.Provider, rootKey string, wrapped []byte) []call {
	c := []call{
		{"GenerateDataKey", func(ctx context.Context) error {
			_, err := pr.GenerateDataKey(ctx, rootKey, sampleContext())
			return err
		}},
		{"Unwrap", func(ctx context.Context) error {
			_, err := pr.Unwrap(ctx, rootKey, wrapped, sampleContext())
			return err
		}},
	}
	if r, ok := pr.(kmsprovider.Rewrapper); ok {
		c = append(c, call{"Rewrap", func(ctx context.Context) error {
			_, _, err := r.Rewrap(ctx, rootKey, wrapped, rootKey, sampleContext())
			return err
		}})
	}
	if w, ok := pr.(kmsprovider.Wrapper); ok {
		c = append(c, call{"Wrap", func(ctx context.Context) error {
			_, _, err := w.Wrap(ctx, rootKey, foreignKey(), sampleContext())
			return err
		}})
	}
	if k, ok := pr.(kmsprovider.Checker); ok {
		c = append(c, call{"Check", func(ctx context.Context) error { return k.Check(ctx, rootKey) }})
	}
	return c
}

func contextEnded(p probe) error {
	pr := p.provider()
	dk, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	canceled, cancel := context.WithCancel(p.ctx)
	cancel()
	withCause, cancelCause := context.WithCancelCause(p.ctx)
	cancelCause(errors.New("the user went away"))
	expired, cancel := context.WithDeadline(p.ctx, time.Now().Add(-time.Hour))
	defer cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		want error
	}{
		{"a canceled context", canceled, context.Canceled},
		{"a context canceled with a cause", withCause, context.Canceled},
		{"an expired context", expired, context.DeadlineExceeded},
	} {
		for _, call := range p.calls(pr, p.h.RootKey, dk.Wrapped) {
			err, late := conformance.Within(prompt, func() error { return call.do(c.ctx) })
			if late != nil {
				return fmt.Errorf("%s with %s: %w", call.name, c.name, late)
			}
			if err := refused(call.name+" with "+c.name, err, c.want); err != nil {
				return err
			}
		}
	}
	// The provider is none the worse for it.
	return p.opens(pr, p.h.RootKey, dk.Wrapped, sampleContext(), dk.Plaintext)
}

func concurrent(p probe) error {
	pr := p.provider()
	shared, err := p.generate(pr, p.h.RootKey, sampleContext())
	if err != nil {
		return err
	}
	sharedContext := sampleContext()
	var wg sync.WaitGroup
	errs := make([]error, goroutines)
	for g := range goroutines {
		wg.Go(func() { errs[g] = p.worker(pr, g, shared, sharedContext) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// worker makes and opens keys of its own, and one that all workers share along
// with its encryption context.
func (p probe) worker(pr kmsprovider.Provider, g int, shared kmsprovider.DataKey, sharedContext kmsprovider.EncryptionContext) error {
	rootKey, otherKey := p.h.RootKey, p.h.OtherRootKey
	if g%2 == 1 {
		rootKey, otherKey = otherKey, rootKey
	}
	for round := range rounds {
		ec := kmsprovider.EncryptionContext{"worker": fmt.Sprint(g), "round": fmt.Sprint(round)}
		dk, err := p.generate(pr, rootKey, ec)
		if err != nil {
			return err
		}
		want := bytes.Clone(dk.Plaintext)
		if err := p.opens(pr, p.h.RootKey, shared.Wrapped, sharedContext, shared.Plaintext); err != nil {
			return fmt.Errorf("worker %d, the shared key: %w", g, err)
		}
		if r, ok := pr.(kmsprovider.Rewrapper); ok {
			if dk.Wrapped, dk.RootKey, err = r.Rewrap(p.ctx, dk.RootKey, dk.Wrapped, otherKey, ec); err != nil {
				return fmt.Errorf("worker %d: Rewrap: %w", g, err)
			}
		}
		if err := p.opens(pr, dk.RootKey, dk.Wrapped, ec, want); err != nil {
			return fmt.Errorf("worker %d, its own key: %w", g, err)
		}
		if !bytes.Equal(dk.Plaintext, want) {
			return fmt.Errorf("worker %d: its data key changed while others worked", g)
		}
		if c, ok := pr.(kmsprovider.Checker); ok {
			if err := c.Check(p.ctx, rootKey); err != nil {
				return fmt.Errorf("worker %d: Check: %w", g, err)
			}
		}
	}
	return nil
}
