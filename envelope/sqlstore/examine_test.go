package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func about(t *testing.T, found []kmsprovider.Finding, check string) kmsprovider.Finding {
	t.Helper()
	for _, f := range found {
		if f.Check == check {
			return f
		}
	}
	require.Failf(t, "nothing about it", "%s: %v", check, found)
	return kmsprovider.Finding{}
}

// answers gives each query that contains a text its rows, or an error.
func answers(to map[string]any) func(query string) (reply, error) {
	return func(query string) (reply, error) {
		for part, answer := range to {
			if strings.Contains(query, part) {
				if err, ok := answer.(error); ok {
					return reply{}, err
				}
				if row, ok := answer.([]driver.Value); ok {
					return reply{rows: [][]driver.Value{row}}, nil
				}
			}
		}
		return reply{}, nil
	}
}

const (
	askPostgres = "pg_stat_ssl"
	askMariaDB  = "Ssl_version"
	askHost     = "PROCESSLIST"
)

func TestExamineTLS(t *testing.T) {
	const plain = "the connection is not encrypted: who reads that network reads names of tenants and wrapped keys, and can change them"
	const mend = "have the driver use TLS, and verify the server: sslmode=verify-full for PostgreSQL, tls=true for MariaDB"
	const socket = "a socket of the database's machine, not a network"
	const untold = "the database doesn't tell whether the connection is encrypted"
	for _, c := range []struct {
		name    string
		dialect Dialect
		answers map[string]any
		status  kmsprovider.Status
		found   string
		mend    string
	}{
		{"PostgreSQL with TLS", Postgres, map[string]any{askPostgres: []driver.Value{"TLSv1.3", false}}, kmsprovider.StatusOK, "TLSv1.3", ""},
		{"PostgreSQL without", Postgres, map[string]any{askPostgres: []driver.Value{"", false}}, kmsprovider.StatusWarning, plain, mend},
		{"PostgreSQL by a socket", Postgres, map[string]any{askPostgres: []driver.Value{"", true}}, kmsprovider.StatusOK, socket, ""},
		{"PostgreSQL's like that has no such table", Postgres, map[string]any{askPostgres: stateError("42883")}, kmsprovider.StatusWarning, untold + ": ERROR: made up (SQLSTATE 42883)", "make sure that the driver uses TLS"},
		{"PostgreSQL behind a pool that hides it", Postgres, nil, kmsprovider.StatusWarning, untold, "make sure that the driver uses TLS"},
		{"PostgreSQL that goes away", Postgres, map[string]any{askPostgres: stateError("57P01")}, kmsprovider.StatusFailed, "sqlstore: asking for TLS of ", ""},
		{"MariaDB with TLS", MariaDB, map[string]any{askMariaDB: []driver.Value{"Ssl_version", "TLSv1.3"}}, kmsprovider.StatusOK, "TLSv1.3", ""},
		{"MariaDB without", MariaDB, map[string]any{askMariaDB: []driver.Value{"Ssl_version", ""}, askHost: []driver.Value{"localhost:51234"}}, kmsprovider.StatusWarning, plain, mend},
		{"MariaDB without, by IPv6", MariaDB, map[string]any{askMariaDB: []driver.Value{"Ssl_version", ""}, askHost: []driver.Value{"::1:51234"}}, kmsprovider.StatusWarning, plain, mend},
		{"MariaDB by a socket", MariaDB, map[string]any{askMariaDB: []driver.Value{"Ssl_version", ""}, askHost: []driver.Value{"localhost"}}, kmsprovider.StatusOK, socket, ""},
		{"MariaDB's like that doesn't tell", MariaDB, nil, kmsprovider.StatusWarning, untold, "make sure that the driver uses TLS"},
		{"SQLite", SQLite, nil, kmsprovider.StatusOK, "there is no connection: the database is a file", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fakeStore(t, c.dialect, &fake{answer: answers(c.answers)})
			s.replica = &replica{db: (&fake{answer: answers(map[string]any{askPostgres: []driver.Value{"TLSv1.2", false}, askMariaDB: []driver.Value{"Ssl_version", "TLSv1.2"}})}).open(t)}
			found := s.Examine(t.Context())
			f := about(t, found, "TLS")
			require.Equal(t, c.status, f.Status, f.Found)
			require.Contains(t, f.Found, c.found)
			require.Equal(t, c.mend, f.Mend)
			if c.dialect != SQLite {
				require.Equal(t, "TLSv1.2", about(t, found, "TLS of the replica").Found)
			}
		})
	}
}

func TestExamineClock(t *testing.T) {
	for _, c := range []struct {
		name   string
		off    time.Duration
		status kmsprovider.Status
		says   string
	}{
		{"on time", 0, kmsprovider.StatusOK, "within "},
		{"behind", time.Minute, kmsprovider.StatusWarning, " behind the database"},
		{"ahead", -time.Minute, kmsprovider.StatusWarning, " ahead of the database"},
		{"far behind", time.Hour, kmsprovider.StatusFailed, " behind the database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fakeStore(t, Postgres, &fake{answer: func(query string) (reply, error) {
				if strings.Contains(query, "clock_timestamp") {
					return reply{rows: [][]driver.Value{{time.Now().Add(c.off).UnixMicro()}}}, nil
				}
				return reply{}, nil
			}})
			f := about(t, s.Examine(t.Context()), "clock")
			require.Equal(t, c.status, f.Status, f.Found)
			require.Contains(t, f.Found, c.says)
		})
	}
	s := fakeStore(t, Postgres, &fake{answer: answers(map[string]any{"clock_timestamp": errors.New("made-up failure")})})
	f := about(t, s.Examine(t.Context()), "clock")
	require.Equal(t, kmsprovider.StatusFailed, f.Status)
	require.Contains(t, f.Found, "sqlstore: asking for the time of ")
	require.Contains(t, f.Found, "made-up failure")
}

// A database that can't be dialled fails each check with its own words, by the
// end of the context.
func TestExamineEndsWithItsContext(t *testing.T) {
	s := fakeStore(t, Postgres, &fake{dial: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	found := s.Examine(ctx)
	for _, check := range []string{"tables", "clock", "TLS"} {
		f := about(t, found, check)
		require.Equal(t, kmsprovider.StatusFailed, f.Status)
		require.ErrorIs(t, f.Err, context.DeadlineExceeded)
		require.Contains(t, f.Found, "sqlstore: ")
	}
}
