package drivertest

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// The replica is a database of its own, which a test fills as late as it likes.
func TestReplica(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		ctx := t.Context()
		behind := another(t, d)
		lagging := behind.store(t)
		replica, spy := behind.spied(t)
		opts := d.opts
		opts.Replica = replica
		s, err := sqlstore.Open(ctx, d.pool(t), d.dialect, &opts)
		require.NoError(t, err)

		rec := made("acme", 1)
		require.NoError(t, s.Activate(ctx, rec, envelope.KeyID{}))
		get := func() (envelope.Record, error) { return s.GetForOpening(ctx, rec.Scope, rec.Purpose, rec.KeyID) }
		reads := func() int {
			return len(spy.during(func() {
				_, err := get()
				require.NoError(t, err)
			}))
		}
		require.Equal(t, 1, reads(), "the replica is asked first; what it lacks is asked of the primary")

		// It has caught up: its record is the answer.
		there := rec
		there.RootKey = "example-kms://as-on-the-replica"
		require.NoError(t, lagging.Activate(ctx, there, envelope.KeyID{}))
		got, err := get()
		require.NoError(t, err)
		require.Equal(t, there.RootKey, got.RootKey)

		// What it says may not open is asked of the primary.
		suspended := there
		suspended.State = envelope.StateSuspended
		there.State = envelope.StateActive
		require.NoError(t, lagging.Update(ctx, there, suspended))
		got, err = get()
		require.NoError(t, err)
		require.Equal(t, envelope.StateActive, got.State)
		require.Equal(t, rec.RootKey, got.RootKey)

		// Whoever seals, or destroys, asks the primary alone.
		require.Empty(t, spy.during(func() {
			got, err = s.Get(ctx, rec.Scope, rec.Purpose, rec.KeyID)
			require.NoError(t, err)
			require.Equal(t, rec.RootKey, got.RootKey)
			_, err = s.Active(ctx, rec.Scope, rec.Purpose)
			require.NoError(t, err)
			_, err = s.States(ctx, []envelope.KeyName{rec.Name()})
			require.NoError(t, err)
			_, err = s.Page(ctx, envelope.Filter{}, envelope.KeyName{}, 10)
			require.NoError(t, err)
			_, _, err = s.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 1)
			require.NoError(t, err)
		}))

		// A replica that is gone costs no read.
		require.NoError(t, replica.Close())
		_, err = get()
		require.NoError(t, err)
		missing := made("acme", 2)
		_, err = s.GetForOpening(ctx, missing.Scope, missing.Purpose, missing.KeyID)
		require.ErrorIs(t, err, envelope.ErrKeyNotFound)
	})
}

// A key that is being moved is read from the primary: else a call says that a
// destruction is cancelled because the replica hasn't heard of it yet.
func TestMovesAskThePrimary(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		ctx := t.Context()
		behind := another(t, d)
		lagging := behind.store(t)
		opts := d.opts
		opts.Replica = behind.pool(t)
		s, err := sqlstore.Open(ctx, d.pool(t), d.dialect, &opts)
		require.NoError(t, err)
		kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = kms.Close() })
		ring, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: kms.RootKey()}, &envelope.Options{Store: s})
		require.NoError(t, err)
		t.Cleanup(func() { _ = ring.Close() })

		rec := made("acme", 1)
		require.NoError(t, s.Insert(ctx, rec))
		require.NoError(t, lagging.Insert(ctx, rec))
		who := envelope.Reason{By: "ops@example.com"}
		require.NoError(t, ring.ScheduleDestroy(ctx, rec.Name(), envelope.LeastWait, who))
		require.NoError(t, ring.CancelDestroy(ctx, rec.Name(), who))
		states, err := s.States(ctx, []envelope.KeyName{rec.Name()})
		require.NoError(t, err)
		require.Equal(t, []envelope.State{envelope.StateRetired}, states)
	})
}

// another makes one more database of the same dialect.
func another(t *testing.T, d database) database {
	t.Helper()
	for _, make := range databases {
		if made := make(t); made.dialect == d.dialect {
			return made
		}
	}
	t.Fatal("there is no such dialect")
	return d
}

// Options that own the pools own the replica's too.
func TestCloseDB(t *testing.T) {
	d := sqliteFile(t)
	open := func() *sql.DB {
		db, err := sql.Open(d.driver, d.dsn)
		require.NoError(t, err)
		return db
	}
	db, replica := open(), open()
	s, err := sqlstore.Open(t.Context(), db, d.dialect, &sqlstore.Options{Replica: replica, CloseDB: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.ErrorContains(t, db.Ping(), "closed")
	require.ErrorContains(t, replica.Ping(), "closed")
}
