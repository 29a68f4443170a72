// Package sqlerr tells what the errors of database drivers mean, without
// importing any driver.
package sqlerr

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// A Kind is what an error of a driver means to whoever called it.
type Kind int

// The kinds.
const (
	Other       Kind = iota
	Again            // the transaction was rolled back and may be tried again
	Stale            // the connection was dead before anything was sent
	Duplicate        // a unique index refused a row
	ReadOnly         // the database, or the connection, doesn't take writes
	Unreachable      // the database can't be reached, or went away
	NoTable          // a table isn't there
)

// Drivers are known by what they have in common: pgx and lib/pq have SQLState,
// the drivers of SQLite have Code, in one type or another, and
// go-sql-driver/mysql says "Error 1213 (40001): ...".
type (
	sqlState interface{ SQLState() string }
	code     interface{ Code() int }
)

// Of returns the kind of a driver's error.
func Of(err error) Kind {
	var state sqlState
	var number code
	switch {
	case err == nil:
		return Other
	case errors.Is(err, driver.ErrBadConn):
		return Stale
	case errors.As(err, &state):
		return kindOfState(state.SQLState())
	case errors.As(err, &number):
		if number.Code() == 1 { // any mistake in a statement: a table that isn't there is told by the text alone
			return kindOfText(err.Error())
		}
		return kindOfSQLite(number.Code())
	}
	if n, ok := mysqlNumber(err.Error()); ok {
		return kindOfMySQL(n)
	}
	if k := kindOfText(err.Error()); k != Other {
		return k
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return Unreachable
	}
	return Other
}

// kindOfState reads PostgreSQL's codes (appendix A of its manual).
func kindOfState(state string) Kind {
	switch state {
	case "40001", "40P01", "55P03", "25P03": // serialization failure, deadlock, lock timeout, idle in a transaction for too long
		return Again
	case "23505":
		return Duplicate
	case "25006":
		return ReadOnly
	case "42P01":
		return NoTable
	case "57P01", "57P02", "57P03": // shutting down, crashed, starting
		return Unreachable
	case "57014": // statement_timeout, or somebody cancelled it
		return Again
	}
	if strings.HasPrefix(state, "08") || strings.HasPrefix(state, "53") { // no connection; no disk, memory or connections left
		return Unreachable
	}
	return Other
}

// kindOfSQLite reads result codes, whose low byte is the primary one.
func kindOfSQLite(code int) Kind {
	switch code {
	case 1555, 2067: // a primary key, a unique index
		return Duplicate
	}
	switch code & 0xFF {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return Again
	case 8:
		return ReadOnly
	case 10, 13, 14: // an error of the disk, a full one, a file that can't be opened
		return Unreachable
	}
	return Other
}

func kindOfMySQL(number int) Kind {
	switch number {
	case 1213, 1205, 1020, 1317, 1969: // deadlock, lock timeout, row changed since it was read, statement killed, max_statement_time
		return Again
	case 1062:
		return Duplicate
	case 1290, 1792, 1836, 1874: // server, transaction, server, InnoDB
		return ReadOnly
	case 1146:
		return NoTable
	case 1040, 1053, 1047, 1129, 1203, 1226: // too many connections, shutting down, no quorum, blocked host
		return Unreachable
	case 3, 1021, 1026, 1114: // a file can't be written, no space left, again, a tablespace is full
		return Unreachable
	}
	return Other
}

// LockTimeout reports that a statement waited for a lock for as long as it may.
func LockTimeout(err error) bool {
	var state sqlState
	if err == nil {
		return false
	}
	if errors.As(err, &state) {
		return state.SQLState() == "55P03"
	}
	n, ok := mysqlNumber(err.Error())
	return ok && n == 1205
}

// Ended reports that the server ended a statement which took longer than it lets
// one, or that somebody cancelled it.
func Ended(err error) bool {
	var state sqlState
	if err == nil {
		return false
	}
	if errors.As(err, &state) {
		return state.SQLState() == "57014"
	}
	n, ok := mysqlNumber(err.Error())
	return ok && (n == 1969 || n == 1317)
}

// mysqlNumber reads the number out of "Error 1213 (40001): ..." or
// "Error 1213: ...", wherever it stands.
func mysqlNumber(text string) (int, bool) {
	_, rest, found := strings.Cut(text, "Error ")
	end := strings.IndexAny(rest, " :")
	if !found || end < 1 || end > len("1213") {
		return 0, false
	}
	n := 0
	for _, c := range []byte(rest[:end]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// kindOfText is for drivers whose errors have nothing but text.
func kindOfText(text string) Kind {
	for _, t := range []struct {
		text string
		kind Kind
	}{
		{"database is locked", Again},
		{"database table is locked", Again},
		{"UNIQUE constraint failed", Duplicate},
		{"attempt to write a readonly database", ReadOnly},
		{"no such table", NoTable},
		{"unable to open database file", Unreachable},
		{"database or disk is full", Unreachable},
		{"invalid connection", Unreachable},
		{"connection refused", Unreachable},
		{"conn closed", Unreachable},
		{"sql: database is closed", Unreachable},
	} {
		if strings.Contains(text, t.text) {
			return t.kind
		}
	}
	return Other
}

// Code returns the database's own code of an error, such as "SQLSTATE 23514",
// and nothing of its text, which may hold a value.
func Code(err error) string {
	var state sqlState
	var number code
	switch {
	case errors.As(err, &state):
		return "SQLSTATE " + state.SQLState()
	case errors.As(err, &number):
		return fmt.Sprintf("SQLite code %d", number.Code())
	}
	if n, ok := mysqlNumber(err.Error()); ok {
		return fmt.Sprintf("error %d", n)
	}
	return fmt.Sprintf("a %T", err)
}

// Hopeless reports that the database refused a statement as such, whatever values
// it has: a name that isn't there, a right that is missing, a mistake in it.
func Hopeless(err error) bool {
	var state sqlState
	var number code
	switch {
	case err == nil:
		return false
	case errors.As(err, &state):
		class := state.SQLState()
		return strings.HasPrefix(class, "42") || strings.HasPrefix(class, "0A") || strings.HasPrefix(class, "28")
	case errors.As(err, &number):
		primary := number.Code() & 0xFF
		return primary == 1 || primary == 23 || primary == 11 || primary == 26 // an error in SQL, no right, a damaged file, no database
	}
	if n, ok := mysqlNumber(err.Error()); ok {
		switch n {
		case 1044, 1045, 1049, 1054, 1064, 1142, 1143, 1146, 1227:
			return true
		}
	}
	return false
}
