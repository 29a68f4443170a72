package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
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
type kind int

const (
	other     kind = iota
	again          // the transaction was rolled back and may be tried again
	stale          // the connection was dead before anything was sent
	duplicate      // a unique index refused a row
	readOnly
	unreachable
	noTable
)

// Drivers are known by what they have in common: pgx and lib/pq have SQLState,
// the drivers of SQLite have Code, in one type or another, and
// go-sql-driver/mysql says "Error 1213 (40001): ...".
type (
	sqlState interface{ SQLState() string }
	code     interface{ Code() int }
)

func kindOf(err error) kind {
	var state sqlState
	var number code
	switch {
	case err == nil:
		return other
	case errors.Is(err, driver.ErrBadConn):
		return stale
	case errors.As(err, &state):
		return kindOfState(state.SQLState())
	case errors.As(err, &number):
		return kindOfSQLite(number.Code())
	}
	if n, ok := mysqlNumber(err.Error()); ok {
		return kindOfMySQL(n)
	}
	if k := kindOfText(err.Error()); k != other {
		return k
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return unreachable
	}
	return other
}

// kindOfState reads PostgreSQL's codes (appendix A of its manual).
func kindOfState(state string) kind {
	switch state {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock timeout
		return again
	case "23505":
		return duplicate
	case "25006":
		return readOnly
	case "42P01":
		return noTable
	case "57P01", "57P02", "57P03", "53300": // shutting down, crashed, starting, too many clients
		return unreachable
	}
	if strings.HasPrefix(state, "08") {
		return unreachable
	}
	return other
}

// kindOfSQLite reads result codes, whose low byte is the primary one.
func kindOfSQLite(code int) kind {
	switch code {
	case 1555, 2067: // a primary key, a unique index
		return duplicate
	}
	switch code & 0xFF {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return again
	case 8:
		return readOnly
	case 10, 14: // an error of the disk, a file that can't be opened
		return unreachable
	}
	return other
}

func kindOfMySQL(number int) kind {
	switch number {
	case 1213, 1205, 1020: // deadlock, lock timeout, row changed since it was read
		return again
	case 1062:
		return duplicate
	case 1290, 1792, 1836, 1874: // server, transaction, server, InnoDB
		return readOnly
	case 1146:
		return noTable
	case 1040, 1053, 1047, 1129, 1203, 1226: // too many connections, shutting down, no quorum, blocked host
		return unreachable
	}
	return other
}

// mysqlNumber reads the number out of "Error 1213 (40001): ..." or
// "Error 1213: ...", wherever it stands.
func mysqlNumber(text string) (int, bool) {
	_, rest, found := strings.Cut(text, "Error ")
	if !found || len(rest) < 5 || (rest[4] != ' ' && rest[4] != ':') {
		return 0, false
	}
	n := 0
	for _, c := range []byte(rest[:4]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// kindOfText is for drivers whose errors have nothing but text.
func kindOfText(text string) kind {
	for _, t := range []struct {
		text string
		kind kind
	}{
		{"database is locked", again},
		{"database table is locked", again},
		{"UNIQUE constraint failed", duplicate},
		{"attempt to write a readonly database", readOnly},
		{"no such table", noTable},
		{"unable to open database file", unreachable},
		{"invalid connection", unreachable},
		{"connection refused", unreachable},
		{"sql: database is closed", unreachable},
	} {
		if strings.Contains(text, t.text) {
			return t.kind
		}
	}
	return other
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

// ended reports whether err is only that of a context.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
