package storetest

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

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
		{"Insert keeps the empty class apart", "default-class", "under both names of a class: accepted", func(b *broken) {
			b.inserts(func(r *rec) {
				if r.Scope.Class == "" {
					r.Scope.Class = "none"
				}
			})
		}},
		{"Update doesn't know the empty class", "default-class", "calling Update", func(b *broken) {
			b.update = func(ctx bg, old, r rec) error {
				if old.Scope.Class == "" {
					return envelope.ErrKeyNotFound
				}
				return b.MemoryStore.Update(ctx, old, r)
			}
		}},
		{"States doesn't know the empty class", "default-class", "calling States", func(b *broken) {
			b.states = func(ctx bg, keys []keyName) ([]keyState, error) {
				states, err := b.MemoryStore.States(ctx, keys)
				for i := range states {
					if keys[i].Scope.Class == "" {
						states[i] = ""
					}
				}
				return states, err
			}
		}},
		{"Page doesn't know the empty class", "default-class", "calling Page", func(b *broken) {
			b.pagesBy(func(by *pager) {
				by.follows = func(n, after keyName) bool { return n.Compare(after) > 0 || after.Scope.Class == "" }
			})
		}},
		{"an ID is there once", "one-id-apart", "the first key of a scope of its own", func(b *broken) {
			has := map[keyID]bool{}
			b.insert = func(ctx bg, r rec) error {
				if has[r.KeyID] {
					return envelope.ErrConflict
				}
				has[r.KeyID] = true
				return b.MemoryStore.Insert(ctx, r)
			}
		}},
		{"an ID is there once in a scope", "one-id-apart", "the first key of a scope of its own", func(b *broken) {
			b.insert = func(ctx bg, r rec) error {
				for _, p := range purposes {
					if _, err := b.MemoryStore.Get(ctx, r.Scope, p, r.KeyID); err == nil {
						return envelope.ErrConflict
					}
				}
				return b.MemoryStore.Insert(ctx, r)
			}
		}},
		{"changes the keys of all purposes", "one-id-apart", "key store: the record", func(b *broken) {
			b.update = func(ctx bg, old, r rec) error {
				err := b.MemoryStore.Update(ctx, old, r)
				for _, r.Purpose = range purposes {
					if r.Purpose != old.Purpose {
						_ = b.force(ctx, r) // there may be none
					}
				}
				return err
			}
		}},
		{"joins names", "one-id-apart", "the first key of a scope of its own", func(b *broken) {
			b.mixes(func(s scope, p pur) (scope, pur) { return scope{Tenant: s.Tenant + s.Class, Class: "x"}, p })
		}},
		{"tells the states of classes in lower case", "one-id-apart", "calling States", func(b *broken) {
			b.states = func(ctx bg, keys []keyName) ([]keyState, error) {
				lower := slices.Clone(keys)
				for i := range lower {
					head := lower[i].Scope.Class[:min(26, len(lower[i].Scope.Class))]
					lower[i].Scope.Class = head + strings.ToLower(lower[i].Scope.Class[len(head):])
				}
				return b.MemoryStore.States(ctx, lower)
			}
		}},
		{"pages hold the classes of all letter cases", "one-id-apart", "one key in each scope and purpose", func(b *broken) {
			b.pagesBy(func(by *pager) {
				by.chooses = func(f *filter, r *rec) bool {
					rest := *f
					rest.Class = ""
					return rest.Match(r) && (f.Class == "" || strings.EqualFold(f.Class, r.Scope.Class))
				}
			})
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
		{"Active ignores the purpose", "purposes-apart", "which has no key: accepted", func(b *broken) {
			b.active = func(ctx bg, s scope, _ pur) (rec, error) { return b.anyActive(ctx, s) }
		}},
		{"Lease ignores the purpose", "purposes-apart", "Lease under another purpose: accepted", func(b *broken) {
			b.lease = func(ctx bg, s scope, p pur, id keyID, n uint64) (uint64, error) {
				for _, p := range purposes {
					if _, err := b.MemoryStore.Get(ctx, s, p, id); err == nil {
						return b.grants(ctx, s, p, id, n)
					}
				}
				return b.grants(ctx, s, p, id, n)
			}
		}},
		{"Update ignores the purpose", "one-id-apart", "key store: the record", func(b *broken) {
			b.update = func(ctx bg, old, r rec) error {
				for _, p := range purposes {
					if _, err := b.MemoryStore.Get(ctx, old.Scope, p, old.KeyID); err == nil {
						old.Purpose, r.Purpose = p, p
						break
					}
				}
				return b.MemoryStore.Update(ctx, old, r)
			}
		}},
		{"Insert ignores the purpose", "one-id-apart", "the first key of a scope of its own", func(b *broken) {
			b.inserts(func(r *rec) { r.Purpose = envelope.PurposeData })
		}},
		{"States ignores the purpose", "one-id-apart", "calling States", func(b *broken) {
			b.states = func(ctx bg, keys []keyName) ([]keyState, error) {
				keys = slices.Clone(keys)
				for i := range keys {
					for _, p := range purposes {
						if _, err := b.MemoryStore.Get(ctx, keys[i].Scope, p, keys[i].ID); err == nil {
							keys[i].Purpose = p
							break
						}
					}
				}
				return b.MemoryStore.States(ctx, keys)
			}
		}},
		{"Activate follows the keys of all purposes", "purposes-apart", "the first key of a purpose", func(b *broken) {
			b.activate = func(ctx bg, r rec, previous keyID) error {
				if now, err := b.anyActive(ctx, r.Scope); err == nil && now.KeyID != previous {
					return envelope.ErrConflict
				}
				return b.MemoryStore.Activate(ctx, r, previous)
			}
		}},
		{"retires data keys alone", "activate-retires", "an earlier key", func(b *broken) {
			b.get = func(ctx bg, s scope, p pur, id keyID) (rec, error) {
				r, err := b.MemoryStore.Get(ctx, s, p, id)
				if p != envelope.PurposeData && r.State == envelope.StateRetired {
					r.State = envelope.StateActive
				}
				return r, err
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

// anyActive is an active key of a scope, whatever its purpose.
func (b *broken) anyActive(ctx bg, s scope) (r rec, err error) {
	for _, p := range purposes {
		if r, err = b.MemoryStore.Active(ctx, s, p); err == nil {
			return r, nil
		}
	}
	return r, err
}
