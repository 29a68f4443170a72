package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A replica that hangs leaves the primary time enough to answer, and takes all of
// it from nobody.
func TestReplicaThatHangs(t *testing.T) {
	for name, c := range map[string]struct{ time, want time.Duration }{
		"much time":   {30 * time.Second, replicaPatience},
		"little time": {600 * time.Millisecond, 200 * time.Millisecond},
		"no deadline": {0, replicaPatience},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				primary := &fake{answer: works}
				s := fakeStore(t, Postgres, primary)
				hangs := &fake{dial: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
				s.replica = &replica{db: hangs.open(t)}
				ctx := t.Context()
				if c.time > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.time)
					defer cancel()
				}
				began := time.Now()
				_, err := s.GetForOpening(ctx, acme, "data", envelope.KeyID{})
				require.ErrorIs(t, err, envelope.ErrKeyNotFound, "the primary's answer")
				require.Equal(t, c.want, time.Since(began))
				require.Equal(t, 1, primary.asked("SELECT"))
			})
		})
	}
}

// A copy is a replica that can hang or fail, and counts who asks it.
type copyOf struct {
	hangs atomic.Bool
	fails atomic.Pointer[error]
	asked atomic.Int64
}

// beside returns a store that reads from it.
func (c *copyOf) beside(t *testing.T, rows ...[]driver.Value) *Store {
	t.Helper()
	s := fakeStore(t, Postgres, &fake{answer: works})
	f := &fake{
		dial: func(ctx context.Context) error {
			c.asked.Add(1)
			if c.hangs.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		},
		answer: func(string) (reply, error) {
			if err := c.fails.Load(); err != nil {
				return reply{}, *err
			}
			return reply{rows: rows}, nil
		},
	}
	s.replica = &replica{db: f.open(t)}
	s.replica.db.SetMaxIdleConns(-1) // each read dials
	return s
}

// A replica that gave no answer is passed over, and costs no read its patience
// meanwhile. Then one read asks it.
func TestReplicaThatIsAwayIsPassedOver(t *testing.T) {
	refused := error(stateError("57P03"))
	for name, c := range map[string]struct {
		goAway func(c *copyOf, away bool)
		costs  time.Duration
	}{
		"hangs": {func(c *copyOf, away bool) { c.hangs.Store(away) }, replicaPatience},
		"fails": {func(c *copyOf, away bool) {
			if c.fails.Store(nil); away {
				c.fails.Store(&refused)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				r := &copyOf{}
				s := r.beside(t)
				read := func() time.Duration {
					began := time.Now()
					_, err := s.GetForOpening(t.Context(), acme, "data", envelope.KeyID{})
					if !errors.Is(err, envelope.ErrKeyNotFound) {
						t.Error(err)
					}
					return time.Since(began)
				}
				for range 3 {
					read()
				}
				require.Equal(t, int64(3), r.asked.Swap(0), "the control: while it answers it is asked each time")

				c.goAway(r, true)
				require.Equal(t, c.costs, read())
				for range 3 { // of its rests
					for range 49 {
						time.Sleep(replicaRest / 50)
						require.Zero(t, read())
					}
					require.Equal(t, int64(1), r.asked.Swap(0))
					time.Sleep(replicaRest / 50)
					var longest atomic.Int64
					var all sync.WaitGroup
					for range 20 {
						all.Go(func() {
							if took := read(); took > 0 {
								longest.Add(int64(took))
							}
						})
					}
					all.Wait()
					require.Equal(t, int64(c.costs), longest.Load(), "one of them waits, and no more")
				}
				c.goAway(r, false)
				r.asked.Store(0)
				time.Sleep(replicaRest)
				for range 3 {
					require.Zero(t, read())
				}
				require.Equal(t, int64(3), r.asked.Load(), "it is back")
			})
		})
	}
}

// What isn't the replica's fault doesn't have it passed over.
func TestReplicaThatAnswersIsNotPassedOver(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := &copyOf{}
		damaged := make([]driver.Value, 15)
		for i := range damaged {
			damaged[i] = int64(0)
		}
		s := r.beside(t, damaged)
		for range 3 {
			_, err := s.GetForOpening(t.Context(), acme, "data", envelope.KeyID{})
			require.ErrorIs(t, err, envelope.ErrKeyNotFound, "the primary's answer")
		}
		require.Equal(t, int64(3), r.asked.Swap(0), "a damaged row is one row")

		r.hangs.Store(true)
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(replicaPatience/10, cancel)
			_, err := s.GetForOpening(ctx, acme, "data", envelope.KeyID{})
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Equal(t, int64(3), r.asked.Swap(0), "a caller that leaves tells nothing of it")

		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), replicaPatience)
			_, err := s.GetForOpening(ctx, acme, "data", envelope.KeyID{})
			cancel()
			require.ErrorIs(t, err, envelope.ErrKeyNotFound, "the primary's answer")
		}
		require.Equal(t, int64(3), r.asked.Load(), "nor does one that gives it little time")
	})
}

func TestExamineReplica(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := &copyOf{}
		s := r.beside(t)
		examined := func() kmsprovider.Finding { return about(t, s.Examine(t.Context()), "replica") }
		f := examined()
		require.Equal(t, kmsprovider.StatusOK, f.Status)
		require.Equal(t, "it answered within 0s", f.Found)

		r.hangs.Store(true)
		_, _ = s.GetForOpening(t.Context(), acme, "data", envelope.KeyID{})
		at := time.Now().Format(time.RFC3339)
		f = examined()
		require.Equal(t, kmsprovider.StatusWarning, f.Status)
		require.Contains(t, f.Found, "the primary is asked for all keys, since the replica gave no answer within 1s: sqlstore: asking the replica for a key of ")
		require.Equal(t, "mend the replica, or take it out of Options.Replica", f.Mend)

		r.hangs.Store(false)
		f = examined()
		require.Equal(t, kmsprovider.StatusOK, f.Status)
		require.Contains(t, f.Found, "it answered within 0s; it was last passed over at "+at+": sqlstore: GetForOpening of key ")
	})
}
