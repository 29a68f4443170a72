package storetest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// updates is a flaw of Update alone.
func updates(name, check, says string, do func(b *broken, ctx bg, old, r rec) error) flaw {
	return flaw{name, check, says, func(b *broken) {
		b.update = func(ctx bg, old, r rec) error { return do(b, ctx, old, r) }
	}}
}

// of is the record that Update changes.
func (b *broken) of(ctx bg, old *rec) (rec, error) {
	return b.MemoryStore.Get(ctx, old.Scope, old.Purpose, old.KeyID)
}

// force makes r of what is there, whatever that is.
func (b *broken) force(ctx bg, r rec) error {
	for {
		now, err := b.of(ctx, &r)
		if err != nil || r.State == envelope.StateActive && now.State != envelope.StateActive {
			return err
		}
		if err := b.MemoryStore.Update(ctx, now, r); !errors.Is(err, envelope.ErrConflict) {
			return err
		}
	}
}

// lookFirst compares, and writes a moment later.
func lookFirst(b *broken, ctx bg, old, r rec) error {
	now, err := b.of(ctx, &old)
	if err != nil {
		return err
	}
	if now.RootKey != old.RootKey || now.State != old.State || !bytes.Equal(now.Wrapped, old.Wrapped) {
		return envelope.ErrConflict
	}
	time.Sleep(50 * time.Millisecond)
	return b.force(ctx, r)
}

func updateFlaws() []flaw {
	// compares is a flaw in what old must be equal in: loose makes it equal to
	// what is there.
	compares := func(name, says string, loose func(old, now *rec)) flaw {
		return updates(name, "update-compares", says, func(b *broken, ctx bg, old, r rec) error {
			if now, err := b.of(ctx, &old); err == nil {
				loose(&old, &now)
			}
			return b.MemoryStore.Update(ctx, old, r)
		})
	}
	onConflict := func(name, check, says string, do func(b *broken, ctx bg, old, r rec) error) flaw {
		return updates(name, check, says, func(b *broken, ctx bg, old, r rec) error {
			err := b.MemoryStore.Update(ctx, old, r)
			if errors.Is(err, envelope.ErrConflict) {
				err = do(b, ctx, old, r)
			}
			return err
		})
	}
	onMissing := func(name, says string, do func(b *broken, ctx bg, old, r rec) error) flaw {
		return updates(name, "update-not-found", says, func(b *broken, ctx bg, old, r rec) error {
			err := b.MemoryStore.Update(ctx, old, r)
			if errors.Is(err, envelope.ErrKeyNotFound) {
				err = do(b, ctx, old, r)
			}
			return err
		})
	}
	return []flaw{
		compares("compares nothing", "another root key: accepted", func(old, now *rec) { *old = *now }),
		compares("compares no root keys", "another root key: accepted", func(old, now *rec) { old.RootKey = now.RootKey }),
		compares("compares no wrapped keys", "another wrapped key: accepted", func(old, now *rec) { old.Wrapped = now.Wrapped }),
		compares("compares no states", "the state \"\": accepted", func(old, now *rec) { old.State = now.State }),
		compares("compares no times", "an earlier time to destroy it: accepted", func(old, now *rec) {
			if now.State == envelope.StateScheduled {
				old.DestroyAfter = now.DestroyAfter
			}
		}),
		compares("a key that isn't scheduled has any time", "a time to destroy it: accepted", func(old, now *rec) {
			if now.State != envelope.StateScheduled {
				old.DestroyAfter = now.DestroyAfter
			}
		}),
		compares("a key that is there is retired or active", "the state \"retired\": accepted", func(old, now *rec) {
			if now.State == envelope.StateActive && old.State == envelope.StateRetired {
				old.State = now.State
			}
		}),
		compares("folds case", "upper case: accepted", func(old, now *rec) {
			if strings.EqualFold(old.RootKey, now.RootKey) {
				old.RootKey = now.RootKey
			}
		}),
		compares("trims", "a space after the root key: accepted", func(old, _ *rec) { old.RootKey = strings.TrimSpace(old.RootKey) }),
		compares("compares starts of wrapped keys", "another last bit of the wrapped key: accepted", func(old, now *rec) {
			if n := min(100, len(old.Wrapped)); bytes.HasPrefix(now.Wrapped, old.Wrapped[:n]) && n == 100 {
				old.Wrapped = now.Wrapped
			}
		}),
		compares("no wrapped key is any", "no wrapped key: accepted", func(old, now *rec) {
			if len(old.Wrapped) == 0 {
				old.Wrapped = now.Wrapped
			}
		}),
		compares("compares the whole record", "members that aren't compared differ", func(old, now *rec) {
			if !old.NotAfter.Equal(now.NotAfter) || old.Change != now.Change {
				old.State = "stale"
			}
		}),
		onConflict("writes before it refuses", "update-compares", "after a refused Update", func(b *broken, ctx bg, _, r rec) error {
			return errors.Join(b.force(ctx, r), envelope.ErrConflict)
		}),
		onConflict("a conflict of its own", "update-compares", "0 rows", func(*broken, bg, rec, rec) error { return errors.New("0 rows") }),
		onConflict("a stale record is not found", "update-compares", "want the error", func(*broken, bg, rec, rec) error { return envelope.ErrKeyNotFound }),

		updates("no row changed is a conflict", "update-nothing-new", "nothing changes", func(b *broken, ctx bg, old, r rec) error {
			now, err := b.of(ctx, &old)
			if err == nil && same(&now, &r, r.State) == nil {
				return envelope.ErrConflict
			}
			return errors.Join(err, b.MemoryStore.Update(ctx, old, r))
		}),
		updates("what is compared must change", "update-nothing-new", "only Change changed", func(b *broken, ctx bg, old, r rec) error {
			if old.State == r.State && old.RootKey == r.RootKey && bytes.Equal(old.Wrapped, r.Wrapped) {
				return nil
			}
			return b.MemoryStore.Update(ctx, old, r)
		}),
		updates("the same wrapped key is refused", "update-nothing-new", "wrapped already", func(b *broken, ctx bg, old, r rec) error {
			if old.State == r.State && bytes.Equal(old.Wrapped, r.Wrapped) {
				return errors.New("wrapped already")
			}
			return b.MemoryStore.Update(ctx, old, r)
		}),

		onMissing("not there is a conflict", "want the error", func(*broken, bg, rec, rec) error { return envelope.ErrConflict }),
		onMissing("not there is fine", "accepted", func(*broken, bg, rec, rec) error { return nil }),
		onMissing("makes the key", "accepted", func(b *broken, ctx bg, _, r rec) error { return b.MemoryStore.Insert(ctx, r) }),
		onMissing("makes the key and says that it isn't there", "after Update of", func(b *broken, ctx bg, _, r rec) error {
			return errors.Join(b.MemoryStore.Insert(ctx, r), envelope.ErrKeyNotFound)
		}),
		{"looks a key up by its ID alone", "update-not-found", "Update of an unknown tenant to retired: accepted", func(b *broken) {
			at := map[keyID]rec{}
			b.inserts(func(r *rec) { at[r.KeyID] = *r })
			b.update = func(ctx bg, old, r rec) error {
				if is, ok := at[old.KeyID]; ok {
					old.Scope, old.Purpose = is.Scope, is.Purpose
				}
				return b.MemoryStore.Update(ctx, old, r)
			}
		}},
		onMissing("finds keys of other purposes", "Update of another purpose to retired: accepted", func(b *broken, ctx bg, old, r rec) error {
			for _, old.Purpose = range purposes {
				if err := b.MemoryStore.Update(ctx, old, r); err == nil {
					return nil
				}
			}
			return envelope.ErrKeyNotFound
		}),

		updates("looks, then writes", "update-race", "were accepted, want 1", lookFirst),
		onConflict("a serialization failure is the caller's", "update-race", "could not serialize", func(*broken, bg, rec, rec) error { return errors.New("could not serialize access") }),
		onConflict("the last one tells", "update-race", "the change that won the race", func(b *broken, ctx bg, old, r rec) error {
			now, err := b.of(ctx, &old)
			next := now
			next.Change = r.Change
			return errors.Join(err, b.MemoryStore.Update(ctx, now, next), envelope.ErrConflict)
		}),

		{"Update looks, then writes", "update-activate-race", "were accepted, want 1", func(b *broken) {
			b.update = func(ctx bg, old, r rec) error { return lookFirst(b, ctx, old, r) }
			b.activate = func(ctx bg, r rec, previous keyID) error {
				time.Sleep(10 * time.Millisecond) // Update has looked by then
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"Activate looks, then writes", "update-activate-race", "were accepted, want 1", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				now, err := b.MemoryStore.Active(ctx, r.Scope, r.Purpose)
				if err != nil && !errors.Is(err, envelope.ErrKeyNotFound) {
					return err
				}
				if now.KeyID != previous {
					return envelope.ErrConflict
				}
				time.Sleep(50 * time.Millisecond)
				now, _ = b.MemoryStore.Active(ctx, r.Scope, r.Purpose)
				return b.MemoryStore.Activate(ctx, r, now.KeyID)
			}
			b.update = func(ctx bg, old, r rec) error {
				time.Sleep(10 * time.Millisecond) // Activate has looked by then
				return b.MemoryStore.Update(ctx, old, r)
			}
		}},
		onConflict("a deadlock is the caller's", "update-activate-race", "deadlock detected", func(*broken, bg, rec, rec) error { return errors.New("deadlock detected") }),

		{"writes the whole row back", "update-lease-race", "the budget is", func(b *broken) {
			b.counts(func(taken uint64) uint64 { return taken })
		}},
		{"a new wrapping, a new budget", "update-lease-race", "the budget is", func(b *broken) {
			b.counts(func(uint64) uint64 { return 0 })
		}},

		updates("the root key first", "update-one-step", "half changed", func(b *broken, ctx bg, old, r rec) error {
			half := old
			half.RootKey = r.RootKey
			if err := b.MemoryStore.Update(ctx, old, half); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
			return b.MemoryStore.Update(ctx, half, r)
		}),
		updates("the state last", "update-one-step", "half changed", func(b *broken, ctx bg, old, r rec) error {
			half := r
			half.State = old.State
			if err := b.MemoryStore.Update(ctx, old, half); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
			return b.MemoryStore.Update(ctx, half, r)
		}),
		{"a page takes two looks", "update-one-step", "half changed", func(b *broken) {
			b.page = func(ctx bg, f filter, after keyName, limit int) ([]rec, error) {
				page, err := b.MemoryStore.Page(ctx, f, after, limit)
				time.Sleep(time.Millisecond)
				for i := range page {
					now, err := b.of(ctx, &page[i])
					if err != nil {
						return nil, err
					}
					page[i].State, page[i].DestroyAfter, page[i].Change = now.State, now.DestroyAfter, now.Change
				}
				return page, err
			}
		}},
	}
}

// counts keeps the count of a budget of 1,009 in the row that Update writes,
// which was read a moment before.
func (b *broken) counts(written func(read uint64) uint64) {
	var mu sync.Mutex
	var taken uint64
	b.lease = func(_ bg, _ scope, _ pur, _ keyID, n uint64) (uint64, error) {
		time.Sleep(time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		n = min(n, 1009-taken)
		taken += n
		return n, nil
	}
	b.update = func(ctx bg, old, r rec) error {
		mu.Lock()
		read := taken
		mu.Unlock()
		time.Sleep(time.Millisecond)
		if err := b.MemoryStore.Update(ctx, old, r); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		taken = written(read)
		return nil
	}
}
