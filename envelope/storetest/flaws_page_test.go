package storetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A pager is how a broken store makes a page.
type pager struct {
	chooses func(f *filter, r *rec) bool
	compare func(a, b keyName) int
	follows func(n, after keyName) bool
}

// pagesBy makes pages in the right way, save for what edit changes.
func (b *broken) pagesBy(edit func(by *pager)) {
	by := pager{chooses: (*filter).Match, compare: keyName.Compare}
	by.follows = func(n, after keyName) bool { return by.compare(n, after) > 0 }
	edit(&by)
	b.page = func(ctx bg, f filter, after keyName, limit int) ([]rec, error) {
		all, err := b.MemoryStore.Page(ctx, filter{}, keyName{}, math.MaxInt)
		all = slices.DeleteFunc(all, func(r rec) bool { return !by.chooses(&f, &r) || !by.follows(r.Name(), after) })
		slices.SortStableFunc(all, func(a, b rec) int { return by.compare(a.Name(), b.Name()) })
		return all[:min(limit, len(all))], err
	}
}

// inParts compares tenants, classes, purposes and IDs, the names after edit.
func inParts(edit func(string) string) func(a, b keyName) int {
	return func(a, b keyName) int {
		a, b = defaulted(a), defaulted(b)
		return cmp.Or(
			cmp.Compare(edit(a.Scope.Tenant), edit(b.Scope.Tenant)),
			cmp.Compare(edit(a.Scope.Class), edit(b.Scope.Class)),
			cmp.Compare(a.Purpose, b.Purpose),
			bytes.Compare(a.ID[:], b.ID[:]),
		)
	}
}

// byID compares as it should, save for IDs.
func byID(compare func(a, b keyID) int) func(a, b keyName) int {
	return func(a, b keyName) int {
		left, right := a, b
		left.ID, right.ID = keyID{}, keyID{}
		return cmp.Or(left.Compare(right), compare(a.ID, b.ID))
	}
}

func pageFlaws() []flaw {
	orders := func(name string, compare func(a, b keyName) int) flaw {
		return flaw{name, "page-order", "calling Page of", func(b *broken) {
			b.pagesBy(func(by *pager) { by.compare = compare })
		}}
	}
	joined := func(name, sep string) flaw {
		join := func(n keyName) string {
			n = defaulted(n)
			return strings.Join([]string{n.Scope.Tenant, n.Scope.Class, string(n.Purpose), string(n.ID[:])}, sep)
		}
		return orders(name, func(a, b keyName) int { return cmp.Compare(join(a), join(b)) })
	}
	follows := func(name string, follows func(n, after keyName) bool) flaw {
		return flaw{name, "page-after", "calling Page of", func(b *broken) {
			b.pagesBy(func(by *pager) { by.follows = follows })
		}}
	}
	pages := func(name, check, says string, do func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error)) flaw {
		return flaw{name, check, says, func(b *broken) {
			b.page = func(ctx bg, f filter, after keyName, limit int) ([]rec, error) { return do(b, ctx, f, after, limit) }
		}}
	}
	limits := func(name, says string, edit func(int) int) flaw {
		return pages(name, "page-limit", says, func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			return b.MemoryStore.Page(ctx, f, after, edit(limit))
		})
	}
	edits := func(name, member string, edit func(r *rec)) flaw {
		return flaw{name, "page-whole", "the member " + member + " is wrong", func(b *broken) { b.pages(edit) }}
	}
	replaces := func(old ...string) func(string) string { return strings.NewReplacer(old...).Replace }
	return []flaw{
		orders("folds case", inParts(strings.ToLower)),
		orders("trims", inParts(func(s string) string { return strings.TrimRight(s, " ") })),
		orders("ends at zero", inParts(func(s string) string {
			s, _, _ = strings.Cut(s, "\x00")
			return s
		})),
		orders("accents come after", inParts(replaces("\u00e9", "e~", "\u00c9", "E~", "\u00e4", "a~", "\u00c4", "A~"))),
		orders("ignores what isn't seen", inParts(replaces("\x7f", "", "\u200b", "", "\x01", ""))),
		orders("halves of UTF-16", func(a, b keyName) int {
			units := func(s string) []uint16 { return utf16.Encode([]rune(s)) }
			a, b = defaulted(a), defaulted(b)
			return cmp.Or(slices.Compare(units(a.Scope.Tenant), units(b.Scope.Tenant)), a.Compare(b))
		}),
		joined("joins", ""), joined("joins with a slash", "/"), joined("joins with a zero", "\x00"),
		orders("signed bytes", byID(func(a, b keyID) int {
			return slices.CompareFunc(a[:], b[:], func(a, b byte) int { return cmp.Compare(int8(a), int8(b)) })
		})),
		orders("IDs in base64", byID(func(a, b keyID) int {
			text := base64.StdEncoding.EncodeToString
			return cmp.Compare(text(a[:]), text(b[:]))
		})),
		orders("IDs as text", byID(func(a, b keyID) int { return bytes.Compare(bytes.ToLower(a[:]), bytes.ToLower(b[:])) })),
		orders("IDs before purposes", func(a, b keyName) int {
			left, right := a, b
			left.Purpose, right.Purpose = "", ""
			return cmp.Or(left.Compare(right), a.Compare(b))
		}),
		orders("classes before tenants", func(a, b keyName) int {
			return cmp.Or(cmp.Compare(a.Scope.Class, b.Scope.Class), a.Compare(b))
		}),
		orders("the default class comes first", func(a, b keyName) int {
			bare := func(n keyName) string { return strings.TrimPrefix(defaulted(n).Scope.Class, envelope.DefaultClass) }
			return cmp.Or(cmp.Compare(a.Scope.Tenant, b.Scope.Tenant), cmp.Compare(bare(a), bare(b)), a.Compare(b))
		}),
		orders("the other way round", func(a, b keyName) int { return b.Compare(a) }),
		pages("each page in another order", "page-order", "calling Page of", func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			page, err := b.MemoryStore.Page(ctx, f, after, limit)
			slices.SortFunc(page, func(a, b rec) int { return bytes.Compare(a.Wrapped, b.Wrapped) })
			return page, err
		}),

		follows("begins with the name", func(n, after keyName) bool { return n.Compare(after) >= 0 }),
		follows("begins at the start", func(keyName, keyName) bool { return true }),
		follows("skips the rest of the scope", func(n, after keyName) bool {
			after.Purpose, after.ID = "z", keyID{}
			return n.Compare(after) > 0
		}),
		follows("compares IDs alone", func(n, after keyName) bool { return bytes.Compare(n.ID[:], after.ID[:]) > 0 }),
		follows("each part must be as great", func(n, after keyName) bool {
			n, after = defaulted(n), defaulted(after)
			return n.Scope.Tenant >= after.Scope.Tenant && n.Scope.Class >= after.Scope.Class && n.Purpose >= after.Purpose && n.Compare(after) > 0
		}),
		follows("any part may be greater", func(n, after keyName) bool {
			n, after = defaulted(n), defaulted(after)
			return n.Scope.Tenant > after.Scope.Tenant || n.Scope.Class > after.Scope.Class || n.Compare(after) > 0
		}),
		follows("the empty class comes first", func(n, after keyName) bool {
			if after.Scope.Class == "" {
				after.Scope.Class = "\x00"
			}
			return n.Compare(after) > 0
		}),
		pages("after a key that isn't there is the start", "page-after", "record 0 of 12", func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			if _, err := b.MemoryStore.Get(ctx, after.Scope, after.Purpose, after.ID); errors.Is(err, envelope.ErrKeyNotFound) {
				after = keyName{}
			}
			return b.MemoryStore.Page(ctx, f, after, limit)
		}),
		pages("after a key that the filter doesn't choose is the end", "page-after", "is missing", func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			if r, err := b.MemoryStore.Get(ctx, after.Scope, after.Purpose, after.ID); err == nil && !f.Match(&r) {
				return nil, nil
			}
			return b.MemoryStore.Page(ctx, f, after, limit)
		}),

		limits("0 is no limit", "the limit is 0", func(n int) int {
			if n == 0 {
				return math.MaxInt
			}
			return n
		}),
		limits("one more, to see if there are some", "records, the limit is", func(n int) int { return n + 1 }),
		limits("one fewer", "is missing", func(n int) int { return n - 1 }),
		limits("10 at most", "is missing", func(n int) int { return min(n, 10) }),
		limits("16 bits of limit", "is missing", func(n int) int { return int(uint16(n)) % 34464 }),
		pages("0 is an error", "page-limit", "out of range", func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			if limit == 0 {
				return nil, errors.New("the limit is out of range")
			}
			return b.MemoryStore.Page(ctx, f, after, limit)
		}),
		pages("chooses among so many", "page-limit", "is missing", func(b *broken, ctx bg, f filter, after keyName, limit int) ([]rec, error) {
			page, err := b.MemoryStore.Page(ctx, filter{Tenant: f.Tenant}, after, limit)
			return slices.DeleteFunc(page, func(r rec) bool { return !f.Match(&r) }), err
		}),

		edits("no keys, they are long", "Wrapped", func(r *rec) { r.Wrapped = nil }),
		edits("no tag", "Tag", func(r *rec) { r.Tag = [32]byte{} }),
		edits("no root key", "RootKey", func(r *rec) { r.RootKey = "" }),
		edits("tells nothing", "Change.At", func(r *rec) { r.Change = envelope.Change{} }),
		edits("doesn't say when", "DestroyAfter", func(r *rec) { r.DestroyAfter = time.Time{} }),
		edits("no end is 1970", "NotAfter", func(r *rec) {
			if r.NotAfter.IsZero() {
				r.NotAfter = time.Unix(0, 0)
			}
		}),
		edits("active is retired", "State", func(r *rec) {
			if r.State == envelope.StateActive {
				r.State = envelope.StateRetired
			}
		}),
		{"the budget is what is left of it", "page-whole", "the member Budget is wrong", func(b *broken) {
			b.pages(func(r *rec) {
				if _, left, err := b.MemoryStore.Lease(context.Background(), r.Scope, r.Purpose, r.KeyID, 0); err == nil && r.State == envelope.StateActive {
					r.Budget = left
				}
			})
		}},
		{"leaves out what is destroyed", "page-whole", "is missing", func(b *broken) {
			b.pagesBy(func(by *pager) {
				by.chooses = func(f *filter, r *rec) bool { return f.Match(r) && r.State != envelope.StateDestroyed }
			})
		}},
	}
}
