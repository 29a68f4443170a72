package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/conformance"
)

// prompt is what a call may take at most once its context has ended.
const prompt = 2 * time.Second

func contextChecks() []check {
	return []check{{name: "context-ended", run: contextEnded}}
}

// contextEnded: a call whose context has ended returns the context's error
// soon, and has done nothing.
func contextEnded(p *probe) error {
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
		if err := p.doesNothing(c.ctx, c.name, c.want); err != nil {
			return err
		}
	}
	return nil
}

func (p *probe) doesNothing(ctx context.Context, name string, want error) error {
	rec, err := p.fresh(p.scope(name))
	if err != nil {
		return err
	}
	kept, err := p.inState(p.scope(name+", kept"), envelope.PurposeData, envelope.StateRetired)
	if err != nil {
		return err
	}
	inserted, changed := p.record(rec.Scope, rec.Purpose), moved(&kept, envelope.StateSuspended)
	unclaimed := p.scope(name + ", unclaimed")
	if err := p.claims(rec.Scope, "holder", long, true); err != nil {
		return err
	}
	next := p.record(rec.Scope, rec.Purpose)
	for _, call := range []struct {
		method string
		do     func() error
	}{
		{"Active", func() error {
			_, err := p.store.Active(ctx, rec.Scope, rec.Purpose)
			return err
		}},
		{"Get", func() error {
			_, err := p.store.Get(ctx, rec.Scope, rec.Purpose, rec.KeyID)
			return err
		}},
		{"Claim", func() error {
			_, err := p.store.Claim(ctx, unclaimed, rec.Purpose, "holder", long)
			return err
		}},
		{"Release", func() error { return p.store.Release(ctx, rec.Scope, rec.Purpose, "holder") }},
		{"Activate", func() error { return p.store.Activate(ctx, next, rec.KeyID) }},
		{"Lease", func() error {
			_, _, err := p.store.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 600)
			return err
		}},
		{"Insert", func() error { return p.store.Insert(ctx, inserted) }},
		{"Update", func() error { return p.store.Update(ctx, kept, changed) }},
		{"States", func() error {
			_, err := p.store.States(ctx, []envelope.KeyName{rec.Name(), kept.Name()})
			return err
		}},
		{"Page", func() error {
			_, err := p.store.Page(ctx, envelope.Filter{Tenant: rec.Scope.Tenant}, envelope.KeyName{}, 10)
			return err
		}},
	} {
		what := call.method + " with " + name
		answer, late := conformance.Within(prompt, call.do)
		if late != nil {
			return fmt.Errorf("%s: %w", what, late)
		}
		if err := refused(what, answer, want); err != nil {
			return err
		}
		if errors.Is(answer, envelope.ErrKeyNotFound) || errors.Is(answer, envelope.ErrConflict) {
			return fmt.Errorf("%s: the error also says what the storage holds, which nobody looked up: %w", what, answer)
		}
	}
	// In order, so that one fault has one name: a lease of a key that was
	// retired by mistake fails too.
	for _, effect := range []struct {
		method string
		err    error
	}{
		{"Activate", errors.Join(p.isActive(&rec), p.misses(next.Scope, next.Purpose, next.KeyID))},
		{"Lease", p.leases(&rec, 1000, 1000, 0)},
		{"Claim", p.claims(unclaimed, "another", long, true)},
		{"Release", p.claims(rec.Scope, "another", long, false)},
		{"Insert", p.misses(inserted.Scope, inserted.Purpose, inserted.KeyID)},
		{"Update", p.still(&kept)},
	} {
		if effect.err != nil {
			return fmt.Errorf("%s with %s has done something: %w", effect.method, name, effect.err)
		}
	}
	return nil
}
