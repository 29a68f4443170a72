package providertest

import (
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func stateChecks() []check {
	return []check{
		{name: "disabled", needs: hook("Disable", func(h Harness) bool { return h.Disable != nil }), run: disabled},
		{name: "pending-deletion", needs: hook("ScheduleDeletion", func(h Harness) bool { return h.ScheduleDeletion != nil }), run: pendingDeletion},
		{name: "rotated", needs: hook("Rotate", func(h Harness) bool { return h.Rotate != nil }), run: rotated},
		{
			name: "replica-rotated", needs: hook("Replica", func(h Harness) bool { return h.Replica != nil }),
			defect: ReplicasNotRotated, run: replicaRotated,
		},
	}
}

// hook makes a check depend on a hook of the harness.
func hook(name string, set func(Harness) bool) func(Harness, kmsprovider.Provider) string {
	return func(h Harness, _ kmsprovider.Provider) string {
		if !set(h) {
			return "Harness." + name + " is nil"
		}
		return ""
	}
}

// unusable fails unless every call on the root key is refused for its state.
func (p probe) unusable(pr kmsprovider.Provider, state, rootKey string, wrapped []byte) error {
	var errs []error
	for _, c := range p.calls(pr, rootKey, wrapped) {
		errs = append(errs, refused(fmt.Sprintf("%s under a root key that is %s", c.name, state), c.do(p.ctx), kmsprovider.ErrKeyUnusable))
	}
	return errors.Join(errs...)
}

func disabled(p probe) error {
	victim := p.victim()
	pr := p.provider()
	dk, err := p.generate(pr, victim, sampleContext())
	if err != nil {
		return err
	}
	p.h.Disable(p.tb, victim)
	err = p.unusable(pr, "disabled", victim, dk.Wrapped)
	p.h.Enable(p.tb, victim)
	if err != nil {
		return err
	}
	for _, c := range p.calls(pr, victim, dk.Wrapped) {
		if err := c.do(p.ctx); err != nil {
			return fmt.Errorf("%s after the root key was enabled again: %w", c.name, err)
		}
	}
	return p.opens(pr, victim, dk.Wrapped, sampleContext(), dk.Plaintext)
}

func pendingDeletion(p probe) error {
	victim := p.victim()
	pr := p.provider()
	dk, err := p.generate(pr, victim, sampleContext())
	if err != nil {
		return err
	}
	p.h.ScheduleDeletion(p.tb, victim)
	if err := p.unusable(pr, "pending deletion", victim, dk.Wrapped); err != nil {
		return err
	}
	// Other root keys are not affected.
	_, err = p.generate(pr, p.h.RootKey, sampleContext())
	return err
}

func rotated(p probe) error {
	victim := p.victim()
	pr := p.provider()
	var made []kmsprovider.DataKey
	for range 3 {
		dk, err := p.generate(pr, victim, sampleContext())
		if err != nil {
			return err
		}
		made = append(made, dk)
		p.h.Rotate(p.tb, victim)
	}
	dk, err := p.generate(pr, victim, sampleContext())
	if err != nil {
		return err
	}
	made = append(made, dk)
	for _, pr := range []kmsprovider.Provider{pr, p.provider()} {
		for i, dk := range made {
			if dk.RootKey != victim {
				return fmt.Errorf("after %d rotations the root key is called %q, want %q still", i, dk.RootKey, victim)
			}
			if err := p.opens(pr, victim, dk.Wrapped, sampleContext(), dk.Plaintext); err != nil {
				return fmt.Errorf("a data key wrapped after %d rotations, opened after %d: %w", i, len(made)-1, err)
			}
		}
	}
	return nil
}

func replicaRotated(p probe) error {
	r := p.h.Replica(p.tb)
	before, err := p.generate(r.Primary, r.PrimaryKey, sampleContext())
	if err != nil {
		return err
	}
	if err := p.opens(r.Replica, r.ReplicaKey, before.Wrapped, sampleContext(), before.Plaintext); err != nil {
		return fmt.Errorf("a data key of the primary, on the replica: %w", err)
	}
	r.Rotate(p.tb)
	after, err := p.generate(r.Primary, r.PrimaryKey, sampleContext())
	if err != nil {
		return err
	}
	for _, end := range []struct {
		pr      kmsprovider.Provider
		rootKey string
	}{{r.Primary, r.PrimaryKey}, {r.Replica, r.ReplicaKey}} {
		if err := p.opens(end.pr, end.rootKey, before.Wrapped, sampleContext(), before.Plaintext); err != nil {
			return fmt.Errorf("a data key from before the rotation: %w", err)
		}
	}
	if err := p.opens(r.Primary, r.PrimaryKey, after.Wrapped, sampleContext(), after.Plaintext); err != nil {
		return fmt.Errorf("a data key from after the rotation, on the primary: %w", err)
	}
	if err := p.opens(r.Replica, r.ReplicaKey, after.Wrapped, sampleContext(), after.Plaintext); err != nil {
		return fmt.Errorf("%w: a data key from after the primary's rotation, on the replica: %w", errDefect, err)
	}
	return nil
}
