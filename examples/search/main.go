// Command search shows how encrypted fields are found: by an e-mail address, by
// the last four digits of a telephone number, by a name of which several share a
// tag, and by a login that is unique. It needs nothing: the rows and the key
// store are in a file of SQLite, the root key in a key file.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// Contact has a column for each sensitive field, and one for each blind index.
type Contact struct {
	ID       int64             `fieldcrypt:"id"`
	Tenant   string            `fieldcrypt:"tenant"`
	Email    fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
	LastName fieldcrypt.String `fieldcrypt:"Contacts.last_name,max=200"`
	Phone    fieldcrypt.String `fieldcrypt:"Contacts.phone,max=40"`
	Login    fieldcrypt.String `fieldcrypt:"Contacts.login,max=64,deterministic"`

	EmailTag fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24"`
	NameTag  fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.last_name,normalise=name.v1,bits=6"`
	Last4    fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.phone,normalise=digits.v1,bits=13,last=4"`
}

func main() {
	dir, err := os.MkdirTemp("", "fieldcrypt-search-")
	if err != nil {
		log.Fatal(err)
	}
	err = run(context.Background(), os.Stdout, dir)
	_ = os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

// crm is a program's database and what it searches by.
type crm struct {
	db       *sql.DB
	contacts *fieldcrypt.Records[Contact]
	byEmail  *fieldcrypt.Search[Contact]
	byName   *fieldcrypt.Search[Contact]
	byLast4  *fieldcrypt.Search[Contact]
	byLogin  *fieldcrypt.Search[Contact]
}

func run(ctx context.Context, out io.Writer, dir string) error {
	kms, err := localkms.Open(filepath.Join(dir, "root.keys"))
	if err != nil {
		return err
	}
	defer kms.Close()
	db, err := sql.Open("sqlite", filepath.Join(dir, "crm.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	keys, err := sqlstore.Open(ctx, db, sqlstore.SQLite, nil) // all processes share the index keys too
	if err != nil {
		return err
	}
	crypt, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}, &fieldcrypt.Options{Envelope: envelope.Options{Store: keys}})
	if err != nil {
		return err
	}
	defer crypt.Close()
	c, err := open(ctx, db, crypt)
	if err != nil {
		return err
	}
	if err := c.fill(ctx, 1000); err != nil {
		return err
	}
	return c.show(ctx, out)
}

// open makes the table, and what depends on tags once and for all.
func open(ctx context.Context, db *sql.DB, crypt *fieldcrypt.Crypt) (*crm, error) {
	c := &crm{db: db}
	var err error
	if c.contacts, err = fieldcrypt.For[Contact](crypt); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		search **fieldcrypt.Search[Contact]
		make   func() (*fieldcrypt.Search[Contact], error)
	}{
		{&c.byEmail, func() (*fieldcrypt.Search[Contact], error) { return c.contacts.Search("Contacts.email") }},
		{&c.byName, func() (*fieldcrypt.Search[Contact], error) { return c.contacts.Search("Contacts.last_name") }},
		{&c.byLast4, func() (*fieldcrypt.Search[Contact], error) { return c.contacts.SearchLast("Contacts.phone", 4) }},
		{&c.byLogin, func() (*fieldcrypt.Search[Contact], error) { return c.contacts.Search("Contacts.login") }},
	} {
		if *s.search, err = s.make(); err != nil {
			return nil, err
		}
	}
	ddl, err := c.contacts.DDL(fieldcrypt.SQLite, "contacts")
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, "CREATE TABLE contacts (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL);"+ddl+
		"CREATE UNIQUE INDEX contacts_login ON contacts (tenant, login);")
	return c, err
}

const columns = "id, tenant, email, last_name, phone, login, email_tag, name_tag, last4"

// insert stores a contact. Encrypt makes envelopes and tags.
func (c *crm) insert(ctx context.Context, row Contact) error {
	if err := c.contacts.Encrypt(ctx, &row); err != nil {
		return err
	}
	_, err := c.db.ExecContext(ctx, "INSERT INTO contacts ("+columns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		row.ID, row.Tenant, row.Email, row.LastName, row.Phone, row.Login, row.EmailTag, row.NameTag, row.Last4)
	return err
}

// find returns a tenant's contacts with one of the values, and how many rows the
// database was asked for.
func (c *crm) find(ctx context.Context, by *fieldcrypt.Search[Contact], tenant string, values ...any) ([]Contact, int, error) {
	q, err := by.Query(ctx, tenant, values...) // before the rows are read: it may call the key service
	if err != nil {
		return nil, 0, err
	}
	rows, err := c.db.QueryContext(ctx, "SELECT "+columns+" FROM contacts WHERE tenant = ? AND "+q.Where(fieldcrypt.SQLite, 2),
		append([]any{tenant}, q.Args()...)...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var candidates []Contact
	for rows.Next() {
		var row Contact
		if err := rows.Scan(&row.ID, &row.Tenant, &row.Email, &row.LastName, &row.Phone, &row.Login, &row.EmailTag, &row.NameTag, &row.Last4); err != nil {
			return nil, 0, err
		}
		candidates = append(candidates, row)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, err
	}
	found, err := q.Open(ctx, candidates) // decrypts, and drops what a tag nominated wrongly
	return found, len(candidates), err
}

var (
	starts = []string{"Mül", "Yama", "Nova", "O'", "García ", "Sato", "Lind", "Okon", "Dela", "Петр"}
	ends   = []string{"ler", "moto", "ková", "Brien", "López", "shi", "gren", "kwo", "cruz", "ова"}
)

// made returns a made-up contact. All telephone numbers are from a range that is
// kept for fiction.
func made(id int64) Contact {
	return Contact{
		ID: id, Tenant: "acme",
		Email:    fieldcrypt.Of(fmt.Sprintf("Person.%d@Example.com", id)),
		LastName: fieldcrypt.Of(starts[id%10] + ends[id/10%10]),
		Phone:    fieldcrypt.Of(fmt.Sprintf("+44 1632 96%04d", id*37%10000)),
		Login:    fieldcrypt.Of(fmt.Sprintf("user-%d", id)),
	}
}

func (c *crm) fill(ctx context.Context, n int64) error {
	for id := range n {
		if err := c.insert(ctx, made(id+1)); err != nil {
			return err
		}
	}
	return nil
}

func (c *crm) show(ctx context.Context, out io.Writer) error {
	for _, ask := range []struct {
		what  string
		by    *fieldcrypt.Search[Contact]
		value string
	}{
		{"e-mail address, in capitals", c.byEmail, "PERSON.12@EXAMPLE.COM"},
		{"last name, 6 bits of tag", c.byName, "YAMAmoto"},
		{"last four digits", c.byLast4, "0444"},
		{"login, deterministic", c.byLogin, "user-12"},
		{"nobody's e-mail address", c.byEmail, "nobody@example.com"},
	} {
		found, asked, err := c.find(ctx, ask.by, "acme", ask.value)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-28s %-26s %3d of 1000 rows read, %2d found\n", ask.what, ask.value, asked, len(found))
	}
	twin := Contact{ID: 1001, Tenant: "acme", Login: fieldcrypt.Of("user-12")}
	fmt.Fprintf(out, "%-28s %-26s %v\n", "a login that is taken", "user-12", c.insert(ctx, twin))
	return nil
}
