package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/examine"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

var (
	_ kmsprovider.Examiner = (*Store)(nil)
	_ kmsprovider.Examiner = (*Router)(nil)
)

// Examine implements kmsprovider.Examiner: whether the tables are those that
// this library needs, whether the replica answers, whether the connections to the
// database and the replica speak TLS, as the database sees it, and how far this
// process's clock is from the database's. It writes nothing.
func (s *Store) Examine(ctx context.Context) []kmsprovider.Finding {
	checks := []examine.Check{
		{Name: "tables", Do: s.examineTables},
		{Name: "clock", Do: s.examineClock},
		{Name: "TLS", Do: func(ctx context.Context) []kmsprovider.Finding { return s.examineTLS(ctx, s.db, "TLS") }},
	}
	if s.replica != nil {
		checks = append(checks, examine.Check{Name: "replica", Do: s.examineReplica})
	}
	return examine.All(ctx, checks...)
}

func (s *Store) examineTables(ctx context.Context) []kmsprovider.Finding {
	var found state
	err := s.run(ctx, s.db, operation{"checking the tables", s}, func(c *sql.Conn) (err error) {
		if found, err = s.inspect(ctx, c); err == nil {
			err = found.fault(s)
		}
		if err == nil {
			err = s.complete(ctx, c)
		}
		return err
	})
	switch {
	case err != nil:
		return []kmsprovider.Finding{examine.Failed("tables", err, "")}
	case found.newest > current():
		return []kmsprovider.Finding{examine.Warning("tables",
			fmt.Sprintf("they are of version %d, which this library may use; it knows version %d", found.newest, current()), "use a newer fieldcrypt when it suits")}
	}
	return []kmsprovider.Finding{examine.OK("tables", fmt.Sprintf("they are of version %d, the one that this library makes", found.newest))}
}

func (s *Store) examineClock(ctx context.Context) []kmsprovider.Finding {
	if s.dialect == SQLite {
		return []kmsprovider.Finding{examine.OK("clock", "the database has this machine's")}
	}
	var micros int64
	var sent, received time.Time
	err := s.run(ctx, s.db, operation{"asking for the time", s}, func(c *sql.Conn) error {
		sent = time.Now() // once there is a connection
		err := sqlconn.Each(ctx, c, "SELECT "+sqlconn.Clock(sqlconn.Dialect(s.dialect)), nil, func(scan func(...any) error) error { return scan(&micros) })
		received = time.Now()
		return err
	})
	if err != nil {
		return []kmsprovider.Finding{examine.Failed("clock", err, "")}
	}
	return []kmsprovider.Finding{examine.Clock("the database", time.UnixMicro(micros), sent, received, time.Microsecond)}
}

const (
	mendTLS   = "have the driver use TLS, and verify the server: sslmode=verify-full for PostgreSQL, tls=true for MariaDB"
	viaSocket = "a socket of the database's machine, not a network"
)

func (s *Store) examineTLS(ctx context.Context, db *sql.DB, check string) []kmsprovider.Finding {
	if s.dialect == SQLite {
		return []kmsprovider.Finding{examine.OK(check, "there is no connection: the database is a file")}
	}
	var version string
	var local bool
	err := s.run(ctx, db, operation{"asking for TLS", s}, func(c *sql.Conn) (err error) {
		version, local, err = s.tlsOf(ctx, c)
		return err
	})
	switch {
	case errors.Is(err, errNotTold):
		return []kmsprovider.Finding{examine.Warning(check, err.Error(), "make sure that the driver uses TLS")}
	case err != nil:
		return []kmsprovider.Finding{examine.Failed(check, err, "")}
	case version != "":
		return []kmsprovider.Finding{examine.OK(check, version)}
	case local:
		return []kmsprovider.Finding{examine.OK(check, viaSocket)}
	}
	return []kmsprovider.Finding{examine.Warning(check, "the connection is not encrypted: who reads that network reads names of tenants and wrapped keys, and can change them", mendTLS)}
}

var errNotTold = errors.New("the database doesn't tell whether the connection is encrypted")

// tlsOf asks what protects a connection: a version of TLS, or "".
func (s *Store) tlsOf(ctx context.Context, c *sql.Conn) (version string, local bool, err error) {
	told := false
	ask := func(query string, to ...any) error {
		return sqlconn.Each(ctx, c, query, nil, func(scan func(...any) error) error {
			told = true
			return scan(to...)
		})
	}
	if s.dialect == Postgres {
		err = ask("SELECT COALESCE(version, ''), inet_client_addr() IS NULL FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &version, &local)
	} else {
		var name, host string
		if err = ask("SHOW SESSION STATUS LIKE 'Ssl_version'", &name, &version); err == nil && version == "" {
			err = ask("SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()", &host)
			local = host != "" && !strings.Contains(host, ":") // over a network it has a port
		}
	}
	switch {
	case err != nil && kindOf(err) == other && ctx.Err() == nil: // a database that speaks the dialect and isn't the original
		err = fmt.Errorf("%w: %w", errNotTold, err)
	case err == nil && !told:
		err = errNotTold
	}
	return version, local, err
}

// Examine implements kmsprovider.Examiner with the examinations of all stores
// that the router can list. It opens those that are not open. A store that is
// listed nowhere is examined by nobody.
func (r *Router) Examine(ctx context.Context) []kmsprovider.Finding {
	if r.list == nil {
		return []kmsprovider.Finding{examine.OK("stores", "the router can't list them, so that only those of the named scopes are used; RouterOptions.Stores lists them")}
	}
	names, err := r.stores(ctx, &envelope.Filter{})
	if err != nil {
		return []kmsprovider.Finding{examine.Failed("stores", err, "")}
	}
	checks := make([]examine.Check, len(names))
	for i, name := range names {
		checks[i] = examine.Check{Name: fmt.Sprintf("store %.80q", name), Do: func(ctx context.Context) []kmsprovider.Finding { return r.examineStore(ctx, name) }}
	}
	return examine.All(ctx, checks...)
}

func (r *Router) examineStore(ctx context.Context, name string) []kmsprovider.Finding {
	label := fmt.Sprintf("store %.80q", name)
	found := []kmsprovider.Finding{examine.OK(label, "opened")}
	err := r.shelf.with(ctx, name, func(store envelope.KeyStore) error {
		if e, ok := store.(kmsprovider.Examiner); ok {
			found = e.Examine(ctx)
			for i := range found {
				found[i].Check = label + ": " + found[i].Check
			}
		}
		return nil
	})
	if err != nil {
		return []kmsprovider.Finding{examine.Failed(label, err, "")}
	}
	return found
}
