package drivertest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// A database is a place for a test's tables, and how to get there.
type database struct {
	Dialect sweep.Dialect
	Driver  string
	DSN     string
}

// databases are the databases that this run's build tags and variables give,
// by name: each makes one for a test alone.
var databases = map[string]func(t testing.TB) database{"sqlite": sqlite}

func sqlite(t testing.TB) database {
	t.Helper()
	values := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)"}}
	return database{sweep.SQLite, "sqlite", "file:" + filepath.Join(t.TempDir(), "crm.db") + "?" + values.Encode()}
}

// everywhere runs a test on each database of this run.
func everywhere(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	for name, make := range databases {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

// server is the run's PostgreSQL, or else a file of SQLite, for what takes long.
func server(t testing.TB) database {
	t.Helper()
	if postgres, ok := databases["postgres"]; ok {
		return postgres(t)
	}
	return sqlite(t)
}

// Contact is the record type of these tests.
type Contact struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
	Phone  fieldcrypt.String `fieldcrypt:"Contacts.phone,max=320,text"`
	Custom fieldcrypt.Fields `fieldcrypt:"Contacts.custom.*,max=320"`
}

// Migrant is a [Contact] in migrating mode.
type Migrant struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320,migrating,until=2099-12-31"`
	Phone  fieldcrypt.String `fieldcrypt:"Contacts.phone,max=320,text,migrating,until=2099-12-31"`
	Custom fieldcrypt.Fields `fieldcrypt:"Contacts.custom.*,max=320,migrating,until=2099-12-31"`
}

// A service is a program on a database: its pool, key store and records.
type service struct {
	database
	testing.TB
	db       *sql.DB
	keyFile  string
	kms      *localkms.Provider
	crypt    *fieldcrypt.Crypt
	contacts *fieldcrypt.Records[Contact]
	migrants *fieldcrypt.Records[Migrant]
}

func (d database) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.Driver, d.DSN)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// service makes a key store and a table of contacts.
func (d database) service(t testing.TB) *service {
	t.Helper()
	s := &service{database: d, TB: t, db: d.open(t)}
	s.keyFile = filepath.Join(t.TempDir(), "root.keys")
	var err error
	s.kms, err = localkms.Open(s.keyFile)
	require.NoError(t, err)
	keys, err := sqlstore.Open(t.Context(), s.db, sqlstore.Dialect(d.Dialect), nil)
	require.NoError(t, err)
	s.crypt, err = fieldcrypt.New(s.kms, fieldcrypt.RootKeys{Seal: s.kms.RootKey()}, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.crypt.Close()) })
	s.contacts, err = fieldcrypt.For[Contact](s.crypt)
	require.NoError(t, err)
	s.migrants, err = fieldcrypt.For[Migrant](s.crypt)
	require.NoError(t, err)
	s.exec("CREATE TABLE contacts (id BIGINT PRIMARY KEY, tenant VARCHAR(100) NOT NULL, note VARCHAR(100))")
	ddl, err := s.contacts.DDL(d.Dialect, "contacts")
	require.NoError(t, err)
	for _, statement := range strings.Split(strings.TrimSpace(ddl), ";\n") {
		s.exec(strings.TrimSuffix(statement, ";"))
	}
	return s
}

func (s *service) exec(query string, args ...any) {
	s.Helper()
	if len(args) > 0 {
		query = s.bind(query)
	}
	_, err := s.db.ExecContext(context.Background(), query, args...)
	require.NoError(s, err)
}

// bind writes question marks as the dialect has placeholders.
func (d database) bind(query string) string {
	if d.Dialect != sweep.Postgres {
		return query
	}
	for n := 1; strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", fmt.Sprintf("$%d", n), 1)
	}
	return query
}

// tenants own the contacts in turn.
var tenants = []string{"acme", "globex", "initech"}

func made(id int64) Contact {
	c := Contact{ID: id, Tenant: tenants[id%int64(len(tenants))], Email: fieldcrypt.Of(emailOf(id))}
	if id%3 != 0 {
		c.Phone = fieldcrypt.Of(fmt.Sprintf("+44 20 7946 %04d", id))
	}
	if id%5 == 0 {
		c.Custom = fieldcrypt.Fields{"badge": fieldcrypt.Of(fmt.Sprint("badge ", id)), "none": {}}
	}
	return c
}

func emailOf(id int64) string { return fmt.Sprintf("person-%d@example.com", id) }

// fill inserts contacts with IDs from one on.
func (s *service) fill(from, n int64) {
	s.Helper()
	for n > 0 {
		page := make([]Contact, min(n, 200))
		for i := range page {
			page[i] = made(from + int64(i))
		}
		require.NoError(s, s.contacts.EncryptAll(context.Background(), page))
		var b strings.Builder
		var args []any
		for i := range page {
			c := &page[i]
			b.WriteString(", (?, ?, ?, ?, ?)")
			args = append(args, c.ID, c.Tenant, c.Email, c.Phone, c.Custom)
		}
		s.exec("INSERT INTO contacts (id, tenant, email, phone, custom) VALUES "+b.String()[2:], args...)
		from, n = from+int64(len(page)), n-int64(len(page))
	}
}

// read returns all contacts, decrypted.
func (s *service) read() []Contact {
	s.Helper()
	all := s.scan()
	require.NoError(s, s.contacts.DecryptAll(context.Background(), all))
	return all
}

func (s *service) scan() []Contact {
	s.Helper()
	rows, err := s.db.QueryContext(context.Background(), "SELECT id, tenant, email, phone, custom FROM contacts ORDER BY id")
	require.NoError(s, err)
	defer rows.Close()
	var all []Contact
	for rows.Next() {
		var c Contact
		require.NoError(s, rows.Scan(&c.ID, &c.Tenant, &c.Email, &c.Phone, &c.Custom))
		all = append(all, c)
	}
	require.NoError(s, rows.Err())
	return all
}

// whole checks that all n contacts hold what they were made with.
func (s *service) whole(n int64) {
	s.Helper()
	all := s.read()
	require.Len(s, all, int(n))
	for i := range all {
		require.Empty(s, differs(made(all[i].ID), all[i]), "of contact %d", all[i].ID)
	}
}

// differs names the first column in which two contacts aren't the same.
func differs(a, b Contact) string {
	for name, pair := range map[string][2]fieldcrypt.String{"email": {a.Email, b.Email}, "phone": {a.Phone, b.Phone}, "custom": {a.Custom["badge"], b.Custom["badge"]}} {
		if pair[0].IsNull() && pair[1].IsNull() {
			continue
		}
		one, err := pair[0].Plain()
		other, err2 := pair[1].Plain()
		if err != nil || err2 != nil || one != other {
			return name
		}
	}
	return ""
}

// keys counts the values under each data key.
func (s *service) keys() map[envelope.KeyID]int {
	s.Helper()
	count := map[envelope.KeyID]int{}
	add := func(v fieldcrypt.String) {
		if v.IsNull() {
			return
		}
		stored, err := v.Value()
		require.NoError(s, err)
		env, ok := stored.([]byte)
		if !ok {
			env, err = envelope.DecodeText(stored.(string))
			require.NoError(s, err)
		}
		info, err := envelope.Inspect(env)
		require.NoError(s, err)
		count[info.KeyID]++
	}
	for _, c := range s.scan() {
		add(c.Email)
		add(c.Phone)
		for _, v := range c.Custom {
			add(v)
		}
	}
	return count
}

func (s *service) sweeper(opts *sweep.Options) *sweep.Sweeper {
	s.Helper()
	sweeper, err := sweep.New(s.db, s.Dialect, opts)
	require.NoError(s, err)
	return sweeper
}

func (s *service) table() sweep.Table { return sweep.Table{Name: "contacts", Rows: s.contacts.Rows()} }

func (s *service) migrating() sweep.Table {
	return sweep.Table{Name: "contacts", Rows: s.migrants.Rows()}
}

// contact decrypts one that was read, whether it is in plaintext or not.
func (s *service) contact(c Contact) (Contact, error) {
	m := Migrant(c)
	err := s.migrants.Decrypt(context.Background(), &m)
	return Contact(m), err
}
