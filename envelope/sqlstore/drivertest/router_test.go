package drivertest

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// files is a folder of SQLite files, each with a share of the tenants.
type files struct {
	folder     string
	n          uint32
	open, most atomic.Int64
}

func (f *files) route(s envelope.Scope) (string, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.Tenant))
	return fmt.Sprintf("keys-%03d.db", h.Sum32()%f.n), nil
}

// counted is a store that counts how many are open.
type counted struct {
	*sqlstore.Store
	f *files
}

func (c counted) Close() error {
	defer c.f.open.Add(-1)
	return c.Store.Close()
}

func (f *files) openStore(ctx context.Context, name string) (envelope.KeyStore, error) {
	n := f.open.Add(1)
	for most := f.most.Load(); n > most && !f.most.CompareAndSwap(most, n); most = f.most.Load() {
	}
	dsn := "file:" + filepath.Join(f.folder, name) + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	s, err := sqlstore.Open(ctx, db, sqlstore.SQLite, &sqlstore.Options{CloseDB: true})
	if err != nil {
		f.open.Add(-1)
		return nil, err
	}
	return counted{s, f}, nil
}

func (f *files) list(context.Context) ([]string, error) {
	entries, err := os.ReadDir(f.folder)
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".db") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// TestTenantsOverManyFiles keeps 2,000 tenants, or 10,000 under FULL=1, in 100
// files, of which 8 are open at a time.
func TestTenantsOverManyFiles(t *testing.T) {
	const limit = 8
	tenants, inFiles := scoreboard.Count(2000, 10_000), 100
	if scoreboard.UnderRace() { // where SQLite, which is Go there, is slow
		tenants, inFiles = 300, 25
	}
	f := &files{folder: t.TempDir(), n: uint32(inFiles)}
	r, err := sqlstore.NewRouter(f.route, f.openStore, &sqlstore.RouterOptions{Stores: f.list, MaxOpen: limit})
	require.NoError(t, err)
	ctx := t.Context()

	// Workers take tenants file by file, as a service does whose tenants are
	// sharded; then a few come at random.
	shards := map[string][]string{}
	for i := range tenants {
		tenant := fmt.Sprintf("tenant-%05d", i)
		name, _ := f.route(envelope.Scope{Tenant: tenant})
		shards[name] = append(shards[name], tenant)
	}
	require.Len(t, shards, inFiles)
	work := make(chan []string)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for some := range work {
				for _, tenant := range some {
					rec := made(tenant, 1)
					if err := r.Activate(ctx, rec, envelope.KeyID{}); err != nil {
						t.Error(err)
					}
					if granted, _, err := r.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 10); err != nil || granted != 10 {
						t.Error(granted, err)
					}
				}
			}
		})
	}
	for _, some := range shards {
		work <- some
	}
	close(work)
	wg.Wait()

	for i := 0; i < tenants; i += 37 {
		rec := made(fmt.Sprintf("tenant-%05d", i), 1)
		got, err := r.Get(ctx, rec.Scope, rec.Purpose, rec.KeyID)
		require.NoError(t, err)
		require.Equal(t, rec.Wrapped, got.Wrapped)
	}
	n := 0
	for rec, err := range envelope.List(ctx, r, envelope.Filter{}) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("tenant-%05d", n), rec.Scope.Tenant, "in the order of their names, over all files")
		n++
	}
	require.Equal(t, tenants, n)
	require.LessOrEqual(t, f.most.Load(), int64(2*limit), "while some take the place of others")
	require.NoError(t, r.Close())
	require.Zero(t, f.open.Load())
}
