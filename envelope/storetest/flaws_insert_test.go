package storetest

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func insertFlaws() []flaw {
	inserts := func(name, check, says string, do func(b *broken, ctx bg, r rec) error) flaw {
		return flaw{name, check, says, func(b *broken) {
			b.insert = func(ctx bg, r rec) error { return do(b, ctx, r) }
		}}
	}
	edits := func(name, member string, edit func(r *rec)) flaw {
		return flaw{name, "insert-round-trip", "the member " + member + " is wrong", func(b *broken) { b.inserts(edit) }}
	}
	// onConflict does something else where the store has a key of that name.
	onConflict := func(name, check, says string, do func(b *broken, ctx bg, has, r rec) error) flaw {
		return inserts(name, check, says, func(b *broken, ctx bg, r rec) error {
			err := b.MemoryStore.Insert(ctx, r)
			if !errors.Is(err, envelope.ErrConflict) {
				return err
			}
			has, err := b.MemoryStore.Get(ctx, r.Scope, r.Purpose, r.KeyID)
			return errors.Join(err, do(b, ctx, has, r))
		})
	}
	return []flaw{
		{"keeps the state it is given", "insert-retired", "the member State is wrong", func(b *broken) {
			given := map[keyID]keyState{}
			b.inserts(func(r *rec) { given[r.KeyID] = r.State })
			b.reads(func(r *rec) {
				if s, ok := given[r.KeyID]; ok {
					r.State = s
				}
			})
		}},
		inserts("an active key is active", "insert-retired", `inserted as "active"`, func(b *broken, ctx bg, r rec) error {
			if r.State == envelope.StateActive {
				return b.MemoryStore.Activate(ctx, r, keyID{})
			}
			return b.MemoryStore.Insert(ctx, r)
		}),
		inserts("the first key of a scope is active", "insert-retired", "got active, want retired", func(b *broken, ctx bg, r rec) error {
			if _, err := b.MemoryStore.Active(ctx, r.Scope, r.Purpose); errors.Is(err, envelope.ErrKeyNotFound) {
				return b.MemoryStore.Activate(ctx, r, keyID{})
			}
			return b.MemoryStore.Insert(ctx, r)
		}),
		inserts("takes the active key's place", "insert-retired", "beside an active key", func(b *broken, ctx bg, r rec) error {
			if now, err := b.MemoryStore.Active(ctx, r.Scope, r.Purpose); err == nil {
				return b.MemoryStore.Activate(ctx, r, now.KeyID)
			}
			return b.MemoryStore.Insert(ctx, r)
		}),
		{"an inserted key has its budget", "insert-retired", "got 10, want 0", func(b *broken) {
			b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
				if r, err := b.MemoryStore.Get(ctx, s, p, id); err == nil && r.State == envelope.StateRetired {
					return n, nil
				}
				return b.grants(ctx, s, p, id, n)
			}
		}},
		{"any key is in the way of the first active one", "insert-retired", "the first active key, beside one", func(b *broken) {
			has := map[scope]bool{}
			b.inserts(func(r *rec) { has[r.Scope] = true })
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if has[r.Scope] {
					return envelope.ErrConflict
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},

		edits("cuts long URIs", "RootKey", func(r *rec) { r.RootKey = r.RootKey[:min(511, len(r.RootKey))] }),
		edits("wrapped keys end at zero", "Wrapped", func(r *rec) { r.Wrapped, _, _ = bytes.Cut(r.Wrapped, []byte{0}) }),
		edits("made when it came", "Created", func(r *rec) { r.Created = time.Now().Add(time.Minute) }),
		edits("no end is 1970", "NotAfter", func(r *rec) {
			if r.NotAfter.IsZero() {
				r.NotAfter = time.Unix(0, 0)
			}
		}),
		edits("seals nothing, so has no budget", "Budget", func(r *rec) { r.Budget = 0 }),
		edits("forgets the tag", "Tag", func(r *rec) { r.Tag = [32]byte{} }),
		edits("nobody changed it yet", "Change.At", func(r *rec) { r.Change = envelope.Change{} }),

		onConflict("twice is as good as once", "insert-duplicate", "the same record, whose key is active: accepted", func(*broken, bg, rec, rec) error { return nil }),
		onConflict("another record of that name is fine", "insert-duplicate", "another record of that name, whose key is active: accepted", func(_ *broken, _ bg, has, r rec) error {
			if !bytes.Equal(has.Wrapped, r.Wrapped) {
				return nil
			}
			return envelope.ErrConflict
		}),
		onConflict("a destroyed key comes back", "insert-duplicate", "whose key is destroyed: accepted", func(_ *broken, _ bg, has, _ rec) error {
			if has.State == envelope.StateDestroyed {
				return nil
			}
			return envelope.ErrConflict
		}),
		onConflict("an upsert", "insert-duplicate", "the member RootKey is wrong", func(b *broken, ctx bg, has, r rec) error {
			next := has
			next.RootKey = r.RootKey
			return errors.Join(b.MemoryStore.Update(ctx, has, next), envelope.ErrConflict)
		}),
		onConflict("retires before it refuses", "insert-duplicate", "the member State is wrong: got retired, want active", func(b *broken, ctx bg, has, _ rec) error {
			next := has
			next.State = envelope.StateRetired
			return errors.Join(b.MemoryStore.Update(ctx, has, next), envelope.ErrConflict)
		}),
		onConflict("a conflict of its own", "insert-duplicate", "unique constraint", func(*broken, bg, rec, rec) error { return errors.New("unique constraint") }),
		{"the same key again has its budget back", "insert-duplicate", "got 600", func(b *broken) {
			var taken uint64
			b.insert = func(ctx bg, r rec) error {
				taken = 0
				return b.MemoryStore.Insert(ctx, r)
			}
			b.lease = func(_ bg, _ scope, _ pur, _ keyID, n uint64) (uint64, error) {
				n = min(n, 1000-taken)
				taken += n
				return n, nil
			}
			b.left = func(uint64) uint64 { return 1000 - taken }
		}},

		{"looks, then writes", "insert-race", "were accepted, want 1", func(b *broken) {
			var mu sync.Mutex
			has := map[keyID]rec{}
			b.insert = func(_ bg, r rec) error {
				mu.Lock()
				_, taken := has[r.KeyID]
				mu.Unlock()
				if taken {
					return envelope.ErrConflict
				}
				time.Sleep(50 * time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				has[r.KeyID] = r
				return nil
			}
		}},
		onConflict("a deadlock is the caller's", "insert-race", "deadlock detected", func(*broken, bg, rec, rec) error { return errors.New("deadlock detected") }),
		onConflict("parts of both", "insert-race", "the key that won the race", func(b *broken, ctx bg, has, r rec) error {
			next := has
			next.Wrapped = r.Wrapped
			return errors.Join(b.MemoryStore.Update(ctx, has, next), envelope.ErrConflict)
		}),
		{"two tables", "insert-activate-race", "were accepted, want 1", func(b *broken) {
			b.insert = func(ctx bg, r rec) error {
				err := b.MemoryStore.Insert(ctx, r)
				if has, _ := b.MemoryStore.Get(ctx, r.Scope, r.Purpose, r.KeyID); has.State == envelope.StateActive {
					return nil
				}
				return err
			}
			b.activate = func(ctx bg, r rec, previous keyID) error {
				err := b.MemoryStore.Activate(ctx, r, previous)
				if has, _ := b.MemoryStore.Get(ctx, r.Scope, r.Purpose, r.KeyID); has.State == envelope.StateRetired {
					return nil
				}
				return err
			}
		}},
		{"a busy row is an error", "insert-activate-race", "row is locked", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				err := b.MemoryStore.Activate(ctx, r, previous)
				if errors.Is(err, envelope.ErrConflict) {
					err = errors.New("row is locked")
				}
				return err
			}
		}},
	}
}
