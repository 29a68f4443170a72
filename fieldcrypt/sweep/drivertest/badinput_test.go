package drivertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
)

// What the tables are that a sweep refuses, and with which words.
func TestRefusedTables(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 3)
		contacts, _, _ := strings.Cut(s.columnsOf(), "\n")
		s.exec("CREATE TABLE nokey (id BIGINT, tenant VARCHAR(100), " + contacts + ")")
		s.exec("CREATE TABLE lacking (id BIGINT PRIMARY KEY, tenant VARCHAR(100), email " + s.bytesType() + ")")
		s.exec("CREATE VIEW seen AS SELECT * FROM contacts")
		s.exec("CREATE TABLE twice (id BIGINT NOT NULL, tenant VARCHAR(100), " + contacts + ")")
		s.exec("INSERT INTO twice (id, tenant) VALUES (1, 'acme'), (1, 'acme')")
		s.exec("CREATE TABLE nulls (id BIGINT, tenant VARCHAR(100), " + contacts + ")")
		s.exec("INSERT INTO nulls (id, tenant) VALUES (NULL, 'acme')")
		rows := s.contacts.Rows()
		for name, c := range map[string]struct {
			table sweep.Table
			is    error
			want  string
		}{
			"no primary key":   {sweep.Table{Name: "nokey", Rows: rows}, sweep.ErrNoKey, "sweep: table nokey: the table has no primary key, and a sweep goes along one: add it, or name the columns of a unique index without NULLs in Table.Key"},
			"no such table":    {sweep.Table{Name: "nowhere", Rows: rows}, sweep.ErrTable, "sweep: table nowhere: the table doesn't fit the record type: there is no such table"},
			"no such column":   {sweep.Table{Name: "lacking", Rows: rows}, sweep.ErrTable, `there is no column "phone", which is a sensitive column of drivertest.Contact: name it in the tag, in Table, or add it`},
			"no such key":      {sweep.Table{Name: "contacts", Rows: rows, Key: []string{"number"}}, sweep.ErrTable, `there is no column "number", which is part of the primary key`},
			"a view":           {sweep.Table{Name: "seen", Rows: rows}, sweep.ErrTable, "sweep the table behind it"},
			"a key twice":      {sweep.Table{Name: "twice", Rows: rows, Key: []string{"id"}}, sweep.ErrTable, "two rows have the same key (1), and a sweep that goes along it could miss some"},
			"a null key":       {sweep.Table{Name: "nulls", Rows: rows, Key: []string{"id"}}, sweep.ErrTable, "column id of its key is NULL in some row"},
			"too many IDs":     {sweep.Table{Name: "contacts", Rows: rows, ID: []string{"id", "tenant"}}, sweep.ErrTable, "Table.ID names 2 columns, and the record's ID has 1 parts"},
			"unknown plain":    {sweep.Table{Name: "contacts", Rows: rows, Plain: map[string]string{"fax": "note"}}, sweep.ErrTable, `Table.Plain has "fax", which is no sensitive column`},
			"no rows":          {sweep.Table{Name: "contacts"}, nil, "the Rows are nil: make them with Records.Rows"},
			"no name":          {sweep.Table{Rows: rows}, nil, "sweep: the Table has no Name"},
			"the plain column": {sweep.Table{Name: "contacts", Rows: rows, Plain: map[string]string{"email": "phone"}}, sweep.ErrTable, "Table.Plain names column phone for email, and it is used already"},
		} {
			op := sweep.Encrypt
			if !strings.Contains(name, "plain") {
				op = sweep.Reencrypt
			}
			_, err := s.sweeper(&sweep.Options{RangeRows: 1000}).Run(t.Context(), c.table, op, nil)
			require.ErrorContains(t, err, c.want, name)
			if c.is != nil {
				require.ErrorIs(t, err, c.is, name)
			}
		}
	})
}

// columnsOf is the sensitive columns as SQL, without their checks.
func (s *service) columnsOf() string {
	s.Helper()
	columns, err := s.contacts.ColumnDefs(s.Dialect)
	require.NoError(s, err)
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = c.Name + " " + c.Type
	}
	return strings.Join(parts, ", ")
}

func (s *service) bytesType() string {
	return map[sweep.Dialect]string{sweep.Postgres: "bytea", sweep.MariaDB: "VARBINARY(400)", sweep.SQLite: "BLOB"}[s.Dialect]
}

// A column of characters can't hold the binary form.
func TestRefusedTypes(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.SQLite { // any column takes any type
			return
		}
		s := d.service(t)
		s.exec("CREATE TABLE letters (id BIGINT PRIMARY KEY, tenant VARCHAR(100), email VARCHAR(500), phone VARCHAR(500), custom VARCHAR(500))")
		_, err := s.sweeper(nil).Run(t.Context(), sweep.Table{Name: "letters", Rows: s.contacts.Rows()}, sweep.Encrypt, nil)
		require.ErrorIs(t, err, sweep.ErrTable)
		require.ErrorContains(t, err, "field Contacts.email is written in binary form: make the column one of bytes, or give the field the tag option text")
	})
}

// Options and arguments that are refused before anything is called.
func TestRefusedOptions(t *testing.T) {
	db := sqlite(t).open(t)
	for want, o := range map[string]*sweep.Options{
		"Options.Table is \"a b\"":                   {Table: "a b"},
		"Options.RangeRows is -1":                    {RangeRows: -1},
		"Options.MaxBatch is 9999":                   {MaxBatch: 9999},
		"Options.Lease is 1ms":                       {Lease: time.Millisecond},
		"Options.BatchTime is 1ns":                   {BatchTime: 1},
		"Options.AnswerTime is 1s":                   {AnswerTime: time.Second},
		"Options.Attempts is -1":                     {Attempts: -1},
		"Options.Schema is \"x\", but SQLite has no": {Schema: "x"},
	} {
		_, err := sweep.New(db, sweep.SQLite, o)
		require.ErrorContains(t, err, want)
	}
	_, err := sweep.New(nil, sweep.SQLite, nil)
	require.ErrorContains(t, err, "the database is nil")
	_, err = sweep.New(db, 9, nil)
	require.ErrorContains(t, err, "it is sweep.Postgres, sweep.MariaDB or sweep.SQLite")
	_, err = sweep.DDL(9, nil)
	require.Error(t, err)

	s := sqlite(t).service(t)
	run := func(op sweep.Operation, o *sweep.JobOptions) error {
		_, err := s.sweeper(nil).Run(t.Context(), s.table(), op, o)
		return err
	}
	require.ErrorContains(t, run(sweep.Operation{}, nil), "there is no operation")
	require.ErrorContains(t, run(sweep.Verify, &sweep.JobOptions{Workers: 65}), "JobOptions.Workers is 65")
	require.ErrorContains(t, run(sweep.Verify, &sweep.JobOptions{RowsPerSecond: -1}), "must not be negative")
	require.ErrorContains(t, run(sweep.Verify, &sweep.JobOptions{Name: strings.Repeat("x", 201)}), "up to 200")
	was := func(b envelope.Binding, _ []any) (envelope.Binding, error) { return b, nil }
	for want, r := range map[string]sweep.Rebinding{
		"Rebinding.Name must have": {Was: was, Until: time.Now()},
		"Rebinding.Was is nil":     {Name: "x", Until: time.Now()},
		"Rebinding.Until is zero":  {Name: "x", Was: was},
		"more than 90 days away":   {Name: "x", Was: was, Until: time.Now().AddDate(1, 0, 0)},
	} {
		_, err := sweep.Rebind(r)
		require.ErrorContains(t, err, want)
	}
	late, err := sweep.Rebind(sweep.Rebinding{Name: "x", Was: was, Until: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	require.ErrorContains(t, run(late, nil), "the rebinding was to be over by")
	key, err := sweep.Rebind(sweep.Rebinding{Name: "x", Was: was, Until: time.Now().Add(time.Hour), Set: map[string]any{"id": 5}})
	require.NoError(t, err)
	require.ErrorContains(t, run(key, nil), "column id is part of the primary key")
	_, err = s.sweeper(nil).RotateKeys(t.Context(), fieldcrypt.Scope{Tenant: "acme"}, envelope.Reason{}, nil, s.table())
	require.ErrorContains(t, err, "Reason.By is empty")
	_, err = s.sweeper(nil).RotateKeys(t.Context(), fieldcrypt.Scope{Tenant: "acme"}, envelope.Reason{By: "x"}, nil)
	require.ErrorContains(t, err, "there are no tables")
	_, err = s.sweeper(&sweep.Options{NoMigrate: true}).Run(t.Context(), s.table(), sweep.Verify, nil)
	require.ErrorIs(t, err, sweep.ErrNoTables)
	require.ErrorContains(t, err, "run sweep.Migrate, or what sweep.DDL prints")
	require.ErrorContains(t, s.sweeper(nil).Pause(t.Context(), s.table()), "the sweeper's tables aren't there")
	require.NoError(t, s.sweeper(nil).Migrate(t.Context()))
	require.ErrorContains(t, s.sweeper(nil).Pause(t.Context(), s.table()), "pause the job on table contacts: there is none")
	require.NoError(t, run(sweep.Verify, nil))
	require.ErrorContains(t, s.sweeper(nil).Pause(t.Context(), s.table()), "the job is done")
}

// The dialect is another database's.
func TestWrongDialect(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		for _, wrong := range []sweep.Dialect{sweep.Postgres, sweep.MariaDB, sweep.SQLite} {
			if wrong == d.Dialect {
				continue
			}
			sweeper, err := sweep.New(s.db, wrong, nil)
			require.NoError(t, err)
			_, err = sweeper.Run(t.Context(), s.table(), sweep.Reencrypt, nil)
			require.ErrorIs(t, err, sweep.ErrWrongDialect)
			require.ErrorContains(t, err, "give New another dialect than sweep.")
		}
	})
}

// A trigger that changes what was written is found out before it is kept.
func TestTriggers(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 40)
		s.rotate()
		spoil := map[sweep.Dialect][]string{
			sweep.SQLite:  {"CREATE TRIGGER spoil AFTER UPDATE OF email ON contacts WHEN NEW.id = 7 AND NEW.email IS NOT NULL BEGIN UPDATE contacts SET email = NULL WHERE id = 7; END"},
			sweep.MariaDB: {"CREATE TRIGGER spoil BEFORE UPDATE ON contacts FOR EACH ROW SET NEW.email = IF(NEW.id = 7, NULL, NEW.email)"},
			sweep.Postgres: {
				"CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id = 7 THEN NEW.email = NULL; END IF; RETURN NEW; END'",
				"CREATE TRIGGER spoil BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION spoil()",
			},
		}[d.Dialect]
		for _, statement := range spoil {
			s.exec(statement)
		}
		report, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.ErrorIs(t, err, sweep.ErrRows)
		require.ErrorContains(t, err, "row 7: the database held something else than what was written, as where a trigger changes the row")
		require.EqualValues(t, 39, report.Changed)
		require.EqualValues(t, 1, report.Failed)
		s.whole(40)
	})
}

// A trigger of PostgreSQL that runs after the statement is found out too.
func TestTriggersAfter(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect != sweep.Postgres {
			return
		}
		s := d.service(t)
		s.fill(1, 20)
		s.rotate()
		s.exec("CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE contacts SET phone = NULL WHERE id = NEW.id AND id = 7 AND phone IS NOT NULL; RETURN NULL; END'")
		s.exec("CREATE TRIGGER spoil AFTER UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION spoil()")
		report, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.ErrorIs(t, err, sweep.ErrRows)
		require.EqualValues(t, 1, report.Failed)
		s.whole(20)
	})
}

// A column that is too narrow loses nothing, whether the database says so or cuts
// values off without a word.
func TestNarrowColumns(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		if d.Dialect == sweep.SQLite { // whose columns have no width
			return
		}
		for _, lenient := range []bool{false, true} {
			if lenient && d.Dialect != sweep.MariaDB {
				continue
			}
			t.Run(fmt.Sprint("lenient ", lenient), func(t *testing.T) {
				d := d
				if lenient {
					d = databases["mariadb"](t)
					d.DSN += "?sql_mode=%27%27"
				}
				s := d.service(t)
				s.exec("CREATE TABLE narrow (id BIGINT PRIMARY KEY, email VARCHAR(120))")
				long := strings.Repeat("x", 60) + "@example.com"
				s.exec("INSERT INTO narrow VALUES (1, 'a@example.com'), (2, '" + long + "'), (3, 'b@example.com')")
				type narrow struct {
					ID    int64             `fieldcrypt:"id"`
					Email fieldcrypt.String `fieldcrypt:"Narrow.email,text"`
				}
				records, err := fieldcrypt.For[narrow](s.crypt)
				require.NoError(t, err)
				report, err := s.sweeper(nil).Run(t.Context(), sweep.Table{Name: "narrow", Rows: records.ForTenant("acme").Rows()}, sweep.Encrypt, nil)
				require.ErrorIs(t, err, sweep.ErrRows)
				require.ErrorContains(t, err, "row 2")
				require.NotContains(t, err.Error(), "xxx")
				require.EqualValues(t, 2, report.Changed, "%v", report.Failures)
				var email string
				require.NoError(t, s.db.QueryRow("SELECT email FROM narrow WHERE id = 2").Scan(&email))
				require.Equal(t, long, email)
			})
		}
	})
}

// A document in which a required path leads to nothing may have its value elsewhere:
// the row is reported, and stays as it is.
func TestRequiredPaths(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		schema, err := fieldcrypt.ParseSchema([]byte(`{"version":1,"modules":[{"name":"Leads","id":["id"],"fields":[
			{"name":"email","type":"string","path":"doc.contact.email","required":true},
			{"name":"note","type":"string","path":"doc.note"}]}]}`))
		require.NoError(t, err)
		maps, err := fieldcrypt.ForMaps(s.crypt, schema, "Leads")
		require.NoError(t, err)
		s.exec("CREATE TABLE leads (id BIGINT PRIMARY KEY, doc " + map[sweep.Dialect]string{sweep.Postgres: "jsonb", sweep.MariaDB: "JSON", sweep.SQLite: "TEXT"}[d.Dialect] + ")")
		for id, doc := range []any{
			`{"contact": {"email": "ada@example.com"}, "note": "first"}`,
			`{"contact": {"mail": "bob@example.com"}, "note": "second"}`,
			`{"contact": {"email": null}, "note": "third"}`,
			`{"note": "fourth"}`,
			nil,
		} {
			s.exec("INSERT INTO leads VALUES (?, ?)", id+1, doc)
		}
		report, err := s.sweeper(nil).Run(t.Context(), sweep.Table{Name: "leads", Rows: maps.ForTenant("acme").Rows()}, sweep.Encrypt, nil)
		require.ErrorIs(t, err, sweep.ErrRows)
		const why = "column doc: field Leads.email: there is nothing at its path doc.contact.email, and the schema requires it: set it in the document, also to null, or correct the path"
		require.EqualError(t, err, "sweep: encrypt of table leads: 2 of 5 rows couldn't be dealt with; row 2, "+why+"; row 4, "+why)
		require.EqualValues(t, 2, report.Changed)
		for id, sealed := range []bool{true, false, true, false} {
			var doc string
			require.NoError(t, s.db.QueryRow(s.bind("SELECT doc FROM leads WHERE id = ?"), id+1).Scan(&doc))
			require.Equal(t, sealed, strings.Contains(doc, `"fc1.`), doc)
		}
	})
}
