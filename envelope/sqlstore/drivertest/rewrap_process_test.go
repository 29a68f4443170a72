package drivertest

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

const nextRoot = "next"

// rewrapping returns a ring that has the old root key and the next one.
func rewrapping(kms *localkms.Provider, s *sqlstore.Store) (ring *envelope.KeyRing, to string, err error) {
	if to, err = kms.RootKeyNamed(nextRoot); err != nil {
		return nil, "", err
	}
	ring, err = envelope.NewKeyRing(kms, envelope.RootKeys{Seal: to, Open: []string{kms.RootKey()}}, &envelope.Options{Store: s})
	return ring, to, err
}

// rewrap rewraps all keys slowly, and counts aloud.
func (j *job) rewrap(ctx context.Context, s *sqlstore.Store) error {
	kms, err := localkms.OpenExisting(j.Keys)
	if err != nil {
		return err
	}
	ring, to, err := rewrapping(kms, s)
	if err != nil {
		return err
	}
	defer ring.Close()
	_, err = ring.Rewrap(ctx, envelope.Filter{}, to, &envelope.RewrapOptions{Progress: func(done, _ int) {
		fmt.Println(done)
		time.Sleep(2 * time.Millisecond)
	}})
	return err
}

// A rewrapping that is killed, and then cancelled, is finished by the next run:
// nothing is left under the old root key, and all opens without it.
func TestRewrapInterrupted(t *testing.T) {
	everywhereAlone(t, func(t *testing.T, d database) {
		const tenants, reach = 300, 90
		file := filepath.Join(t.TempDir(), "root.keys")
		kms, err := localkms.Open(file)
		require.NoError(t, err)
		defer kms.Close()
		_, err = kms.AddRootKey(t.Context(), nextRoot)
		require.NoError(t, err)
		s, old := d.store(t), kms.RootKey()
		before, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: old}, &envelope.Options{Store: s})
		require.NoError(t, err)
		at := func(i int) *envelope.Binding {
			return &envelope.Binding{Scope: envelope.Scope{Tenant: fmt.Sprint("tenant-", i)}, Field: envelope.MustField("Contacts", "email"), Record: "1"}
		}
		var sealed [tenants][]byte
		for i := range sealed {
			sealed[i], err = before.Seal(t.Context(), at(i), envelope.AppendString(nil, fmt.Sprint("value ", i)))
			require.NoError(t, err)
		}
		require.NoError(t, before.Close())
		ring, to, err := rewrapping(kms, s)
		require.NoError(t, err)
		defer ring.Close()
		under := func() (underOld, underNext int) {
			counts, err := envelope.Count(t.Context(), s, envelope.Filter{})
			require.NoError(t, err)
			require.Equal(t, tenants, counts.Keys)
			require.Equal(t, tenants, counts.RootKey[old]+counts.RootKey[to])
			return counts.RootKey[old], counts.RootKey[to]
		}

		p := d.start(t, job{Name: "rewrap", Keys: file})
		beginAll(t, []*process{p})
		for done := 0; done < reach; {
			done, err = strconv.Atoi(p.line(t))
			require.NoError(t, err)
		}
		require.NoError(t, p.Process.Kill())
		require.Error(t, p.Wait())
		left, killed := under()
		require.GreaterOrEqual(t, killed, reach)
		require.NotZero(t, left, "it ended before it was killed: the test shows nothing")

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		report, err := ring.Rewrap(ctx, envelope.Filter{}, to, &envelope.RewrapOptions{Progress: func(done, _ int) {
			if done == killed+reach/2 {
				cancel()
			}
		}})
		require.ErrorIs(t, err, context.Canceled)
		require.Nil(t, report.Left, "what is left is not known to a call that was cancelled")
		left, cancelled := under()
		require.Greater(t, cancelled, killed)
		require.NotZero(t, left, "it ended before it was cancelled: the test shows nothing")

		report, err = ring.Rewrap(t.Context(), envelope.Filter{}, to, nil)
		require.NoError(t, err)
		// What was under way when the call was cancelled may be stored a moment later.
		require.Equal(t, tenants, report.Rewrapped+report.Already)
		require.InDelta(t, cancelled, report.Already, 20, "what is done is not done again")
		require.LessOrEqual(t, report.Rewrapped, left)
		require.Empty(t, report.Failed)
		require.Empty(t, report.Left)
		require.NotNil(t, report.Left)
		left, all := under()
		require.Equal(t, []int{0, tenants}, []int{left, all})
		var rows int
		query := map[bool]string{true: "SELECT count(*) FROM " + keys + " WHERE root_key = $1", false: "SELECT count(*) FROM " + keys + " WHERE root_key = ?"}
		require.NoError(t, d.pool(t).QueryRow(query[d.dialect == sqlstore.Postgres], []byte(old)).Scan(&rows))
		require.Zero(t, rows)

		after, err := envelope.NewKeyRing(kms, envelope.RootKeys{Seal: to}, &envelope.Options{Store: s})
		require.NoError(t, err)
		defer after.Close()
		for i := range sealed {
			got, err := after.Open(t.Context(), at(i), sealed[i])
			require.NoError(t, err)
			require.Equal(t, envelope.AppendString(nil, fmt.Sprint("value ", i)), got)
		}
	})
}
