package examine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func TestClock(t *testing.T) {
	sent := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	received := sent.Add(200 * time.Millisecond)
	const mend = "set this machine's clock by NTP; data keys are made and retired by it"
	for _, c := range []struct {
		name   string
		theirs time.Time
		status kmsprovider.Status
		found  string
		mend   string
	}{
		{"equal", sent, kmsprovider.StatusOK, "within 1s of X", ""},
		{"told a second coarsely", sent.Add(-900 * time.Millisecond), kmsprovider.StatusOK, "within 1.1s of X", ""},
		{"ahead by little", sent.Add(-10 * time.Second), kmsprovider.StatusOK, "this process is at least 9s ahead of X", ""},
		{"ahead", sent.Add(-11 * time.Second), kmsprovider.StatusWarning, "this process is at least 10s ahead of X", mend},
		{"behind by little", sent.Add(10*time.Second + 199*time.Millisecond), kmsprovider.StatusOK, "this process is at least 9.999s behind X", ""},
		{"behind", received.Add(10 * time.Second), kmsprovider.StatusWarning, "this process is at least 10s behind X", mend},
		{"almost too far", received.Add(5*time.Minute - time.Millisecond), kmsprovider.StatusWarning, "this process is at least 4m59.999s behind X", mend},
		{"too far behind", received.Add(5 * time.Minute), kmsprovider.StatusFailed, "this process is at least 5m0s behind X", mend},
		{"too far ahead", sent.Add(-time.Hour), kmsprovider.StatusFailed, "this process is at least 59m59s ahead of X", mend},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Clock("X", c.theirs, sent, received, time.Second)
			require.Equal(t, kmsprovider.Finding{Check: "clock", Status: c.status, Found: c.found, Mend: c.mend}, f)
		})
	}
}

// A check that panics or doesn't return takes nothing from the others.
func TestAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		found := All(
			ctx,
			Check{"good", func(context.Context) []kmsprovider.Finding {
				return []kmsprovider.Finding{OK("good", "1"), OK("good", "2")}
			}},
			Check{"panics", func(context.Context) []kmsprovider.Finding { panic("secret") }},
			Check{"hangs", func(context.Context) []kmsprovider.Finding { <-released; return nil }},
			Check{"heeds", func(ctx context.Context) []kmsprovider.Finding {
				<-ctx.Done()
				return []kmsprovider.Finding{Warning("heeds", "last words", "mend")}
			}},
		)
		close(released)
		require.Len(t, found, 5)
		require.Equal(t, []kmsprovider.Finding{OK("good", "1"), OK("good", "2")}, found[:2])
		require.Equal(t, "panics", found[2].Check)
		require.Equal(t, kmsprovider.StatusFailed, found[2].Status)
		require.Equal(t, "key service unavailable: it panicked with a string", found[2].Found)
		require.ErrorIs(t, found[2].Err, kmsprovider.ErrUnavailable)
		require.Equal(t, "hangs", found[3].Check)
		require.ErrorIs(t, found[3].Err, context.DeadlineExceeded)
		require.Equal(t, Warning("heeds", "last words", "mend"), found[4])
	})
}
