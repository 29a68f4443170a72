package storetest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode"

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

func isolationFlaws() []flaw {
	tenants := func(name string, fold func(string) string) flaw {
		return flaw{name, "tenants-apart", "the first key of a scope of its own", func(b *broken) {
			b.mixes(func(s scope, p pur) (scope, pur) { return scope{Tenant: fold(s.Tenant), Class: s.Class}, p })
		}}
	}
	classes := func(name string, fold func(string) string) flaw {
		return flaw{name, "classes-apart", "the first key of a scope of its own", func(b *broken) {
			b.mixes(func(s scope, p pur) (scope, pur) { return scope{Tenant: s.Tenant, Class: fold(s.Class)}, p })
		}}
	}
	joined := func(name, sep string) flaw {
		return flaw{name, "tenant-class-boundary", "the first key of a scope of its own", func(b *broken) {
			b.mixes(func(s scope, p pur) (scope, pur) { return scope{Tenant: s.Tenant + sep + s.Class, Class: "x"}, p })
		}}
	}
	trim := func(s string) string { return strings.TrimRight(s, " ") }
	compose := strings.NewReplacer("e\u0301", "\u00e9", "A\u030a", "\u00c5", "\u212b", "\u00c5").Replace
	compatible := strings.NewReplacer("\uff41", "a", "\ufb01", "fi").Replace
	accents := strings.NewReplacer("e\u0301", "e", "\u00e9", "e").Replace
	ignorable := func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.In(r, unicode.Cf, unicode.Cc) {
				return -1
			}
			return r
		}, s)
	}
	basic := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r > 0xFFFF {
				return '?'
			}
			return r
		}, s)
	}
	width := func(s string) string { return s[:min(len(s), 191)] }
	untilZero := func(s string) string {
		s, _, _ = strings.Cut(s, "\x00")
		return s
	}
	return []flaw{
		tenants("folds case", strings.ToLower), classes("folds case", strings.ToUpper),
		tenants("trims", trim), classes("trims", trim),
		tenants("composes", compose), classes("composes", compose),
		tenants("folds widths and ligatures", compatible), classes("folds widths and ligatures", compatible),
		tenants("drops accents", accents), classes("drops accents", accents),
		tenants("ignores what isn't seen", ignorable), classes("ignores what isn't seen", ignorable),
		tenants("basic plane only", basic), classes("basic plane only", basic),
		tenants("ends at zero", untilZero), classes("ends at zero", untilZero),
		tenants("cuts", width), classes("cuts", width),
		{"looks a key up by its ID alone", "tenants-apart", "accepted", func(b *broken) {
			var mu sync.Mutex
			at := map[keyID]scope{}
			b.writes(func(r *rec) {
				mu.Lock()
				at[r.KeyID] = r.Scope
				mu.Unlock()
			})
			b.get = func(ctx bg, _ scope, p pur, id keyID) (rec, error) {
				mu.Lock()
				s := at[id]
				mu.Unlock()
				return b.MemoryStore.Get(ctx, s, p, id)
			}
		}},
		{"one claim for all", "classes-apart", "got false, want true", func(b *broken) {
			b.claim = func(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
				return b.MemoryStore.Claim(ctx, scope{Tenant: "all"}, p, holder, lease)
			}
		}},
		{"one claim for all purposes", "purposes-apart", "not won", func(b *broken) {
			b.claim = func(ctx bg, s scope, _ pur, holder string, lease time.Duration) (bool, error) {
				return b.MemoryStore.Claim(ctx, s, envelope.PurposeData, holder, lease)
			}
		}},
		joined("joins", ""), joined("joins with a slash", "/"), joined("joins with a zero", "\x00"), joined("joins with a bar", "|"),
		{"the empty class is another", "default-class", "Active of", func(b *broken) {
			b.mixes(func(s scope, p pur) (scope, pur) { return scope{Tenant: s.Tenant, Class: "class:" + s.Class}, p })
		}},
		{"the empty class comes back", "default-class", "the member Scope is wrong", func(b *broken) {
			b.reads(func(r *rec) { r.Scope.Class = "" })
		}},
		{"the empty class has claims of its own", "default-class", "got true, want false", func(b *broken) {
			b.claim = func(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
				return b.MemoryStore.Claim(ctx, scope{Tenant: s.Tenant, Class: "class:" + s.Class}, p, holder, lease)
			}
		}},
		{"one key for all purposes", "purposes-apart", "accepted", func(b *broken) {
			b.mixes(func(s scope, _ pur) (scope, pur) { return s, envelope.PurposeData })
		}},
		{"finds keys of other purposes", "purposes-apart", "accepted", func(b *broken) {
			b.get = func(ctx bg, s scope, _ pur, id keyID) (rec, error) {
				for _, p := range purposes {
					if r, err := b.MemoryStore.Get(ctx, s, p, id); err == nil {
						return r, nil
					}
				}
				return rec{}, envelope.ErrKeyNotFound
			}
		}},
		{"gives back the claims of all purposes", "purposes-apart", "claim of another scope or purpose was given back", func(b *broken) {
			b.release = func(ctx bg, s scope, _ pur, _ string) error {
				for i, p := range purposes {
					_ = b.MemoryStore.Release(ctx, s, p, "holder-"+string(rune('0'+i)))
				}
				return nil
			}
		}},
	}
}

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
