package envelope

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/primitives"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// TestTombstonesOfSharedKeys: in a store that is restored from before a key was
// destroyed, searches go on without it. Without a log it is back: the control.
func TestTombstonesOfSharedKeys(t *testing.T) {
	for _, log := range []TombstoneLog{newLog(t), nil} {
		for _, u := range users(t) {
			bubble.Test(t, func(t *testing.T) {
				p, store := &plainProvider{}, NewMemoryStore()
				r := plainRing(t, p, &Options{Store: store, Tombstones: log})
				old := u.write(t, r)
				rec, err := store.Active(t.Context(), acme, u.purpose)
				require.NoError(t, err)
				_, err = r.CutOver(t.Context(), acme, u.purpose)
				require.NoError(t, err)
				backup := snapshot(store)
				require.NoError(t, r.ScheduleDestroy(t.Context(), rec.Name(), LeastWait, ops))
				time.Sleep(LeastWait + time.Second)
				require.NoError(t, r.Destroy(t.Context(), rec.Name(), Destruction{Reason: ops, Word: "destroy " + rec.KeyID.String(), LoseReferencedData: true}))
				restored := plainRing(t, p, &Options{Store: backup, Tombstones: log})
				require.Equal(t, log == nil, slices.Contains(u.search(t, restored), old))
				require.NotEqual(t, old, u.write(t, restored))
				if u.purpose == PurposeDeterministic {
					_, err := restored.OpenDeterministic(t.Context(), column("acme"), []byte(old))
					require.Equal(t, log != nil, errors.Is(err, ErrKeyDestroyed), "%v", err)
				}
			})
		}
	}
}

// TestSharedKeysInOutages: keys in memory serve for the grace while the key
// service, or the key store, is away.
func TestSharedKeysInOutages(t *testing.T) {
	for _, away := range []string{"service", "store"} {
		for _, u := range users(t) {
			t.Run(away+" "+string(u.purpose), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					p, store := &awayProvider{plainProvider: &plainProvider{}}, &allAwayStore{MemoryStore: NewMemoryStore()}
					r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, &Options{Store: store})
					require.NoError(t, err)
					defer r.Close()
					value := u.write(t, r)
					require.Equal(t, []string{value}, u.search(t, r))
					(map[string]*atomic.Bool{"service": &p.away, "store": &store.away})[away].Store(true)
					for range 55 {
						time.Sleep(time.Minute)
						require.Equal(t, value, u.write(t, r))
						require.Equal(t, []string{value}, u.search(t, r))
					}
					time.Sleep(10 * time.Minute)
					_, err = r.AppendTag(t.Context(), nil, mustIndex(t, mailIndex), acme, "", nil)
					if u.purpose == PurposeDeterministic {
						_, err = r.SealDeterministic(t.Context(), column("acme"), AppendString(nil, "x"))
					}
					require.Error(t, err, "past the grace")
					p.away.Store(false)
					store.away.Store(false)
					require.Equal(t, value, u.write(t, r))
				})
			})
		}
	}
}

type awayProvider struct {
	*plainProvider
	away atomic.Bool
}

func (p *awayProvider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if p.away.Load() {
		return nil, kmsprovider.ErrUnavailable
	}
	return p.plainProvider.Unwrap(ctx, rootKey, wrapped, ec)
}

type allAwayStore struct {
	*MemoryStore
	away atomic.Bool
}

func (s *allAwayStore) Active(ctx context.Context, scope Scope, purpose Purpose) (Record, error) {
	if s.away.Load() {
		return Record{}, errors.New("away")
	}
	return s.MemoryStore.Active(ctx, scope, purpose)
}

func (s *allAwayStore) States(ctx context.Context, keys []KeyName) ([]State, error) {
	if s.away.Load() {
		return nil, errors.New("away")
	}
	return s.MemoryStore.States(ctx, keys)
}

func (s *allAwayStore) Page(ctx context.Context, f Filter, after KeyName, limit int) ([]Record, error) {
	if s.away.Load() {
		return nil, errors.New("away")
	}
	return s.MemoryStore.Page(ctx, f, after, limit)
}

// TestSharedKeysAreWiped looks at the memory of shared keys once they have left
// the caches and the calls.
func TestSharedKeysAreWiped(t *testing.T) {
	for _, drop := range []string{"evicted", "closed"} {
		for _, u := range users(t) {
			t.Run(drop+" "+string(u.purpose), func(t *testing.T) {
				r := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore()})
				u.write(t, r)
				u.search(t, r)
				set, ok := r.sets.GetIfPresent(setName{acme, u.purpose})
				require.True(t, ok)
				k := set.writer
				wiped := watchWiping(t, k)
				emptyPools()
				require.False(t, wiped(), "wiped while it is in the cache")
				if drop == "closed" {
					require.NoError(t, r.Close())
				} else {
					r.opening.Invalidate(k.id)
					r.sets.Invalidate(set.setName)
				}
				require.False(t, collectFor(20*time.Millisecond, wiped), "wiped while a call holds the key")
				runtime.KeepAlive(k)
				runtime.KeepAlive(set)
				require.True(t, collect(func() bool {
					if drop != "closed" {
						r.opening.CleanUp()
						r.sets.CleanUp()
					}
					return wiped()
				}), "not wiped after the last call that held the key")
			})
		}
	}
}

// watchWiping reports whether the memory of a shared key was overwritten. It keeps
// that memory alive, and not the dataKey.
func watchWiping(t *testing.T, k *dataKey) func() bool {
	t.Helper()
	if k.siv != nil {
		key := reflect.ValueOf(k.siv).Elem().FieldByName("key").Bytes()
		require.Len(t, key, primitives.SIVKeySize)
		return func() bool { return isZero(key) }
	}
	var memory [][]byte
	for _, v := range k.indexes.ready.Range {
		for i := range v.(*indexKey).idle {
			if h := v.(*indexKey).idle[i].Load(); h != nil {
				memory = append(memory, lastSum(reflect.ValueOf(h)))
			}
		}
	}
	require.NotEmpty(t, memory)
	return func() bool { return !slices.ContainsFunc(memory, func(b []byte) bool { return !isZero(b) }) }
}

// lastSum is the memory of the last result of an HMAC, which Wipe overwrites with
// all the rest: TestHMACKeepsNoKey looks at that.
func lastSum(h reflect.Value) []byte {
	f := h.Elem().FieldByName("out")
	return unsafe.Slice((*byte)(unsafe.Pointer(f.UnsafeAddr())), f.Len())
}

// TestManyIndexesAtOnce: more calls at once than HMACs are kept, and more indexes
// than keys are kept ready, give the same tags.
func TestManyIndexesAtOnce(t *testing.T) {
	r := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore()})
	tags := func() (all []string) {
		for i := range mostIndexes + 50 {
			spec := mailIndex
			spec.Version = uint32(i + 1)
			all = append(all, tagOf(t, r, mustIndex(t, spec), acme, "", "ada@example.com"))
		}
		return all
	}
	want := tags()
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			for i, tag := range tags() {
				if tag != want[i] {
					t.Errorf("index %d has another tag", i)
				}
			}
		})
	}
	wg.Wait()
	set, ok := r.sets.GetIfPresent(setName{acme, PurposeIndex})
	require.True(t, ok)
	require.LessOrEqual(t, set.writer.indexes.count.Load(), int64(mostIndexes+40))
}
