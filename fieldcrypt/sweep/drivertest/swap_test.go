package drivertest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
)

type patron struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Patrons.email,text,max=320"`
	Phone  fieldcrypt.String `fieldcrypt:"Patrons.phone,text,max=320,class=billing"`
}

func (s *service) patrons(email string) (*fieldcrypt.Records[patron], sweep.Table) {
	s.Helper()
	r, err := fieldcrypt.For[patron](s.crypt)
	require.NoError(s, err)
	s.exec("CREATE TABLE patrons (id BIGINT PRIMARY KEY, tenant VARCHAR(100), email " + email + ", phone VARCHAR(2000))")
	return r, sweep.Table{Name: "patrons", Rows: r.Rows()}
}

func (s *service) patron(r *fieldcrypt.Records[patron], id int64) patron {
	s.Helper()
	var l patron
	require.NoError(s, s.db.QueryRow(s.bind("SELECT id, tenant, email, phone FROM patrons WHERE id = ?"), id).Scan(&l.ID, &l.Tenant, &l.Email, &l.Phone))
	require.NoError(s, r.Decrypt(s.Context(), &l))
	return l
}

// TestSwapComparesAll changes a row between its reading and its writing, in ways
// that a comparison of the cells by the column's collation wouldn't see.
func TestSwapComparesAll(t *testing.T) {
	tests := []struct {
		name, column, change, tenant, email string
		sqlite                              bool
	}{
		{"tenant", "VARCHAR(2000)", "UPDATE patrons SET tenant = 'globex' WHERE id = 1", "globex", "ada@example.com", false},
		{"case of the tenant", "VARCHAR(2000)", "UPDATE patrons SET tenant = 'ACME' WHERE id = 1", "ACME", "ada@example.com", false},
		{"case of the value", "TEXT COLLATE NOCASE", "UPDATE patrons SET email = 'ADA@example.com' WHERE id = 1", "acme", "ADA@example.com", true},
		{"blanks of the value", "TEXT COLLATE RTRIM", "UPDATE patrons SET email = 'ada@example.com ' WHERE id = 1", "acme", "ada@example.com ", true},
	}
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		for _, test := range tests {
			for _, rows := range []int64{1, 2} { // one and many have statements of their own
				if test.sqlite && d.Dialect != sweep.SQLite {
					continue
				}
				t.Run(test.name, func(t *testing.T) {
					r, table := s.patrons(test.column)
					defer s.exec("DROP TABLE patrons")
					for id := range rows {
						s.exec("INSERT INTO patrons (id, tenant, email) VALUES (?, 'acme', 'ada@example.com')", id+1)
					}
					done := false
					ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
						if name == "begin" && !done {
							done = true
							s.exec(test.change)
						}
					}})
					report, err := s.sweeper(nil).Run(ctx, table, sweep.Encrypt, nil)
					require.NoError(t, err)
					require.True(t, done)
					require.Equal(t, rows, report.Changed)
					l := s.patron(r, 1)
					email, err := l.Email.Plain()
					require.NoError(t, err)
					require.Equal(t, []string{test.tenant, test.email}, []string{l.Tenant, email})
				})
			}
		}
	})
}

func moving(t *testing.T, was func(now envelope.Binding) error) sweep.Operation {
	t.Helper()
	move, err := sweep.Rebind(sweep.Rebinding{
		Name: "move", Set: map[string]any{"tenant": "umbrella"}, Until: time.Now().Add(time.Hour),
		Was: func(now envelope.Binding, _ []any) (envelope.Binding, error) {
			now.Scope.Tenant = "acme"
			return now, was(now)
		},
	})
	require.NoError(t, err)
	return move
}

// TestRebindMovesWholeRows holds a rebinding that sets the tenant to rows as a
// whole: those of nothing but NULL too, and those with an error not at all.
func TestRebindMovesWholeRows(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		r, table := s.patrons("VARCHAR(2000)")
		full := patron{ID: 1, Tenant: "acme", Email: fieldcrypt.Of("ada@example.com"), Phone: fieldcrypt.Of("555 0100")}
		require.NoError(t, r.Encrypt(t.Context(), &full))
		s.exec("INSERT INTO patrons (id, tenant, email, phone) VALUES (?, 'acme', ?, ?)", full.ID, full.Email, full.Phone)
		s.exec("INSERT INTO patrons (id, tenant) VALUES (2, 'acme')")
		s.exec("INSERT INTO patrons (id, tenant) VALUES (3, 'globex')")
		of := func(id int64) (tenant string) {
			require.NoError(t, s.db.QueryRow(s.bind("SELECT tenant FROM patrons WHERE id = ?"), id).Scan(&tenant))
			return tenant
		}
		ours := sweep.JobOptions{Tenant: "acme"}

		ofClass := ours
		ofClass.Class = "billing"
		_, err := s.sweeper(nil).Run(t.Context(), table, moving(t, func(envelope.Binding) error { return nil }), &ofClass)
		require.ErrorContains(t, err, `JobOptions.Class is "billing"`)
		require.Equal(t, "acme", of(1))

		report, err := s.sweeper(nil).Run(t.Context(), table, moving(t, func(now envelope.Binding) error {
			if now.Field.String() == "Patrons.phone" {
				return errors.New("its old place isn't known")
			}
			return nil
		}), &ours)
		require.ErrorIs(t, err, sweep.ErrRows)
		require.Equal(t, []int64{1, 1}, []int64{report.Changed, report.Failed})
		require.Equal(t, []string{"acme", "umbrella", "globex"}, []string{of(1), of(2), of(3)})
		s.patron(r, 1) // opens where it was

		report, err = s.sweeper(nil).Run(t.Context(), table, moving(t, func(envelope.Binding) error { return nil }), &ours)
		require.NoError(t, err)
		require.Equal(t, int64(1), report.Changed)
		require.Equal(t, []string{"umbrella", "umbrella", "globex"}, []string{of(1), of(2), of(3)})
		s.patron(r, 1)
	})
}

// TestEncryptBringsEnvelopes finds envelopes in the column of the plaintext.
func TestEncryptBringsEnvelopes(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		r, table := s.patrons("VARCHAR(2000)")
		s.exec("ALTER TABLE patrons ADD old VARCHAR(2000)")
		table.Plain = map[string]string{"email": "old"}
		l := patron{ID: 1, Tenant: "acme", Email: fieldcrypt.Of("ada@example.com")}
		require.NoError(t, r.Encrypt(t.Context(), &l))
		s.exec("INSERT INTO patrons (id, tenant, old) VALUES (1, 'acme', ?)", l.Email)
		s.exec("INSERT INTO patrons (id, tenant, old) VALUES (2, 'acme', ?)", l.Email) // of another record
		report, err := s.sweeper(nil).Run(t.Context(), table, sweep.Encrypt, &sweep.JobOptions{DryRun: true})
		require.ErrorIs(t, err, sweep.ErrRows)
		require.Equal(t, []int64{1, 1}, []int64{report.Changed, report.Failed})
		report, err = s.sweeper(nil).Run(t.Context(), table, sweep.Encrypt, nil)
		require.ErrorIs(t, err, sweep.ErrRows)
		require.Equal(t, []int64{1, 1}, []int64{report.Changed, report.Failed})
		found := s.patron(r, 1)
		email, err := found.Email.Plain()
		require.NoError(t, err)
		require.Equal(t, "ada@example.com", email)
		two := s.patron(r, 2)
		require.True(t, two.Email.IsNull())
	})
}

// A row whose key others write in another way, which the column's collation takes for
// the same, is a row that others changed.
func TestKeyWrittenAnotherWay(t *testing.T) {
	type patron struct {
		ID     string            `fieldcrypt:"id"`
		Tenant string            `fieldcrypt:"tenant"`
		Email  fieldcrypt.String `fieldcrypt:"Patrons.email,text,max=320,migrating,until=2099-12-31"`
	}
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.Postgres { // whose text has no such collation by default
			return
		}
		s := d.service(t)
		records, err := fieldcrypt.For[patron](s.crypt)
		require.NoError(t, err)
		collation := map[sweep.Dialect]string{sweep.SQLite: "NOCASE", sweep.MariaDB: "utf8mb4_general_ci"}[d.Dialect]
		s.exec("CREATE TABLE patrons (id VARCHAR(20) COLLATE " + collation + " NOT NULL PRIMARY KEY, tenant VARCHAR(100), email VARCHAR(2000))")
		s.exec("INSERT INTO patrons VALUES ('ada', 'acme', 'ada@example.com')")
		var once sync.Once
		ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
			if name == "begin" {
				once.Do(func() { s.exec("UPDATE patrons SET id = 'Ada'") })
			}
		}})
		report, err := s.sweeper(nil).Run(ctx, sweep.Table{Name: "patrons", Rows: records.Rows()}, sweep.Encrypt, nil)
		require.NoError(t, err)
		require.Equal(t, [3]int64{1, 1, 0}, [3]int64{report.Rows, report.Changed, report.Failed})
	})
}

// A row that others gave another value, and that happens to hold what was to be
// written for the value before, isn't done.
func TestRowThatLooksWritten(t *testing.T) {
	type patron struct {
		ID       int64                 `fieldcrypt:"id"`
		Tenant   string                `fieldcrypt:"tenant"`
		Email    fieldcrypt.String     `fieldcrypt:"Patrons.email,text,max=320"`
		EmailTag fieldcrypt.BlindIndex `fieldcrypt:"index=Patrons.email,normalise=trim.v1,bits=16"`
	}
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		records, err := fieldcrypt.For[patron](s.crypt)
		require.NoError(t, err)
		for _, rows := range []int64{1, 2} { // MariaDB writes one in another way
			binary := map[sweep.Dialect]string{sweep.SQLite: "BLOB", sweep.MariaDB: "VARBINARY(20)", sweep.Postgres: "BYTEA"}[d.Dialect]
			s.exec("CREATE TABLE patrons (id BIGINT NOT NULL PRIMARY KEY, tenant VARCHAR(100), email VARCHAR(2000), email_tag " + binary + ")")
			all := make([]patron, rows)
			for i := range all {
				all[i] = patron{ID: int64(i) + 1, Tenant: "acme", Email: fieldcrypt.Of("ada@example.com")}
				s.exec("INSERT INTO patrons VALUES (?, 'acme', NULL, ?)", i+1, []byte{1, 2}) // a tag of a value that is gone
			}
			require.NoError(t, records.EncryptAll(t.Context(), all))
			var once sync.Once
			ctx := hooks.With(t.Context(), hooks.Hooks{Step: func(name string) {
				if name != "begin" {
					return
				}
				once.Do(func() { // by a program that doesn't know the index, and whose trigger empties it
					for i := range all {
						s.exec("UPDATE patrons SET email = ?, email_tag = NULL WHERE id = ?", all[i].Email, i+1)
					}
				})
			}})
			_, err = s.sweeper(nil).Run(ctx, sweep.Table{Name: "patrons", Rows: records.Rows()}, sweep.Reindex, nil)
			require.NoError(t, err)
			var without int
			require.NoError(t, s.db.QueryRow("SELECT count(*) FROM patrons WHERE email_tag IS NULL").Scan(&without))
			require.Zero(t, without)
			s.exec("DROP TABLE patrons")
		}
	})
}
