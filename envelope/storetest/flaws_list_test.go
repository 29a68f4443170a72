package storetest

import (
	"math"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func listFlaws() []flaw {
	pages := func(name, check, says string, do func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error)) flaw {
		return flaw{name, check, says, func(b *broken) {
			b.page = func(ctx bg, f filter, after keyName, limit int) ([]rec, error) { return do(b, ctx, f, after, limit) }
		}}
	}
	return []flaw{
		pages("100 at most", "list-walk", "100 records, want 1200", func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			return b.MemoryStore.Page(ctx, f, after, min(limit, 100))
		}),
		pages("the last of a full page is lost", "list-walk", "499 records, want 1200", func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			page, err := b.MemoryStore.Page(ctx, f, after, limit)
			return page[:max(0, min(len(page), limit-1))], err
		}),
		{"pages overlap", "list-walk", "record 500 of", func(b *broken) {
			b.pagesBy(func(by *pager) { by.follows = func(n, after keyName) bool { return n.Compare(after) >= 0 } })
		}},
		{"the next page is the next class", "list-walk", "record 500 of", func(b *broken) {
			b.pagesBy(func(by *pager) {
				by.follows = func(n, after keyName) bool { return n.Scope.Class > after.Scope.Class }
			})
		}},
		pages("never more than 1,000", "list-walk", "1000 records, want 1200", func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			all, err := b.MemoryStore.Page(ctx, f, keyName{}, 1000)
			for i := range all {
				if all[i].Name().Compare(after) > 0 {
					return all[i:min(len(all), i+limit)], err
				}
			}
			return nil, err
		}),

		{"counts how far it came", "list-changing", "a walk", func(b *broken) {
			came := map[keyName]int{}
			b.page = func(ctx bg, f filter, after keyName, limit int) ([]rec, error) {
				all, err := b.MemoryStore.Page(ctx, f, keyName{}, math.MaxInt)
				from := min(came[after], len(all))
				page := all[from:min(from+limit, len(all))]
				if len(page) > 0 {
					came[page[len(page)-1].Name()] = from + len(page)
				}
				return page, err
			}
		}},
		pages("after a key that is gone is the end", "list-changing", "a walk left out", func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			if r, err := b.MemoryStore.Get(ctx, after.Scope, after.Purpose, after.ID); err == nil && !f.Match(&r) {
				return nil, nil
			}
			return b.MemoryStore.Page(ctx, f, after, limit)
		}),
		{"chooses by the state of before", "list-changing", "never was as it comes", func(b *broken) {
			b.pagesBy(func(by *pager) {
				seen := map[keyID]keyState{}
				by.chooses = func(f *filter, r *rec) bool {
					was, ok := seen[r.KeyID]
					if !ok {
						was = envelope.StateRetired
					}
					seen[r.KeyID] = r.State
					then := *r
					then.State = was
					return f.Match(&then)
				}
			})
		}},
	}
}
