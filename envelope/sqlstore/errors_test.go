package sqlstore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKinds(t *testing.T) {
	text := errors.New
	for _, c := range []struct {
		err  error
		want kind
	}{
		{nil, other},
		{text("syntax error"), other},
		{stateError("40001"), again},
		{stateError("40P01"), again},
		{stateError("55P03"), again},
		{fmt.Errorf("wrapped: %w", stateError("40P01")), again},
		{stateError("23505"), duplicate},
		{stateError("23514"), other}, // a CHECK
		{stateError("25006"), readOnly},
		{stateError("42P01"), noTable},
		{stateError("42501"), other}, // no privilege
		{stateError("57P01"), unreachable},
		{stateError("53100"), unreachable}, // the disk is full
		{stateError("08006"), unreachable},
		{stateError("57014"), again}, // statement_timeout

		{codeError(5), again},
		{codeError(5 | 2<<8), again}, // SQLITE_BUSY_SNAPSHOT
		{codeError(6), again},
		{codeError(1555), duplicate},
		{codeError(2067), duplicate},
		{codeError(275), other}, // a CHECK
		{codeError(8), readOnly},
		{codeError(8 | 4<<8), readOnly},
		{codeError(14), unreachable},
		{codeError(10 | 3<<8), unreachable},
		{codeError(1), other},

		{text("Error 1213 (40001): Deadlock found when trying to get lock"), again},
		{text("Error 1213: Deadlock found when trying to get lock"), again},
		{text("Error 1205 (HY000): Lock wait timeout exceeded"), again},
		{text("Error 1020 (HY000): Record has changed since last read"), again},
		{text("Error 1062 (23000): Duplicate entry"), duplicate},
		{text("Error 1290 (HY000): running with the --read-only option"), readOnly},
		{text("Error 1792 (25006): Cannot execute statement in a READ ONLY transaction"), readOnly},
		{text("Error 1146 (42S02): Table doesn't exist"), noTable},
		{text("Error 1040 (08004): Too many connections"), unreachable},
		{text("Error 1064 (42000): You have an error in your SQL syntax"), other},
		{text("Error 12: something else"), other},
		{text("Error abcd (40001)"), other},
		{text("Error 12134 happened"), other},

		{text("database is locked"), again},
		{text("sqlite3: database is locked: begin"), again},
		{text("UNIQUE constraint failed: keys.key_id"), duplicate},
		{text("attempt to write a readonly database"), readOnly},
		{text("no such table: keys"), noTable},
		{text("unable to open database file: no such file"), unreachable},
		{text("invalid connection"), unreachable},

		{driver.ErrBadConn, stale},
		{fmt.Errorf("wrapped: %w", driver.ErrBadConn), stale},
		{io.ErrUnexpectedEOF, unreachable},
		{io.EOF, unreachable},
		{&net.OpError{Op: "dial", Err: errors.New("no route to host")}, unreachable},
		{fmt.Errorf("wrapped: %w", net.ErrClosed), unreachable},
	} {
		require.Equal(t, c.want, kindOf(c.err), "%v", c.err)
	}
}

// What is tried again or answered by the contract has no sentinel of its own
// beyond ErrBusy.
func TestSentinels(t *testing.T) {
	require.Equal(t, ErrBusy, again.sentinel())
	require.Equal(t, ErrReadOnly, readOnly.sentinel())
	require.Equal(t, ErrUnreachable, unreachable.sentinel())
	require.Equal(t, ErrUnreachable, stale.sentinel())
	require.Equal(t, ErrNoTables, noTable.sentinel())
	require.NoError(t, other.sentinel())
	require.NoError(t, duplicate.sentinel())
}
