package drivertest

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// slowly is a key service that takes some time for each data key.
type slowly struct {
	kmsprovider.Provider
	answer time.Duration
}

func (p slowly) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	time.Sleep(p.answer)
	return p.Provider.Unwrap(ctx, rootKey, wrapped, ec)
}

// oneLock is what a store mustn't be: it holds a lock during calls.
type oneLock struct {
	envelope.KeyStore
	mu sync.Mutex
}

func (s *oneLock) Get(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID) (envelope.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.KeyStore.Get(ctx, scope, purpose, id)
}

// hundred is 100 tenants, each with a key store of its own in a SQLite file. The
// first has many data keys.
type hundred struct {
	kms    *localkms.Provider
	folder string
	answer time.Duration // of the key service
	envs   [100][][]byte // by tenant and class
	loaded int           // of the first tenant's data keys, in all rounds until now, while others were served
}

func (h *hundred) at(tenant, class int) *envelope.Binding {
	return &envelope.Binding{
		Scope: envelope.Scope{Tenant: fmt.Sprintf("tenant-%02d", tenant), Class: fmt.Sprintf("class-%02d", class)},
		Field: envelope.MustField("Contacts", "email"), Record: "42",
	}
}

func (h *hundred) db(name string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+filepath.Join(h.folder, name)+"?_pragma=synchronous(OFF)")
}

func (h *hundred) router(t testing.TB) *sqlstore.Router {
	t.Helper()
	r, err := sqlstore.NewRouter(
		func(s envelope.Scope) (string, error) { return s.Tenant + ".db", nil },
		func(ctx context.Context, name string) (envelope.KeyStore, error) {
			db, err := h.db(name)
			if err != nil {
				return nil, err
			}
			db.SetMaxOpenConns(4) // and keep them: else the hanging store's callers open one after the other
			db.SetMaxIdleConns(4)
			return sqlstore.Open(ctx, db, sqlstore.SQLite, &sqlstore.Options{CloseDB: true})
		}, &sqlstore.RouterOptions{MaxOpen: len(h.envs)})
	require.NoError(t, err)
	return r
}

func (h *hundred) ring(t testing.TB, p kmsprovider.Provider, s envelope.KeyStore) *envelope.KeyRing {
	t.Helper()
	ring, err := envelope.NewKeyRing(p, envelope.RootKeys{Seal: h.kms.RootKey()}, &envelope.Options{Store: s})
	require.NoError(t, err)
	return ring
}

func newHundred(t testing.TB) *hundred {
	t.Helper()
	h := &hundred{folder: t.TempDir()}
	var err error
	h.kms, err = localkms.Open(filepath.Join(h.folder, "root.keys"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = h.kms.Close() })
	r := h.router(t)
	ring := h.ring(t, h.kms, r)
	for tenant := range h.envs {
		for class := range map[bool]int{true: 40, false: 1}[tenant == 0] {
			env, err := ring.Seal(t.Context(), h.at(tenant, class), envelope.AppendString(nil, "ada@example.com"))
			require.NoError(t, err)
			h.envs[tenant] = append(h.envs[tenant], env)
		}
	}
	require.NoError(t, ring.Close())
	require.NoError(t, r.Close())
	return h
}

// hang has the first tenant's store answer no more until end is called: another
// program has locked its file.
func (h *hundred) hang(t testing.TB) (end func()) {
	t.Helper()
	db, err := h.db("tenant-00.db")
	require.NoError(t, err)
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = c.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	require.NoError(t, err)
	return sync.OnceFunc(func() {
		_, err := c.ExecContext(context.Background(), "ROLLBACK")
		if err != nil {
			t.Error(err)
		}
		_ = c.Close()
		_ = db.Close()
	})
}

// round starts a process that knows no data key yet. It opens all stores, then lets
// the first tenant load some data keys, and 16 callers one of each other tenant. It
// returns the p99 of the latter.
func (h *hundred) round(t testing.TB, hang func() (end func()), lock bool, bad int) time.Duration {
	t.Helper()
	r := h.router(t)
	var store envelope.KeyStore = r
	if lock {
		store = &oneLock{KeyStore: r}
	}
	for tenant := range h.envs {
		_, err := r.Active(t.Context(), h.at(tenant, 0).Scope, envelope.PurposeIndex)
		require.ErrorIs(t, err, envelope.ErrKeyNotFound)
	}
	ring := h.ring(t, slowly{h.kms, h.answer}, store)
	var first sync.WaitGroup
	var opened atomic.Int64 // of the first tenant's
	end := hang()
	for class := range bad {
		first.Go(func() {
			if _, err := ring.Open(t.Context(), h.at(0, class), h.envs[0][class]); err == nil {
				opened.Add(1)
			}
		})
	}
	time.Sleep(2 * time.Millisecond)
	p99 := scoreboard.P99(16, len(h.envs)-1, func(i int) {
		tenant := i + 1
		if _, err := ring.Open(t.Context(), h.at(tenant, 0), h.envs[tenant][0]); err != nil {
			t.Errorf("tenant %d: %v", tenant, err)
		}
	})
	h.loaded += int(opened.Load())
	end()
	require.NoError(t, ring.Close())
	first.Wait()
	require.NoError(t, r.Close())
	return p99
}

// TestScoreboardS28Store: one tenant's key store hangs, behind a router. It is real
// time; rounds with and without take turns, and the medians of their p99s are
// compared.
func TestScoreboardS28Store(t *testing.T) {
	h := newHundred(t)
	bad := len(h.envs[0])
	h.answer = 100 * time.Millisecond
	if scoreboard.UnderRace() { // where SQLite, which is Go there, is slow, and asking a locked file again costs much of the machine
		h.answer, bad = time.Second/2, 2
	}
	never := func() func() { return func() {} }
	hang := func() func() { return h.hang(t) }
	h.round(t, never, false, 1)
	var with, without []time.Duration
	for range scoreboard.Count(3, 51) {
		without = append(without, h.round(t, never, false, bad))
		loaded := h.loaded
		with = append(with, h.round(t, hang, false, bad))
		require.Equal(t, loaded, h.loaded, "the first tenant's store answered: the test shows nothing")
	}
	before, now := scoreboard.Median(without), scoreboard.Median(with)
	ratio := float64(now) / float64(before)
	control := float64(h.round(t, func() func() {
		end := h.hang(t)
		time.AfterFunc(time.Second, end)
		return end
	}, true, 1)) / float64(before)
	scoreboard.Row(t, "S28", ratio <= 1.2 && control > 1.2,
		fmt.Sprintf("a key store behind the router: p99 %.2fx (%v, without %v)", ratio, now.Round(100*time.Microsecond), before.Round(100*time.Microsecond)), "<= 1.2x",
		fmt.Sprintf("one lock for all calls, for a second: %.1fx", control))
}
