package sqlstore

import (
	"errors"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// What a caller can act on. Each comes with the database's own error behind it.
var (
	// ErrUnreachable: the database can't be reached, or went away.
	ErrUnreachable = errors.New("the database can't be reached")

	// ErrReadOnly: the database, or this connection to it, doesn't take writes.
	ErrReadOnly = errors.New("the database is read-only")

	// ErrBusy: the database asked again and again that a transaction be
	// repeated, because of deadlocks, locks or serialization failures.
	ErrBusy = errors.New("the database is busy")

	// ErrPoolHeld: the pool has one connection, and it was in use for a quarter
	// of a second.
	ErrPoolHeld = errors.New("the pool's one connection is held by a transaction, or by rows that are being read: " +
		"call Encrypt before BeginTx, or raise SetMaxOpenConns")

	// ErrWrongDialect: the database is another than the dialect says.
	ErrWrongDialect = errors.New("wrong dialect")

	// ErrNoTables: the store's tables aren't there.
	ErrNoTables = errors.New("the key store's tables aren't there")

	// ErrHalfMigrated: some of the store's tables or columns are missing.
	ErrHalfMigrated = errors.New("the key store's tables were not made to the end")

	// ErrNewerTables: the store's tables need a newer version of this library.
	ErrNewerTables = errors.New("the key store's tables are newer than this library")
)

// A kind is what an error of a driver means to the store.
type kind sqlerr.Kind

const (
	other       = kind(sqlerr.Other)
	again       = kind(sqlerr.Again)
	stale       = kind(sqlerr.Stale)
	duplicate   = kind(sqlerr.Duplicate)
	readOnly    = kind(sqlerr.ReadOnly)
	unreachable = kind(sqlerr.Unreachable)
	noTable     = kind(sqlerr.NoTable)
)

func kindOf(err error) kind {
	if errors.Is(err, errTakenMeanwhile) {
		return again
	}
	return kind(sqlerr.Of(err))
}

// sentinel is the public error of a kind, or nil.
func (k kind) sentinel() error {
	switch k {
	case again:
		return ErrBusy
	case readOnly:
		return ErrReadOnly
	case stale, unreachable:
		return ErrUnreachable
	case noTable:
		return ErrNoTables
	}
	return nil
}
