package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

var (
	_ envelope.KeyStore      = (*Store)(nil)
	_ envelope.ReplicaReader = (*Store)(nil)
)

// A Store is an [envelope.KeyStore] in a database. It is safe for concurrent
// use, by any number of processes.
type Store struct {
	names
	db       *sql.DB
	replica  *replica // nil: there is none
	closeDB  bool
	query    statements
	retryFor time.Duration
	atWork   atomic.Int64 // calls of this store that have a connection to db
	workedAt atomic.Int64 // when one of those ended last, in Unix nanoseconds
	heldAt   atomic.Int64 // when a pool's only connection was last found held, in Unix nanoseconds
}

// Open returns the store whose tables are in db. Unless Options.NoMigrate is
// set it makes the tables, or brings them up to date, first; any number of
// processes may do so at once, and one that finds them there needs no right to
// make any. Options may be nil. The caller keeps db, which the store may share
// with the rest of the program, and closes it after the last use of the store.
//
// Errors are [ErrUnreachable], [ErrWrongDialect], [ErrNoTables],
// [ErrHalfMigrated], [ErrNewerTables], those of options, and the database's own.
func Open(ctx context.Context, db *sql.DB, dialect Dialect, opts *Options) (*Store, error) {
	s, err := newStore(db, dialect, opts)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	err = s.identify(ctx)
	switch {
	case err != nil:
	case opts != nil && opts.NoMigrate:
		err = s.Check(ctx)
	default:
		err = s.migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// newStore checks the options. With an error it returns a store that can be
// closed and nothing else.
func newStore(db *sql.DB, dialect Dialect, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	s := &Store{db: db, closeDB: o.CloseDB, retryFor: retryFor}
	if o.Replica != nil {
		s.replica = &replica{db: o.Replica}
	}
	if db == nil {
		return s, errors.New("sqlstore: the database is nil")
	}
	n, err := o.names(dialect)
	if err != nil {
		return s, err
	}
	s.names, s.query = n, n.statements()
	return s, nil
}

// Close releases what the store owns: its pools, if Options.CloseDB is set, else
// nothing.
func (s *Store) Close() error {
	if !s.closeDB {
		return nil
	}
	var err error
	if s.replica != nil {
		err = s.replica.db.Close()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// Dialect returns the SQL that the store speaks.
func (s *Store) Dialect() Dialect { return s.dialect }

// An operation is what a method attempts, for its errors.
type operation struct {
	method string
	on     fmt.Stringer
}

func (o operation) String() string {
	if o.on == nil {
		return o.method
	}
	return o.method + " of " + o.on.String()
}

// Active implements [envelope.KeyStore].
func (s *Store) Active(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose) (envelope.Record, error) {
	p := placeOf(scope, purpose)
	if err := ctx.Err(); err != nil {
		return envelope.Record{}, err
	}
	if p.check() != nil {
		return envelope.Record{}, envelope.ErrKeyNotFound // none can be stored
	}
	return s.one(ctx, s.db, operation{"Active", p}, s.query.active, p.args())
}

// Get implements [envelope.KeyStore]. It asks the primary.
func (s *Store) Get(ctx context.Context, scope envelope.Scope, purpose envelope.Purpose, id envelope.KeyID) (envelope.Record, error) {
	p := placeOf(scope, purpose)
	if err := ctx.Err(); err != nil {
		return envelope.Record{}, err
	}
	if p.check() != nil {
		return envelope.Record{}, envelope.ErrKeyNotFound
	}
	return s.one(ctx, s.db, operation{"Get", p.name(id)}, s.query.get, p.key(id))
}

// one reads a record, or answers ErrKeyNotFound.
func (s *Store) one(ctx context.Context, db *sql.DB, what operation, query string, args []any) (envelope.Record, error) {
	var found []envelope.Record
	err := s.run(ctx, db, what, func(c *sql.Conn) (err error) {
		found, err = records(ctx, c, query, args)
		return err
	})
	switch {
	case err != nil:
		return envelope.Record{}, err
	case len(found) == 0:
		return envelope.Record{}, envelope.ErrKeyNotFound
	}
	return found[0], nil
}

// records reads all that a query for columns answers.
func records(ctx context.Context, q sqlconn.Querier, query string, args []any) ([]envelope.Record, error) {
	var all []envelope.Record
	err := sqlconn.Each(ctx, q, query, args, func(scan func(...any) error) error {
		var r row
		if err := scan(r.fields()...); err != nil {
			return r.malformed("%v", err)
		}
		rec, err := r.record()
		all = append(all, rec)
		return err
	})
	return all, err
}
