//go:build postgres

package drivertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
)

// TestTypesThatCut refuses columns in which PostgreSQL pads or cuts values.
func TestTypesThatCut(t *testing.T) {
	tests := []struct {
		name, id, tenant, email, old string
		op                           sweep.Operation
		refused                      string // empty: it is taken
	}{
		{"control", "BIGINT", "TEXT", "TEXT", "VARCHAR(36)", sweep.DecryptToPlaintext, ""},
		{"plaintext apart", "BIGINT", "TEXT", "TEXT", "CHAR(36)", sweep.DecryptToPlaintext, "column old is a bpchar"},
		{"source apart", "BIGINT", "TEXT", "TEXT", "CHAR(36)", sweep.Encrypt, "column old is a bpchar"},
		{"name apart", "BIGINT", "TEXT", "TEXT", "name", sweep.DecryptToPlaintext, "column old is a name"},
		{"one byte apart", "BIGINT", "TEXT", "TEXT", `"char"`, sweep.DecryptToPlaintext, `column old is a "char"`},
		{"bits apart", "BIGINT", "TEXT", "TEXT", "bit(3)", sweep.DecryptToPlaintext, "column old is a bit"},
		{"domain apart", "BIGINT", "TEXT", "TEXT", "code", sweep.DecryptToPlaintext, "column old is a code"},
		{"envelopes", "BIGINT", "TEXT", "CHAR(400)", "TEXT", sweep.Reencrypt, "column email is a bpchar"},
		{"tenant", "BIGINT", "CHAR(36)", "TEXT", "TEXT", sweep.Reencrypt, "column tenant of the tenant is a bpchar"},
		{"key of bits", "bit(64)", "TEXT", "TEXT", "TEXT", sweep.Reencrypt, "column id of the primary key is a bit"},
		{"key of a domain", "code", "TEXT", "TEXT", "TEXT", sweep.Reencrypt, "column id of the primary key is a code"},
	}
	s := postgres(t).service(t)
	s.exec("CREATE DOMAIN code AS CHAR(36)")
	r, err := fieldcrypt.For[patron](s.crypt)
	require.NoError(t, err)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.exec("CREATE TABLE patrons (id " + test.id + " PRIMARY KEY, tenant " + test.tenant + ", email " + test.email + ", old " + test.old + ", phone TEXT)")
			defer s.exec("DROP TABLE patrons")
			_, err := s.sweeper(nil).Run(t.Context(), sweep.Table{Name: "patrons", Rows: r.Rows(), Plain: map[string]string{"email": "old"}}, test.op, nil)
			if test.refused == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, sweep.ErrTable)
			require.ErrorContains(t, err, test.refused)
		})
	}
}

// TestPaddedKey sweeps along a key of padded text.
func TestPaddedKey(t *testing.T) {
	type note struct {
		ID     string            `fieldcrypt:"id"`
		Tenant string            `fieldcrypt:"tenant"`
		Email  fieldcrypt.String `fieldcrypt:"Notes.email,text,max=320"`
	}
	s := postgres(t).service(t)
	r, err := fieldcrypt.For[note](s.crypt)
	require.NoError(t, err)
	s.exec("CREATE TABLE notes (id CHAR(12) PRIMARY KEY, tenant TEXT, email TEXT)")
	for i := range 30 {
		s.exec("INSERT INTO notes VALUES (?, 'acme', ?)", fmt.Sprintf("k %d", i), fmt.Sprintf("ada%d@example.com", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report, err := s.sweeper(&sweep.Options{MaxBatch: 7}).Run(ctx, sweep.Table{Name: "notes", Rows: r.Rows()}, sweep.Encrypt, nil)
	require.NoError(t, err)
	require.Equal(t, []int64{30, 30}, []int64{report.Rows, report.Changed})
	rows, err := s.db.Query("SELECT id, tenant, email FROM notes")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var n note
		require.NoError(t, rows.Scan(&n.ID, &n.Tenant, &n.Email))
		require.NoError(t, r.Decrypt(t.Context(), &n))
	}
	require.NoError(t, rows.Err())
}
