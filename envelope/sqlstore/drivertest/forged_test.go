package drivertest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// Rows that were spoilt, moved or copied, as a ring meets them: nothing is sealed
// or opened with them, and the error names the key and says what to do.
func TestSpoiltRowsThroughARing(t *testing.T) {
	const advice = "; restore what was stored at this place, or find out who moved or changed it"
	copied := "INSERT INTO " + keys + " (tenant, class, purpose, key_id, root_key, wrapped, state, created, not_after, budget, taken, tag)" +
		" SELECT globex.tenant, globex.class, globex.purpose, acme.key_id, acme.root_key, acme.wrapped, 'retired', acme.created, acme.not_after, acme.budget, 0, acme.tag" +
		" FROM " + keys + " acme, " + keys + " globex WHERE acme.wrapped <> globex.wrapped AND acme.budget = 2000 AND globex.budget = 3000"
	for _, c := range []struct {
		name, spoil string
		open        error // acme's own envelope
		says        string
	}{
		{"truncated", "UPDATE " + keys + " SET wrapped = substr(wrapped, 1, 20) WHERE budget = 2000", envelope.ErrNotAuthentic, advice},
		{"emptied", "UPDATE " + keys + " SET wrapped = substr(wrapped, 1, 0) WHERE budget = 2000", envelope.ErrMalformed, "its wrapped key is 0 bytes, it must be 1 to 6144"},
		{"a copy under another tenant", copied, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, d database) {
				ctx, s := t.Context(), d.store(t)
				kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
				require.NoError(t, err)
				defer kms.Close()
				ring := func(budget uint64) *envelope.KeyRing {
					r, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: kms.RootKey()}, &envelope.Options{Store: s, MessageBudget: budget})
					require.NoError(t, err)
					t.Cleanup(func() { r.Close() })
					return r
				}
				at := func(tenant string) *envelope.Binding {
					return &envelope.Binding{Scope: envelope.Scope{Tenant: tenant, Class: "crm"}, Field: envelope.MustField("Contacts", "email"), Record: "1"}
				}
				frame := envelope.AppendString(nil, "ada@example.com")
				sealed, err := ring(2000).Seal(ctx, at("acme"), frame)
				require.NoError(t, err)
				_, err = ring(3000).Seal(ctx, at("globex"), frame)
				require.NoError(t, err)
				info, err := envelope.Inspect(sealed)
				require.NoError(t, err)

				run(t, d.pool(t), c.spoil)
				_, err = ring(2000).Open(ctx, at("acme"), sealed)
				require.ErrorIs(t, err, c.open)
				if err != nil {
					require.ErrorContains(t, err, "envelope: open Contacts.email (tenant \"acme\", class \"crm\", record \"1\") with key "+info.KeyID.String()+": ")
					require.ErrorContains(t, err, c.says)
					_, err = ring(2000).Seal(ctx, at("acme"), frame)
					require.ErrorIs(t, err, c.open, "sealed with a key that nobody can unwrap")
					require.ErrorContains(t, err, "envelope: seal Contacts.email (tenant \"acme\", ")
				}
				if c.spoil == copied {
					_, err = ring(2000).Open(ctx, at("globex"), sealed)
					require.ErrorIs(t, err, envelope.ErrNotAuthentic)
					require.ErrorContains(t, err, advice)
				}
				_, err = ring(3000).Seal(ctx, at("globex"), frame)
				require.NoError(t, err, "another tenant's key")
			})
		})
	}
}

// Another transaction holds the key's row. The store waits for as long as its
// caller does, and then says so. Nothing is taken, save in MariaDB, which goes on
// with a statement whose client is gone: there a lease may be wasted.
func TestLockedByAnother(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		ctx, s := t.Context(), d.store(t)
		rec := made("acme", 1)
		require.NoError(t, s.Activate(ctx, rec, envelope.KeyID{}))
		other, err := d.pool(t).BeginTx(ctx, nil)
		require.NoError(t, err)
		defer other.Rollback()
		_, err = other.Exec("UPDATE " + keys + " SET changed_why = NULL")
		require.NoError(t, err)

		began := time.Now()
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, _, err = s.Lease(short, rec.Scope, rec.Purpose, rec.KeyID, 10)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "sqlstore: Lease of key "+rec.KeyID.String())
		require.Greater(t, time.Since(began), 250*time.Millisecond)
		require.Less(t, time.Since(began), 10*time.Second)

		later := make(chan error, 1)
		go func() {
			_, _, err := s.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 10)
			later <- err
		}()
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, other.Rollback())
		require.NoError(t, <-later)
		_, left, err := s.Lease(ctx, rec.Scope, rec.Purpose, rec.KeyID, 0)
		require.NoError(t, err)
		if d.dialect == sqlstore.MariaDB && left == rec.Budget-20 {
			return
		}
		require.Equal(t, rec.Budget-10, left)
	})
}
