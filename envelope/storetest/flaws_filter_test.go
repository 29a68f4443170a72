package storetest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func filterFlaws() []flaw {
	chooses := func(name, check, says string, match func(f *filter, r *rec) bool) flaw {
		return flaw{name, check, says, func(b *broken) {
			b.pagesBy(func(by *pager) { by.chooses = match })
		}}
	}
	// without is a filter with a part that is not heeded.
	without := func(name, check, says string, edit func(f *filter)) flaw {
		return chooses(name, check, says, func(f *filter, r *rec) bool {
			less := *f
			edit(&less)
			return less.Match(r)
		})
	}
	// alike compares names in another way.
	alike := func(name string, equal func(asked, is string) bool) flaw {
		return chooses(name, "filter-bytes", "calling Page of", func(f *filter, r *rec) bool {
			like := func(asked, is string) bool { return asked == "" || equal(asked, is) }
			return like(f.Tenant, r.Scope.Tenant) && like(f.Class, r.Scope.Class) && like(f.RootKey, r.RootKey)
		})
	}
	folded := func(fold func(string) string) func(asked, is string) bool {
		return func(asked, is string) bool { return fold(asked) == fold(is) }
	}
	pattern := func(asked, is string) bool {
		asked = strings.NewReplacer("%", ".*", "_", ".").Replace(regexp.QuoteMeta(asked))
		return regexp.MustCompile("(?s)^" + asked + "$").MatchString(is)
	}
	return []flaw{
		without("any tenant", "filter-alone", "one too many", func(f *filter) { f.Tenant = "" }),
		without("any class", "filter-alone", "want", func(f *filter) { f.Class = "" }),
		without("any purpose", "filter-alone", "want", func(f *filter) { f.Purpose = "" }),
		without("any root key", "filter-alone", "want", func(f *filter) { f.RootKey = "" }),
		without("any state", "filter-alone", "want", func(f *filter) { f.States = nil }),
		without("the first state alone", "filter-alone", "want", func(f *filter) { f.States = f.States[:min(1, len(f.States))] }),
		without("two states at most", "filter-alone", "want", func(f *filter) { f.States = f.States[:min(2, len(f.States))] }),
		chooses("no states are none", "filter-alone", "is missing", func(f *filter, r *rec) bool {
			return f.Match(r) && (f.States == nil || len(f.States) > 0)
		}),
		chooses("nothing asked, nothing told", "filter-alone", "is missing", func(f *filter, r *rec) bool {
			return f.Match(r) && (f.Tenant != "" || f.Class != "" || f.Purpose != "" || f.RootKey != "" || len(f.States) > 0)
		}),
		chooses("destroyed keys have no root key", "filter-alone", "want", func(f *filter, r *rec) bool {
			return f.Match(r) && (f.RootKey == "" || r.State != envelope.StateDestroyed)
		}),
		chooses("the default class has no name", "filter-alone", "is missing", func(f *filter, r *rec) bool {
			return f.Match(r) && f.Class != envelope.DefaultClass
		}),
		chooses("destroyed keys if asked for", "filter-alone", "want", func(f *filter, r *rec) bool {
			return f.Match(r) && (r.State != envelope.StateDestroyed || slices.Contains(f.States, r.State))
		}),

		chooses("any part will do", "filter-combined", "want", func(f *filter, r *rec) bool {
			if f.Tenant != "" && f.Tenant == r.Scope.Tenant || f.Class != "" && f.Class == r.Scope.Class || f.RootKey != "" && f.RootKey == r.RootKey {
				return true
			}
			return f.Match(r)
		}),
		without("a root key and no states", "filter-combined", "want", func(f *filter) {
			if f.RootKey != "" {
				f.States = nil
			}
		}),
		without("a class only with a tenant", "filter-combined", "want", func(f *filter) {
			if f.Tenant == "" {
				f.Class = ""
			}
		}),
		without("a purpose only without a class", "filter-combined", "want", func(f *filter) {
			if f.Class != "" {
				f.Purpose = ""
			}
		}),
		without("states only without a purpose", "filter-combined", "want", func(f *filter) {
			if f.Purpose != "" {
				f.States = nil
			}
		}),

		alike("folds case", strings.EqualFold),
		alike("trims", folded(func(s string) string { return strings.TrimRight(s, " ") })),
		alike("composes", folded(strings.NewReplacer("e\u0301", "\u00e9", "A\u030a", "\u00c5").Replace)),
		alike("ends at zero", folded(func(s string) string {
			s, _, _ = strings.Cut(s, "\x00")
			return s
		})),
		alike("cuts", folded(func(s string) string { return s[:min(len(s), 254)] })),
		alike("patterns", pattern),
		alike("what begins with it", func(asked, is string) bool { return strings.HasPrefix(is, asked) }),
		alike("escapes", folded(func(s string) string { return strings.ReplaceAll(s, `\`, "") })),
		chooses("a root key and those under it", "filter-bytes", "calling Page of", func(f *filter, r *rec) bool {
			rest := *f
			rest.RootKey = ""
			return rest.Match(r) && (f.Match(r) || strings.HasPrefix(r.RootKey, f.RootKey+"/"))
		}),
	}
}
