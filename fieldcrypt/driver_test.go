package fieldcrypt

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// A wiretap is a driver that stores nothing and keeps what reached it.
type wiretap struct{ got []driver.Value }

func (w *wiretap) Connect(context.Context) (driver.Conn, error) { return wiretapConn{w}, nil }
func (w *wiretap) Driver() driver.Driver                        { return nil }

type wiretapConn struct{ *wiretap }

func (c wiretapConn) Prepare(string) (driver.Stmt, error) { return wiretapStmt(c), nil }
func (c wiretapConn) Close() error                        { return nil }
func (c wiretapConn) Begin() (driver.Tx, error)           { return nil, errors.New("no transactions here") }

func (c wiretapConn) ExecContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Result, error) {
	for _, a := range args {
		c.got = append(c.got, a.Value)
	}
	return driver.RowsAffected(1), nil
}

type wiretapStmt struct{ *wiretap }

func (s wiretapStmt) Close() error  { return nil }
func (s wiretapStmt) NumInput() int { return -1 }
func (s wiretapStmt) Exec(args []driver.Value) (driver.Result, error) {
	s.got = append(s.got, args...)
	return driver.RowsAffected(1), nil
}

func (s wiretapStmt) Query([]driver.Value) (driver.Rows, error) {
	return nil, errors.New("no queries here")
}

// unwritable returns a value of content in one of the states that must not be
// written: set by the program, scanned in plaintext, that refused, and that taken
// for the value in migrating mode.
func unwritable[T Plain](i int, content T) Value[T] {
	v := Of(content)
	if i/20%4 == 0 {
		return v
	}
	column := any(content)
	switch c := column.(type) {
	case uint64:
		column = int64(c)
	case CivilDate:
		column = c.String()
	case DecimalString:
		column = string(c)
	case json.RawMessage:
		column = []byte(c)
	}
	if err := v.Scan(column); err != nil || !v.isCandidate() {
		panic("the plaintext isn't a candidate")
	}
	switch i / 20 % 4 {
	case 2:
		v.drop(errStrict)
	case 3:
		if err := v.adopt(); err != nil {
			panic(err)
		}
	}
	return v
}

// unencrypted returns the i-th of many values that nobody encrypted, of each
// type in turn, as values and as pointers.
func unencrypted(i int) any {
	text := fmt.Sprintf("canary-%d@example.com", i)
	pick := func(v, p any) any {
		if i/10%2 == 0 {
			return v
		}
		return p
	}
	switch i % 10 {
	case 0:
		v := unwritable(i, text)
		return pick(v, &v)
	case 1:
		v := unwritable(i, []byte(text))
		return pick(v, &v)
	case 2:
		v := unwritable(i, int64(i))
		return pick(v, &v)
	case 3:
		v := unwritable(i, uint64(i))
		return pick(v, &v)
	case 4:
		v := unwritable(i, float64(i)+0.5)
		return pick(v, &v)
	case 5:
		v := unwritable(i, i%4 == 1)
		return pick(v, &v)
	case 6:
		v := unwritable(i, time.Unix(int64(i), 0))
		return pick(v, &v)
	case 7:
		v := unwritable(i, CivilDate{2000 + i%1000, 2, 28})
		return pick(v, &v)
	case 8:
		v := unwritable(i, DecimalString(fmt.Sprintf("%d.50", i)))
		return pick(v, &v)
	}
	v := unwritable(i, json.RawMessage(`{"email":"`+text+`"}`))
	return pick(v, &v)
}

// TestScoreboardS26: values of every type, in each state that has no envelope, are
// written through database/sql without the hook, and none reaches the driver. A plain string in the same
// place does.
func TestScoreboardS26(t *testing.T) {
	const n, controls = 100_000, 1000
	tap := &wiretap{}
	db := sql.OpenDB(tap)
	t.Cleanup(func() { _ = db.Close() })
	stmt, err := db.PrepareContext(t.Context(), "INSERT INTO contacts VALUES (?)")
	require.NoError(t, err)
	t.Cleanup(func() { _ = stmt.Close() })

	accepted := 0
	for i := range n {
		v := unencrypted(i)
		switch i % 3 {
		case 0:
			_, err = db.ExecContext(t.Context(), "INSERT INTO contacts VALUES (?)", v)
		case 1:
			_, err = db.ExecContext(t.Context(), "INSERT INTO contacts VALUES (@v)", sql.Named("v", v))
		case 2:
			_, err = stmt.ExecContext(t.Context(), v)
		}
		if err == nil {
			accepted++
			continue
		}
		want := ErrNotEncrypted
		if state := i / 20 % 4; state == 1 || state == 2 {
			want = ErrNotEnvelope
		}
		if !errors.Is(err, want) || strings.Contains(err.Error(), "canary") {
			t.Fatalf("value %d: %v", i, err)
		}
	}
	// Blind indexes that weren't made, or whose column held what can't be a tag.
	const indexes = 10_000
	for i := range indexes {
		var index BlindIndex
		if i/2%2 == 1 {
			require.Error(t, index.Scan(int64(i)))
		}
		var arg any = index
		if i%2 == 1 {
			arg = &index
		}
		if _, err = db.ExecContext(t.Context(), "INSERT INTO contacts VALUES (?)", arg); err == nil {
			accepted++
		} else if !errors.Is(err, ErrNotEncrypted) {
			t.Fatalf("blind index %d: %v", i, err)
		}
	}
	require.Zero(t, accepted)
	reached := len(tap.got)

	tap.got = nil
	for i := range controls {
		var form any = "canary@example.com"
		if i%2 == 1 {
			form = sql.NullString{String: "canary@example.com", Valid: true}
		}
		_, err = db.ExecContext(t.Context(), "INSERT INTO contacts VALUES (?)", form)
		require.NoError(t, err)
		require.Equal(t, driver.Value("canary@example.com"), tap.got[i])
	}
	scoreboard.Row(t, "S26", reached == 0, fmt.Sprintf("%d of %d values and of %d blind indexes", reached, n, indexes), "0 of 100000",
		fmt.Sprintf("plain strings: %d of %d", len(tap.got), controls))
}

func TestEncryptedValuesReachTheDriver(t *testing.T) {
	tap := &wiretap{}
	db := sql.OpenDB(tap)
	t.Cleanup(func() { _ = db.Close() })
	env := envelopeOf('e')
	for name, want := range map[string]driver.Value{
		"null": nil, "sealed": env, "encrypted": env, "decrypted": env, "unavailable": env,
		"sealed text": textOf(t, env), "encrypted text": textOf(t, env),
	} {
		t.Run(name, func(t *testing.T) {
			tap.got = nil
			v := valueIn(t, name)
			var none *String
			_, err := db.ExecContext(t.Context(), "INSERT INTO contacts VALUES (?, ?, ?)", v, *v, none)
			require.NoError(t, err)
			require.Equal(t, []driver.Value{want, want, nil}, tap.got)
		})
	}
}
