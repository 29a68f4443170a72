package drivertest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

type Contact struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func folder() (string, func()) {
	dir, err := os.MkdirTemp("", "sqlstore-example-")
	check(err)
	return dir, func() { os.RemoveAll(dir) }
}

// A whole program: its rows and its data keys are in one SQLite file.
func Example() {
	ctx := context.Background()
	dir, remove := folder()
	defer remove()

	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "crm.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	check(err)
	defer db.Close()
	keys, err := sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
	check(err)

	kms, err := localkms.Open(filepath.Join(dir, "root.keys"))
	check(err)
	crypt, err := fieldcrypt.New(kms, fieldcrypt.RootKeys{Seal: kms.RootKey()}, &fieldcrypt.Options{
		Envelope: envelope.Options{Store: keys},
	})
	check(err)
	defer crypt.Close()
	contacts, err := fieldcrypt.For[Contact](crypt)
	check(err)
	_, err = db.ExecContext(ctx, `CREATE TABLE contacts (id INTEGER PRIMARY KEY, tenant TEXT, email BLOB)`)
	check(err)

	ada := Contact{ID: 1, Tenant: "acme", Email: fieldcrypt.Of("ada@example.com")}
	check(contacts.Encrypt(ctx, &ada)) // before BeginTx
	tx, err := db.BeginTx(ctx, nil)
	check(err)
	_, err = tx.ExecContext(ctx, `INSERT INTO contacts VALUES (?, ?, ?)`, ada.ID, ada.Tenant, ada.Email)
	check(err)
	check(tx.Commit())

	var c Contact
	var size int
	row := db.QueryRowContext(ctx, `SELECT id, tenant, email, length(email) FROM contacts`)
	check(row.Scan(&c.ID, &c.Tenant, &c.Email, &size))
	check(contacts.Decrypt(ctx, &c))
	email, err := c.Email.Plain()
	check(err)
	fmt.Printf("%s: %d bytes, stored in %d\n", email, len(email), size)
	for rec, err := range envelope.List(ctx, keys, envelope.Filter{}) {
		check(err)
		fmt.Printf("the data key of %s is %s\n", rec.Scope, rec.State)
	}
	// Output:
	// ada@example.com: 15 bytes, stored in 79
	// the data key of tenant "acme", class "default" is active
}

// The deployment makes the tables; the service, whose role need not be allowed
// to, checks that they are there.
func ExampleMigrate() {
	ctx := context.Background()
	dir, remove := folder()
	defer remove()
	db, err := sql.Open("sqlite", filepath.Join(dir, "crm.db"))
	check(err)
	defer db.Close()

	_, err = sqlstore.Open(ctx, db, sqlstore.SQLite, &sqlstore.Options{NoMigrate: true})
	fmt.Println("before:", errors.Is(err, sqlstore.ErrNoTables))
	check(sqlstore.Migrate(ctx, db, sqlstore.SQLite, nil))
	_, err = sqlstore.Open(ctx, db, sqlstore.SQLite, &sqlstore.Options{NoMigrate: true})
	fmt.Println("after:", err)
	// Output:
	// before: true
	// after: <nil>
}

// Each region's keys stay in a database of that region.
func ExampleNewRouter() {
	ctx := context.Background()
	dir, remove := folder()
	defer remove()
	regions := map[string]string{"acme": "eu", "globex": "us"}

	keys, err := sqlstore.NewRouter(
		func(s envelope.Scope) (string, error) {
			if region, ok := regions[s.Tenant]; ok {
				return region, nil
			}
			return "", errors.New("it has no region")
		},
		func(ctx context.Context, region string) (envelope.KeyStore, error) {
			db, err := sql.Open("sqlite", filepath.Join(dir, region+".db"))
			if err != nil {
				return nil, err
			}
			return sqlstore.Open(ctx, db, sqlstore.SQLite, &sqlstore.Options{CloseDB: true})
		},
		nil,
	)
	check(err)
	defer keys.Close()

	for _, tenant := range []string{"acme", "globex", "initech"} {
		_, err := keys.Active(ctx, envelope.Scope{Tenant: tenant}, envelope.PurposeData)
		fmt.Println(err)
	}
	// Output:
	// data key not found
	// data key not found
	// sqlstore: the store of tenant "initech", class "default": it has no region
}
