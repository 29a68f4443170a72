package storetest

import (
	"errors"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

func statesFlaws() []flaw {
	states := func(name, check, says string, do func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error)) flaw {
		return flaw{name, check, says, func(b *broken) {
			b.states = func(ctx bg, keys []keyName) ([]keyState, error) {
				return do(keys, func(keys []keyName) ([]keyState, error) { return b.MemoryStore.States(ctx, keys) })
			}
		}}
	}
	// tries looks for each key under other names too, until it finds one.
	tries := func(name, check, says string, others func(n keyName, keys []keyName) []keyName) flaw {
		return states(name, check, says, func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			answer, err := of(keys)
			for i := range answer {
				if answer[i] != "" {
					continue
				}
				more, err := of(others(keys[i], keys))
				if err != nil {
					return nil, err
				}
				for _, s := range more {
					answer[i] = max(answer[i], s)
				}
			}
			return answer, err
		})
	}
	last := func(s string, f func(string) string) string { // of the tenants p.tenant + "/" + s
		before, after, _ := strings.Cut(s, "/")
		return before + "/" + f(after)
	}
	return []flaw{
		states("as they are stored", "states-order", "want", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			return of(slices.SortedFunc(slices.Values(keys), keyName.Compare))
		}),
		states("leaves out the unknown", "states-order", "got 40 states", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			all, err := of(keys)
			return slices.DeleteFunc(all, func(s keyState) bool { return s == "" }), err
		}),
		states("each key once", "states-order", "some keys twice", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			var once []keyName
			for _, n := range keys {
				if !slices.Contains(once, n) {
					once = append(once, n)
				}
			}
			return of(once)
		}),
		states("each key's state once", "states-order", "some keys twice", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			all, err := of(keys)
			for i := range all {
				if slices.Index(keys, keys[i]) < i {
					all[i] = ""
				}
			}
			return all, err
		}),
		states("unknown is an error", "states-order", "data key not found", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			all, err := of(keys)
			if slices.Contains(all, "") {
				return nil, envelope.ErrKeyNotFound
			}
			return all, err
		}),
		states("destroyed isn't there", "states-order", `want "destroyed"`, func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			all, err := of(keys)
			for i := range all {
				if all[i] == envelope.StateDestroyed {
					all[i] = ""
				}
			}
			return all, err
		}),
		states("the first one's scope and purpose", "states-order", "want", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			keys = slices.Clone(keys)
			for i := range keys {
				keys[i].Scope, keys[i].Purpose = keys[0].Scope, keys[0].Purpose
			}
			return of(keys)
		}),

		tries("in another's place", "states-apart", `want ""`, func(n keyName, keys []keyName) []keyName {
			return slices.DeleteFunc(slices.Clone(keys), func(k keyName) bool { return k.ID != n.ID })
		}),
		tries("any tenant, class, purpose and ID that were asked for", "states-apart", `want ""`, func(n keyName, keys []keyName) []keyName {
			var all []keyName
			for _, a := range keys {
				for _, b := range keys {
					all = append(all, keyName{Scope: a.Scope, Purpose: b.Purpose, ID: n.ID})
				}
			}
			return all
		}),
		tries("folds case", "states-apart", `want ""`, func(n keyName, _ []keyName) []keyName {
			n.Scope.Tenant = last(n.Scope.Tenant, strings.ToLower)
			return []keyName{n}
		}),
		tries("trims", "states-apart", `want ""`, func(n keyName, _ []keyName) []keyName {
			n.Scope.Class = strings.TrimSpace(n.Scope.Class)
			return []keyName{n}
		}),
		tries("the empty class is any", "states-apart", `want ""`, func(n keyName, _ []keyName) []keyName {
			if n.Scope.Class == "" {
				n.Scope.Class = "crm"
			}
			return []keyName{n}
		}),
		tries("any purpose", "states-apart", `want ""`, func(n keyName, _ []keyName) []keyName {
			var all []keyName
			for _, n.Purpose = range purposes {
				all = append(all, n)
			}
			return all
		}),

		states("1,000 at most", "states-many", "got 1000 states", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			return of(keys[:min(1000, len(keys))])
		}),
		states("too many are an error", "states-many", "too many parameters", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			if 4*len(keys) > 2100 {
				return nil, errors.New("too many parameters")
			}
			return of(keys)
		}),
		states("the last part is lost", "states-many", "of 2500 keys: state", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			all, err := of(keys)
			if whole := len(all) / 999 * 999; whole > 0 {
				clear(all[whole:])
			}
			return all, err
		}),
		states("none are an error", "states-many", "syntax error", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			if len(keys) == 0 {
				return nil, errors.New("syntax error at )")
			}
			return of(keys)
		}),
		states("one is not worth asking for", "states-many", "of 1 keys", func(keys []keyName, of func([]keyName) ([]keyState, error)) ([]keyState, error) {
			if len(keys) == 1 {
				return []keyState{""}, nil
			}
			return of(keys)
		}),
	}
}
