package storetest

import (
	"bytes"
	"sync"
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
	}
}
