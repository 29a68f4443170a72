// Package scoreboard prints the project's figures, one line each, so that the
// tests that measure them and the command that collects them agree on the form.
package scoreboard

import (
	"fmt"
	"os"
	"testing"
)

// Marker starts every line, for the collector to find it in a test's output.
const Marker = "SCOREBOARD\t"

// Full reports whether whole counts are asked for (FULL=1) and not those of a
// quick run.
func Full() bool { return os.Getenv("FULL") == "1" }

// Count returns full under FULL=1, else quick.
func Count(quick, full int) int {
	if Full() {
		return full
	}
	return quick
}

// Row prints one row: its name, whether it holds, the figure, the target, and
// the control's figure or the two times. A row of S that falls short fails the
// test.
func Row(t testing.TB, row string, ok bool, figure, target, control string) {
	t.Helper()
	verdict := "ok"
	if !ok {
		verdict = "FALLS SHORT"
	}
	fmt.Printf("%s%s\t%s\t%s\t%s\t%s\n", Marker, row, verdict, figure, target, control)
	if !ok && row[0] == 'S' {
		t.Errorf("%s falls short: %s, the target is %s", row, figure, target)
	}
}
