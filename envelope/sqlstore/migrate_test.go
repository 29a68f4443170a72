package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

// lockServer is a MariaDB without tables, whose lock of migrations is taken for
// some time.
func lockServer(taken time.Duration) *fake {
	began := time.Now()
	return &fake{answer: func(query string) (reply, error) {
		number := func(n int64) (reply, error) { return reply{rows: [][]driver.Value{{n}}}, nil }
		switch {
		case strings.Contains(query, "GET_LOCK"):
			if left := taken - time.Since(began); left > 0 {
				time.Sleep(min(left, lockTurn))
				if left > lockTurn {
					return number(0)
				}
			}
			return number(1)
		case strings.Contains(query, "IS_USED_LOCK"):
			return number(77)
		case strings.Contains(query, "RELEASE_LOCK"):
			return number(1)
		case strings.HasPrefix(query, "SELECT version()"):
			return reply{rows: [][]driver.Value{{"10.11.1-MariaDB"}}}, nil
		case strings.HasPrefix(query, "SELECT COUNT(*)"):
			return number(0)
		}
		return reply{affected: 1}, nil
	}}
}

// The lock of migrations is waited for, and not for ever.
func TestLockOfMigrations(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := lockServer(time.Hour)
		began := time.Now()
		err := Migrate(context.Background(), f.open(t), MariaDB, nil)
		require.ErrorIs(t, err, ErrBusy)
		require.ErrorContains(t, err, "sqlstore: making the tables of `fieldcrypt_keys` (MariaDB): the database is busy: connection 77 of the server has held the lock of migrations for 5m0s")
		require.ErrorContains(t, err, "end it with KILL 77 and run sqlstore.Migrate again")
		require.Equal(t, lockPatience, time.Since(began))
		require.Zero(t, f.asked("CREATE"))
		require.Zero(t, f.asked("RELEASE_LOCK"))
	})
	bubble.Test(t, func(t *testing.T) {
		f := lockServer(4 * time.Minute)
		err := Migrate(context.Background(), f.open(t), MariaDB, nil)
		require.ErrorIs(t, err, ErrNoTables, "the fake makes none")
		require.Equal(t, 3, f.asked("CREATE"))
		require.Equal(t, 1, f.asked("RELEASE_LOCK"))
	})
}

// A lock that can't be released ends with its connection, also when the work
// panics.
func TestLockThatIsNotReleased(t *testing.T) {
	f := lockServer(0)
	answer := f.answer
	f.answer = func(query string) (reply, error) {
		if strings.Contains(query, "RELEASE_LOCK") {
			return reply{}, errors.New("made up")
		}
		if strings.Contains(query, "CREATE") {
			panic("a made-up mistake")
		}
		return answer(query)
	}
	db := f.open(t)
	require.PanicsWithValue(t, "a made-up mistake", func() { _ = Migrate(t.Context(), db, MariaDB, nil) })
	require.Equal(t, 1, f.asked("RELEASE_LOCK"))
	require.Zero(t, db.Stats().OpenConnections)
}
