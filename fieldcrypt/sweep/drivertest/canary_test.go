package drivertest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// secret is in the values of the rows that a sweep can't deal with.
const secret = "Canary-1623423108"

// hostages is a table with the secret wherever one can be that a sweep fails on:
// plaintext where an envelope should be, bytes that begin as an envelope does,
// JSON that ends too soon, and a value that its plaintext column has no room for.
func (s *service) hostages() sweep.Table {
	s.Helper()
	s.exec("CREATE TABLE hostages (id BIGINT PRIMARY KEY, tenant VARCHAR(100), note VARCHAR(5), " + s.columnsOf() + ")")
	insert := "INSERT INTO hostages (id, tenant, note, email, phone, custom) VALUES (?, 'acme', ?, ?, ?, ?)"
	s.exec(insert, 1, nil, nil, secret, nil)
	s.exec(insert, 2, nil, append([]byte{0xFC, 1}, secret...), "fc1."+secret, nil)
	if s.Dialect == sweep.SQLite { // others parse it
		s.exec(insert, 3, nil, nil, nil, `{"badge": "`+secret+`", "`+secret+`"`)
	}
	s.exec(insert, 4, nil, nil, nil, `{"badge": "`+secret+`"}`)
	kept := Contact{ID: 5, Tenant: "acme", Email: fieldcrypt.Of(secret), Phone: fieldcrypt.Of(secret)}
	require.NoError(s, s.contacts.Encrypt(s.Context(), &kept))
	s.exec(insert, 5, nil, kept.Email, kept.Phone, nil)
	s.exec(insert, 6, nil, kept.Email, kept.Phone, nil) // of another row
	return sweep.Table{Name: "hostages", Rows: s.contacts.Rows(), Plain: map[string]string{"email": "note"}}
}

// texts is all that a table holds, as text.
func (s *service) texts(table string) (all []string) {
	s.Helper()
	rows, err := s.db.QueryContext(s.Context(), "SELECT * FROM "+table)
	require.NoError(s, err)
	defer rows.Close()
	names, err := rows.Columns()
	require.NoError(s, err)
	for rows.Next() {
		values, targets := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		require.NoError(s, rows.Scan(targets...))
		for _, v := range values {
			if b, is := v.([]byte); is {
				v = string(b)
			}
			all = append(all, fmt.Sprint(v))
		}
	}
	require.NoError(s, rows.Err())
	return all
}

// What a sweep says and keeps shows no value, however it is printed.
func TestScoreboardS16(t *testing.T) {
	canary := scoreboard.NewCanary([]byte(secret))
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		table := s.hostages()
		found, of, failed := 0, 0, int64(0)
		see := func(what string, texts []string) {
			here, n := canary.In(texts)
			if found, of = found+here, of+n; here > 0 {
				t.Errorf("%s shows a value: %q", what, texts)
			}
		}
		print := func(what string, values ...any) {
			for _, v := range values {
				see(what, scoreboard.Printed(v))
			}
		}
		ops := []sweep.Operation{sweep.Verify, sweep.Reencrypt, sweep.DecryptToPlaintext, sweep.Encrypt}
		for _, dry := range []bool{true, false} {
			for _, op := range ops {
				var mu sync.Mutex
				var told []any
				opts := &sweep.JobOptions{DryRun: dry, Progress: func(p sweep.Progress) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, p)
				}}
				report, err := s.sweeper(nil).Run(t.Context(), table, op, opts)
				require.ErrorIs(t, err, sweep.ErrRows, op.String())
				failed += report.Failed
				print(op.String(), append(told, op, table, *opts, report, *report, report.String(), err, errors.Unwrap(err))...)
				for _, f := range report.Failures {
					print(op.String(), f, &f)
				}
				cover, err := s.sweeper(nil).Coverage(t.Context(), table, nil)
				require.NoError(t, err)
				print("coverage", cover, *cover, cover.String())
			}
		}
		_, err := s.sweeper(nil).RotateKeys(t.Context(), fieldcrypt.Scope{Tenant: "acme"}, envelope.Reason{}, nil, table)
		require.Error(t, err)
		print("RotateKeys", err)
		see("the table of jobs", s.texts("fieldcrypt_sweeps"))
		see("the table of key ranges", s.texts("fieldcrypt_sweeps_ranges"))

		control, n := canary.In(s.texts("hostages"))
		ok := found == 0 && control > 0 && failed > int64(len(ops))
		scoreboard.Row(t, "S16", ok, fmt.Sprintf("sweep, %s: %d of %d texts, about %d rows that failed", d.Dialect, found, of, failed), "0",
			fmt.Sprintf("the swept table itself: %d of %d", control, n))
	})
}
