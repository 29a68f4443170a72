package envelope

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// scheduleOf returns the memory of the cipher's schedule, as
// primitives.Wipe finds it. The slice keeps the schedule alive and not the dataKey.
func scheduleOf(t *testing.T, c any) []byte {
	t.Helper()
	v := reflect.ValueOf(c)
	if v.Kind() == reflect.Struct {
		v = v.Field(0)
	}
	require.Equal(t, reflect.Pointer, v.Kind())
	return unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
}

func isZero(b []byte) bool { return !bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }) }

// collect runs the collector until done, or for a while.
func collect(done func() bool) bool {
	pause := time.Millisecond
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		runtime.GC()
		if done() {
			return true
		}
		time.Sleep(pause) // cleanups are run by a goroutine of their own, which a loaded machine may keep waiting
		pause = min(2*pause, 100*time.Millisecond)
	}
	return false
}

// TestSecretIsWiped: whoever makes a key of a secret has no secret afterwards.
func TestSecretIsWiped(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	_, err := newDataKey(secret, Scope{"acme", "default"})
	require.NoError(t, err)
	require.True(t, isZero(secret))
	short := []byte{7, 7}
	_, err = newDataKey(short, Scope{"acme", "default"})
	require.ErrorIs(t, err, ErrMalformed)
	require.True(t, isZero(short))
}

// emptyPools lets the scratches of sync.Pool go, which outlive one collection.
func emptyPools() { runtime.GC(); runtime.GC() }

func TestScheduleIsWipedAfterEviction(t *testing.T) {
	for name, drop := range map[string]func(r *KeyRing, scope Scope, id KeyID){
		"invalidated": func(r *KeyRing, scope Scope, id KeyID) { r.opening.Invalidate(id); r.sealing.Invalidate(scope) },
		"closed":      func(r *KeyRing, _ Scope, _ KeyID) { _ = r.Close() },
		"replaced": func(r *KeyRing, scope Scope, id KeyID) {
			_, _ = r.Rotate(t.Context(), scope)
			r.opening.Invalidate(id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			// A stopped timer stays among others that go on, with what its
			// function holds.
			for range 1000 {
				other := time.AfterFunc(time.Hour, func() {})
				t.Cleanup(func() { other.Stop() })
			}
			r := plainRing(t, &plainProvider{}, nil)
			_, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
			require.NoError(t, err)
			scope := place("acme").Scope.withDefault()
			held, ok := r.sealing.GetIfPresent(scope)
			require.True(t, ok)
			mem := scheduleOf(t, held.aead)

			emptyPools()
			require.False(t, isZero(mem), "wiped while it is in the cache")
			drop(r, scope, held.id)
			require.False(t, collectFor(20*time.Millisecond, func() bool { return isZero(mem) }), "wiped while a call holds the key")
			aad := held.prefix
			_, err = held.openFrame(nil, held.sealFrame(nil, AppendString(nil, "x"), aad), aad)
			require.NoError(t, err)
			runtime.KeepAlive(held) // the last use
			wiped := collect(func() bool {
				if name != "closed" { // Close empties the caches' buffers itself
					r.opening.CleanUp() // a cache's buffers may hold an entry until its next upkeep
					r.sealing.CleanUp()
				}
				return isZero(mem)
			})
			require.True(t, wiped, "not wiped after the last call that held the key")
		})
	}
}

func collectFor(d time.Duration, done func() bool) bool {
	for end := time.Now().Add(d); time.Now().Before(end); {
		runtime.GC()
		if done() {
			return true
		}
	}
	return false
}

// TestEvictionHammer seals and opens for many more tenants than the caches
// hold, while the collector runs: no key may be wiped under a call. Run it with
// -race.
func TestEvictionHammer(t *testing.T) {
	for name, store := range map[string]KeyStore{"inline": nil, "reference": NewMemoryStore()} {
		t.Run(name, func(t *testing.T) {
			r := testRing(t, &Options{Store: store, CacheSize: 3, MessageBudget: 1 << 20})
			const workers, rounds, tenants = 16, 150, 24
			stop := make(chan struct{})
			var collector, wg sync.WaitGroup
			collector.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						runtime.GC()
					}
				}
			})
			for w := range workers {
				wg.Go(func() {
					for i := range rounds {
						b := place(fmt.Sprintf("tenant-%d", (w*7+i*5)%tenants))
						want := AppendString(nil, fmt.Sprintf("value %d of %d", i, w))
						env, err := r.Seal(t.Context(), b, want)
						if err != nil {
							t.Error(err)
							return
						}
						got, err := r.Open(t.Context(), b, env)
						if err != nil || !bytes.Equal(got, want) {
							t.Errorf("worker %d, round %d: %q, %v", w, i, got, err)
							return
						}
						b.Scope.Tenant += "x"
						if _, err = r.Open(t.Context(), b, env); err == nil {
							t.Error("opened for another tenant")
						}
					}
				})
			}
			wg.Wait()
			close(stop)
			collector.Wait()
			r.opening.CleanUp()
			r.sealing.CleanUp()
			require.LessOrEqual(t, r.opening.EstimatedSize(), 3)
			require.LessOrEqual(t, r.sealing.EstimatedSize(), 3)
		})
	}
}

// A cache holds no more keys than it has places for, at no time between two
// calls.
func TestCachesKeepTheirSize(t *testing.T) {
	for _, size := range []int{1, 10, 100} {
		r, err := NewKeyRing(mirrorProvider{}, RootKeys{Seal: mirrorRoot}, &Options{CacheSize: size})
		require.NoError(t, err)
		most := 0
		for i := range 2000 {
			_, err := r.Seal(t.Context(), place(fmt.Sprint("tenant-", i)), AppendString(nil, "x"))
			require.NoError(t, err)
			most = max(most, r.opening.EstimatedSize(), r.sealing.EstimatedSize())
		}
		require.Equal(t, size, most)
		require.NoError(t, r.Close())
	}
}
