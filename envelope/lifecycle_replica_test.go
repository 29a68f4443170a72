package envelope

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A replicaStore is a store whose replica has a record as it was before.
type replicaStore struct {
	KeyStore
	replica KeyStore
	asked   atomic.Bool
}

func (s *replicaStore) GetForOpening(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (Record, error) {
	s.asked.Store(true)
	return s.replica.Get(ctx, scope, purpose, id)
}

// What lags behind serves to open only: a move that it calls done, and that
// isn't, would cost the key.
func TestMovesDontAskAReplica(t *testing.T) {
	store, p := NewMemoryStore(), &plainProvider{}
	r := plainRing(t, p, &Options{Store: store})
	env, id := sealFor(t, r, place("acme"))
	_, err := r.Rotate(t.Context(), place("acme").Scope)
	require.NoError(t, err)
	behind := &replicaStore{KeyStore: store, replica: snapshot(store)}

	operator := plainRing(t, p, &Options{Store: behind})
	_, err = operator.Open(t.Context(), place("acme"), env)
	require.NoError(t, err)
	require.True(t, behind.asked.Load())
	require.NoError(t, operator.ScheduleDestroy(t.Context(), nameOf(id), LeastWait, ops))
	require.NoError(t, operator.CancelDestroy(t.Context(), nameOf(id), ops))
	require.Equal(t, StateRetired, stateOf(t, operator, nameOf(id)))
}
