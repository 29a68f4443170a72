package sqlerr

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

type state string

func (s state) Error() string {
	return "ERROR: a value that nobody may see (SQLSTATE " + string(s) + ")"
}
func (s state) SQLState() string { return string(s) }

type result struct {
	code int
	text string
}

func (r result) Error() string { return r.text }
func (r result) Code() int     { return r.code }

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{nil, Other},
		{state("40001"), Again},
		{state("25P03"), Again},
		{state("25006"), ReadOnly},
		{state("42P01"), NoTable},
		{state("23514"), Other},
		{result{5, "database is locked"}, Again},
		{result{1, "SQL logic error: no such table: sweeps (1)"}, NoTable},
		{result{1, "SQL logic error: no such column: x (1)"}, Other},
		{result{275, "constraint failed"}, Other},
		{errors.New("Error 1213 (40001): Deadlock"), Again},
		{errors.New("Error 1146 (42S02): Table 'x' doesn't exist"), NoTable},
		{state("53100"), Unreachable}, // disk full
		{state("53200"), Unreachable},
		{state("53300"), Unreachable},
		{state("57014"), Again},
		{state("22001"), Other},
		{result{13, "database or disk is full (13)"}, Unreachable},
		{errors.New("database or disk is full"), Unreachable},
		{errors.New("Error 1114 (HY000): The table 'x' is full"), Unreachable},
		{errors.New("Error 1021 (HY000): Disk full; waiting for someone to free some space"), Unreachable},
		{errors.New("Error 1026 (HY000): Error writing file"), Unreachable},
		{errors.New("Error 3 (HY000): Error writing file '/tmp/x' (Errcode: 28)"), Unreachable},
		{errors.New("Error 1969 (70100): Query execution was interrupted (max_statement_time exceeded)"), Again},
		{errors.New("Error 1317 (70100): Query execution was interrupted"), Again},
		{errors.New("Error 1406 (22001): Data too long"), Other},
		{errors.New("Error in 3 places: x"), Other},
		{errors.New("Error : x"), Other},
		{errors.New("Error 12345: x"), Other},
		{errors.New("conn closed"), Unreachable},
		{errors.New("nothing known"), Other},
	} {
		require.Equal(t, c.want, Of(c.err), "%v", c.err)
	}
}

// A code tells what happened and shows nothing of the text.
func TestCode(t *testing.T) {
	for err, want := range map[error]string{
		state("23505"): "SQLSTATE 23505",
		fmt.Errorf("wrapped: %w", state("22001")):                  "SQLSTATE 22001",
		result{2067, "UNIQUE failed: secret"}:                      "SQLite code 2067",
		errors.New("Error 1062 (23000): Duplicate entry 'secret'"): "error 1062",
		errors.New("secret"):                                       "a *errors.errorString",
	} {
		require.Equal(t, want, Code(err))
	}
}

func TestEnded(t *testing.T) {
	for _, err := range []error{state("57014"), fmt.Errorf("wrapped: %w", errors.New("Error 1969 (70100): max_statement_time exceeded")), errors.New("Error 1317 (70100): Query execution was interrupted")} {
		require.True(t, Ended(err), "%v", err)
		require.Equal(t, Again, Of(err), "%v", err)
	}
	for _, err := range []error{nil, state("55P03"), state("57P01"), errors.New("Error 1205 (HY000): Lock wait timeout exceeded"), errors.New("canceled"), result{9, "interrupted"}} {
		require.False(t, Ended(err), "%v", err)
	}
}

func TestHopeless(t *testing.T) {
	for _, err := range []error{state("42703"), state("42501"), state("0A000"), result{1, "no such column"}, errors.New("Error 1054 (42S22): Unknown column"), errors.New("Error 1142 (42000): UPDATE command denied")} {
		require.True(t, Hopeless(err), "%v", err)
	}
	for _, err := range []error{nil, state("22001"), state("23514"), state("40001"), result{275, "constraint"}, errors.New("Error 1406 (22001): Data too long"), errors.New("anything")} {
		require.False(t, Hopeless(err), "%v", err)
	}
}

func TestLockTimeout(t *testing.T) {
	for _, err := range []error{state("55P03"), fmt.Errorf("wrapped: %w", state("55P03")), errors.New("Error 1205 (HY000): Lock wait timeout exceeded")} {
		require.True(t, LockTimeout(err), "%v", err)
	}
	for _, err := range []error{nil, state("40P01"), errors.New("Error 1213 (40001): Deadlock"), result{5, "database is locked"}, errors.New("anything")} {
		require.False(t, LockTimeout(err), "%v", err)
	}
}
