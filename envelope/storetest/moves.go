package storetest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func moveChecks() []check {
	return []check{
		{name: "move-stored", run: moveStored},
		{name: "move-told", run: moveTold},
		{name: "move-rewrapped", run: moveRewrapped},
		{name: "move-from-active", run: moveFromActive},
		{name: "move-to-active", run: moveToActive},
		{name: "move-destroyed", run: moveDestroyed},
	}
}

// moves are the changes of state that a store takes.
var moves = []struct {
	from envelope.State
	to   []envelope.State
}{
	{envelope.StateActive, []envelope.State{envelope.StateRetired, envelope.StateSuspended, envelope.StateScheduled}},
	{envelope.StateRetired, []envelope.State{envelope.StateSuspended, envelope.StateScheduled, envelope.StateDestroyed}},
	{envelope.StateSuspended, []envelope.State{envelope.StateRetired, envelope.StateScheduled, envelope.StateDestroyed}},
	{envelope.StateScheduled, []envelope.State{envelope.StateRetired, envelope.StateSuspended, envelope.StateScheduled, envelope.StateDestroyed}},
}

// moveStored: each move is stored with what it tells, alone and together with
// a new wrapping.
func moveStored(p *probe) error {
	for _, m := range moves {
		for _, to := range m.to {
			for _, anew := range []bool{false, true} {
				name := fmt.Sprintf("%s to %s, wrapped anew: %t", m.from, to, anew)
				rec, err := p.inState(p.scope(name), envelope.PurposeData, m.from)
				if err != nil {
					return err
				}
				next := moved(&rec, to)
				if anew {
					again := rewrapped(&rec)
					next.RootKey, next.Wrapped = again.RootKey, again.Wrapped
				}
				if err := p.update(&rec, &next); err != nil {
					return err
				}
				if err := p.still(&next); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// Limits of a Change, in bytes.
const (
	maxBy  = 255
	maxWhy = 1024
)

// characters are all that have one or two bytes up to U+017F, and the first and
// last of every longer form and of every plane.
func characters() string {
	var b strings.Builder
	for r := rune(0); r < 0x180; r++ {
		b.WriteRune(r)
	}
	b.WriteString("\u07ff\u0800\ud7ff\ue000\ufeff\ufffd")
	for plane := rune(0); plane < 0x11; plane++ {
		b.WriteRune(max(plane<<16, 1))
		b.WriteRune(plane<<16 | 0xffff)
	}
	return b.String()
}

// moveTold: Change and DestroyAfter come back as they were given.
func moveTold(p *probe) error {
	zone := time.FixedZone("made up", -(3*3600 + 1800))
	at := time.Now().Truncate(time.Second)
	rec, err := p.inState(p.scope("told"), envelope.PurposeData, envelope.StateRetired)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name         string
		change       envelope.Change
		destroyAfter time.Time
	}{
		{"plain", envelope.Change{At: at, By: "ops@example.com", Why: "the customer asked for it"}, at.Add(time.Hour)},
		{"nothing told", envelope.Change{}, at},
		{"the time alone", envelope.Change{At: at}, at},
		{"the longest texts", envelope.Change{At: at, By: strings.Repeat("b", maxBy), Why: strings.Repeat("w", maxWhy)}, at},
		{"the longest texts, of few characters", envelope.Change{At: at, By: strings.Repeat("🔑", maxBy/4) + "end", Why: strings.Repeat("🔑", maxWhy/4)}, at},
		{"every kind of character", envelope.Change{At: at, By: "\x00\x7f\u00e9e\u0301\u200b🔑\ufffd\U0010ffff", Why: characters()}, at},
		{"spaces", envelope.Change{At: at, By: " ops ", Why: "\tfirst line\r\nsecond line\n\n "}, at},
		{"text that looks like code", envelope.Change{At: at, By: `o'brien"`, Why: `'); DROP TABLE keys; -- \x00 %s ? $1 {"a":null}`}, at},
		{"another time zone", envelope.Change{At: at.In(zone), By: "ops"}, at.Add(time.Hour).In(zone)},
		{"past 2038", envelope.Change{At: time.Date(2040, 2, 29, 23, 59, 59, 0, time.UTC)}, time.Date(2199, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"long ago", envelope.Change{At: time.Date(2001, 1, 1, 0, 0, 1, 0, time.UTC)}, time.Date(2001, 1, 1, 0, 0, 2, 0, time.UTC)},
	} {
		for _, to := range []envelope.State{envelope.StateScheduled, envelope.StateRetired} {
			next := moved(&rec, to)
			next.Change = c.change
			if to == envelope.StateScheduled {
				next.DestroyAfter = c.destroyAfter
			}
			if err := p.update(&rec, &next); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if err := p.still(&next); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			rec = next
		}
	}
	return nil
}

// moveRewrapped: only RootKey and Wrapped differ after a key was wrapped anew,
// whatever else the caller's record says, and its budget goes on.
func moveRewrapped(p *probe) error {
	for _, state := range living {
		rec, err := p.inState(p.scope("is "+string(state)), envelope.PurposeData, state)
		if err != nil {
			return err
		}
		left := rec.Budget
		for i, wrapped := range [][]byte{randomBytes(200), randomBytes(maxWrapped), {0}, []byte(" \\x00'\x00 ")} {
			want := rec
			want.RootKey, want.Wrapped = long512(fmt.Sprintf("example-kms://eu/%d/", i)), wrapped
			given := want
			given.Created, given.NotAfter = given.Created.Add(time.Hour), time.Time{}
			given.Budget, given.Tag = 1<<32, [32]byte{1}
			if state == envelope.StateActive {
				left -= 100
				if err := p.leases(&rec, 100, 100, left); err != nil {
					return err
				}
			}
			if err := p.update(&rec, &given); err != nil {
				return fmt.Errorf("wrapped anew: %w", err)
			}
			if err := p.still(&want); err != nil {
				return fmt.Errorf("wrapped anew: %w", err)
			}
			rec = want
		}
		if state == envelope.StateActive {
			err = errors.Join(p.leases(&rec, 0, 0, left), p.leases(&rec, rec.Budget, left, 0))
		} else {
			err = errors.Join(p.noneActive(rec.Scope, rec.Purpose), p.sealsNothing(&rec))
		}
		if err != nil {
			return fmt.Errorf("wrapped anew: %w", err)
		}
	}
	return nil
}

// moveFromActive: where the active key was moved away there is none, until the
// first one is activated.
func moveFromActive(p *probe) error {
	for _, m := range moves {
		if m.from != envelope.StateActive {
			continue
		}
		for _, to := range m.to {
			scope := p.scope("from active to " + string(to))
			older, err := p.fresh(scope)
			if err != nil {
				return err
			}
			older.State = envelope.StateRetired
			rec := p.record(scope, envelope.PurposeData)
			if err := errors.Join(p.activate(&rec, older.KeyID), p.leases(&rec, 10, 10, rec.Budget-10)); err != nil {
				return err
			}
			gone := moved(&rec, to)
			if err := p.update(&rec, &gone); err != nil {
				return err
			}
			next, other := p.record(scope, envelope.PurposeData), p.record(scope, envelope.PurposeData)
			if err := inOrder(
				func() error { return p.noneActive(scope, rec.Purpose) },
				func() error { return p.sealsNothing(&gone) },
				func() error { return p.conflicts("a "+string(to)+" key as the previous one", other, gone.KeyID) },
				func() error { return p.conflicts("the key before as the previous one", other, older.KeyID) },
				func() error { return p.activate(&next, envelope.KeyID{}) },
				func() error { return p.isActive(&next) },
				func() error { return p.leases(&next, 1000, 1000, 0) },
				func() error { return p.still(&gone) },
				func() error { return p.still(&older) },
				func() error { return p.sealsNothing(&gone) },
			); err != nil {
				return fmt.Errorf("the active key was %s: %w", to, err)
			}
		}
	}
	return nil
}

// moveToActive: no key becomes active by Update, whether or not there is an
// active one.
func moveToActive(p *probe) error {
	for _, from := range reached {
		if from == envelope.StateActive {
			continue
		}
		rec, err := p.inState(p.scope("is "+string(from)), envelope.PurposeData, from)
		if err != nil {
			return err
		}
		next := moved(&rec, envelope.StateActive)
		what := fmt.Sprintf("Update from %s to active", from)
		if err := p.unmoved(what, p.store.Update(p.ctx, rec, next), &rec); err != nil {
			return err
		}
		if err := errors.Join(p.noneActive(rec.Scope, rec.Purpose), p.sealsNothing(&rec)); err != nil {
			return fmt.Errorf("after a refused %s: %w", what, err)
		}
		first, err := p.fresh(rec.Scope)
		if err != nil {
			return err
		}
		what += " beside an active key"
		if err := p.unmoved(what, p.store.Update(p.ctx, rec, next), &rec); err != nil {
			return err
		}
		if err := errors.Join(p.isActive(&first), p.leases(&first, 1000, 1000, 0)); err != nil {
			return fmt.Errorf("after a refused %s: %w", what, err)
		}
	}
	return nil
}

// moveDestroyed: a destroyed key has lost its wrapped key, and nothing about
// its record, the tombstone, changes again.
func moveDestroyed(p *probe) error {
	for _, from := range living[1:] {
		was, err := p.inState(p.scope("was "+string(from)), envelope.PurposeData, from)
		if err != nil {
			return err
		}
		rec := moved(&was, envelope.StateDestroyed)
		if err := p.update(&was, &rec); err != nil {
			return err
		}
		if err := errors.Join(p.still(&rec), p.sealsNothing(&rec)); err != nil {
			return fmt.Errorf("destroyed: %w", err)
		}
		empty := rec
		empty.Wrapped = []byte{}
		for _, to := range append([]envelope.State{envelope.StatePending}, reached...) {
			next := moved(&was, to)
			next.Change.By = "somebody else"
			for _, c := range []struct {
				name string
				old  envelope.Record
			}{{"itself", rec}, {"itself with an empty wrapped key", empty}, {"what it was", was}} {
				what := fmt.Sprintf("Update of a destroyed key from %s to %s", c.name, to)
				if err := p.unmoved(what, p.store.Update(p.ctx, c.old, next), &rec); err != nil {
					return err
				}
			}
		}
		if err := p.unmoved("Activate of a destroyed key", p.store.Activate(p.ctx, was, envelope.KeyID{}), &rec); err != nil {
			return err
		}
		if err := p.unmoved("Insert of a destroyed key", p.store.Insert(p.ctx, was), &rec); err != nil {
			return err
		}
		if err := p.noneActive(rec.Scope, rec.Purpose); err != nil {
			return err
		}
	}
	return nil
}
