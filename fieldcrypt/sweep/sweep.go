package sweep

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// DefaultTable is the name of the sweeper's own table of jobs.
const DefaultTable = "fieldcrypt_sweeps"

// Options tune a [Sweeper]. The zero value of each field means its default.
type Options struct {
	// Table is the name of the table of jobs: 1 to 40 letters, digits and
	// underscores, the first no digit. The table of key ranges has this name
	// with _ranges behind it. Default [DefaultTable].
	Table string

	// Schema is the schema, in MariaDB the database, that holds these tables.
	// Default: the one that the connection finds by itself.
	Schema string

	// NoMigrate leaves the tables to the deployment (see [Migrate] and [DDL]).
	// Without it, the first job of the sweeper makes them where they are
	// missing.
	NoMigrate bool

	// RangeRows is how many rows a key range has, the unit that one worker
	// takes at a time: 1 to 1,000,000. Default 10,000.
	RangeRows int

	// MaxBatch is the most rows that are written in one transaction: 1 to
	// 5,000. Default 1,000. Batches are smaller where one would take longer
	// than BatchTime, or hold more than 1 MiB.
	MaxBatch int

	// BatchTime is how long a transaction should take at most: it is how long a
	// writer waits for a row, and vacuum for the sweep. Where another transaction
	// holds a row that the sweep is to write, it is up to 2 seconds. Default 250
	// milliseconds.
	BatchTime time.Duration

	// Lease is how long a key range belongs to a worker that says nothing more,
	// by the database's clock. Default 1 minute, at least 1 second.
	Lease time.Duration

	// Patience is how long an outage of the database or of the key service is
	// waited out, with growing pauses. Then the job ends with [ErrOutage], to be
	// run again; or it passes over the rows of the one tenant whose root key is
	// away, and reports them. Default 10 minutes; negative for none.
	Patience time.Duration

	// AnswerTime is how long the database may take to answer: to read some rows, or
	// to write a batch. Then the sweep gives the connection up and tries again on
	// another, as after an outage. More is needed where a table is so large, and has
	// so few rows of JobOptions.Tenant, that to find some takes longer. It isn't for
	// SQLite, whose database is a file. Default 2 minutes, at least 3 seconds.
	AnswerTime time.Duration

	// Attempts is how often a row is tried that others change at the same time,
	// hold a lock on, or that a statement takes too long for. Then it is reported.
	// Default 10.
	Attempts int
}

const (
	maxBatchBytes = 1 << 20
	maxName       = 40
)

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (o *Options) withDefaults(d Dialect) (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	setDefault(&out.Table, DefaultTable)
	setDefault(&out.RangeRows, 10_000)
	setDefault(&out.MaxBatch, 1000)
	setDefault(&out.BatchTime, 250*time.Millisecond)
	setDefault(&out.Lease, time.Minute)
	setDefault(&out.Patience, 10*time.Minute)
	setDefault(&out.AnswerTime, 2*time.Minute)
	setDefault(&out.Attempts, 10)
	switch {
	case len(out.Table) > maxName || !identifier.MatchString(out.Table):
		return out, fmt.Errorf("sweep: Options.Table is %.60q: it must be 1 to %d letters, digits and underscores, the first no digit", out.Table, maxName)
	case out.Schema != "" && d == SQLite:
		return out, fmt.Errorf("sweep: Options.Schema is %.80q, but SQLite has no schemas: leave it empty", out.Schema)
	case out.RangeRows < 1 || out.RangeRows > 1_000_000:
		return out, fmt.Errorf("sweep: Options.RangeRows is %d, it must be 1 to 1,000,000", out.RangeRows)
	case out.MaxBatch < 1 || out.MaxBatch > 5000:
		return out, fmt.Errorf("sweep: Options.MaxBatch is %d, it must be 1 to 5,000", out.MaxBatch)
	case out.BatchTime < time.Millisecond:
		return out, fmt.Errorf("sweep: Options.BatchTime is %v, it must be at least 1ms", out.BatchTime)
	case out.Lease < time.Second:
		return out, fmt.Errorf("sweep: Options.Lease is %v, it must be at least 1s", out.Lease)
	case out.AnswerTime < 3*time.Second:
		return out, fmt.Errorf("sweep: Options.AnswerTime is %v, it must be at least 3s", out.AnswerTime)
	case out.Attempts < 1:
		return out, fmt.Errorf("sweep: Options.Attempts is %d, it must be at least 1", out.Attempts)
	}
	return out, nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// A Sweeper runs jobs over tables of one database. It is safe for concurrent
// use, and any number of processes may have one for the same database.
type Sweeper struct {
	db      *sql.DB
	dialect Dialect
	opts    Options
	state   names
}

// New returns a Sweeper for the database of the rows, where it also keeps its
// own two tables. It makes no call. Options may be nil. The caller keeps db,
// which may be the program's own pool: a job uses one connection for each of its
// workers, and one more.
func New(db *sql.DB, dialect Dialect, opts *Options) (*Sweeper, error) {
	if db == nil {
		return nil, errors.New("sweep: New: the database is nil")
	}
	if err := checkDialect(dialect); err != nil {
		return nil, err
	}
	o, err := opts.withDefaults(dialect)
	if err != nil {
		return nil, err
	}
	return &Sweeper{db: db, dialect: dialect, opts: o, state: names{dialect, o.Schema, o.Table}}, nil
}

// Migrate makes the sweeper's tables where they are missing. Any number of
// processes may do so at once.
func (s *Sweeper) Migrate(ctx context.Context) error {
	if err := s.identify(ctx); err != nil {
		return err
	}
	for _, statement := range s.state.ddl() {
		for attempt := 1; ; attempt++ {
			_, err := s.db.ExecContext(ctx, statement)
			if err == nil {
				break
			}
			// PostgreSQL's IF NOT EXISTS fails where two make a table at once.
			if attempt == migrateAttempts || sqlerr.Of(err) == sqlerr.ReadOnly || sqlerr.Hopeless(err) || !sleep(ctx, 20*time.Millisecond) {
				return fmt.Errorf("sweep: make the tables %s and %s: %w", s.state.jobs(), s.state.ranges(), told(err))
			}
		}
	}
	return nil
}

const migrateAttempts = 10

// makeTables is Migrate where the tables are missing and Options.NoMigrate doesn't
// leave them to the deployment.
func (s *Sweeper) makeTables(ctx context.Context) error {
	switch {
	case s.made(ctx):
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.opts.NoMigrate:
		return fmt.Errorf("%w: run sweep.Migrate, or what sweep.DDL prints, or set NoMigrate to false", ErrNoTables)
	}
	return s.Migrate(ctx)
}

// identify fails if the database is of another dialect.
func (s *Sweeper) identify(ctx context.Context) error {
	query := "SELECT version()"
	if s.dialect == SQLite {
		query = "SELECT sqlite_version()"
	}
	var version string
	err := s.db.QueryRowContext(ctx, query).Scan(&version)
	switch {
	case err != nil && (ctx.Err() != nil || passes(err)):
		return fmt.Errorf("sweep: ask the database what it is: %w", err)
	case err != nil:
		return fmt.Errorf("sweep: %w: the database isn't %s: give New another dialect than %s: %w", ErrWrongDialect, s.dialect, nameOf(s.dialect), err)
	}
	digit := version != "" && version[0] >= '0' && version[0] <= '9'
	if digit != (s.dialect != Postgres) {
		return fmt.Errorf("sweep: %w: the database is %.60s and not %s: give New another dialect than %s", ErrWrongDialect, version, s.dialect, nameOf(s.dialect))
	}
	return nil
}
