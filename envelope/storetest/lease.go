package storetest

import (
	"fmt"
	"math"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func leaseChecks() []check {
	return []check{
		{name: "lease-counts", run: leaseCounts},
		{name: "lease-not-counted", run: leaseNotCounted},
		{name: "lease-retired", run: leaseRetired},
		{name: "lease-concurrent", run: leaseConcurrent},
	}
}

// withBudget stores the first key of a scope with this budget.
func (p *probe) withBudget(name string, budget uint64) (envelope.Record, error) {
	rec := p.record(p.scope(name), envelope.PurposeData)
	rec.Budget = budget
	err := p.activate(&rec, envelope.KeyID{})
	return rec, err
}

func leaseCounts(p *probe) error {
	type ask struct{ n, want uint64 }
	for _, c := range []struct {
		name   string
		budget uint64
		asks   []ask
	}{
		{"fewer at the end, then none", 100, []ask{{60, 60}, {60, 40}, {60, 0}, {1, 0}}},
		{"to the last message", 3, []ask{{1, 1}, {1, 1}, {1, 1}, {1, 0}}},
		{"all at once", 100, []ask{{100, 100}, {1, 0}}},
		{"none asked for", 10, []ask{{0, 0}, {10, 10}, {0, 0}, {1, 0}}},
		{"more than 63 bits asked for", 100, []ask{{1, 1}, {math.MaxUint64, 99}, {math.MaxUint64, 0}}},
		{"the largest budget", 1 << 32, []ask{{1 << 31, 1 << 31}, {1<<31 - 1, 1<<31 - 1}, {1 << 32, 1}, {1, 0}}},
	} {
		rec, err := p.withBudget(c.name, c.budget)
		if err != nil {
			return err
		}
		left := c.budget
		for i, a := range c.asks {
			left -= a.want
			if err := p.leases(&rec, a.n, a.want, left); err != nil {
				return fmt.Errorf("%s, step %d: %w", c.name, i+1, err)
			}
		}
		// The record's tag covers the budget that the key was made with.
		if err := p.isActive(&rec); err != nil {
			return fmt.Errorf("%s: after Lease: %w", c.name, err)
		}
		next := p.record(rec.Scope, rec.Purpose)
		if err := p.activate(&next, rec.KeyID); err != nil {
			return err
		}
		if err := p.leases(&next, 600, 600, next.Budget-600); err != nil {
			return fmt.Errorf("%s: the next key has its own budget: %w", c.name, err)
		}
	}
	return nil
}

// leaseNotCounted: the budget 0 doesn't end.
func leaseNotCounted(p *probe) error {
	rec, err := p.withBudget("not counted", 0)
	if err != nil {
		return err
	}
	for _, n := range []uint64{1, 0, 1 << 32, math.MaxUint64, math.MaxUint64, 1} {
		if err := p.leases(&rec, n, n, math.MaxUint64); err != nil {
			return err
		}
	}
	return p.isActive(&rec)
}

// leaseRetired: a retired key seals nothing more, whatever is left of it.
func leaseRetired(p *probe) error {
	for _, budget := range []uint64{1000, 0} {
		rec, err := p.withBudget(fmt.Sprintf("budget %d", budget), budget)
		if err != nil {
			return err
		}
		left := uint64(math.MaxUint64)
		if budget > 0 {
			left = budget - 10
		}
		if err := p.leases(&rec, 10, 10, left); err != nil {
			return err
		}
		next := p.record(rec.Scope, rec.Purpose)
		if err := p.activate(&next, rec.KeyID); err != nil {
			return err
		}
		if err := p.leases(&rec, 10, 0, 0); err != nil {
			return fmt.Errorf("a retired key: %w", err)
		}
	}
	return nil
}

// leaseConcurrent: what racing callers get adds up to the budget, no more and
// no less.
func leaseConcurrent(p *probe) error {
	const budget, block = 1009, 7
	rec, err := p.withBudget("race", budget)
	if err != nil {
		return err
	}
	took, err := race(p, func(s envelope.KeyStore, _ int) (uint64, error) {
		for sum := uint64(0); ; {
			n, _, err := s.Lease(p.ctx, rec.Scope, rec.Purpose, rec.KeyID, block)
			switch {
			case err != nil:
				return sum, err
			case n > block:
				return sum, fmt.Errorf("granted %d messages, asked for %d", n, block)
			case n == 0:
				return sum, nil
			}
			if sum += n; sum > budget {
				return sum, fmt.Errorf("granted %d messages of a budget of %d to one caller", sum, budget)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("%d racing callers of Lease: %w", racers, err)
	}
	var sum uint64
	for _, n := range took {
		sum += n
	}
	if sum != budget {
		return fmt.Errorf("%d racing callers of Lease were granted %d messages in all, the budget is %d", racers, sum, budget)
	}
	return p.leases(&rec, 1, 0, 0)
}
