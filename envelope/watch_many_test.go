package envelope

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// manyWatches is how many root keys, or data keys with CheckEachKey, hang at once,
// under FULL=1 as many as a test says. Each check goes through the whole cache, which
// the race detector makes slow.
func manyWatches(full int) int {
	if scoreboard.UnderRace() {
		return 100
	}
	return scoreboard.Count(1000, full)
}

// rootOfItsOwn gives each tenant a root key.
var rootOfItsOwn = RootKeysFunc(func(s Scope) (RootKeys, error) { return RootKeys{Seal: "plain://" + s.Tenant}, nil })

// However many root keys, or data keys, have no answer: all serve until
// OutageGrace has passed since their last yes, and none longer.
func TestManyWatchesEndWithTheGrace(t *testing.T) {
	for name, c := range map[string]struct {
		roots RootKeySource
		full  int // under FULL=1
		opts  Options
	}{
		"many root keys":            {rootOfItsOwn, 10_000, Options{}},
		"each data key":             {RootKeys{Seal: plainRoot}, 1000, Options{CheckEachKey: true}},
		"no longer than CacheTTL":   {rootOfItsOwn, 1000, Options{OutageGrace: time.Minute}},
		"CacheTTL of a few seconds": {rootOfItsOwn, 1000, Options{CacheTTL: 3 * time.Second, OutageGrace: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p, log, watches := &plainProvider{}, &eventLog{}, manyWatches(c.full)
				c.opts.Store, c.opts.OnEvent = NewMemoryStore(), log.add
				r := must(t)(NewKeyRing(p, c.roots, &c.opts))
				defer r.Close()
				envs := sealForTenants(t, r, watches)
				time.Sleep(3 * r.opts.CacheTTL / 2) // the last answers are of different moments
				p.slowDown(1000 * time.Hour)
				hangs := time.Now()
				calls, _ := p.seen()

				time.Sleep(r.longest() - r.opts.CacheTTL)
				for i, env := range envs {
					_, err := r.Open(t.Context(), tenantAt(i), env)
					require.NoError(t, err, "ended too early")
				}
				require.Equal(t, r.longest()-r.opts.CacheTTL, time.Since(hangs), "a reader waited")
				latest := time.Duration(0)
				for ; time.Since(hangs) <= r.longest(); time.Sleep(r.opts.CacheTTL / 30) {
					latest = max(latest, sinceYes(r)-r.longest())
				}
				time.Sleep(time.Until(hangs.Add(r.longest() + time.Second)))
				require.LessOrEqual(t, latest, time.Second, "served after its end")
				require.Empty(t, r.inMemory())
				require.Empty(t, r.Health())
				require.Equal(t, watches, log.count(GraceEnded))
				for _, e := range log.all {
					if e.Kind == GraceEnded {
						require.ErrorIs(t, e.Err, kmsprovider.ErrUnavailable)
					}
				}
				_, err := r.Open(t.Context(), tenantAt(0), envs[0])
				require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
				all, most := p.seen()
				require.Greater(t, all, calls, "nothing was asked")
				require.LessOrEqual(t, most, checksAtOnce+awayAtOnce)
			})
		})
	}
}

// sinceYes is the longest time since the last yes for a key in memory.
func sinceYes(r *KeyRing) (longest time.Duration) {
	keys := r.inMemory()
	r.watches.mu.Lock()
	defer r.watches.mu.Unlock()
	for _, k := range keys {
		longest = max(longest, time.Since(k.watch.good))
	}
	return longest
}

// A denied root key is noticed in time among many others that hang, though none
// of these is known to be away.
func TestDenialAmongManyThatHang(t *testing.T) {
	for ttl, full := range map[time.Duration]int{15 * time.Minute: 10_000, time.Minute: 1000} { // about 15 for each second are promised
		t.Run(ttl.String(), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				const denied = 20
				watches := manyWatches(full)
				p := &hangingProvider{plainProvider: &plainProvider{}}
				r := must(t)(NewKeyRing(p, rootOfItsOwn, &Options{Store: NewMemoryStore(), CacheTTL: ttl, CacheSize: watches + denied}))
				defer r.Close()
				for i := range watches {
					_, _ = sealFor(t, r, place(fmt.Sprint("hangs-", i)))
				}
				envs := sealForTenants(t, r, denied)
				p.hangs.Store(true)
				p.denied.Store(true)
				revoked := time.Now()
				time.Sleep(ttl + time.Second)
				for i, env := range envs {
					_, err := r.Open(t.Context(), tenantAt(i), env)
					require.ErrorIs(t, err, kmsprovider.ErrDenied, "%s after %v", tenantAt(i).Scope, time.Since(revoked))
				}
				_, most := p.seen()
				require.LessOrEqual(t, most, checksAtOnce+awayAtOnce)
				require.Len(t, r.inMemory(), watches, "an outage is no refusal")
			})
		})
	}
}
