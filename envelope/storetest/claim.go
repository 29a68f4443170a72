package storetest

import (
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func claimChecks() []check {
	return []check{
		{name: "claim-excludes", run: claimExcludes},
		{name: "claim-expires", run: claimExpires},
		{name: "claim-renewed", run: claimRenewed},
		{name: "claim-race", run: claimRace},
		{name: "claim-race-expired", run: claimRaceExpired},
		{name: "release", run: release},
		{name: "release-others", run: releaseOthers},
	}
}

func (p *probe) releases(scope envelope.Scope, holder string) error {
	if err := p.store.Release(p.ctx, scope, envelope.PurposeData, holder); err != nil {
		return fmt.Errorf("calling Release of %v by %s: %w", scope, holder, err)
	}
	return nil
}

// A step is one call with the answer it must get.
type step func() error

func inOrder(steps ...step) error {
	for i, s := range steps {
		if err := s(); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func (p *probe) claim(scope envelope.Scope, holder string, lease time.Duration, want bool) step {
	return func() error { return p.claims(scope, holder, lease, want) }
}

func (p *probe) release(scope envelope.Scope, holder string) step {
	return func() error { return p.releases(scope, holder) }
}

// wait lets a lease of p.short, taken before, run out.
func (p *probe) wait() error {
	select {
	case <-time.After(p.short + p.short/2):
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func claimExcludes(p *probe) error {
	s := p.scope("claimed")
	stored, err := p.fresh(p.scope("has a key"))
	if err != nil {
		return err
	}
	return inOrder(
		p.claim(s, "one", long, true),
		p.claim(s, "two", long, false),
		p.claim(s, "one", long, true), // its own
		p.claim(s, "two", long, false),
		p.claim(s, "three", p.short, false),
		// A key that is there changes nothing about who makes the next.
		p.claim(stored.Scope, "one", long, true),
		p.claim(stored.Scope, "two", long, false),
	)
}

// claimExpires: another holder wins when the lease has run out, and not before.
func claimExpires(p *probe) error {
	s := p.scope("expires")
	began := time.Now()
	if err := p.claims(s, "one", p.short, true); err != nil {
		return err
	}
	for {
		won, err := p.store.Claim(p.ctx, s, envelope.PurposeData, "two", long)
		if err != nil {
			return fmt.Errorf("calling Claim of %v: %w", s, err)
		}
		after := time.Since(began)
		switch {
		case won && after < p.short-p.short/10:
			return fmt.Errorf("a claim of %v was lost after %v", p.short, after)
		case won:
			// The first holder comes late.
			return inOrder(p.claim(s, "one", long, false), p.claim(s, "two", long, true))
		case after > 2*p.short+3*time.Second:
			return fmt.Errorf("a claim of %v still holds after %v", p.short, after)
		}
		time.Sleep(p.short / 20)
	}
}

// claimRenewed: a second claim counts from when it was made.
func claimRenewed(p *probe) error {
	s := p.scope("renewed")
	return inOrder(
		p.claim(s, "one", p.short, true),
		p.claim(s, "one", long, true),
		p.wait,
		p.claim(s, "two", long, false),
		// A holder may be late, as long as nobody else came.
		p.release(s, "one"),
		p.claim(s, "one", p.short, true),
		p.wait,
		p.claim(s, "one", long, true),
		p.claim(s, "two", long, false),
	)
}

func claimRace(p *probe) error {
	return p.oneWins(p.scope("race"))
}

// claimRaceExpired: also of those who wait for a lease to run out, one wins.
func claimRaceExpired(p *probe) error {
	s := p.scope("race")
	return inOrder(
		p.claim(s, "gone", p.short, true),
		p.wait,
		func() error { return p.oneWins(s) },
	)
}

func (p *probe) oneWins(scope envelope.Scope) error {
	won, err := race(p, func(s envelope.KeyStore, i int) (bool, error) {
		return s.Claim(p.ctx, scope, envelope.PurposeData, fmt.Sprintf("racer-%d", i), long)
	})
	if err != nil {
		return fmt.Errorf("%d racing calls of Claim: %w", racers, err)
	}
	if n := count(won); n != 1 {
		return fmt.Errorf("%d racing calls of Claim: %d won, want 1", racers, n)
	}
	for i := range won {
		if err := p.claims(scope, fmt.Sprintf("racer-%d", i), long, won[i]); err != nil {
			return fmt.Errorf("after the race: %w", err)
		}
	}
	return nil
}

func release(p *probe) error {
	s := p.scope("released")
	return inOrder(
		p.claim(s, "one", long, true),
		p.release(s, "one"),
		p.claim(s, "two", long, true),
		p.claim(s, "one", long, false),
		p.release(s, "two"),
		p.release(s, "two"), // twice is as good as once
		p.claim(s, "one", long, true),
	)
}

// releaseOthers: who has no claim gives nothing back, and gets no error.
func releaseOthers(p *probe) error {
	s, never := p.scope("held"), p.scope("never claimed")
	return inOrder(
		p.release(never, "one"),
		p.claim(s, "one", long, true),
		p.release(s, "two"),
		p.release(s, ""),
		p.claim(s, "two", long, false),
		// The lease of "late" has run out and another has the claim.
		p.release(s, "one"),
		p.claim(s, "late", p.short, true),
		p.wait,
		p.claim(s, "two", long, true),
		p.release(s, "late"),
		p.claim(s, "three", long, false),
	)
}
