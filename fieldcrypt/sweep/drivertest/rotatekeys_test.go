package drivertest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

var (
	acme = fieldcrypt.Scope{Tenant: "acme"}
	ada  = envelope.Reason{By: "ada@example.com"}
)

func (s *service) active() envelope.KeyID {
	s.Helper()
	id, err := s.crypt.KeyRing().ActiveKey(context.Background(), acme)
	require.NoError(s, err)
	return id
}

// process is another process of the service.
func (s *service) process(poll time.Duration) *fieldcrypt.Crypt {
	s.Helper()
	keys, err := sqlstore.Open(s.Context(), s.db, sqlstore.Dialect(s.Dialect), nil)
	require.NoError(s, err)
	crypt, err := fieldcrypt.New(s.kms, fieldcrypt.RootKeys{Seal: s.kms.RootKey()}, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys, StorePoll: poll}})
	require.NoError(s, err)
	s.Cleanup(func() { _ = crypt.Close() })
	return crypt
}

// The last count comes when other processes have noticed the new key, however
// seldom they ask the key store.
func TestRotateKeysWaitsForStorePoll(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := sqlite(t).service(t)
		s.fill(1, 30)
		const poll = 2 * time.Minute
		ours, other := s.process(poll), s.process(poll)
		contacts, err := fieldcrypt.For[Contact](ours)
		require.NoError(t, err)
		others, err := fieldcrypt.For[Contact](other)
		require.NoError(t, err)
		old, err := other.KeyRing().ActiveKey(t.Context(), acme)
		require.NoError(t, err)
		late := made(300)
		require.Equal(t, "acme", late.Tenant)
		go func() {
			time.Sleep(poll - 20*time.Second) // the first sweep is long over, and the process hasn't asked yet
			if err := others.Encrypt(t.Context(), &late); err != nil {
				t.Error(err)
			}
			s.exec("INSERT INTO contacts (id, tenant, email) VALUES (?, ?, ?)", late.ID, late.Tenant, late.Email)
		}()
		began := time.Now()
		report, err := s.sweeper(nil).RotateKeys(t.Context(), acme, ada, nil, sweep.Table{Name: "contacts", Rows: contacts.Rows()})
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(began), 2*poll+time.Second)
		require.True(t, report.Proved())
		require.Len(t, report.Sweeps, 2, "the late value was found by the count, and moved")
		require.Equal(t, []sweep.OldKey{{Key: old}}, report.Old)
		require.NotContains(t, s.keys(), old)
		synctest.Wait()
	})
}

// A key that becomes active while tables are swept is no old one, and ends no
// proof.
func TestRotateKeysWhileKeysAreReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		at     string // the step before which the key is replaced
		most   int32  // how often
		sweeps int
	}{
		"in each pass":        {"finish", 1000, 1},
		"several in one pass": {"seal", 4, 2}, // those in between are seen by nobody, so their values are moved
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, d database) {
				s := d.service(t)
				s.fill(1, 300)
				old := s.active()
				var replaced atomic.Int32
				ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
					if name == test.at && replaced.Add(1) <= test.most {
						if _, err := s.crypt.Rotate(t.Context(), acme); err != nil {
							t.Error(err)
						}
					}
				}})
				opts := &sweep.KeyRotation{JobOptions: sweep.JobOptions{Workers: 1}, Settle: time.Millisecond, Passes: 3}
				report, err := s.sweeper(&sweep.Options{MaxBatch: 20}).RotateKeys(ctx, acme, ada, opts, s.table())
				require.NoError(t, err)
				require.True(t, report.Proved())
				require.Positive(t, replaced.Load())
				require.Equal(t, s.active(), report.Key)
				require.NotEmpty(t, report.Newer)
				require.NotContains(t, report.Newer, report.Key)
				require.Len(t, report.Sweeps, test.sweeps)
				require.Contains(t, report.Old, sweep.OldKey{Key: old})
				for _, k := range report.Old {
					require.NotEqual(t, report.Key, k.Key)
					require.NotContains(t, report.Newer, k.Key)
				}
				require.NotContains(t, s.keys(), old)
				s.whole(300)
			})
		})
	}
}

// A call that can't go on makes no key, however often it is repeated.
func TestRotateKeysLooksFirst(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 100)
		old := s.active()
		opts := &sweep.KeyRotation{Settle: time.Millisecond}
		_, err := s.sweeper(&sweep.Options{NoMigrate: true}).RotateKeys(t.Context(), acme, ada, opts, s.table())
		require.ErrorIs(t, err, sweep.ErrNoTables)
		require.Equal(t, old, s.active())

		ctx, cancel := context.WithCancel(t.Context())
		_, err = s.sweeper(nil).Run(hooks.With(ctx, hooks.Hooks{Step: func(name string) {
			if name == "read" {
				cancel()
			}
		}}), s.table(), sweep.Verify, nil)
		require.ErrorIs(t, err, context.Canceled)
		for range 3 {
			_, err = s.sweeper(nil).RotateKeys(t.Context(), acme, ada, opts, s.table())
			require.ErrorIs(t, err, sweep.ErrOtherJob)
			require.ErrorContains(t, err, `table contacts: another sweep of the table isn't done: a job that does "verify"`)
		}
		require.Equal(t, old, s.active())
		require.NoError(t, s.sweeper(nil).Abandon(t.Context(), s.table()))
		report, err := s.sweeper(nil).RotateKeys(t.Context(), acme, ada, opts, s.table())
		require.NoError(t, err)
		require.True(t, report.Proved())
	})
}

// A call that ends while it waits is followed by one that makes another key, and
// proves that nothing is under the one before it either.
func TestRotateKeysEndedWhileItWaits(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 100)
		old := s.active()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		first, err := s.sweeper(nil).RotateKeys(ctx, acme, ada, &sweep.KeyRotation{Settle: time.Hour}, s.table())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, first.Sweeps, 1)
		report, err := s.sweeper(nil).RotateKeys(t.Context(), acme, ada, &sweep.KeyRotation{Settle: time.Millisecond}, s.table())
		require.NoError(t, err)
		require.False(t, report.Resumed)
		require.NotEqual(t, first.Key, report.Key)
		require.True(t, report.Proved())
		require.NotContains(t, s.keys(), old)
		require.NotContains(t, s.keys(), first.Key)
	})
}

// A document that can't be read may hold values of any class that its column has:
// no rotation of one of them is proved.
func TestRotateKeysUnreadableDocument(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		schema := &fieldcrypt.Schema{Version: 1, Modules: []fieldcrypt.Module{{Name: "Papers", ID: []string{"id"}, Tenant: "tenant", Fields: []fieldcrypt.SchemaField{
			{Name: "city", Type: "string", Path: "details.city"},
			{Name: "iban", Type: "string", Path: "details.iban", Class: "payment"},
		}}}}
		papers, err := fieldcrypt.ForMaps(s.crypt, schema, "Papers")
		require.NoError(t, err)
		s.exec("CREATE TABLE papers (id BIGINT PRIMARY KEY, tenant VARCHAR(100) NOT NULL, details TEXT)")
		for id := range 5 {
			s.exec("INSERT INTO papers VALUES (?, 'acme', ?)", id+1, fmt.Sprintf(`{"city":"city %d","iban":"iban %d"}`, id, id))
		}
		table := sweep.Table{Name: "papers", Rows: papers.Rows()}
		_, err = s.sweeper(nil).Run(t.Context(), table, sweep.Encrypt, nil)
		require.NoError(t, err)
		opts := &sweep.KeyRotation{Settle: time.Millisecond}
		rotate := func(class string) (*sweep.RotateReport, error) {
			return s.sweeper(nil).RotateKeys(t.Context(), fieldcrypt.Scope{Tenant: "acme", Class: class}, ada, opts, table)
		}
		for _, class := range []string{"default", "payment"} {
			report, err := rotate(class)
			require.NoError(t, err)
			require.True(t, report.Proved())
		}
		s.exec("UPDATE papers SET details = '{' WHERE id = 3")
		for _, class := range []string{"default", "payment"} {
			report, err := rotate(class)
			require.ErrorIs(t, err, sweep.ErrStillUsed, class)
			require.False(t, report.Proved(), class)
			require.Contains(t, report.Unproved, "table papers has 0 values in plaintext and 1 that can't be read", class)
		}
	})
}
