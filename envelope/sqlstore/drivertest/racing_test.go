package drivertest

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// unclaimedStore is a broken store: all may make the next key at once.
type unclaimedStore struct{ *sqlstore.Store }

func (unclaimedStore) Claim(context.Context, envelope.Scope, envelope.Purpose, string, time.Duration) (bool, error) {
	return true, nil
}

// lateProvider takes some time to make a key.
type lateProvider struct{ kmsprovider.Provider }

func (p lateProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	time.Sleep(rand.N(10 * time.Millisecond))
	return p.Provider.GenerateDataKey(ctx, rootKey, ec)
}

// TestScoreboardS10 is row S10 of package envelope on databases: four rings, each
// with a pool of its own, rotate a tenant's key at once.
func TestScoreboardS10(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		const rotators = 4
		kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
		require.NoError(t, err)
		defer kms.Close()
		stores := make([]*sqlstore.Store, rotators)
		for i := range stores {
			stores[i] = d.store(t)
		}
		races := func(name string, runs int, broken bool) (two, lost int) {
			for run := range runs {
				scope := envelope.Scope{Tenant: fmt.Sprint(name, run), Class: "crm"}
				var made atomic.Uint64
				var wg sync.WaitGroup
				for _, s := range stores {
					wg.Go(func() {
						var store envelope.KeyStore = s
						if broken {
							store = unclaimedStore{s}
						}
						ring, err := envelope.NewKeyRing(lateProvider{kms}, envelope.RootKeys{Seal: kms.RootKey()}, &envelope.Options{Store: store})
						if err != nil {
							t.Error(err)
							return
						}
						defer ring.Close()
						if _, err := ring.Rotate(t.Context(), scope); err != nil {
							t.Error(err)
						}
						made.Add(ring.Stats().GenerateDataKey)
					})
				}
				wg.Wait()
				records, active := uint64(0), 0
				for rec, err := range envelope.List(t.Context(), stores[0], envelope.Filter{Tenant: scope.Tenant}) {
					require.NoError(t, err)
					records++
					if rec.State == envelope.StateActive {
						active++
					}
				}
				if active != 1 {
					two++
				}
				if records != made.Load() {
					lost++
				}
			}
			return two, lost
		}
		runs, controls := scoreboard.Count(50, 1000), 20
		two, lost := races("tenant-", runs, false)
		_, control := races("control-", controls, true)
		scoreboard.Row(t, "S10", two+lost == 0 && control > 0,
			fmt.Sprintf("%s: %d runs with other than one active key, %d with keys made and lost, of %d", d.dialect, two, lost, runs), "0",
			fmt.Sprintf("claims that hold nobody off: keys lost in %d of %d", control, controls))
	})
}
