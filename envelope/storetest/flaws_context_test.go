package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func contextFlaws() []flaw {
	on := context.WithoutCancel
	ignores := func(method string, apply func(b *broken)) flaw {
		return flaw{method + " ignores that the context ended", "context-ended", method + " with a canceled context: accepted", apply}
	}
	does := func(method string, apply func(b *broken)) flaw {
		return flaw{method + " does it all the same", "context-ended", method + " with a canceled context has done something", apply}
	}
	return []flaw{
		ignores("Active", func(b *broken) {
			b.active = func(ctx bg, s scope, p pur) (rec, error) { return b.MemoryStore.Active(on(ctx), s, p) }
		}),
		ignores("Get", func(b *broken) {
			b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) { return b.MemoryStore.Get(on(ctx), s, p, id) }
		}),
		ignores("Claim", func(b *broken) {
			b.claim = func(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
				return b.MemoryStore.Claim(on(ctx), s, p, holder, lease)
			}
		}),
		ignores("Release", func(b *broken) {
			b.release = func(ctx bg, s scope, p pur, holder string) error {
				return b.MemoryStore.Release(on(ctx), s, p, holder)
			}
		}),
		ignores("Activate", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error { return b.MemoryStore.Activate(on(ctx), r, previous) }
		}),
		ignores("Lease", func(b *broken) {
			b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
				return b.grants(on(ctx), s, p, id, n)
			}
		}),
		ignores("Insert", func(b *broken) {
			b.insert = func(ctx bg, r rec) error { return b.MemoryStore.Insert(on(ctx), r) }
		}),
		ignores("Update", func(b *broken) {
			b.update = func(ctx bg, old, r rec) error { return b.MemoryStore.Update(on(ctx), old, r) }
		}),
		ignores("States", func(b *broken) {
			b.states = func(ctx bg, keys []keyName) ([]keyState, error) { return b.MemoryStore.States(on(ctx), keys) }
		}),
		ignores("Page", func(b *broken) {
			b.page = func(ctx bg, f filter, after keyName, limit int) ([]rec, error) {
				return b.MemoryStore.Page(on(ctx), f, after, limit)
			}
		}),
		does("Insert", func(b *broken) {
			b.insert = func(ctx bg, r rec) error { return errors.Join(b.MemoryStore.Insert(on(ctx), r), ctx.Err()) }
		}),
		does("Update", func(b *broken) {
			b.update = func(ctx bg, old, r rec) error {
				return errors.Join(b.MemoryStore.Update(on(ctx), old, r), ctx.Err())
			}
		}),
		does("Claim", func(b *broken) {
			b.claim = func(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
				won, err := b.MemoryStore.Claim(on(ctx), s, p, holder, lease)
				return won, errors.Join(err, ctx.Err())
			}
		}),
		does("Release", func(b *broken) {
			b.release = func(ctx bg, s scope, p pur, holder string) error {
				return errors.Join(b.MemoryStore.Release(on(ctx), s, p, holder), ctx.Err())
			}
		}),
		does("Activate", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				return errors.Join(b.MemoryStore.Activate(on(ctx), r, previous), ctx.Err())
			}
		}),
		does("Lease", func(b *broken) {
			b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
				n, err := b.grants(on(ctx), s, p, id, n)
				return n, errors.Join(err, ctx.Err())
			}
		}),
		{"returns the cause alone", "context-ended", "the user went away", func(b *broken) {
			b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
				if err := context.Cause(ctx); err != nil {
					return rec{}, err
				}
				return b.MemoryStore.Get(ctx, s, p, id)
			}
		}},
		{"expired is not found", "context-ended", "want the error", func(b *broken) {
			b.active = func(ctx bg, s scope, p pur) (rec, error) {
				if errors.Is(ctx.Err(), context.DeadlineExceeded) {
					return rec{}, envelope.ErrKeyNotFound
				}
				return b.MemoryStore.Active(ctx, s, p)
			}
		}},
		{"canceled and a conflict too", "context-ended", "nobody looked up", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if err := ctx.Err(); err != nil {
					return fmt.Errorf("%w: %w", envelope.ErrConflict, err)
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"comes back late", "context-ended", "no answer within", func(b *broken) {
			b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
				if ctx.Err() != nil {
					time.Sleep(prompt + 500*time.Millisecond)
				}
				return b.MemoryStore.Get(ctx, s, p, id)
			}
		}},
	}
}
