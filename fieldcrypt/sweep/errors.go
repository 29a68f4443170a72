package sweep

import (
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// What a caller can act on. Each comes with what was attempted around it.
var (
	// ErrRows: the job is done, and some rows couldn't be dealt with. The
	// report lists them.
	ErrRows = errors.New("rows couldn't be dealt with")

	// ErrNoKey: the table has no primary key to go along.
	ErrNoKey = errors.New("the table has no primary key")

	// ErrTable: the table or one of its columns isn't as the record type needs
	// it.
	ErrTable = errors.New("the table doesn't fit the record type")

	// ErrOtherJob: another job on the table isn't done.
	ErrOtherJob = errors.New("another sweep of the table isn't done")

	// ErrChanged: the table, or the record type, has changed since the job
	// began.
	ErrChanged = errors.New("the table has changed since the sweep began")

	// ErrReadOnly: the database doesn't take writes.
	ErrReadOnly = errors.New("the database is read-only")

	// ErrWrongDialect: the database is another than the dialect says.
	ErrWrongDialect = errors.New("wrong dialect")

	// ErrNoTables: the sweeper's own tables aren't there.
	ErrNoTables = errors.New("the sweeper's tables aren't there")

	// ErrOutage: the database or the key service was away for longer than
	// Options.Patience.
	ErrOutage = errors.New("waited for too long")

	// ErrStillUsed: values are under old data keys, or might be, after the last
	// pass of RotateKeys.
	ErrStillUsed = errors.New("old data keys are still used")

	// ErrAbandoned: somebody abandoned the job while it ran.
	ErrAbandoned = errors.New("the sweep was abandoned")
)

// isOutage reports an error of the key service or the key store that may be over
// later. The row that met it has nothing to do with it.
func isOutage(err error) bool {
	return errors.Is(err, kmsprovider.ErrUnavailable) || errors.Is(err, kmsprovider.ErrThrottled) ||
		errors.Is(err, envelope.ErrStoreUnavailable)
}

// passes reports an error of the database after which the same may be tried
// again.
func passes(err error) bool {
	if errors.Is(err, errSilent) {
		return true
	}
	switch sqlerr.Of(err) {
	case sqlerr.Again, sqlerr.Stale, sqlerr.Unreachable:
		return true
	}
	return false
}

// statementLimits are the servers' settings that end a statement.
const statementLimits = "statement_timeout, max_statement_time"

// told puts a sentinel before an error of the database, where there is one for
// it.
func told(err error) error {
	switch sqlerr.Of(err) {
	case sqlerr.ReadOnly:
		return fmt.Errorf("%w: sweep on the primary, with a role that may write: %w", ErrReadOnly, err)
	case sqlerr.NoTable:
		return fmt.Errorf("%w: run sweep.Migrate, or what sweep.DDL prints: %w", ErrNoTables, err)
	}
	return err
}
