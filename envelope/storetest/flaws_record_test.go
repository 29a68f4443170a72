package storetest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func recordFlaws() []flaw {
	edits := func(name, member string, edit func(r *rec)) flaw {
		return flaw{name, "round-trip", "the member " + member + " is wrong", func(b *broken) { b.reads(edit) }}
	}
	return []flaw{
		{"an unknown scope is no error", "not-found", "accepted", func(b *broken) {
			b.active = func(ctx bg, s scope, p pur) (rec, error) {
				r, err := b.MemoryStore.Active(ctx, s, p)
				if errors.Is(err, envelope.ErrKeyNotFound) {
					err = nil
				}
				return r, err
			}
		}},
		{"an error of the storage", "not-found", "no rows", func(b *broken) {
			b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
				r, err := b.MemoryStore.Get(ctx, s, p, id)
				if err != nil {
					err = errors.New("no rows")
				}
				return r, err
			}
		}},
		{"any key of the tenant", "not-found", "accepted", func(b *broken) {
			var last rec
			b.writes(func(r *rec) { last = *r })
			b.get = func(bg, scope, pur, keyID) (rec, error) { return last, nil }
		}},
		{"grants nothing of an unknown key", "not-found", "Lease of an unknown key: accepted", func(b *broken) {
			b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
				n, err := b.grants(ctx, s, p, id, n)
				if errors.Is(err, envelope.ErrKeyNotFound) {
					err = nil
				}
				return n, err
			}
		}},
		edits("forgets the ID", "KeyID", func(r *rec) { r.KeyID = keyID{} }),
		edits("forgets the tenant", "Scope", func(r *rec) { r.Scope.Tenant = "" }),
		edits("cuts long classes", "Scope", func(r *rec) { r.Scope.Class = r.Scope.Class[:min(254, len(r.Scope.Class))] }),
		edits("forgets the purpose", "Purpose", func(r *rec) { r.Purpose = "" }),
		edits("every purpose is data", "Purpose", func(r *rec) { r.Purpose = envelope.PurposeData }),
		edits("cuts long URIs", "RootKey", func(r *rec) { r.RootKey = r.RootKey[:min(511, len(r.RootKey))] }),
		edits("lower-case URIs", "RootKey", func(r *rec) { r.RootKey = strings.ToLower(r.RootKey) }),
		edits("cuts long wrapped keys", "Wrapped", func(r *rec) { r.Wrapped = r.Wrapped[:min(6143, len(r.Wrapped))] }),
		edits("wrapped keys end at zero", "Wrapped", func(r *rec) { r.Wrapped, _, _ = bytes.Cut(r.Wrapped, []byte{0}) }),
		edits("keeps the caller's state", "State", func(r *rec) { r.State = envelope.StatePending }),
		edits("never retires", "State", func(r *rec) { r.State = envelope.StateActive }),
		edits("drops the zone", "Created", func(r *rec) {
			y, m, d := r.Created.Date()
			h, mi, s := r.Created.Clock()
			r.Created = time.Date(y, m, d, h, mi, s, 0, time.UTC)
		}),
		edits("counts minutes", "Created", func(r *rec) { r.Created = r.Created.Truncate(time.Minute).Add(-time.Second) }),
		edits("no end is 1970", "NotAfter", func(r *rec) {
			if r.NotAfter.IsZero() {
				r.NotAfter = time.Unix(0, 0)
			}
		}),
		edits("32 bits of time", "NotAfter", func(r *rec) {
			if !r.NotAfter.IsZero() {
				r.NotAfter = time.Unix(int64(int32(r.NotAfter.Unix())), 0)
			}
		}),
		edits("32 bits of budget", "Budget", func(r *rec) { r.Budget = uint64(uint32(r.Budget)) }),
		edits("forgets the tag", "Tag", func(r *rec) { clear(r.Tag[16:]) }),
		edits("no class is kept for the default one", "Scope", func(r *rec) { r.Scope.Class = "" }),
		{"IDs are text", "key-id-bytes", "Get of", func(b *broken) {
			b.foldIDs(func(id keyID) keyID { return keyID(bytes.ToLower(id[:])) })
		}},
		{"IDs are padded", "key-id-bytes", "Get of", func(b *broken) {
			b.foldIDs(func(id keyID) (out keyID) {
				copy(out[:], bytes.TrimRight(id[:], "\x00 "))
				return out
			})
		}},
		{"a cache of its own", "reopened", "after Activate", func(b *broken) {
			// What Activate made is seen a while later.
			var mu sync.Mutex
			made := map[scope]time.Time{}
			b.activate = func(ctx bg, r rec, previous keyID) error {
				mu.Lock()
				made[r.Scope] = time.Now()
				mu.Unlock()
				return b.MemoryStore.Activate(ctx, r, previous)
			}
			b.active = func(ctx bg, s scope, p pur) (rec, error) {
				mu.Lock()
				defer mu.Unlock()
				if time.Since(made[s]) < time.Second {
					return rec{}, envelope.ErrKeyNotFound
				}
				return b.MemoryStore.Active(ctx, s, p)
			}
		}},
		{"who was active is remembered", "reopened", "after Update of the active key", func(b *broken) {
			// Activate forgets what was remembered, Update doesn't.
			seen := map[scope]rec{}
			b.activate = func(ctx bg, r rec, previous keyID) error {
				delete(seen, r.Scope)
				return b.MemoryStore.Activate(ctx, r, previous)
			}
			b.active = func(ctx bg, s scope, p pur) (rec, error) {
				if r, ok := seen[s]; ok {
					return r, nil
				}
				r, err := b.MemoryStore.Active(ctx, s, p)
				if err == nil {
					seen[s] = r
				}
				return r, err
			}
		}},
		{"a record is remembered", "reopened", "after Update", func(b *broken) {
			seen := map[keyID]rec{}
			b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
				if r, ok := seen[id]; ok {
					return r, nil
				}
				r, err := b.MemoryStore.Get(ctx, s, p, id)
				if err == nil && r.State == envelope.StateRetired {
					seen[id] = r
				}
				return r, err
			}
		}},
		edits("nobody changed it yet", "Change.At", func(r *rec) { r.Change = envelope.Change{} }),
	}
}

// foldIDs takes IDs for one another where fold makes them equal.
func (b *broken) foldIDs(fold func(keyID) keyID) {
	m := b.MemoryStore
	b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
		r, err := m.Get(ctx, s, p, fold(id))
		r.KeyID = id
		return r, err
	}
	b.activate = func(ctx bg, r rec, previous keyID) error {
		r.KeyID = fold(r.KeyID)
		return m.Activate(ctx, r, fold(previous))
	}
}
