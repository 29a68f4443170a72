package envelope

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// hangingLog doesn't answer, and heeds no context, until it is let go.
type hangingLog struct {
	TombstoneLog
	mu    sync.Mutex
	until chan struct{} // nil: it answers
	reads atomic.Int64
}

func (l *hangingLog) Read(ctx context.Context, from int64) ([]Tombstone, int64, error) {
	l.reads.Add(1)
	l.mu.Lock()
	until := l.until
	l.mu.Unlock()
	if until != nil {
		<-until
	}
	return l.TombstoneLog.Read(context.WithoutCancel(ctx), from)
}

func (l *hangingLog) hang() (letGo func()) {
	until := make(chan struct{})
	set := func(c chan struct{}) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.until = c
	}
	set(until)
	return func() { set(nil); close(until) }
}

// TestSlowTombstoneLog: while the log doesn't answer, keys in memory open without
// delay, a key that is known to be destroyed is refused at once, and others are
// refused in time, as the log's failure.
func TestSlowTombstoneLog(t *testing.T) {
	file := newLog(t)
	bubble.Test(t, func(t *testing.T) {
		p, store := &plainProvider{}, NewMemoryStore()
		writer := plainRing(t, p, &Options{Store: store})
		envs, ids := map[string][]byte{}, map[string]KeyID{}
		for _, tenant := range []string{"acme", "globex", "initech", "dead"} {
			envs[tenant], ids[tenant] = sealFor(t, writer, place(tenant))
		}
		dead := nameOf(ids["dead"])
		dead.Scope.Tenant = "dead"
		require.NoError(t, file.Append(t.Context(), Tombstone{dead, ops.change()}))
		log := &hangingLog{TombstoneLog: file}
		r := plainRing(t, p, &Options{Store: store, Tombstones: log})
		open := func(tenant string) error { _, err := r.Open(t.Context(), place(tenant), envs[tenant]); return err }
		require.NoError(t, open("acme"))
		require.ErrorIs(t, open("dead"), ErrKeyDestroyed)
		require.EqualValues(t, 1, log.reads.Load(), "what was read within StorePoll serves")

		letGo := log.hang()
		time.Sleep(20 * time.Second) // the poll is reading the log by now
		begun := time.Now()
		require.NoError(t, open("acme"))
		require.ErrorIs(t, open("dead"), ErrKeyDestroyed)
		require.Zero(t, time.Since(begun), "they waited for the log")
		var wg sync.WaitGroup
		for _, tenant := range []string{"globex", "initech"} {
			wg.Go(func() {
				err := open(tenant)
				require.ErrorIs(t, err, ErrStoreUnavailable)
				require.NotErrorIs(t, err, kmsprovider.ErrUnavailable)
				require.ErrorContains(t, err, "tombstone log: waiting for it to be read")
			})
		}
		wg.Wait()
		require.LessOrEqual(t, time.Since(begun), r.opts.LoadTimeout)
		require.NoError(t, open("acme"))

		letGo()
		require.NoError(t, open("globex"))
		require.NoError(t, open("initech"))
	})
}

// TestTombstonesAreReadOnce: those who wait for the log share what one of them has
// read, where it is as new as they need it.
func TestTombstonesAreReadOnce(t *testing.T) {
	file := newLog(t)
	bubble.Test(t, func(t *testing.T) {
		log := &hangingLog{TombstoneLog: file}
		r := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore(), Tombstones: log})
		letGo := log.hang()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { require.NoError(t, r.buried(t.Context(), KeyID{byte(i)})) })
		}
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, log.reads.Load())

		// Who asks as of now isn't content with a read that has begun before.
		late := KeyID{99}
		name := nameOf(late)
		require.NoError(t, file.Append(t.Context(), Tombstone{name, ops.change()}))
		wg.Go(func() { require.ErrorIs(t, r.buriedAsOf(t.Context(), late, 0), ErrKeyDestroyed) })
		time.Sleep(time.Second)
		letGo()
		wg.Wait()
	})
}

// A read that panics or fails leaves the next one to somebody else.
func TestTombstonesAfterAFailure(t *testing.T) {
	dead := &panickyLog{}
	dead.panics.Store(true)
	r := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore(), Tombstones: dead})
	for range 2 {
		err := r.buried(t.Context(), KeyID{1})
		require.ErrorIs(t, err, ErrStoreUnavailable)
		require.ErrorContains(t, err, "the tombstone log panicked with a string")
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := r.ApplyTombstones(t.Context())
	require.ErrorIs(t, err, ErrStoreUnavailable)
	dead.panics.Store(false)
	require.NoError(t, r.buried(t.Context(), KeyID{1}))
}
