package storetest

import (
	"errors"
	"sync"
	"time"
)

func claimFlaws() []flaw {
	claims := func(name, check, says string, do func(b *broken, ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error)) flaw {
		return flaw{name, check, says, func(b *broken) {
			b.claim = func(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
				return do(b, ctx, s, p, holder, lease)
			}
		}}
	}
	always := func(*broken, bg, scope, pur, string, time.Duration) (bool, error) { return true, nil }
	lasting := func(f func(time.Duration) time.Duration) func(b *broken, ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
		return func(b *broken, ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
			return b.MemoryStore.Claim(ctx, s, p, holder, f(lease))
		}
	}
	// onceOnly refuses a holder's second claim, or says yes and doesn't renew.
	onceOnly := func(answer bool) func(b *broken) {
		return func(b *broken) {
			var mu sync.Mutex
			until := map[string]time.Time{}
			b.claim = func(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				at := s.Tenant + "/" + holder
				if time.Now().Before(until[at]) {
					return answer, nil
				}
				won, err := b.MemoryStore.Claim(ctx, s, p, holder, lease)
				if won {
					until[at] = time.Now().Add(lease)
				}
				return won, err
			}
		}
	}
	// lookFirst wins if nobody had the claim a moment ago.
	lookFirst := func(b *broken) {
		type claim struct {
			holder string
			until  time.Time
		}
		var mu sync.Mutex
		at := map[scope]claim{}
		b.claim = func(_ bg, s scope, _ pur, holder string, lease time.Duration) (bool, error) {
			mu.Lock()
			c := at[s]
			mu.Unlock()
			if c.holder != holder && time.Now().Before(c.until) {
				return false, nil
			}
			time.Sleep(50 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			at[s] = claim{holder, time.Now().Add(lease)}
			return true, nil
		}
	}
	releases := func(name, check, says string, do func(b *broken, ctx bg, s scope, p pur, holder string) error) flaw {
		return flaw{name, check, says, func(b *broken) {
			b.release = func(ctx bg, s scope, p pur, holder string) error { return do(b, ctx, s, p, holder) }
		}}
	}
	return []flaw{
		claims("everybody wins", "claim-excludes", "got true, want false", always),
		claims("nobody wins", "claim-excludes", "got false, want true", func(*broken, bg, scope, pur, string, time.Duration) (bool, error) { return false, nil }),
		claims("held is an error", "claim-excludes", "held by another", func(b *broken, ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
			won, err := b.MemoryStore.Claim(ctx, s, p, holder, lease)
			if err == nil && !won {
				err = errors.New("held by another")
			}
			return won, err
		}),
		{"its own claim shuts the holder out", "claim-excludes", "got false, want true", onceOnly(false)},
		claims("no claim where there is a key", "claim-excludes", "got false, want true", func(b *broken, ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
			if _, err := b.MemoryStore.Active(ctx, s, p); err == nil {
				return false, nil
			}
			return b.MemoryStore.Claim(ctx, s, p, holder, lease)
		}),
		claims("ends at once", "claim-expires", "was lost after", lasting(func(d time.Duration) time.Duration { return d / 10 })),
		claims("never ends", "claim-expires", "still holds after", lasting(func(time.Duration) time.Duration { return time.Hour })),
		claims("the first holder comes back", "claim-expires", "got true, want false", func(b *broken, ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
			won, err := b.MemoryStore.Claim(ctx, s, p, holder, lease)
			return won || holder == "one", err
		}),
		{"doesn't renew", "claim-renewed", "got true, want false", onceOnly(true)},
		{"who is late has lost", "claim-renewed", "got false, want true", func(b *broken) {
			var mu sync.Mutex
			until := map[string]time.Time{}
			b.claim = func(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				if end, ok := until[holder]; ok && time.Now().After(end) {
					return false, nil
				}
				until[holder] = time.Now().Add(lease)
				return b.MemoryStore.Claim(ctx, s, p, holder, lease)
			}
		}},
		{"looks, then takes", "claim-race", "won, want 1", lookFirst},
		{"looks, then takes", "claim-race-expired", "won, want 1", lookFirst},
		{"takes an expired one from whoever took it", "claim-race-expired", "won, want 1", func(b *broken) {
			var mu sync.Mutex
			var began time.Time
			b.claim = func(ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				if began.IsZero() {
					began = time.Now().Add(lease)
					return true, nil
				}
				return time.Now().After(began), nil
			}
		}},
		claims("a busy row is an error", "claim-race", "row is locked", func(b *broken, ctx bg, s scope, p pur, holder string, lease time.Duration) (bool, error) {
			won, err := b.MemoryStore.Claim(ctx, s, p, holder, lease)
			if err == nil && !won {
				err = errors.New("row is locked")
			}
			return won, err
		}),
		releases("keeps the claim", "release", "got false, want true", func(*broken, bg, scope, pur, string) error { return nil }),
		releases("only once", "release", "nothing to release", func(b *broken, ctx bg, s scope, p pur, holder string) error {
			won, err := b.MemoryStore.Claim(ctx, s, p, "probe", time.Minute)
			if err != nil {
				return err
			}
			if won {
				return errors.Join(b.MemoryStore.Release(ctx, s, p, "probe"), errors.New("nothing to release"))
			}
			return b.MemoryStore.Release(ctx, s, p, holder)
		}),
		releases("gives back anybody's", "release-others", "got true, want false", func(b *broken, ctx bg, s scope, p pur, _ string) error {
			for _, holder := range []string{"one", "two", "late"} {
				if err := b.MemoryStore.Release(ctx, s, p, holder); err != nil {
					return err
				}
			}
			return nil
		}),
		releases("a late holder gives back the next one's", "release-others", "got true, want false", func(b *broken, ctx bg, s scope, p pur, holder string) error {
			if holder == "late" {
				holder = "two"
			}
			return b.MemoryStore.Release(ctx, s, p, holder)
		}),
		releases("nobody's is an error", "release-others", "not yours", func(b *broken, ctx bg, s scope, p pur, holder string) error {
			won, err := b.MemoryStore.Claim(ctx, s, p, holder, time.Minute)
			if err == nil && !won {
				err = errors.New("not yours")
			}
			return errors.Join(err, b.MemoryStore.Release(ctx, s, p, holder))
		}),
	}
}
