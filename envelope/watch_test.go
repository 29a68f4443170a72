package envelope

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// moodyProvider answers with an error as long as it has one, for all calls or
// for those of one tenant.
type moodyProvider struct {
	plainProvider
	mu     sync.Mutex
	err    error
	tenant string
	calls  []time.Time // of Unwrap
}

func (p *moodyProvider) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *moodyProvider) mood(ec kmsprovider.EncryptionContext, unwrap bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if unwrap {
		p.calls = append(p.calls, time.Now())
	}
	if p.tenant != "" && p.tenant != ec["fieldcrypt:tenant"] {
		return nil
	}
	return p.err
}

func (p *moodyProvider) unwraps() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

func (p *moodyProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if err := p.mood(ec, false); err != nil {
		return kmsprovider.DataKey{}, err
	}
	return p.plainProvider.GenerateDataKey(ctx, rootKey, ec)
}

func (p *moodyProvider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if err := p.mood(ec, true); err != nil {
		return nil, err
	}
	return p.plainProvider.Unwrap(ctx, rootKey, wrapped, ec)
}

// eventLog keeps what a ring tells.
type eventLog struct {
	mu  sync.Mutex
	all []Event
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
}

func (l *eventLog) count(kind EventKind) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.all {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func moodyRing(t *testing.T, p *moodyProvider, opts *Options) (*KeyRing, *eventLog) {
	t.Helper()
	log := &eventLog{}
	o := *opts
	o.OnEvent = log.add
	r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, &o)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r, log
}

var (
	errAway   = fmt.Errorf("%w: made-up outage", kmsprovider.ErrUnavailable)
	errSlowed = fmt.Errorf("%w: made-up quota", kmsprovider.ErrThrottled)
	errDenied = fmt.Errorf("%w: made-up revocation", kmsprovider.ErrDenied)
	errUnkey  = fmt.Errorf("%w: made-up deletion", kmsprovider.ErrKeyUnusable)
)

// A key in use goes on for as long as the key service says yes, and nobody
// waits for its answers.
func TestKeysInUseGoOn(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &moodyProvider{}
				p.delay = 3 * time.Second
				r, log := moodyRing(t, p, &Options{Store: store(), CacheTTL: time.Minute})
				env, _ := sealFor(t, r, place("acme"))
				for range 24 * 60 {
					time.Sleep(time.Minute)
					began := time.Now()
					_, err := r.Open(t.Context(), place("acme"), env)
					require.NoError(t, err)
					_, _ = sealFor(t, r, place("acme"))
					require.Zero(t, time.Since(began), "a caller waited for the key service")
				}
				require.InDelta(t, 24*60/0.72, p.unwraps(), 24*60/10.0, "calls in a day: one for each CacheTTL, asked before its end")
				require.Zero(t, log.count(RootKeyAway)+log.count(RootKeyRefused)+log.count(GraceEnded))
			})
		})
	}
}

// The service is asked once for each root key, however many data keys are under
// it; with CheckEachKey once for each data key.
func TestOneCheckForARootKey(t *testing.T) {
	const tenants = 50
	for each, want := range map[bool]int{false: 1, true: tenants} {
		t.Run(fmt.Sprint("each key ", each), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &moodyProvider{}
				r, _ := moodyRing(t, p, &Options{CacheTTL: time.Hour, CheckEachKey: each})
				for i := range tenants {
					_, _ = sealFor(t, r, place(fmt.Sprint("tenant-", i)))
				}
				time.Sleep(time.Hour - time.Second)
				synctest.Wait()
				require.Equal(t, want, p.unwraps())
				require.LessOrEqual(t, p.most, checksAtOnce)
			})
		})
	}
}

// With CheckEachKey there are no more watches than keys in memory, and each key
// that is there has one.
func TestWatchesOfEvictedKeysEnd(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			const places = 5
			r, _ := moodyRing(t, &moodyProvider{}, &Options{Store: store(), CheckEachKey: true, CacheSize: places})
			for range 3 {
				for i := range 100 {
					env, _ := sealFor(t, r, place(fmt.Sprint("tenant-", i)))
					_, err := r.Open(t.Context(), place(fmt.Sprint("tenant-", i)), env)
					require.NoError(t, err)
				}
			}
			require.EventuallyWithT(t, func(t *assert.CollectT) { // the caches evict in the background too
				keys := r.inMemory()
				r.watches.mu.Lock()
				defer r.watches.mu.Unlock()
				require.LessOrEqual(t, len(r.watches.byName), 2*places)
				ids := map[KeyID]bool{} // both caches may have a key, each as it was loaded
				for _, k := range keys {
					ids[k.id] = true
					require.Same(t, k.watch, r.watches.byName[k.watch.name])
					require.False(t, k.watch.ended.Load())
				}
				require.Len(t, r.watches.byName, len(ids))
			}, 10*time.Second, time.Millisecond)
		})
	}
}

// A refusal ends all keys under the root key before CacheTTL has passed since
// the last yes, for opening and for sealing.
func TestRefusalEndsKeys(t *testing.T) {
	for mode, store := range modes {
		for _, refusal := range []error{errDenied, errUnkey} {
			t.Run(mode+" "+refusal.Error(), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					const ttl = 10 * time.Minute
					p := &moodyProvider{}
					r, log := moodyRing(t, p, &Options{Store: store(), CacheTTL: ttl})
					env, _ := sealFor(t, r, place("acme"))
					other, _ := sealFor(t, r, place("globex"))
					time.Sleep(25 * time.Minute)
					revoked := time.Now()
					p.set(refusal)
					last := time.Time{}
					for range 2 * ttl / time.Second {
						if _, err := r.Open(t.Context(), place("acme"), env); err == nil {
							last = time.Now()
						} else {
							require.ErrorIs(t, err, refusal)
							require.NotErrorIs(t, err, ErrNotAuthentic, "a refusal was called tampering")
						}
						time.Sleep(time.Second)
					}
					require.LessOrEqual(t, last.Sub(revoked), ttl, "read too long")
					_, err := r.Open(t.Context(), place("globex"), other)
					require.ErrorIs(t, err, refusal)
					_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
					require.ErrorIs(t, err, refusal, "sealed after the refusal")
					require.Equal(t, 1, log.count(RootKeyRefused))

					p.set(nil)
					_, err = r.Open(t.Context(), place("acme"), env)
					require.NoError(t, err, "the refusal outlived its end")
				})
			})
		}
	}
}

// An outage ends keys in memory only when the grace has passed since the last
// yes; new keys fail at once with the outage's class.
func TestOutageKeepsKeys(t *testing.T) {
	for mode, store := range modes {
		for _, outage := range []error{errAway, errSlowed} {
			t.Run(mode+" "+outage.Error(), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					const ttl, grace = 5 * time.Minute, time.Hour
					p := &moodyProvider{}
					r, log := moodyRing(t, p, &Options{Store: store(), CacheTTL: ttl, OutageGrace: grace})
					env, _ := sealFor(t, r, place("acme"))
					time.Sleep(time.Hour)
					began := time.Now()
					p.set(outage)
					last := began
					for time.Since(began) < 2*grace {
						if _, err := r.Open(t.Context(), place("acme"), env); err == nil {
							last = time.Now()
							_, _ = sealFor(t, r, place("acme"))
						} else {
							require.ErrorIs(t, err, outage)
						}
						time.Sleep(10 * time.Second)
					}
					require.GreaterOrEqual(t, last.Sub(began), grace-ttl, "keys ended too early")
					require.LessOrEqual(t, last.Sub(began), grace, "keys went on too long")
					_, err := r.Seal(t.Context(), place("globex"), AppendString(nil, "x"))
					require.ErrorIs(t, err, outage)
					require.Equal(t, 1, log.count(RootKeyAway))
					require.Equal(t, 1, log.count(GraceEnded))
				})
			})
		}
	}
}

// A service that comes back is noticed, and its outage leaves no trace.
func TestOutageEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &moodyProvider{}
		r, log := moodyRing(t, p, &Options{CacheTTL: 5 * time.Minute})
		env, _ := sealFor(t, r, place("acme"))
		for range 3 {
			p.set(errAway)
			time.Sleep(30 * time.Minute)
			h := r.Health()
			require.Len(t, h, 1)
			require.ErrorIs(t, h[0].Away, kmsprovider.ErrUnavailable)
			require.Contains(t, h[0].String(), "away since")
			p.set(nil)
			_, err := r.Open(t.Context(), place("acme"), env)
			require.NoError(t, err)
			time.Sleep(2 * time.Minute)
			h = r.Health()
			require.NoError(t, h[0].Away)
			require.Less(t, time.Since(h[0].Good), 5*time.Minute)
			require.Contains(t, h[0].String(), "answered at")
			time.Sleep(time.Hour)
			_, err = r.Open(t.Context(), place("acme"), env)
			require.NoError(t, err)
		}
		require.Equal(t, 3, log.count(RootKeyAway))
		require.Equal(t, 3, log.count(RootKeyBack))
		require.Zero(t, log.count(GraceEnded))
	})
}

// A hanging service is an outage too.
func TestHangingServiceKeepsKeys(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &moodyProvider{}
		r, log := moodyRing(t, p, &Options{CacheTTL: 5 * time.Minute})
		env, _ := sealFor(t, r, place("acme"))
		p.plainProvider.mu.Lock()
		p.delay = 1000 * time.Hour
		p.plainProvider.mu.Unlock()
		time.Sleep(59 * time.Minute)
		_, err := r.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		_, err = r.Open(t.Context(), place("acme"), env)
		require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
		require.Equal(t, 1, log.count(GraceEnded))
	})
}

// Nothing is held for tenants that have gone quiet, and nothing is asked.
func TestIdleKeysAreDropped(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &moodyProvider{}
				r, _ := moodyRing(t, p, &Options{Store: store(), KeyAge: 48 * time.Hour})
				busy, _ := sealFor(t, r, place("busy"))
				_, _ = sealFor(t, r, place("quiet"))
				for range 30 * 60 {
					time.Sleep(time.Minute)
					_, err := r.Open(t.Context(), place("busy"), busy)
					require.NoError(t, err)
				}
				require.Equal(t, []string{"busy"}, tenantsIn(r))
				time.Sleep(60 * time.Hour)
				require.Empty(t, tenantsIn(r))
				calls, made := p.unwraps(), p.made()
				time.Sleep(1000 * time.Hour)
				require.Equal(t, calls, p.unwraps(), "asked for nobody's keys")
				require.Equal(t, made, p.made(), "made keys for nobody")
				require.Empty(t, r.Health())
			})
		})
	}
}

func tenantsIn(r *KeyRing) (tenants []string) {
	for _, k := range r.inMemory() {
		tenants = append(tenants, k.scope.Tenant)
	}
	slices.Sort(tenants)
	return slices.Compact(tenants)
}

// A tenant that the configuration moves to another root key, without the former
// one to open with, is sealed and opened under that no longer than a check takes to
// come; others under that root key go on.
func TestForbiddenRootKeyEndsItsTenantsKeys(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const before, after = plainRoot, "plain://other"
		var moved atomic.Bool
		roots := RootKeysFunc(func(s Scope) (RootKeys, error) {
			if s.Tenant == "globex" && moved.Load() {
				return RootKeys{Seal: after}, nil
			}
			return RootKeys{Seal: before}, nil
		})
		p := &plainProvider{}
		r := must(t)(NewKeyRing(p, roots, nil))
		globex, _ := sealFor(t, r, place("globex"))
		acme, key := sealFor(t, r, place("acme"))
		moved.Store(true)
		time.Sleep(r.opts.CacheTTL)
		_, err := r.Open(t.Context(), place("globex"), globex)
		require.ErrorIs(t, err, ErrRootKeyNotAllowed)
		env, _ := sealFor(t, r, place("globex"))
		info, err := Inspect(env)
		require.NoError(t, err)
		require.Equal(t, after, info.RootKey)

		_, err = r.Open(t.Context(), place("acme"), acme)
		require.NoError(t, err)
		_, still := sealFor(t, r, place("acme"))
		require.Equal(t, key, still)
	})
}

// Checks that hang keep no others waiting.
func TestHangingChecksKeepNoOthersWaiting(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const hanging = 200
		p := &hangingProvider{plainProvider: &plainProvider{}}
		roots := RootKeysFunc(func(s Scope) (RootKeys, error) { return RootKeys{Seal: "plain://" + s.Tenant}, nil })
		r := must(t)(NewKeyRing(p, roots, nil))
		for i := range hanging {
			_, _ = sealFor(t, r, place(fmt.Sprint("hangs-", i)))
		}
		env, _ := sealFor(t, r, place("acme"))
		p.hangs.Store(true)
		time.Sleep(r.opts.CacheTTL) // by now they are known to be away
		_, err := r.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		p.denied.Store(true)
		revoked := time.Now()
		for {
			if _, err := r.Open(t.Context(), place("acme"), env); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, time.Since(revoked), r.opts.CacheTTL+time.Second)
	})
}

// hangingProvider doesn't answer for some root keys, and denies the others.
type hangingProvider struct {
	*plainProvider
	hangs, denied atomic.Bool
}

func (p *hangingProvider) Unwrap(ctx context.Context, root string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	switch {
	case p.hangs.Load() && strings.HasPrefix(root, "plain://hangs-"):
		defer p.enter()()
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %w", kmsprovider.ErrUnavailable, ctx.Err())
	case p.denied.Load():
		return nil, kmsprovider.ErrDenied
	}
	return p.plainProvider.Unwrap(ctx, root, wrapped, ec)
}
