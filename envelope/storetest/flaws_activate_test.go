package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func activateFlaws() []flaw {
	// unchecked activates after whatever key is active.
	unchecked := func(b *broken, ctx bg, r rec) error {
		now, err := b.MemoryStore.Active(ctx, r.Scope, r.Purpose)
		if err != nil && !errors.Is(err, envelope.ErrKeyNotFound) {
			return err
		}
		return b.MemoryStore.Activate(ctx, r, now.KeyID)
	}
	return []flaw{
		{"never retires", "activate-retires", "the member State", func(b *broken) {
			b.reads(func(r *rec) { r.State = envelope.StateActive })
		}},
		{"deletes the key before", "activate-retires", "an earlier key", func(b *broken) {
			b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
				r, err := b.MemoryStore.Get(ctx, s, p, id)
				if r.State == envelope.StateRetired {
					return rec{}, envelope.ErrKeyNotFound
				}
				return r, err
			}
		}},
		{"the first key stays", "activate-retires", "Active of", func(b *broken) {
			var mu sync.Mutex
			first := map[scope]rec{}
			b.writes(func(r *rec) {
				mu.Lock()
				defer mu.Unlock()
				if _, ok := first[r.Scope]; !ok {
					first[r.Scope] = *r
				}
			})
			b.active = func(ctx bg, s scope, p pur) (rec, error) {
				mu.Lock()
				defer mu.Unlock()
				return b.MemoryStore.Get(ctx, s, p, first[s].KeyID)
			}
		}},
		{"ignores the previous key", "activate-wrong-previous", "accepted", func(b *broken) {
			b.activate = func(ctx bg, r rec, _ keyID) error { return unchecked(b, ctx, r) }
		}},
		{"the zero ID is any key", "activate-wrong-previous", "no previous key where there is one: accepted", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if previous == (keyID{}) {
					return unchecked(b, ctx, r)
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"any key of the scope will do", "activate-wrong-previous", "a retired key as the previous one: accepted", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if _, err := b.MemoryStore.Get(ctx, r.Scope, r.Purpose, previous); err == nil {
					return unchecked(b, ctx, r)
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"a conflict of its own", "activate-wrong-previous", "unique constraint", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				err := b.MemoryStore.Activate(ctx, r, previous)
				if errors.Is(err, envelope.ErrConflict) {
					err = errors.New("unique constraint")
				}
				return err
			}
		}},
		{"a refused key stays", "activate-wrong-previous", "Get of", func(b *broken) {
			var mu sync.Mutex
			stray := map[keyID]rec{}
			b.activate = func(ctx bg, r rec, previous keyID) error {
				mu.Lock()
				defer mu.Unlock()
				stray[r.KeyID] = r
				return b.MemoryStore.Activate(ctx, r, previous)
			}
			b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
				mu.Lock()
				defer mu.Unlock()
				if r, err := b.MemoryStore.Get(ctx, s, p, id); err == nil {
					return r, nil
				}
				if r, ok := stray[id]; ok && r.Scope == s {
					return r, nil
				}
				return rec{}, envelope.ErrKeyNotFound
			}
		}},
		{"retires before it refuses", "activate-wrong-previous", "Active of", func(b *broken) {
			var mu sync.Mutex
			gone := map[scope]bool{}
			b.activate = func(ctx bg, r rec, previous keyID) error {
				err := b.MemoryStore.Activate(ctx, r, previous)
				mu.Lock()
				defer mu.Unlock()
				gone[r.Scope] = err != nil
				return err
			}
			b.active = func(ctx bg, s scope, p pur) (rec, error) {
				mu.Lock()
				defer mu.Unlock()
				if gone[s] {
					return rec{}, envelope.ErrKeyNotFound
				}
				return b.MemoryStore.Active(ctx, s, p)
			}
		}},
		{"the same key again is fine", "activate-duplicate", "the active key's ID, after itself: accepted", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if r.KeyID == previous {
					return nil
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"an upsert", "activate-duplicate", "the member RootKey is wrong", func(b *broken) {
			var mu sync.Mutex
			uri := map[keyID]string{}
			b.writes(func(r *rec) {
				mu.Lock()
				defer mu.Unlock()
				uri[r.KeyID] = r.RootKey
			})
			b.reads(func(r *rec) {
				mu.Lock()
				defer mu.Unlock()
				if u, ok := uri[r.KeyID]; ok {
					r.RootKey = u
				}
			})
		}},
		{"the same key again has its budget back", "activate-duplicate", "got 600, and left are 1000, want 400", func(b *broken) {
			var mu sync.Mutex
			var taken uint64
			b.activate = func(ctx bg, r rec, previous keyID) error {
				mu.Lock()
				taken = 0
				mu.Unlock()
				return b.MemoryStore.Activate(ctx, r, previous)
			}
			b.lease = func(_ bg, _ scope, _ pur, _ keyID, n uint64) (uint64, error) {
				mu.Lock()
				defer mu.Unlock()
				n = min(n, 1000-taken)
				taken += n
				return n, nil
			}
		}},
		{"a retired key comes back", "activate-duplicate", "a retired key's ID, after the active key: accepted", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				old, err := b.MemoryStore.Get(ctx, r.Scope, r.Purpose, r.KeyID)
				if err == nil && old.State == envelope.StateRetired {
					return nil
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"looks, then writes", "activate-race", "were accepted, want 1", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				now, err := b.MemoryStore.Active(ctx, r.Scope, r.Purpose)
				if err != nil && !errors.Is(err, envelope.ErrKeyNotFound) {
					return err
				}
				if now.KeyID != previous {
					return envelope.ErrConflict
				}
				time.Sleep(50 * time.Millisecond)
				for {
					err := unchecked(b, ctx, r)
					if !errors.Is(err, envelope.ErrConflict) {
						return err
					}
				}
			}
		}},
		{"a deadlock is the caller's", "activate-race", "deadlock detected", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				err := b.MemoryStore.Activate(ctx, r, previous)
				if errors.Is(err, envelope.ErrConflict) {
					err = errors.New("deadlock detected")
				}
				return err
			}
		}},
	}
}
