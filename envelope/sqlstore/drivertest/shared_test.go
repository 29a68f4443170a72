package drivertest

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// A sharedPurpose is one whose keys all processes have in common.
type sharedPurpose struct {
	purpose envelope.Purpose
	write   func(ctx context.Context, r *envelope.KeyRing, tenant string) (string, error)
	search  func(ctx context.Context, r *envelope.KeyRing, tenant string) ([]string, error)
}

var sharedEmail = envelope.MustField("Contacts", "email")

func sharedPurposes(t *testing.T) []sharedPurpose {
	t.Helper()
	ix, err := envelope.NewIndex(envelope.IndexSpec{Field: sharedEmail, Name: "email.v1", Version: 1, Bits: 128})
	require.NoError(t, err)
	value := []byte("ada@example.com")
	frame := envelope.AppendString(nil, string(value))
	texts := func(found [][]byte, err error) (all []string, _ error) {
		for _, b := range found {
			all = append(all, string(b))
		}
		return all, err
	}
	return []sharedPurpose{
		{
			envelope.PurposeIndex,
			func(ctx context.Context, r *envelope.KeyRing, tenant string) (string, error) {
				tag, err := r.AppendTag(ctx, nil, ix, envelope.Scope{Tenant: tenant}, "", value)
				return string(tag), err
			},
			func(ctx context.Context, r *envelope.KeyRing, tenant string) ([]string, error) {
				return texts(r.QueryTags(ctx, ix, envelope.Scope{Tenant: tenant}, value))
			},
		},
		{
			envelope.PurposeDeterministic,
			func(ctx context.Context, r *envelope.KeyRing, tenant string) (string, error) {
				env, err := r.SealDeterministic(ctx, sharedColumn(tenant), frame)
				return string(env), err
			},
			func(ctx context.Context, r *envelope.KeyRing, tenant string) ([]string, error) {
				return texts(r.QueryDeterministic(ctx, sharedColumn(tenant), frame))
			},
		},
	}
}

func sharedColumn(tenant string) *envelope.Binding {
	return &envelope.Binding{Scope: envelope.Scope{Tenant: tenant}, Field: sharedEmail, Unbound: true}
}

// sharedPoll is StorePoll: long enough that a busy machine polls in time, since
// what is tested is that nothing is missed.
const sharedPoll = 2 * time.Second

// eventually allows for a busy machine; nothing here measures time.
const eventually = time.Minute

// sharers are two processes with stores of their own on one storage.
type sharers struct {
	*testing.T
	sharedPurpose
	store  envelope.KeyStore
	rings  []*envelope.KeyRing
	tenant string
}

// share runs the life of shared keys on stores that open opens, and the control on
// two that have nothing in common.
func share(t *testing.T, open, elsewhere func() envelope.KeyStore) {
	t.Helper()
	kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
	require.NoError(t, err)
	t.Cleanup(func() { kms.Close() })
	ring := func(store envelope.KeyStore) *envelope.KeyRing {
		r, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: kms.RootKey()}, &envelope.Options{Store: store, StorePoll: sharedPoll, CacheTTL: sharedPoll})
		require.NoError(t, err)
		t.Cleanup(func() { r.Close() })
		return r
	}
	for _, u := range sharedPurposes(t) {
		t.Run(string(u.purpose), func(t *testing.T) {
			t.Parallel()
			s := &sharers{t, u, open(), nil, "acme"}
			s.rings = []*envelope.KeyRing{ring(s.store), ring(open())}
			stranger, err := u.write(t.Context(), ring(elsewhere()), s.tenant)
			require.NoError(t, err)
			s.live(stranger)
		})
	}
}

func (s *sharers) searched(r *envelope.KeyRing) []string {
	s.Helper()
	found, err := s.search(s.Context(), r, s.tenant)
	require.NoError(s, err)
	return found
}

func (s *sharers) made() (n uint64) {
	for _, r := range s.rings {
		n += r.Stats().GenerateDataKey
	}
	return n
}

// settle writes with both rings until all that they write is one value other than
// those before, and sees that each finds at once what the other has written.
// Writes may be refused with the error given.
func (s *sharers) settle(refusal error, before ...string) string {
	s.Helper()
	for end := time.Now().Add(eventually); time.Now().Before(end); time.Sleep(sharedPoll / 20) {
		var values []string
		for _, r := range s.rings {
			value, err := s.write(s.Context(), r, s.tenant)
			if err != nil && refusal != nil {
				require.ErrorIs(s, err, refusal)
				continue
			}
			require.NoError(s, err)
			values = append(values, value)
			if slices.Contains(before, value) && refusal != nil {
				continue // of a process that hasn't heard of the suspension yet
			}
			for i, other := range s.rings {
				require.Contains(s, s.searched(other), value, "ring %d misses it", i)
			}
		}
		if len(values) == len(s.rings) && values[0] == values[1] && !slices.Contains(before, values[0]) {
			return values[0]
		}
	}
	require.Fail(s, "the processes never agreed on the next key")
	return ""
}

func (s *sharers) active() *envelope.Record {
	s.Helper()
	rec, err := s.store.Active(s.Context(), envelope.Scope{Tenant: s.tenant}, s.purpose)
	require.NoError(s, err)
	return &rec
}

func (s *sharers) live(stranger string) {
	ctx, a, b := s.Context(), s.rings[0], s.rings[1]
	who := envelope.Reason{By: "ops@example.com"}

	// One key, whoever is first.
	values := make([]string, 16)
	var wg sync.WaitGroup
	for i := range values {
		wg.Go(func() {
			var err error
			if values[i], err = s.write(ctx, s.rings[i%2], s.tenant); err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
	first := values[0]
	require.Len(s, slices.Compact(values), 1)
	require.Equal(s, uint64(1), s.made(), "calls of GenerateDataKey")
	require.NotEqual(s, stranger, first, "the control: a process on another storage")
	for _, r := range s.rings {
		require.Equal(s, []string{first}, s.searched(r))
	}
	old := s.active()

	// A cut-over in one is searched by the other before it is written.
	_, err := a.CutOver(ctx, old.Scope, s.purpose)
	require.NoError(s, err)
	second := s.settle(nil, first)
	require.Equal(s, uint64(2), s.made())
	for _, r := range s.rings {
		require.Equal(s, []string{second, first}, s.searched(r), "the active key's first")
	}

	// Suspended by one, and resumed, it is so for both.
	require.NoError(s, b.Suspend(ctx, old.Name(), who))
	s.bothSearch(b, a, second)
	require.NoError(s, a.Resume(ctx, old.Name(), who))
	s.bothSearch(a, b, second, first)

	// Neither destroys what is active, or before its time.
	word := envelope.Destruction{Reason: who, Word: "destroy " + old.KeyID.String(), LoseReferencedData: true}
	for _, r := range s.rings {
		require.ErrorIs(s, r.ScheduleDestroy(ctx, s.active().Name(), envelope.LeastWait, who), envelope.ErrState)
		require.ErrorIs(s, r.Destroy(ctx, old.Name(), word), envelope.ErrState)
	}
	require.NoError(s, a.ScheduleDestroy(ctx, old.Name(), envelope.LeastWait, who))
	s.bothSearch(a, b, second)
	for _, r := range s.rings {
		err := r.Destroy(ctx, old.Name(), word)
		require.ErrorIs(s, err, envelope.ErrState)
		require.ErrorContains(s, err, "it is scheduled for")
	}
	s.age(old.Name())
	require.NoError(s, b.Destroy(ctx, old.Name(), word))
	s.bothSearch(b, a, second)
	if s.purpose == envelope.PurposeDeterministic {
		for _, r := range s.rings {
			_, err := r.OpenDeterministic(ctx, sharedColumn(s.tenant), []byte(first))
			require.ErrorIs(s, err, envelope.ErrKeyDestroyed)
		}
	}

	// Without a cut-over before, a suspension stops the writing until both know
	// the next key.
	require.NoError(s, a.Suspend(ctx, s.active().Name(), who))
	_, err = s.write(ctx, a, s.tenant)
	require.ErrorIs(s, err, envelope.ErrState)
	third := s.settle(envelope.ErrState, first, second)
	s.bothSearch(a, b, third)
	require.Equal(s, uint64(3), s.made())
}

// bothSearch waits until both rings search for these values; the first one has to
// at once.
func (s *sharers) bothSearch(now, later *envelope.KeyRing, want ...string) {
	s.Helper()
	require.Equal(s, want, s.searched(now))
	require.Eventually(s, func() bool {
		found, err := s.search(s.Context(), later, s.tenant)
		return err == nil && slices.Equal(want, found)
	}, eventually, sharedPoll/20)
}

// age lets the wait of a scheduled key be over.
func (s *sharers) age(key envelope.KeyName) {
	s.Helper()
	rec, err := s.store.Get(s.Context(), key.Scope, key.Purpose, key.ID)
	require.NoError(s, err)
	ripe := rec
	ripe.DestroyAfter = time.Now().Add(-time.Second).Truncate(time.Second)
	require.NoError(s, s.store.Update(s.Context(), rec, ripe))
}

func TestSharedKeys(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		other := another(t, d)
		share(t, func() envelope.KeyStore { return d.store(t) }, func() envelope.KeyStore { return other.store(t) })
	})
}

// Through a router, each process with one of its own.
func TestSharedKeysThroughARouter(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		regions := map[string]database{"eu": d, "us": another(t, d)}
		routed := func(region string) func() envelope.KeyStore {
			return func() envelope.KeyStore {
				r, err := sqlstore.NewRouter(
					func(envelope.Scope) (string, error) { return region, nil },
					func(_ context.Context, name string) (envelope.KeyStore, error) { return regions[name].store(t), nil },
					&sqlstore.RouterOptions{Stores: func(context.Context) ([]string, error) { return []string{"eu", "us"}, nil }},
				)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, r.Close()) })
				return r
			}
		}
		share(t, routed("eu"), routed("us"))
	})
}
