package drivertest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// behaves holds a database with settings of its own to the contract of a key
// store: to all of it under FULL=1, and else to what settings could spoil, which
// is a fraction of the time. Those are what goes in and comes out, for which a
// walk compares all methods with a store in memory, and the order of racing
// calls.
func behaves(t *testing.T, open func() *sqlstore.Store) {
	t.Helper()
	if scoreboard.Full() {
		conformsWith(t, open)
		return
	}
	newWalk(t, open()).steps(400)
	race(t, open)
}

func (d database) behaves(t *testing.T) {
	t.Helper()
	behaves(t, func() *sqlstore.Store { return d.store(t) })
}

const racers = 16

// race has callers on several stores do the same at the same time.
func race(t *testing.T, open func() *sqlstore.Store) {
	t.Helper()
	stores := []*sqlstore.Store{open(), open(), open(), open()}
	atOnce := func(call func(s *sqlstore.Store, i int) (bool, error)) (won int) {
		var n atomic.Int64
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() {
				switch ok, err := call(stores[i%len(stores)], i); {
				case ok && err == nil:
					n.Add(1)
				case err != nil && !errors.Is(err, envelope.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return int(n.Load())
	}
	ctx, scope := t.Context(), made("race", 0).Scope
	require.Equal(t, 1, atOnce(func(s *sqlstore.Store, i int) (bool, error) {
		return s.Claim(ctx, scope, envelope.PurposeData, fmt.Sprint("holder ", i), time.Hour)
	}), "holders of one claim")

	for round, previous := 0, (envelope.KeyID{}); round < 3; round++ {
		require.Equal(t, 1, atOnce(func(s *sqlstore.Store, i int) (bool, error) {
			err := s.Activate(ctx, made("race", 100*round+i), previous)
			return err == nil, err
		}), "keys that follow one key")
		active, err := stores[0].Active(ctx, scope, envelope.PurposeData)
		require.NoError(t, err)
		previous = active.KeyID

		var granted atomic.Uint64
		atOnce(func(s *sqlstore.Store, _ int) (bool, error) {
			n, _, err := s.Lease(ctx, scope, envelope.PurposeData, active.KeyID, 70)
			granted.Add(n)
			return true, err
		})
		require.Equal(t, active.Budget, granted.Load(), "messages granted of a budget")
	}

	old, err := stores[0].Active(ctx, scope, envelope.PurposeData)
	require.NoError(t, err)
	require.Equal(t, 1, atOnce(func(s *sqlstore.Store, i int) (bool, error) {
		rec := old
		rec.State, rec.RootKey = envelope.StateRetired, fmt.Sprint("example-kms://eu/root-", i+2)
		err := s.Update(ctx, old, rec)
		return err == nil, err
	}), "changes of one record")
}
