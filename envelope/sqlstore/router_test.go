package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/storetest"
	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// A library holds stores in memory and watches how they are opened and closed.
type library struct {
	mu      sync.Mutex
	stores  map[string]*envelope.MemoryStore
	open    map[string]int // how often each is open now
	most    int            // of all that were open at once
	opened  int
	routers int
	inUse   atomic.Int64
	failing map[string]error // by the store's name
	slow    time.Duration
}

// A watched store fails the test if it is used when it is closed.
type watched struct {
	*envelope.MemoryStore
	l      *library
	name   string
	closed atomic.Bool
}

func newLibrary() *library {
	return &library{stores: map[string]*envelope.MemoryStore{}, open: map[string]int{}}
}

func (l *library) get(_ context.Context, name string) (envelope.KeyStore, error) {
	time.Sleep(l.slow)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.failing[name]; err != nil {
		return nil, err
	}
	if l.stores[name] == nil {
		l.stores[name] = envelope.NewMemoryStore()
	}
	l.open[name]++
	l.opened++
	n := 0
	for _, k := range l.open {
		n += k
	}
	l.most = max(l.most, n)
	return &watched{MemoryStore: l.stores[name], l: l, name: name}, nil
}

func (l *library) names(context.Context) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for name := range l.stores {
		all = append(all, name)
	}
	return all, nil
}

func (w *watched) Close() error {
	if w.closed.Swap(true) {
		return errors.New("closed twice")
	}
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	w.l.open[w.name]--
	return nil
}

var errUsedClosed = errors.New("used when it was closed")

func (w *watched) Active(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose) (envelope.Record, error) {
	w.l.inUse.Add(1)
	defer w.l.inUse.Add(-1)
	if w.closed.Load() {
		return envelope.Record{}, errUsedClosed
	}
	time.Sleep(w.l.slow)
	if w.closed.Load() {
		return envelope.Record{}, errUsedClosed
	}
	return w.MemoryStore.Active(ctx, scope, purpose)
}

// byLength spreads tenants over stores.
func byLength(stores int) func(envelope.Scope) (string, error) {
	return func(s envelope.Scope) (string, error) {
		sum := 0
		for _, c := range []byte(s.Tenant + "/" + s.Class) {
			sum += int(c)
		}
		return fmt.Sprintf("store-%d", sum%stores), nil
	}
}

func newRouter(t testing.TB, route func(envelope.Scope) (string, error), l *library, opts *RouterOptions) *Router {
	t.Helper()
	r, err := NewRouter(route, l.get, opts)
	require.NoError(t, err)
	l.routers++
	t.Cleanup(func() {
		require.NoError(t, r.Close())
		l.mu.Lock() // another router may be closing one of its stores
		defer l.mu.Unlock()
		l.routers--
		for name, n := range l.open {
			require.True(t, n == 0 || l.routers > 0, "%s was not closed", name)
		}
	})
	return r
}

// A router passes the suite for key stores, with its stores closed and opened
// all the time.
func TestRouterConforms(t *testing.T) {
	for _, limit := range []int{1, 64} {
		l := newLibrary()
		opts := &RouterOptions{Stores: l.names, MaxOpen: limit}
		storetest.Run(t, storetest.Harness{
			New:    func(t testing.TB) envelope.KeyStore { return newRouter(t, byLength(7), l, opts) },
			Reopen: func(t testing.TB, _ envelope.KeyStore) envelope.KeyStore { return newRouter(t, byLength(7), l, opts) },
		})
		require.LessOrEqual(t, l.most, 2*(limit+max(1, limit/2)))
		require.Len(t, l.stores, 7)
	}
}

func record(tenant string, id byte) envelope.Record {
	return envelope.Record{
		KeyID: envelope.KeyID{id}, Scope: envelope.Scope{Tenant: tenant, Class: "crm"}, Purpose: "data",
		RootKey: "example-kms://eu", Wrapped: []byte{1}, Created: time.Unix(1, 0),
	}
}

func TestRouterOpensOnceForAll(t *testing.T) {
	l := newLibrary()
	l.slow = 20 * time.Millisecond
	r := newRouter(t, byLength(1), l, nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := r.Active(t.Context(), acme, "data"); !errors.Is(err, envelope.ErrKeyNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, l.opened)
}

// One in use is never closed, and never are more open than allowed, however
// many want others.
func TestRouterUnderPressure(t *testing.T) {
	l := newLibrary()
	l.slow = time.Millisecond
	r := newRouter(t, func(s envelope.Scope) (string, error) { return s.Tenant, nil }, l, &RouterOptions{MaxOpen: 3})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			for j := range 20 {
				scope := envelope.Scope{Tenant: fmt.Sprint((i*7 + j*3) % 11)}
				if _, err := r.Active(t.Context(), scope, "data"); !errors.Is(err, envelope.ErrKeyNotFound) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, l.most, 3+1, "those that are being opened or closed come on top")
	require.Greater(t, l.opened, 11, "none was closed and opened again: the test shows nothing")
}

// The one that was not used for the longest time makes room.
func TestRouterClosesTheLeastRecentlyUsed(t *testing.T) {
	l := newLibrary()
	r := newRouter(t, func(s envelope.Scope) (string, error) { return s.Tenant, nil }, l, &RouterOptions{MaxOpen: 2})
	use := func(tenant string) {
		_, err := r.Active(t.Context(), envelope.Scope{Tenant: tenant}, "data")
		require.ErrorIs(t, err, envelope.ErrKeyNotFound)
	}
	use("a")
	use("b")
	use("a")
	use("c") // closes b
	require.Equal(t, 3, l.opened)
	use("a")
	require.Equal(t, 3, l.opened, "a was closed though it was used after b")
	use("b")
	require.Equal(t, 4, l.opened)
}

// A caller that can't have a store waits, as long as its context lasts.
func TestRouterWaitsForAPlace(t *testing.T) {
	l := newLibrary()
	l.slow = 300 * time.Millisecond
	r := newRouter(t, func(s envelope.Scope) (string, error) { return s.Tenant, nil }, l, &RouterOptions{MaxOpen: 1})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = r.Active(t.Context(), envelope.Scope{Tenant: "a"}, "data")
	}()
	for l.inUse.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := r.Active(ctx, envelope.Scope{Tenant: "b"}, "data")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, `waiting for the store "b": all 1 open stores are in use (RouterOptions.MaxOpen)`)
	_, err = r.Active(t.Context(), envelope.Scope{Tenant: "b"}, "data")
	require.ErrorIs(t, err, envelope.ErrKeyNotFound)
	<-done
}

// One caller's impatience isn't the others' failure.
func TestRouterOpeningOutlivesItsFirstCaller(t *testing.T) {
	l := newLibrary()
	l.slow = 50 * time.Millisecond
	r := newRouter(t, byLength(1), l, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := r.Active(ctx, acme, "data")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, `waiting for the store "store-0" to be opened`)
	_, err = r.Active(t.Context(), acme, "data")
	require.ErrorIs(t, err, envelope.ErrKeyNotFound)
	require.Equal(t, 1, l.opened)
}

func TestRouterOpeningFails(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newLibrary()
		gone := errors.New("the disk is gone")
		l.failing = map[string]error{"store-0": gone}
		r := newRouter(t, byLength(1), l, &RouterOptions{MaxOpen: 1})
		for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} { // a failure takes no place
			_, err := r.Active(t.Context(), acme, "data")
			require.ErrorIs(t, err, gone)
			require.ErrorContains(t, err, `sqlstore: opening the store "store-0": the disk is gone`)
			time.Sleep(time.Duration(seconds)*time.Second - time.Millisecond)
			_, err = r.Active(t.Context(), acme, "data")
			require.ErrorIs(t, err, gone)
			require.ErrorContains(t, err, `sqlstore: opening the store "store-0": the disk is gone (it is tried again in 1ms)`)
			time.Sleep(time.Millisecond)
		}
		l.failing = nil
		_, err := r.Active(t.Context(), acme, "data")
		require.ErrorIs(t, err, envelope.ErrKeyNotFound, "a failure isn't for ever")
		require.Empty(t, r.shelf.refused)

		slow, err := NewRouter(byLength(1), func(ctx context.Context, _ string) (envelope.KeyStore, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, &RouterOptions{OpenTimeout: 10 * time.Millisecond})
		require.NoError(t, err)
		_, err = slow.Active(t.Context(), acme, "data")
		require.ErrorIs(t, err, context.DeadlineExceeded)

		none, err := NewRouter(byLength(1), func(context.Context, string) (envelope.KeyStore, error) { return nil, nil }, nil)
		require.NoError(t, err)
		_, err = none.Active(t.Context(), acme, "data")
		require.ErrorContains(t, err, "the function opened none")
	})
}

// Many stores on a server that never answers push no other out, and others are
// still opened.
func TestRouterWithAServerThatHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newLibrary()
		var trying, most atomic.Int64
		var failed atomic.Bool
		r, err := NewRouter(func(s envelope.Scope) (string, error) { return s.Tenant, nil },
			func(ctx context.Context, name string) (envelope.KeyStore, error) {
				if name == "mended" && failed.CompareAndSwap(false, true) {
					return nil, errors.New("for once")
				}
				if !strings.HasPrefix(name, "hangs") {
					return l.get(ctx, name)
				}
				defer trying.Add(-1)
				most.Store(max(most.Load(), trying.Add(1)))
				<-ctx.Done()
				return nil, ctx.Err()
			}, nil)
		require.NoError(t, err)
		use := func(name string) error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := r.Active(ctx, envelope.Scope{Tenant: name}, "data")
			return err
		}
		for i := range 64 {
			require.ErrorIs(t, use(fmt.Sprint("healthy", i)), envelope.ErrKeyNotFound)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Second):
						if err := use(fmt.Sprint("hangs", i)); !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
					}
				}
			})
		}
		for range 240 {
			time.Sleep(time.Second)
			for i := range 64 {
				began := time.Now()
				require.ErrorIs(t, use(fmt.Sprint("healthy", i)), envelope.ErrKeyNotFound)
				require.Zero(t, time.Since(began))
			}
		}
		require.Equal(t, 64, l.opened, "a store was pushed out by one that can't be opened")
		require.LessOrEqual(t, most.Load(), int64(32+64+32), "those that are being given up among them")

		// By now all of the others have failed, and take few turns.
		most.Store(0)
		for i := range 10 {
			time.Sleep(time.Second)
			began := time.Now()
			require.ErrorIs(t, use(fmt.Sprint("new", i)), envelope.ErrKeyNotFound)
			require.Zero(t, time.Since(began), "it waited for stores that hang")
		}
		require.LessOrEqual(t, most.Load(), int64(8+64+8), "those that are being given up among them")

		// One that failed as they did has its turn among them, and is open again.
		require.ErrorContains(t, use("mended"), "for once")
		time.Sleep(firstPause)
		began := time.Now()
		require.ErrorIs(t, use("mended"), envelope.ErrKeyNotFound)
		require.LessOrEqual(t, time.Since(began), 2*openPatience)
		close(stop)
		wg.Wait()
		time.Sleep(time.Minute)
		require.NoError(t, r.Close())
	})
}

// The first wave of callers to stores that hang keeps a store that answers waiting
// for seconds at most, and not until the others' openings have timed out.
func TestRouterOpensBesideAFirstWaveThatHangs(t *testing.T) {
	for name, opens := range map[string]func(ctx context.Context) error{
		"heeding the context": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"heeding no context":  func(context.Context) error { time.Sleep(time.Hour); return errors.New("too late") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				const hanging = 300
				l := newLibrary()
				var trying, most atomic.Int64
				r, err := NewRouter(func(s envelope.Scope) (string, error) { return s.Tenant, nil },
					func(ctx context.Context, name string) (envelope.KeyStore, error) {
						if name == "slow" {
							select {
							case <-time.After(openPatience * 6 / 5):
							case <-ctx.Done():
								return nil, ctx.Err()
							}
						}
						if strings.HasPrefix(name, "hangs") {
							most.Store(max(most.Load(), trying.Add(1)))
							defer trying.Add(-1)
							if err := opens(ctx); err != nil {
								return nil, err
							}
						}
						return l.get(ctx, name)
					}, nil)
				require.NoError(t, err)
				use := func(name string) error {
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					defer cancel()
					_, err := r.Active(ctx, envelope.Scope{Tenant: name}, "data")
					return err
				}
				var wave sync.WaitGroup
				for i := range hanging {
					wave.Go(func() { _ = use(fmt.Sprint("hangs", i)) })
				}
				synctest.Wait()
				began := time.Now()
				for i := range 10 {
					require.ErrorIs(t, use(fmt.Sprint("new", i)), envelope.ErrKeyNotFound)
				}
				require.LessOrEqual(t, time.Since(began), (hanging/32+1)*openPatience)
				require.ErrorIs(t, use("slow"), envelope.ErrKeyNotFound, "a slow one is given up for those that hang")
				wave.Wait()
				if name == "heeding no context" {
					require.Equal(t, int64(hanging), most.Load(), "each once")
				} else {
					require.LessOrEqual(t, most.Load(), int64(32+64+32), "those that are being given up among them")
				}
				time.Sleep(2 * time.Hour)
				require.NoError(t, r.Close())
				require.Zero(t, r.shelf.opening+r.shelf.late+r.shelf.retrying)
			})
		})
	}
}

// What takes long is waited for, as long as that isn't too many.
func TestRouterWaitsForSlowStores(t *testing.T) {
	for _, stores := range []int{1, 64, 200} {
		t.Run(fmt.Sprint(stores), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				r, err := NewRouter(func(s envelope.Scope) (string, error) { return s.Tenant, nil },
					func(ctx context.Context, _ string) (envelope.KeyStore, error) {
						select {
						case <-time.After(20 * time.Second):
							return envelope.NewMemoryStore(), nil
						case <-ctx.Done():
							return nil, ctx.Err()
						}
					}, nil)
				require.NoError(t, err)
				var opened, givenUp atomic.Int64
				var all sync.WaitGroup
				for i := range stores {
					all.Go(func() {
						switch _, err := r.Active(t.Context(), envelope.Scope{Tenant: fmt.Sprint(i)}, "data"); {
						case errors.Is(err, envelope.ErrKeyNotFound):
							opened.Add(1)
						case errors.Is(err, errHangs):
							givenUp.Add(1)
						default:
							t.Error(err)
						}
					})
				}
				all.Wait()
				require.GreaterOrEqual(t, opened.Load(), int64(min(stores, 64)))
				require.Equal(t, int64(stores), opened.Load()+givenUp.Load())
				require.NoError(t, r.Close())
			})
		})
	}
}

func TestRouterClosesAfterOpening(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newLibrary()
		l.slow = 10 * openPatience
		r := newRouter(t, byLength(1), l, nil)
		go func() { _, _ = r.Active(t.Context(), acme, "data") }()
		time.Sleep(2 * openPatience)
		require.NoError(t, r.Close())
		require.Equal(t, 1, l.opened, "it is being opened by nobody any more")
		require.Zero(t, l.open["store-0"])
	})
}

func TestRouterRefusesScopes(t *testing.T) {
	outside := errors.New("no region is configured for it")
	r := newRouter(t, func(s envelope.Scope) (string, error) {
		if s.Tenant == "acme" {
			return "", nil
		}
		return "eu", outside
	}, newLibrary(), nil)
	rec := record("globex", 1)
	for name, err := range map[string]error{
		"Activate": r.Activate(t.Context(), rec, envelope.KeyID{}),
		"Insert":   r.Insert(t.Context(), rec),
		"Update":   r.Update(t.Context(), rec, rec),
		"Release":  r.Release(t.Context(), rec.Scope, "data", "holder"),
	} {
		require.ErrorIs(t, err, outside, name)
		require.ErrorContains(t, err, `sqlstore: the store of tenant "globex", class "crm": no region is configured for it`, name)
	}
	_, err := r.States(t.Context(), []envelope.KeyName{rec.Name()})
	require.ErrorIs(t, err, outside)
	_, err = r.Page(t.Context(), envelope.Filter{Tenant: "globex", Class: "crm"}, envelope.KeyName{}, 1)
	require.ErrorIs(t, err, outside)
	_, err = r.Active(t.Context(), acme, "data")
	require.ErrorContains(t, err, "the function names no store")
}

// The class is never empty when a scope is routed.
func TestRouterRoutesTheDefaultClass(t *testing.T) {
	var seen []string
	r := newRouter(t, func(s envelope.Scope) (string, error) {
		seen = append(seen, s.Class)
		return "one", nil
	}, newLibrary(), nil)
	_, _ = r.Active(t.Context(), envelope.Scope{Tenant: "acme"}, "data")
	require.Equal(t, []string{envelope.DefaultClass}, seen)
}

func TestRouterPages(t *testing.T) {
	l := newLibrary()
	r := newRouter(t, byLength(5), l, &RouterOptions{Stores: l.names, MaxOpen: 2})
	var want []string
	for i := range 100 {
		rec := record(fmt.Sprintf("tenant-%03d", i), byte(i))
		require.NoError(t, r.Activate(t.Context(), rec, envelope.KeyID{}))
		want = append(want, rec.Scope.Tenant)
	}
	for _, limit := range []int{1, 3, 7, 100, 1000} {
		var got []string
		var after envelope.KeyName
		for {
			page, err := r.Page(t.Context(), envelope.Filter{}, after, limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), limit)
			if len(page) == 0 {
				break
			}
			for _, rec := range page {
				got = append(got, rec.Scope.Tenant)
			}
			after = page[len(page)-1].Name()
		}
		require.Equal(t, want, got, "pages of %d", limit)
	}
	page, err := r.Page(t.Context(), envelope.Filter{Tenant: "tenant-042"}, envelope.KeyName{}, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
	for _, limit := range []int{0, -1} {
		page, err = r.Page(t.Context(), envelope.Filter{}, envelope.KeyName{}, limit)
		require.NoError(t, err)
		require.Empty(t, page)
	}

	opened := l.opened
	page, err = r.Page(t.Context(), envelope.Filter{Tenant: "tenant-042", Class: "crm"}, envelope.KeyName{}, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.LessOrEqual(t, l.opened-opened, 1, "one store has all of a scope")
	require.True(t, slices.IsSorted(want))
}

// What a move left behind isn't listed, also where that fills whole pages; what
// is routed nowhere is.
func TestRouterPagesAfterAMove(t *testing.T) {
	l := newLibrary()
	home := "old"
	r := newRouter(t, func(s envelope.Scope) (string, error) {
		if s.Tenant == "zz-lost" {
			return home, map[string]error{"new": errors.New("unknown tenant")}[home]
		}
		return home, nil
	}, l, &RouterOptions{Stores: l.names})
	for i := range 10 {
		require.NoError(t, r.Activate(t.Context(), record(fmt.Sprintf("tenant-%d", i), byte(i)), envelope.KeyID{}))
	}
	require.NoError(t, r.Activate(t.Context(), record("zz-lost", 99), envelope.KeyID{}))
	home = "new"
	require.NoError(t, r.Activate(t.Context(), record("tenant-3", 77), envelope.KeyID{}))
	page, err := r.Page(t.Context(), envelope.Filter{}, envelope.KeyName{}, 3)
	require.NoError(t, err)
	require.Len(t, page, 2)
	require.Equal(t, envelope.KeyID{77}, page[0].KeyID)
	require.Equal(t, "zz-lost", page[1].Scope.Tenant)
}

// That a root key isn't needed is known only where all stores were asked, also if
// the keys that are rewrapped are in one of them.
func TestRewrapCountsInAllStoresOfARouter(t *testing.T) {
	kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
	require.NoError(t, err)
	t.Cleanup(func() { kms.Close() })
	before := kms.RootKey()
	after, err := kms.AddRootKey(t.Context(), "next")
	require.NoError(t, err)

	l := newLibrary()
	byTenant := func(s envelope.Scope) (string, error) { return s.Tenant, nil }
	rewrap := func(opts *RouterOptions) (envelope.RewrapReport, error) {
		ring, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: after, Open: []string{before}}, &envelope.Options{Store: newRouter(t, byTenant, l, opts)})
		require.NoError(t, err)
		defer ring.Close()
		return ring.Rewrap(t.Context(), envelope.Filter{Tenant: "acme", Class: "crm"}, after, nil)
	}
	old, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: before}, &envelope.Options{Store: newRouter(t, byTenant, l, nil)})
	require.NoError(t, err)
	defer old.Close()
	for _, tenant := range []string{"acme", "globex"} {
		_, err := old.Seal(t.Context(), &envelope.Binding{Scope: envelope.Scope{Tenant: tenant, Class: "crm"}, Field: envelope.MustField("Contacts", "email"), Record: "1"}, envelope.AppendString(nil, "x"))
		require.NoError(t, err)
	}

	report, err := rewrap(nil)
	require.ErrorContains(t, err, "counting what is left: ")
	require.ErrorContains(t, err, "set RouterOptions.Stores")
	require.Equal(t, 1, report.Rewrapped)
	require.Nil(t, report.Left)

	listed := &RouterOptions{Stores: func(context.Context) ([]string, error) { return []string{"acme", "globex"}, nil }}
	l.failing = map[string]error{"globex": errors.New("the disk is gone")}
	report, err = rewrap(listed)
	require.ErrorContains(t, err, `counting what is left: `)
	require.ErrorContains(t, err, `opening the store "globex": the disk is gone`)
	require.Nil(t, report.Left)
	l.failing = nil

	report, err = rewrap(listed)
	require.NoError(t, err)
	require.Equal(t, envelope.RewrapReport{To: after, Already: 1, Left: map[string]int{before: 1}}, report)
}

func TestRouterStates(t *testing.T) {
	l := newLibrary()
	r := newRouter(t, byLength(5), l, &RouterOptions{MaxOpen: 2})
	var keys []envelope.KeyName
	var want []envelope.State
	for i := range 60 {
		rec := record(fmt.Sprintf("tenant-%d", i), byte(i))
		keys, want = append(keys, rec.Name()), append(want, map[bool]envelope.State{true: envelope.StateActive}[i%3 == 0])
		if i%3 == 0 {
			require.NoError(t, r.Activate(t.Context(), rec, envelope.KeyID{}))
		}
	}
	opened := l.opened
	got, err := r.States(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.LessOrEqual(t, l.opened-opened, 5, "each store is asked once")
}

func TestRouterWithoutAList(t *testing.T) {
	r := newRouter(t, byLength(5), newLibrary(), nil)
	_, err := r.Page(t.Context(), envelope.Filter{Tenant: "acme"}, envelope.KeyName{}, 1)
	require.ErrorContains(t, err, "this router can't list the keys of all its stores: set RouterOptions.Stores")
	gone := errors.New("the folder is gone")
	r = newRouter(t, byLength(5), newLibrary(), &RouterOptions{Stores: func(context.Context) ([]string, error) { return nil, gone }})
	_, err = r.Page(t.Context(), envelope.Filter{}, envelope.KeyName{}, 1)
	require.ErrorIs(t, err, gone)
	require.ErrorContains(t, err, "sqlstore: listing the stores: ")
}

// A store that two names of the list lead to is asked once.
func TestRouterListTwice(t *testing.T) {
	l := newLibrary()
	r := newRouter(t, byLength(1), l, &RouterOptions{Stores: func(context.Context) ([]string, error) { return []string{"store-0", "store-0"}, nil }})
	require.NoError(t, r.Activate(t.Context(), record("acme", 1), envelope.KeyID{}))
	page, err := r.Page(t.Context(), envelope.Filter{}, envelope.KeyName{}, 10)
	require.NoError(t, err)
	require.Len(t, page, 1)
}

func TestRouterClosed(t *testing.T) {
	l := newLibrary()
	r := newRouter(t, byLength(5), l, nil)
	require.NoError(t, r.Activate(t.Context(), record("acme", 1), envelope.KeyID{}))
	require.NoError(t, r.Close())
	require.NoError(t, r.Close(), "twice is as good as once")
	_, err := r.Active(t.Context(), acme, "data")
	require.ErrorContains(t, err, "the router is closed")
}

// Close waits for calls that are under way.
func TestRouterClosesAfterUse(t *testing.T) {
	l := newLibrary()
	l.slow = 50 * time.Millisecond
	r := newRouter(t, byLength(1), l, nil)
	answer := make(chan error)
	go func() {
		_, err := r.Active(t.Context(), acme, "data")
		answer <- err
	}()
	for l.inUse.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	closed := make(chan error)
	go func() { closed <- r.Close() }()
	require.ErrorIs(t, <-answer, envelope.ErrKeyNotFound)
	require.NoError(t, <-closed)
}

type unclosable struct{ *envelope.MemoryStore }

func (unclosable) Close() error { return errors.New("the disk is full") }

func TestRouterTellsOfFailedCloses(t *testing.T) {
	r, err := NewRouter(
		func(s envelope.Scope) (string, error) { return s.Tenant, nil },
		func(context.Context, string) (envelope.KeyStore, error) {
			return unclosable{envelope.NewMemoryStore()}, nil
		},
		&RouterOptions{MaxOpen: 1})
	require.NoError(t, err)
	for _, tenant := range []string{"a", "b"} { // the other's closing is no fault of this call
		require.NoError(t, r.Activate(t.Context(), record(tenant, 1), envelope.KeyID{}))
	}
	err = r.Close()
	require.ErrorContains(t, err, `sqlstore: closing the store "a": the disk is full`)
	require.Equal(t, 1, strings.Count(err.Error(), "disk"))
}

func TestNewRouterRefuses(t *testing.T) {
	l := newLibrary()
	_, err := NewRouter(nil, l.get, nil)
	require.ErrorContains(t, err, "NewRouter needs a function that names the store of a scope, and one that opens it")
	_, err = NewRouter(byLength(1), nil, nil)
	require.ErrorContains(t, err, "NewRouter needs")
	_, err = NewRouter(byLength(1), l.get, &RouterOptions{MaxOpen: -1})
	require.ErrorContains(t, err, "MaxOpen and OpenTimeout must be positive")
	_, err = NewRouter(byLength(1), l.get, &RouterOptions{OpenTimeout: -1})
	require.ErrorContains(t, err, "MaxOpen and OpenTimeout must be positive")
}

// A replicated store answers GetForOpening for itself.
type replicated struct{ *envelope.MemoryStore }

var errReplica = errors.New("the replica answered")

func (replicated) GetForOpening(context.Context, envelope.Scope, envelope.Purpose, envelope.KeyID) (envelope.Record, error) {
	return envelope.Record{}, errReplica
}

// What opens is read from the replica of the store that has it, and from the
// store itself where there is none.
func TestRouterReadsReplicas(t *testing.T) {
	r, err := NewRouter(func(s envelope.Scope) (string, error) { return s.Tenant, nil },
		func(_ context.Context, name string) (envelope.KeyStore, error) {
			if name == "near" {
				return replicated{envelope.NewMemoryStore()}, nil
			}
			return envelope.NewMemoryStore(), nil
		}, nil)
	require.NoError(t, err)
	for tenant, want := range map[string]error{"near": errReplica, "far": envelope.ErrKeyNotFound} {
		_, err := r.GetForOpening(t.Context(), envelope.Scope{Tenant: tenant}, envelope.PurposeData, envelope.KeyID{1})
		require.ErrorIs(t, err, want)
		_, err = r.Get(t.Context(), envelope.Scope{Tenant: tenant}, envelope.PurposeData, envelope.KeyID{1})
		require.ErrorIs(t, err, envelope.ErrKeyNotFound)
	}
}

// The name that a key ring sorts its keys by is that of the store that is called.
func TestRouterNamesTheStore(t *testing.T) {
	r := newRouter(t, func(s envelope.Scope) (string, error) {
		if s.Tenant == "nobody" {
			return "", nil
		}
		return s.Tenant + "/" + s.Class, nil
	}, newLibrary(), nil)
	name, err := r.Shard(envelope.Scope{Tenant: "acme"})
	require.NoError(t, err)
	require.Equal(t, "acme/"+envelope.DefaultClass, name)
	_, err = r.Shard(envelope.Scope{Tenant: "nobody"})
	require.ErrorContains(t, err, "names no store")
}

type panickyCloser struct{ *envelope.MemoryStore }

func (panickyCloser) Close() error { panic("a made-up password") }

// A store that panics when it is opened or closed is one that can't be.
func TestRouterWithPanics(t *testing.T) {
	r, err := NewRouter(func(s envelope.Scope) (string, error) { return s.Tenant, nil },
		func(_ context.Context, name string) (envelope.KeyStore, error) {
			if name == "bad" {
				panic("a made-up password")
			}
			return panickyCloser{envelope.NewMemoryStore()}, nil
		}, &RouterOptions{MaxOpen: 1})
	require.NoError(t, err)
	for range 2 {
		_, err = r.Active(t.Context(), envelope.Scope{Tenant: "bad"}, "data")
		require.ErrorContains(t, err, `opening the store "bad": it panicked with a string`)
		require.NotContains(t, err.Error(), "password")
	}
	for _, tenant := range []string{"one", "two"} {
		_, err = r.Active(t.Context(), envelope.Scope{Tenant: tenant}, "data")
		require.ErrorIs(t, err, envelope.ErrKeyNotFound)
	}
	require.ErrorContains(t, r.Close(), `closing the store "one": it panicked with a string`)
}
