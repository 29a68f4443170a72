package storetest

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func moveFlaws() []flaw {
	// edits changes what Update is given.
	edits := func(name, check, says string, edit func(old, r *rec)) flaw {
		return updates(name, check, says, func(b *broken, ctx bg, old, r rec) error {
			edit(&old, &r)
			return b.MemoryStore.Update(ctx, old, r)
		})
	}
	told := func(name, member string, edit func(r *rec)) flaw {
		return edits(name, "move-told", "the member "+member+" is wrong", func(_, r *rec) { edit(r) })
	}
	// answers gives another answer where the store refuses.
	answers := func(name, check, says string, when func(now, r *rec) bool, answer error) flaw {
		return updates(name, check, says, func(b *broken, ctx bg, old, r rec) error {
			err := b.MemoryStore.Update(ctx, old, r)
			if now, _ := b.of(ctx, &old); errors.Is(err, envelope.ErrConflict) && when(&now, &r) {
				return answer
			}
			return err
		})
	}
	isDestroyed := func(now, _ *rec) bool { return now.State == envelope.StateDestroyed }
	toActive := func(now, r *rec) bool { return r.State == envelope.StateActive && now.State != envelope.StateActive }
	// remembers has what was given to Update come out of Get and Page again,
	// whether or not it was accepted.
	remembers := func(name, check, says string, put func(given, r *rec)) flaw {
		return flaw{name, check, says, func(b *broken) {
			given := map[keyID]rec{}
			b.update = func(ctx bg, old, r rec) error {
				given[old.KeyID] = r
				return b.MemoryStore.Update(ctx, old, r)
			}
			b.reads(func(r *rec) {
				if g, ok := given[r.KeyID]; ok {
					put(&g, r)
				}
			})
		}}
	}
	// activeStill answers with a key where none is active.
	activeStill := func(name string, which func(moved, before rec) rec) flaw {
		return flaw{name, "move-from-active", "none of whose keys is active: accepted", func(b *broken) {
			before, away := map[scope]rec{}, map[scope]rec{}
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if old, err := b.MemoryStore.Active(ctx, r.Scope, r.Purpose); err == nil {
					before[r.Scope] = old
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
			b.update = func(ctx bg, old, r rec) error {
				away[r.Scope] = r
				return b.MemoryStore.Update(ctx, old, r)
			}
			b.active = func(ctx bg, s scope, p pur) (rec, error) {
				r, err := b.MemoryStore.Active(ctx, s, p)
				if _, ok := away[s]; ok && errors.Is(err, envelope.ErrKeyNotFound) {
					return which(away[s], before[s]), nil
				}
				return r, err
			}
		}}
	}
	return []flaw{
		edits("forgets when to destroy", "move-stored", "the member DestroyAfter is wrong", func(_, r *rec) { r.DestroyAfter = time.Time{} }),
		edits("goes on to destroy what was taken back", "move-stored", "the member DestroyAfter is wrong", func(old, r *rec) {
			if r.DestroyAfter.IsZero() {
				r.DestroyAfter = old.DestroyAfter
			}
		}),
		edits("tells nothing", "move-stored", "the member Change.At is wrong", func(old, r *rec) { r.Change = old.Change }),
		edits("suspended is retired", "move-stored", "the member State is wrong", func(_, r *rec) {
			if r.State == envelope.StateSuspended {
				r.State = envelope.StateRetired
			}
		}),
		edits("a state or a wrapping", "move-stored", "wrapped anew: true", func(old, r *rec) {
			if r.State != old.State {
				r.RootKey, r.Wrapped = old.RootKey, old.Wrapped
			}
		}),
		updates("no way back", "move-stored", "from scheduled to retired", func(b *broken, ctx bg, old, r rec) error {
			if old.State == envelope.StateScheduled && r.State == envelope.StateRetired {
				return envelope.ErrConflict
			}
			return b.MemoryStore.Update(ctx, old, r)
		}),
		updates("destroys only what was scheduled", "move-stored", "from retired to destroyed", func(b *broken, ctx bg, old, r rec) error {
			if old.State != envelope.StateScheduled && r.State == envelope.StateDestroyed {
				return envelope.ErrConflict
			}
			return b.MemoryStore.Update(ctx, old, r)
		}),
		updates("the active key stays", "move-stored", "from active to retired", func(b *broken, ctx bg, old, r rec) error {
			if old.State == envelope.StateActive && r.State != envelope.StateActive {
				return envelope.ErrConflict
			}
			return b.MemoryStore.Update(ctx, old, r)
		}),

		told("cuts who", "Change.By", func(r *rec) { r.Change.By = r.Change.By[:min(maxBy-1, len(r.Change.By))] }),
		told("cuts why", "Change.Why", func(r *rec) { r.Change.Why = r.Change.Why[:min(255, len(r.Change.Why))] }),
		told("trims", "Change.By", func(r *rec) { r.Change.By = strings.TrimSpace(r.Change.By) }),
		told("text ends at zero", "Change.Why", func(r *rec) { r.Change.Why, _, _ = strings.Cut(r.Change.Why, "\x00") }),
		told("composes", "Change.By", func(r *rec) { r.Change.By = strings.ReplaceAll(r.Change.By, "e\u0301", "\u00e9") }),
		told("basic plane only", "Change.By", func(r *rec) {
			r.Change.By = strings.Map(func(c rune) rune {
				if c > 0xFFFF {
					return '?'
				}
				return c
			}, r.Change.By)
		}),
		told("one end of line", "Change.Why", func(r *rec) { r.Change.Why = strings.ReplaceAll(r.Change.Why, "\r\n", "\n") }),
		told("the clock of the storage", "Change.At", func(r *rec) { r.Change.At = time.Now().Truncate(time.Second) }),
		told("no time is 1970", "Change.At", func(r *rec) {
			if r.Change.At.IsZero() {
				r.Change.At = time.Unix(0, 0)
			}
		}),
		told("32 bits of time", "DestroyAfter", func(r *rec) {
			if !r.DestroyAfter.IsZero() {
				r.DestroyAfter = time.Unix(int64(int32(r.DestroyAfter.Unix())), 0)
			}
		}),
		told("counts days", "DestroyAfter", func(r *rec) { r.DestroyAfter = r.DestroyAfter.Truncate(24 * time.Hour).Add(time.Second) }),
		told("drops the zone", "DestroyAfter", func(r *rec) {
			y, m, d := r.DestroyAfter.Date()
			h, mi, s := r.DestroyAfter.Clock()
			r.DestroyAfter = time.Date(y, m, d, h, mi, s, 0, time.UTC)
		}),

		remembers("takes the budget too", "move-rewrapped", "the member Budget is wrong", func(given, r *rec) { r.Budget = given.Budget }),
		remembers("takes the dates too", "move-rewrapped", "the member Created is wrong", func(given, r *rec) { r.Created = given.Created }),
		remembers("takes the end too", "move-rewrapped", "the member NotAfter is wrong", func(given, r *rec) { r.NotAfter = given.NotAfter }),
		remembers("takes the tag too", "move-rewrapped", "the member Tag is wrong", func(given, r *rec) { r.Tag = given.Tag }),
		{"a new wrapping, a new budget", "move-rewrapped", "and left are 900, want 800", func(b *broken) {
			var taken uint64
			b.update = func(ctx bg, old, r rec) error {
				taken = 0
				return b.MemoryStore.Update(ctx, old, r)
			}
			b.lease = func(_ bg, _ scope, _ pur, _ keyID, n uint64) (uint64, error) {
				n = min(n, 1000-taken)
				taken += n
				return n, nil
			}
			b.left = func(uint64) uint64 { return 1000 - taken }
		}},
		edits("a key that is wrapped anew is retired", "move-rewrapped", "got retired, want active", func(old, r *rec) {
			if old.RootKey != r.RootKey {
				r.State = envelope.StateRetired
			}
		}),
		edits("the root key's name stays", "move-rewrapped", "the member RootKey is wrong", func(old, r *rec) { r.RootKey = old.RootKey }),
		edits("wrapped keys end at zero", "move-rewrapped", "the member Wrapped is wrong", func(_, r *rec) { r.Wrapped, _, _ = bytes.Cut(r.Wrapped, []byte{0}) }),

		activeStill("it is active still", func(moved, _ rec) rec { return moved }),
		activeStill("the key before is active again", func(_, before rec) rec { return before }),
		{"goes on sealing", "move-from-active", "got 10, want 0", func(b *broken) {
			b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
				if r, err := b.MemoryStore.Get(ctx, s, p, id); err == nil && r.State == envelope.StateSuspended {
					return n, nil
				}
				return b.grants(ctx, s, p, id, n)
			}
		}},
		{"tells of a budget that is left", "move-from-active", "and left are 990, want 0", func(b *broken) {
			b.left = func(left uint64) uint64 {
				if left == 0 {
					return 990
				}
				return left
			}
		}},
		{"the next key follows the one that was moved away", "move-from-active", "as the previous one: accepted", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if _, err := b.MemoryStore.Active(ctx, r.Scope, r.Purpose); errors.Is(err, envelope.ErrKeyNotFound) && previous != (keyID{}) {
					return b.MemoryStore.Activate(ctx, r, keyID{})
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"only the first key of all follows none", "move-from-active", "calling Activate", func(b *broken) {
			had := map[scope]bool{}
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if had[r.Scope] && previous == (keyID{}) {
					return envelope.ErrConflict
				}
				had[r.Scope] = true
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},

		answers("says yes and doesn't", "move-to-active", "Update from retired to active: accepted", toActive, nil),
		answers("not found", "move-to-active", "want the error", toActive, envelope.ErrKeyNotFound),
		answers("an error of its own", "move-to-active", "not allowed", toActive, errors.New("not allowed")),
		updates("says yes beside an active key", "move-to-active", "beside an active key: accepted", func(b *broken, ctx bg, old, r rec) error {
			if _, err := b.MemoryStore.Active(ctx, old.Scope, old.Purpose); err == nil && r.State == envelope.StateActive {
				return nil
			}
			return b.MemoryStore.Update(ctx, old, r)
		}),
		remembers("writes the state, then refuses", "move-to-active", "got active, want retired", func(given, r *rec) { r.State = given.State }),
		updates("the active key makes room, then it refuses", "move-to-active", "Active of", func(b *broken, ctx bg, old, r rec) error {
			if now, err := b.MemoryStore.Active(ctx, old.Scope, old.Purpose); err == nil && r.State == envelope.StateActive {
				next := now
				next.State = envelope.StateRetired
				return errors.Join(b.MemoryStore.Update(ctx, now, next), envelope.ErrConflict)
			}
			return b.MemoryStore.Update(ctx, old, r)
		}),

		remembers("keeps the wrapped key", "move-destroyed", "the member Wrapped is wrong", func(given, r *rec) { r.Wrapped = given.Wrapped }),
		{"keeps no tombstone", "move-destroyed", "calling Get", func(b *broken) {
			b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
				r, err := b.MemoryStore.Get(ctx, s, p, id)
				if err == nil && r.State == envelope.StateDestroyed {
					return rec{}, envelope.ErrKeyNotFound
				}
				return r, err
			}
		}},
		answers("can be undone", "move-destroyed", "to retired: accepted", func(now, r *rec) bool {
			return isDestroyed(now, r) && r.State == envelope.StateRetired
		}, nil),
		answers("twice is as good as once", "move-destroyed", "to destroyed: accepted", func(now, r *rec) bool {
			return isDestroyed(now, r) && r.State == envelope.StateDestroyed
		}, nil),
		answers("destroyed is not found", "move-destroyed", "want the error", isDestroyed, envelope.ErrKeyNotFound),
		remembers("another tells, then it refuses", "move-destroyed", "the member Change.By is wrong", func(given, r *rec) { r.Change.By = given.Change.By }),
		{"its name is free for Insert", "move-destroyed", "Insert of a destroyed key: accepted", func(b *broken) {
			b.insert = func(ctx bg, r rec) error {
				if now, _ := b.of(ctx, &r); now.State == envelope.StateDestroyed {
					return nil
				}
				return b.MemoryStore.Insert(ctx, r)
			}
		}},
		{"its name is free for Activate", "move-destroyed", "Activate of a destroyed key: accepted", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if now, _ := b.of(ctx, &r); now.State == envelope.StateDestroyed {
					return nil
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"has its budget back", "move-destroyed", "got 10, want 0", func(b *broken) {
			b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
				if r, err := b.MemoryStore.Get(ctx, s, p, id); err == nil && r.State == envelope.StateDestroyed {
					return n, nil
				}
				return b.grants(ctx, s, p, id, n)
			}
		}},
	}
}
