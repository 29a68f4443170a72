package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// crypt is what a service has, with the store under it.
func crypt(t testing.TB, store envelope.KeyStore) *fieldcrypt.Crypt {
	t.Helper()
	kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
	require.NoError(t, err)
	c, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}, &fieldcrypt.Options{Envelope: envelope.Options{Store: store}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()); require.NoError(t, kms.Close()) })
	return c
}

// aboutStore returns the one finding about a part of the key store.
func aboutStore(t testing.TB, r *fieldcrypt.DoctorReport, check string) kmsprovider.Finding {
	t.Helper()
	var found []kmsprovider.Finding
	for _, f := range r.Findings {
		if strings.HasPrefix(f.Subject, "key store ") && f.Check == check {
			found = append(found, f)
		}
	}
	require.Len(t, found, 1, "%s\n%s", check, r)
	return found[0]
}

func TestDoctorOfHealthyStore(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.store(t)
		c := crypt(t, s)
		report := c.Doctor(t.Context(), nil)
		require.NoError(t, report.Err())
		require.Contains(t, report.String(), "\n\nkey store "+s.String()+"\n")
		require.Equal(t, "they are of version 1, the one that this library makes", aboutStore(t, report, "tables").Found)
		require.Equal(t, "it was asked for the active data key of tenant \"fieldcrypt doctor\", class \"default\"", aboutStore(t, report, "read").Found)
		require.Equal(t, "a claim was made and released", aboutStore(t, report, "write").Found)
		clock := aboutStore(t, report, "clock")
		require.Equal(t, kmsprovider.StatusOK, clock.Status, clock.Found)
		if d.dialect == sqlstore.SQLite {
			require.Equal(t, "the database has this machine's", clock.Found)
			require.Equal(t, "there is no connection: the database is a file", aboutStore(t, report, "TLS").Found)
		} else {
			require.Contains(t, clock.Found, "the database")
			require.NotEmpty(t, aboutStore(t, report, "TLS").Found)
		}
		db := d.pool(t)
		for _, table := range []string{keys, claims} {
			require.Zero(t, count(t, db, table), "something was left in %s", table)
		}

		acme := &fieldcrypt.DoctorOptions{Scopes: []fieldcrypt.Scope{{Tenant: "acme"}}}
		for range 2 {
			require.NoError(t, c.Doctor(t.Context(), acme).Err())
			require.Equal(t, 1, count(t, db, keys), "the data key of the scope's first record")
			require.Zero(t, count(t, db, claims))
		}
	})
}

func count(t testing.TB, db *sql.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n))
	return n
}

func TestDoctorOfTables(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  string
		status kmsprovider.Status
		is     error
		says   string
		mend   string
	}{
		{"not there", "DROP TABLE " + keys + "; DROP TABLE " + claims + "; DROP TABLE " + versions, kmsprovider.StatusFailed, sqlstore.ErrNoTables, "run sqlstore.Migrate, or what sqlstore.DDL prints", ""},
		{"newer", "INSERT INTO " + versions + " (version, needs, finished) VALUES (2, 2, 1)", kmsprovider.StatusFailed, sqlstore.ErrNewerTables, "this one knows 1: use a newer fieldcrypt", ""},
		{"newer and allowed", "INSERT INTO " + versions + " (version, needs, finished) VALUES (2, 1, 1)", kmsprovider.StatusWarning, nil, "they are of version 2, which this library may use; it knows version 1", "use a newer fieldcrypt when it suits"},
		{"not finished", "UPDATE " + versions + " SET finished = 0", kmsprovider.StatusFailed, sqlstore.ErrHalfMigrated, "version 1 was begun and not finished: run sqlstore.Migrate, which goes on where it ended", ""},
		{"no claims", "DROP TABLE " + claims, kmsprovider.StatusFailed, sqlstore.ErrHalfMigrated, "fieldcrypt_keys_claims", ""},
		{"a missing column", "ALTER TABLE " + keys + " DROP COLUMN changed_why", kmsprovider.StatusFailed, sqlstore.ErrHalfMigrated, "a column is missing: ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, d database) {
				cr := crypt(t, d.store(t))
				require.NoError(t, cr.Doctor(t.Context(), nil).Err(), "the control")
				db := d.pool(t)
				for query := range strings.SplitSeq(c.spoil, "; ") {
					run(t, db, query)
				}
				report := cr.Doctor(t.Context(), nil)
				f := aboutStore(t, report, "tables")
				require.Equal(t, c.status, f.Status)
				require.Contains(t, f.Found, c.says)
				require.Contains(t, f.Mend, c.mend)
				if c.is == nil {
					require.NoError(t, report.Err())
				} else {
					require.ErrorIs(t, report.Err(), c.is)
				}
			})
		})
	}
}

func TestDoctorOfADatabaseThatIsGone(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db, err := sql.Open(d.driver, d.dsn)
		require.NoError(t, err)
		s, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		report := crypt(t, s).Doctor(t.Context(), nil)
		require.ErrorIs(t, report.Err(), sqlstore.ErrUnreachable)
		for _, check := range []string{"tables", "read"} {
			f := aboutStore(t, report, check)
			require.Equal(t, kmsprovider.StatusFailed, f.Status)
			require.Contains(t, f.Found, "the database can't be reached: sql: database is closed")
		}
	})
}

// A role that may read alone is found out by writing.
func TestDoctorOfAReadOnlyDatabase(t *testing.T) {
	d := sqliteFile(t)
	d.store(t)
	d.dsn += "&_pragma=query_only(1)"
	report := crypt(t, d.store(t)).Doctor(t.Context(), nil)
	require.ErrorIs(t, report.Err(), sqlstore.ErrReadOnly)
	require.Equal(t, kmsprovider.StatusOK, aboutStore(t, report, "read").Status)
	f := aboutStore(t, report, "write")
	require.Equal(t, kmsprovider.StatusFailed, f.Status)
	require.Contains(t, f.Found, "sqlstore: Claim of ")
	require.Contains(t, f.Found, ": the database is read-only: ")
}

// A pool whose only connection is held hangs nobody.
func TestDoctorOfAPoolThatIsHeld(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		db := d.pool(t)
		db.SetMaxOpenConns(2)
		s, err := sqlstore.Open(t.Context(), db, d.dialect, &d.opts)
		require.NoError(t, err)
		for range 2 {
			c, err := db.Conn(t.Context())
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, c.Close()) })
		}
		began := time.Now()
		report := crypt(t, s).Doctor(t.Context(), &fieldcrypt.DoctorOptions{Timeout: 100 * time.Millisecond})
		require.Less(t, time.Since(began), 10*time.Second)
		require.ErrorIs(t, report.Err(), envelope.ErrStoreUnavailable)
		f := aboutStore(t, report, "read")
		require.Contains(t, f.Found, "key store unavailable: no answer within 100ms: ")
		require.Contains(t, f.Found, "all 2 connections of the pool are in use")
		require.Equal(t, "if the store is for known tenants alone, name one in DoctorOptions.Scopes", f.Mend)
	})
}

func TestDoctorOfARouter(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		open := func(ctx context.Context, name string) (envelope.KeyStore, error) {
			opts := d.opts
			opts.Table = name
			return sqlstore.Open(ctx, d.pool(t), d.dialect, &opts)
		}
		route := func(s envelope.Scope) (string, error) {
			if s.Tenant != "acme" {
				return "", errors.New("it has no store")
			}
			return "eu_keys", nil
		}
		list := func(context.Context) ([]string, error) { return []string{"us_keys", "eu_keys"}, nil }
		router, err := sqlstore.NewRouter(route, open, &sqlstore.RouterOptions{Stores: list})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, router.Close()) })
		c := crypt(t, router)

		acme := &fieldcrypt.DoctorOptions{Scopes: []fieldcrypt.Scope{{Tenant: "acme"}}}
		report := c.Doctor(t.Context(), acme)
		require.NoError(t, report.Err())
		for _, store := range []string{"eu_keys", "us_keys"} {
			require.Equal(t, "they are of version 1, the one that this library makes", aboutStore(t, report, `store "`+store+`": tables`).Found)
		}

		run(t, d.pool(t), "DROP TABLE us_keys_claims")
		report = c.Doctor(t.Context(), acme)
		require.ErrorIs(t, report.Err(), sqlstore.ErrHalfMigrated)
		require.Equal(t, kmsprovider.StatusFailed, aboutStore(t, report, `store "us_keys": tables`).Status)
		require.Equal(t, kmsprovider.StatusOK, aboutStore(t, report, `store "eu_keys": tables`).Status)

		report = c.Doctor(t.Context(), nil)
		require.ErrorContains(t, report.Err(), "it has no store")
		require.Equal(t, "if the store is for known tenants alone, name one in DoctorOptions.Scopes", aboutStore(t, report, "read").Mend)

		closed, err := sqlstore.NewRouter(route, func(context.Context, string) (envelope.KeyStore, error) { return nil, errors.New("no such database") },
			&sqlstore.RouterOptions{Stores: list})
		require.NoError(t, err)
		report = crypt(t, closed).Doctor(t.Context(), acme)
		require.Contains(t, aboutStore(t, report, `store "eu_keys"`).Found, `sqlstore: opening the store "eu_keys": no such database`)

		unlisted, err := sqlstore.NewRouter(route, open, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, unlisted.Close()) })
		report = crypt(t, unlisted).Doctor(t.Context(), acme)
		require.Equal(t, "the router can't list them, so that only those of the named scopes are used; RouterOptions.Stores lists them", aboutStore(t, report, "stores").Found)

		broken, err := sqlstore.NewRouter(route, open, &sqlstore.RouterOptions{Stores: func(context.Context) ([]string, error) { return nil, errors.New("the list is gone") }})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, broken.Close()) })
		require.Contains(t, aboutStore(t, crypt(t, broken).Doctor(t.Context(), acme), "stores").Found, "sqlstore: listing the stores: the list is gone")
	})
}

// A replica is looked at too.
func TestDoctorOfAReplica(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		d.store(t)
		replica := d.pool(t)
		opts := d.opts
		opts.Replica = replica
		s, err := sqlstore.Open(t.Context(), d.pool(t), d.dialect, &opts)
		require.NoError(t, err)
		c := crypt(t, s)
		report := c.Doctor(t.Context(), nil)
		require.NoError(t, report.Err())
		require.NotEmpty(t, aboutStore(t, report, "TLS of the replica").Found)
		require.Contains(t, aboutStore(t, report, "replica").Found, "it answered within ")

		require.NoError(t, replica.Close())
		report = c.Doctor(t.Context(), nil)
		require.NoError(t, report.Err(), "a service can start without it")
		require.Equal(t, kmsprovider.StatusWarning, aboutStore(t, report, "replica").Status)
	})
}
