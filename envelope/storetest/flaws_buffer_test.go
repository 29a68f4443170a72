package storetest

import (
	"bytes"
	"slices"
	"sync"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func bufferFlaws() []flaw {
	return []flaw{
		{"keeps what it is given", "buffer-given", "overwrote the slice that it had given", func(b *broken) {
			var kept []byte
			b.writes(func(r *rec) { kept = r.Wrapped })
			b.reads(func(r *rec) { r.Wrapped = bytes.Clone(kept) })
		}},
		{"wipes what it is given", "buffer-given", "wrote to the wrapped key", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				defer clear(r.Wrapped)
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"appends to what it is given", "buffer-given", "past its end", func(b *broken) {
			b.writes(func(r *rec) { _ = append(r.Wrapped, "checksum"...) })
		}},
		{"returns its own slice", "buffer-returned", "overwrote what", func(b *broken) {
			var own []byte
			b.writes(func(r *rec) { own = bytes.Clone(r.Wrapped) })
			b.reads(func(r *rec) { r.Wrapped = own })
		}},
		{"one row buffer", "buffer-reused", "changed while another was read", func(b *broken) {
			var mu sync.Mutex
			row := make([]byte, maxWrapped)
			b.reads(func(r *rec) {
				mu.Lock()
				defer mu.Unlock()
				r.Wrapped = row[:copy(row, r.Wrapped)]
			})
		}},
		{"Insert keeps what it is given", "buffer-given", "had given to Insert", func(b *broken) {
			kept := map[keyID][]byte{}
			b.inserts(func(r *rec) { kept[r.KeyID] = r.Wrapped })
			b.reads(func(r *rec) {
				if own, ok := kept[r.KeyID]; ok {
					r.Wrapped = bytes.Clone(own)
				}
			})
		}},
		{"Update keeps what it is given", "buffer-given", "had given to Update, as what it becomes", func(b *broken) {
			kept := map[keyID][]byte{}
			b.update = func(ctx bg, old, r rec) error {
				kept[r.KeyID] = r.Wrapped
				return b.MemoryStore.Update(ctx, old, r)
			}
			b.reads(func(r *rec) {
				if own, ok := kept[r.KeyID]; ok {
					r.Wrapped = bytes.Clone(own)
				}
			})
		}},
		{"Update wipes what was", "buffer-given", "calling Update, as what it was wrote", func(b *broken) {
			b.update = func(ctx bg, old, r rec) error {
				if r.State == envelope.StateSuspended {
					defer clear(old.Wrapped)
				}
				return b.MemoryStore.Update(ctx, old, r)
			}
		}},
		{"Update appends to what it is given", "buffer-given", "calling Update, as what it becomes wrote", func(b *broken) {
			b.update = func(ctx bg, old, r rec) error {
				_ = append(r.Wrapped, "checksum"...)
				return b.MemoryStore.Update(ctx, old, r)
			}
		}},
		{"pages hold its own slices", "buffer-returned", "what Page returned", func(b *broken) {
			own := map[keyID][]byte{}
			b.pages(func(r *rec) {
				if _, ok := own[r.KeyID]; !ok {
					own[r.KeyID] = r.Wrapped
				}
				r.Wrapped = own[r.KeyID]
			})
		}},
		{"one row buffer for pages", "buffer-reused", "that Page returned changed", func(b *broken) {
			row := make([]byte, maxWrapped)
			b.pages(func(r *rec) { r.Wrapped = row[:copy(row, r.Wrapped)] })
		}},
		{"turns the names it is given round", "buffer-lists", "wrote to the names", func(b *broken) {
			b.states = func(ctx bg, keys []keyName) ([]keyState, error) {
				states, err := b.MemoryStore.States(ctx, keys)
				slices.Reverse(keys)
				return states, err
			}
		}},
		{"one list of states", "buffer-lists", "what States returned changed", func(b *broken) {
			list := make([]keyState, manyNames)
			b.states = func(ctx bg, keys []keyName) ([]keyState, error) {
				states, err := b.MemoryStore.States(ctx, keys)
				return list[:copy(list, states)], err
			}
		}},
		{"sorts the states of the filter", "buffer-lists", "wrote to the states of the filter", func(b *broken) {
			b.page = func(ctx bg, f filter, after keyName, limit int) ([]rec, error) {
				slices.Sort(f.States)
				return b.MemoryStore.Page(ctx, f, after, limit)
			}
		}},
		{"one list of records", "buffer-lists", "what Page returned changed", func(b *broken) {
			list := make([]rec, plenty)
			b.page = func(ctx bg, f filter, after keyName, limit int) ([]rec, error) {
				page, err := b.MemoryStore.Page(ctx, f, after, limit)
				return list[:copy(list, page)], err
			}
		}},
	}
}
