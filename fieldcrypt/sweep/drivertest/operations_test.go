package drivertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep/internal/hooks"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// Lead is a record type whose table was filled in plaintext: in columns that take
// envelopes too, and for the birthday in one that doesn't.
type Lead struct {
	ID       int64             `fieldcrypt:"id"`
	Email    fieldcrypt.String `fieldcrypt:"Leads.email,text,max=320"`
	Birthday fieldcrypt.Date   `fieldcrypt:"Leads.birthday"`
}

// leads makes a table of plaintext, and its record type.
func (s *service) leads(n int) (sweep.Table, *fieldcrypt.Records[Lead]) {
	s.Helper()
	records, err := fieldcrypt.For[Lead](s.crypt)
	require.NoError(s, err)
	records = records.ForTenant("acme")
	bytes := map[sweep.Dialect]string{sweep.Postgres: "bytea", sweep.MariaDB: "VARBINARY(200)", sweep.SQLite: "BLOB"}[s.Dialect]
	s.exec("CREATE TABLE leads (id BIGINT PRIMARY KEY, email VARCHAR(600), born DATE, birthday " + bytes + ")")
	for from := 0; from < n; from += 500 {
		var b strings.Builder
		var args []any
		for id := from + 1; id <= min(n, from+500); id++ {
			b.WriteString(", (?, ?, ?)")
			var born any = fmt.Sprintf("19%02d-02-03", id%100)
			if id%10 == 0 {
				born = nil
			}
			args = append(args, id, fmt.Sprintf("ünïcode \"%d\" \\ 'x'@example.com", id), born)
		}
		s.exec("INSERT INTO leads (id, email, born) VALUES "+b.String()[2:], args...)
	}
	return sweep.Table{Name: "leads", Rows: records.Rows(), Plain: map[string]string{"birthday": "born"}}, records
}

// lead reads one, decrypted.
func (s *service) lead(records *fieldcrypt.Records[Lead], id int64) Lead {
	s.Helper()
	var l Lead
	require.NoError(s, s.db.QueryRowContext(s.Context(), s.bind("SELECT id, email, birthday FROM leads WHERE id = ?"), id).Scan(&l.ID, &l.Email, &l.Birthday))
	require.NoError(s, records.Decrypt(s.Context(), &l))
	return l
}

// A table is encrypted while the program writes to it, is proved to hold no
// plaintext, and gets its checks; then everything goes back.
func TestEncryptAndBack(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		n := 700
		s := d.service(t)
		table, records := s.leads(n)
		sweeper := s.sweeper(&sweep.Options{RangeRows: 100})
		before, err := sweeper.Coverage(t.Context(), table, nil)
		require.NoError(t, err)
		require.EqualValues(t, n+n-n/10, before.Plaintext, "in both columns")
		require.Zero(t, before.Copies)
		require.Len(t, before.Examples, 100)
		require.NotContains(t, before.String(), "@example.com")

		dry, err := sweeper.Run(t.Context(), table, sweep.Encrypt, &sweep.JobOptions{DryRun: true})
		require.NoError(t, err)
		require.EqualValues(t, n, dry.Changed)
		last, err := sweeper.Last(t.Context(), table)
		require.NoError(t, err)
		require.Nil(t, last, "a dry run leaves nothing behind")

		report, err := sweeper.Run(t.Context(), table, sweep.Encrypt, nil)
		require.NoError(t, err)
		require.EqualValues(t, n, report.Changed)
		l := s.lead(records, 7)
		email, err := l.Email.Plain()
		require.NoError(t, err)
		require.Equal(t, `ünïcode "7" \ 'x'@example.com`, email)
		born, err := l.Birthday.Plain()
		require.NoError(t, err)
		require.Equal(t, "1907-02-03", born.String())
		null := s.lead(records, 10)
		require.True(t, null.Birthday.IsNull(), "NULL stays NULL")

		after, err := sweeper.Coverage(t.Context(), table, nil)
		require.NoError(t, err)
		require.Zero(t, after.Plaintext+after.Unreadable)
		require.EqualValues(t, n+n-n/10, after.Sealed)
		require.EqualValues(t, n-n/10, after.Copies, "the old column is as it was")
		require.Contains(t, after.String(), fmt.Sprintf("; %d copies in plaintext\n", n-n/10))

		require.NoError(t, sweeper.AddChecks(t.Context(), table))
		require.NoError(t, sweeper.AddChecks(t.Context(), table), "again")
		_, err = s.db.Exec("UPDATE leads SET email = 'plaintext' WHERE id = 1")
		require.Error(t, err)
		columns, err := table.Rows.ColumnDefs(d.Dialect)
		require.NoError(t, err)
		for _, c := range columns { // the way back needs columns without them
			if d.Dialect == sweep.SQLite {
				s.exec("DROP TRIGGER leads_" + c.CheckName() + "_insert")
				s.exec("DROP TRIGGER leads_" + c.CheckName() + "_update")
			} else {
				s.exec("ALTER TABLE leads DROP CONSTRAINT " + c.CheckName())
			}
		}

		again, err := sweeper.Run(t.Context(), table, sweep.Encrypt, nil)
		require.NoError(t, err)
		require.Zero(t, again.Changed, "envelopes that open stay")

		s.exec("UPDATE leads SET born = NULL")
		back, err := sweeper.Run(t.Context(), table, sweep.DecryptToPlaintext, nil)
		require.NoError(t, err)
		require.EqualValues(t, n, back.Changed)
		var plain, date string
		require.NoError(t, s.db.QueryRow("SELECT email, CAST(born AS CHAR(10)) FROM leads WHERE id = 7").Scan(&plain, &date))
		require.Equal(t, `ünïcode "7" \ 'x'@example.com`, plain)
		require.Equal(t, "1907-02-03", date)
	})
}

// A process that knows the old column only goes on writing: what is there alone is
// counted until a sweep has sealed it, also by the last count before the column is
// dropped, and a dry run tells where the two columns differ.
func TestCoverageOfOldColumns(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		table, records := s.leads(30)
		sweeper := s.sweeper(nil)
		encrypt := func() {
			_, err := sweeper.Run(t.Context(), table, sweep.Encrypt, nil)
			require.NoError(t, err)
		}
		count := func(plaintext, copies int64) *sweep.Coverage {
			t.Helper()
			cover, err := sweeper.Coverage(t.Context(), table, nil)
			require.NoError(t, err)
			require.Equal(t, [3]int64{plaintext, 0, copies}, [3]int64{cover.Plaintext, cover.Unreadable, cover.Copies})
			return cover
		}
		differing := func() int64 {
			report, err := sweeper.Run(t.Context(), table, sweep.DecryptToPlaintext, &sweep.JobOptions{DryRun: true})
			require.NoError(t, err)
			return report.Changed
		}
		s.exec("UPDATE leads SET email = NULL") // it has no column of its own for plaintext
		count(27, 0)
		encrypt()
		count(0, 27)

		s.exec("INSERT INTO leads (id, born) VALUES (31, '1931-02-03')")
		require.NoError(t, sweeper.AddChecks(t.Context(), table), "no check speaks of the old column")
		cover := count(1, 27)
		require.Equal(t, []sweep.Failure{{Key: "31", Column: "Leads.birthday", Reason: "plaintext"}}, cover.Examples)
		narrow, err := sweeper.Coverage(t.Context(), table, &sweep.CoverageOptions{Class: "other"})
		require.NoError(t, err)
		require.Zero(t, narrow.Plaintext+narrow.Copies)
		require.Empty(t, narrow.Examples)
		blind := table
		blind.Plain = nil
		cover, err = sweeper.Coverage(t.Context(), blind, nil)
		require.NoError(t, err)
		require.Zero(t, cover.Plaintext, "without Table.Plain nobody knows of the column")

		encrypt()
		count(0, 28)
		require.Zero(t, differing())
		s.exec("UPDATE leads SET born = '1999-09-09' WHERE id = 5")
		count(0, 28)
		require.EqualValues(t, 1, differing())
		s.exec("UPDATE leads SET birthday = NULL WHERE id = 5") // the old one holds: its envelope is made anew
		encrypt()
		require.Zero(t, differing())
		l := s.lead(records, 5)
		born, err := l.Birthday.Plain()
		require.NoError(t, err)
		require.Equal(t, "1999-09-09", born.String())

		// The end: under another name nobody writes to it between the count and
		// the drop.
		s.exec("INSERT INTO leads (id, born) VALUES (32, '1932-02-03')")
		s.exec("ALTER TABLE leads RENAME COLUMN born TO born_old")
		table.Plain = map[string]string{"birthday": "born_old"}
		_, err = s.db.Exec("INSERT INTO leads (id, born) VALUES (33, '1933-02-03')")
		require.Error(t, err)
		count(1, 28)
		encrypt()
		count(0, 29)
		s.exec("ALTER TABLE leads DROP COLUMN born_old")
		l = s.lead(records, 32)
		born, err = l.Birthday.Plain()
		require.NoError(t, err)
		require.Equal(t, "1932-02-03", born.String())
	})
}

// A larger import, with a writer beside it until the checks are there. After them
// plaintext is refused, and envelopes aren't.
func TestImport(t *testing.T) {
	if testing.Short() {
		return
	}
	n := scoreboard.Count(20_000, 1_000_000)
	s := server(t).service(t)
	table, records := s.leads(n)
	stop, written := make(chan struct{}), map[int64]string{}
	var longest time.Duration // of a write
	write := func(id int64) error {
		text := fmt.Sprintf("new-%d@example.org", id)
		l := Lead{ID: id, Email: fieldcrypt.Of(text)}
		if err := records.Encrypt(t.Context(), &l); err != nil {
			return err
		}
		began := time.Now()
		if _, err := s.db.Exec(s.bind("UPDATE leads SET email = ? WHERE id = ?"), l.Email, l.ID); err != nil {
			return err
		}
		longest = max(longest, time.Since(began))
		written[id] = text
		return nil
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for at := int64(1); ; at = (at + 97) % int64(n) {
			select {
			case <-stop:
				return
			default:
			}
			if err := write(at + 1); err != nil {
				t.Error(err)
				return
			}
		}
	})
	report, err := s.sweeper(nil).Run(t.Context(), table, sweep.Encrypt, nil)
	var cover *sweep.Coverage
	if err == nil {
		cover, err = s.sweeper(nil).Coverage(t.Context(), table, nil)
	}
	if err == nil {
		err = s.sweeper(nil).AddChecks(t.Context(), table)
	}
	close(stop)
	wg.Wait()
	require.NoError(t, err)
	require.EqualValues(t, n, report.Rows)
	require.Zero(t, cover.Plaintext+cover.Unreadable)
	require.NotEmpty(t, written)
	t.Logf("%s, %d rows: %d contacts written meanwhile, the longest write took %v", s.Dialect, n, len(written), longest)
	require.Less(t, longest, 5*time.Second, "a write waited for the sweep, the count or the checks")

	_, err = s.db.Exec("UPDATE leads SET email = 'plaintext' WHERE id = 1")
	require.Error(t, err)
	_, err = s.db.Exec(s.bind("INSERT INTO leads (id, email) VALUES (?, 'plaintext')"), n+1)
	require.Error(t, err)
	require.NoError(t, write(1))
	for id, want := range written {
		l := s.lead(records, id)
		email, err := l.Email.Plain()
		require.NoError(t, err)
		require.Equal(t, want, email)
	}
	verify, err := s.sweeper(nil).Run(t.Context(), table, sweep.Verify, nil)
	require.NoError(t, err)
	require.EqualValues(t, n, verify.Rows)
	require.Zero(t, verify.Changed)
}

// What begins as an envelope and is none is reported, and never sealed.
func TestEncryptReportsBrokenEnvelopes(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		table, _ := s.leads(20)
		s.exec("UPDATE leads SET email = 'fc1.broken' WHERE id = 3")
		s.exec("UPDATE leads SET email = 'fcx is how a word begins' WHERE id = 4")
		report, err := s.sweeper(nil).Run(t.Context(), table, sweep.Encrypt, nil)
		require.ErrorIs(t, err, sweep.ErrRows)
		require.ErrorContains(t, err, "encrypt of table leads: 1 of 20 rows couldn't be dealt with; row 3, column email: ")
		require.NotContains(t, err.Error(), "broken")
		require.True(t, report.Done)
		require.EqualValues(t, 20, report.Rows)
		require.EqualValues(t, 1, report.Failed)
		require.Equal(t, []string{"3"}, []string{report.Failures[0].Key})
		var email string
		require.NoError(t, s.db.QueryRow("SELECT email FROM leads WHERE id = 3").Scan(&email))
		require.Equal(t, "fc1.broken", email)
	})
}

// Rows move to another tenant, with their envelopes, in one statement each.
func TestRebindTenant(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 300)
		move, err := sweep.Rebind(sweep.Rebinding{
			Name: "acme becomes umbrella",
			Was: func(now envelope.Binding, _ []any) (envelope.Binding, error) {
				now.Scope.Tenant = "acme"
				return now, nil
			},
			Set:   map[string]any{"tenant": "umbrella"},
			Until: time.Now().Add(time.Hour),
		})
		require.NoError(t, err)
		report, err := s.sweeper(nil).Run(t.Context(), s.table(), move, &sweep.JobOptions{Tenant: "acme"})
		require.NoError(t, err)
		require.EqualValues(t, 100, report.Changed)
		moved := 0
		for _, c := range s.read() {
			require.NotEqual(t, "acme", c.Tenant)
			email, err := c.Email.Plain()
			require.NoError(t, err)
			require.Equal(t, emailOf(c.ID), email)
			if c.Tenant == "umbrella" {
				moved++
			}
		}
		require.Equal(t, 100, moved)
	})
}

// A merge gave records other IDs: a column has the old ones.
func TestRebindIDs(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 50)
		s.exec("UPDATE contacts SET note = CAST(id AS CHAR(20))")
		s.exec("UPDATE contacts SET id = id + 1000 WHERE id > 20")
		op, err := sweep.Rebind(sweep.Rebinding{
			Name: "merged", Columns: []string{"note"}, Until: time.Now().Add(time.Hour),
			Was: func(now envelope.Binding, row []any) (envelope.Binding, error) {
				old, ok := row[0].(string)
				if !ok {
					return now, errors.New("the row has no note of its old ID")
				}
				now.Record = strings.TrimSpace(old)
				return now, nil
			},
		})
		require.NoError(t, err)
		for _, changed := range []int64{30, 0} { // the second time nothing is left to do
			report, err := s.sweeper(nil).Run(t.Context(), s.table(), op, nil)
			require.NoError(t, err)
			require.EqualValues(t, 50, report.Rows)
			require.Equal(t, changed, report.Changed)
		}
		for _, c := range s.read() {
			email, err := c.Email.Plain()
			require.NoError(t, err)
			require.Equal(t, emailOf(c.ID%1000), email)
		}
		verify, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Verify, nil)
		require.NoError(t, err)
		require.Zero(t, verify.Failed)
	})
}

// Verify reports each value that doesn't open, and nothing else.
func TestVerify(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 60)
		s.exec("UPDATE contacts SET phone = (SELECT p FROM (SELECT phone AS p FROM contacts WHERE id = 4) AS other) WHERE id = 7")
		report, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Verify, nil)
		require.ErrorIs(t, err, sweep.ErrRows)
		require.EqualValues(t, 60, report.Rows)
		require.EqualValues(t, 1, report.Failed)
		require.Zero(t, report.Changed)
		require.Equal(t, "7", report.Failures[0].Key)
		require.Equal(t, "phone", report.Failures[0].Column)
		require.Contains(t, report.Failures[0].Reason, "not authentic")
	})
}

// A compromised key is replaced everywhere, and the count proves it.
func TestRotateKeys(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 300)
		scope := fieldcrypt.Scope{Tenant: "acme"}
		old, err := s.crypt.KeyRing().ActiveKey(t.Context(), scope)
		require.NoError(t, err)
		who := envelope.Reason{By: "ada@example.com", Why: "ticket 4711"}
		opts := &sweep.KeyRotation{Settle: time.Millisecond}
		report, err := s.sweeper(nil).RotateKeys(t.Context(), scope, who, opts, s.table())
		require.NoError(t, err)
		require.True(t, report.Proved())
		require.NotEqual(t, old, report.Key)
		require.Equal(t, []sweep.OldKey{{Key: old}}, report.Old)
		require.Len(t, report.Sweeps, 1)
		require.EqualValues(t, 100, report.Sweeps[0].Changed)
		require.Contains(t, report.String(), "counted: no value in these tables needs an old key")
		s.whole(300)

		s.exec("UPDATE contacts SET phone = (SELECT p FROM (SELECT phone AS p FROM contacts WHERE id = 4) AS other) WHERE id = 12")
		opts.Passes = 2
		report, err = s.sweeper(nil).RotateKeys(t.Context(), scope, who, opts, s.table())
		require.ErrorIs(t, err, sweep.ErrStillUsed)
		require.False(t, report.Proved())
		require.Len(t, report.Sweeps, 2)
	})
}

// A rotation that ended in the middle is resumed by a process that knew the old key
// as the active one: it goes on with the new key, and not back to the old one.
func TestRotateKeysResumed(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 600)
		scope, who := fieldcrypt.Scope{Tenant: "acme"}, envelope.Reason{By: "ada@example.com"}
		keys, err := sqlstore.Open(t.Context(), s.db, sqlstore.Dialect(d.Dialect), nil)
		require.NoError(t, err)
		other, err := fieldcrypt.New(s.kms, fieldcrypt.RootKeys{Seal: s.kms.RootKey()}, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys, StorePoll: time.Hour}})
		require.NoError(t, err)
		defer other.Close()
		contacts, err := fieldcrypt.For[Contact](other)
		require.NoError(t, err)
		old, err := other.KeyRing().ActiveKey(t.Context(), scope)
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var n atomic.Int32
		stopping := hooks.With(ctx, hooks.Hooks{Step: func(name string) {
			if name == "committed" && n.Add(1) == 3 {
				cancel()
			}
		}})
		opts := &sweep.KeyRotation{Settle: time.Millisecond}
		begun, err := s.sweeper(&sweep.Options{MaxBatch: 10}).RotateKeys(stopping, scope, who, opts, s.table())
		require.ErrorIs(t, err, context.Canceled)
		require.NotEqual(t, old, begun.Key)

		table := sweep.Table{Name: "contacts", Rows: contacts.Rows()}
		report, err := s.sweeper(nil).RotateKeys(t.Context(), scope, who, opts, table)
		require.NoError(t, err)
		require.True(t, report.Resumed)
		require.True(t, report.Proved())
		require.Equal(t, begun.Key, report.Key)
		require.NotContains(t, s.keys(), old)
		s.whole(600)
	})
}
