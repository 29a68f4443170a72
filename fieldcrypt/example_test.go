package fieldcrypt_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

type exampleContact struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Name   string            // not marked: stored as it is
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
}

// exampleCrypt stands for what a program makes once, with its own provider.
func exampleCrypt() *fieldcrypt.Crypt {
	crypt, err := fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey},
		&fieldcrypt.Options{Envelope: envelope.Options{Store: envelope.NewMemoryStore()}})
	if err != nil {
		log.Fatal(err)
	}
	return crypt
}

func ExampleFor() {
	crypt := exampleCrypt()
	defer crypt.Close()

	type lead struct {
		ID    int64             `fieldcrypt:"id"`
		Phone fieldcrypt.String `fieldcrypt:"Leads.phone,maximum=40"`
	}
	_, err := fieldcrypt.For[lead](crypt)
	fmt.Println(err)
	// Output:
	// fieldcrypt: fieldcrypt_test.lead: field Phone: tag "Leads.phone,maximum=40": unknown option "maximum=40": there are text, class=, pad=, max=, column=, deterministic, migrating and until=
}

// Where the database makes the IDs, a type says that its envelopes are bound to
// no record. The price: whoever can write to the database can exchange a
// field's envelopes between a tenant's records, and nobody notices. IDs that
// the program makes, such as UUIDs, need no such thing.
func ExampleFor_unbound() {
	ctx := context.Background()
	crypt := exampleCrypt()
	defer crypt.Close()

	type lead struct {
		_      struct{}          `fieldcrypt:"unbound"`
		ID     int64             // from INSERT … RETURNING id
		Tenant string            `fieldcrypt:"tenant"`
		Phone  fieldcrypt.String `fieldcrypt:"Leads.phone,max=32"`
	}
	leads, err := fieldcrypt.For[lead](crypt)
	if err != nil {
		log.Fatal(err)
	}
	ada := lead{Tenant: "acme", Phone: fieldcrypt.Of("+44 20 7946 0001")}
	if err := leads.Encrypt(ctx, &ada); err != nil { // before there is an ID
		log.Fatal(err)
	}
	stored, _ := ada.Phone.Value()

	for _, row := range []lead{{ID: 1, Tenant: "acme"}, {ID: 2, Tenant: "acme"}, {ID: 3, Tenant: "globex"}} {
		_ = row.Phone.Scan(stored)
		err := leads.Decrypt(ctx, &row)
		fmt.Println(row.Tenant, row.ID, "opens it:", err == nil)
	}
	// Output:
	// acme 1 opens it: true
	// acme 2 opens it: true
	// globex 3 opens it: false
}

func ExampleRecords_Encrypt() {
	ctx := context.Background()
	crypt := exampleCrypt()
	defer crypt.Close()
	contacts, err := fieldcrypt.For[exampleContact](crypt)
	if err != nil {
		log.Fatal(err)
	}

	c := exampleContact{ID: 42, Tenant: "acme", Name: "Ada Example", Email: fieldcrypt.Of("ada@example.org")}
	_, err = c.Email.Value() // what database/sql would do
	fmt.Println("before:", err)

	if err := contacts.Encrypt(ctx, &c); err != nil {
		log.Fatal(err)
	}
	stored, err := c.Email.Value()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("after:", len(stored.([]byte)), "bytes for a value of 15")
	// Output:
	// before: fieldcrypt: the value is not encrypted: call Encrypt on its record before writing it
	// after: 79 bytes for a value of 15
}

func ExampleRecords_Decrypt() {
	ctx := context.Background()
	crypt := exampleCrypt()
	defer crypt.Close()
	contacts, err := fieldcrypt.For[exampleContact](crypt)
	if err != nil {
		log.Fatal(err)
	}
	ada := exampleContact{ID: 42, Tenant: "acme", Email: fieldcrypt.Of("ada@example.org")}
	if err := contacts.Encrypt(ctx, &ada); err != nil {
		log.Fatal(err)
	}
	stored, _ := ada.Email.Value()

	// Two rows as a database returns them. Somebody copied the first one's
	// envelope over the second one's.
	page := []exampleContact{{ID: 42, Tenant: "acme"}, {ID: 43, Tenant: "acme"}}
	for i := range page {
		_ = page[i].Email.Scan(stored)
	}
	err = contacts.DecryptAll(ctx, page)
	var failed *fieldcrypt.DecryptError
	if errors.As(err, &failed) {
		for _, f := range failed.Failures {
			fmt.Println("row", f.Row, "field", f.Field, "not authentic:", errors.Is(f.Err, envelope.ErrNotAuthentic))
		}
	}
	email, err := page[0].Email.Plain()
	fmt.Println(email, err)
	// Output:
	// row 1 field Contacts.email not authentic: true
	// ada@example.org <nil>
}

func ExampleRecords_DDL() {
	crypt := exampleCrypt()
	defer crypt.Close()
	contacts, err := fieldcrypt.For[exampleContact](crypt)
	if err != nil {
		log.Fatal(err)
	}
	ddl, err := contacts.DDL(fieldcrypt.Postgres, "crm.contacts")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(ddl)
	// Output:
	// ALTER TABLE "crm"."contacts" ADD COLUMN "email" bytea CHECK ("email" IS NULL OR (substr("email", 1, 3) = decode('fc0101', 'hex') AND octet_length("email") BETWEEN 64 AND 384) IS TRUE);
}

func ExampleRecords_EncryptColumns() {
	ctx := context.Background()
	crypt := exampleCrypt()
	defer crypt.Close()
	type account struct { // a type that can't be changed but for its tags
		Number string `fieldcrypt:"id"`
		IBAN   string `fieldcrypt:"Accounts.iban,text"`
	}
	accounts, err := fieldcrypt.For[account](crypt)
	if err != nil {
		log.Fatal(err)
	}
	accounts = accounts.ForTenant("acme")

	columns, err := accounts.EncryptColumns(ctx, &account{Number: "A-1", IBAN: "XX00 0000 0000"})
	if err != nil {
		log.Fatal(err)
	}
	read := account{Number: "A-1"}
	err = accounts.DecryptColumns(ctx, &read, columns)
	fmt.Println(string(columns["Accounts.iban"][:8]), read.IBAN, err)
	// Output:
	// fc1._AEB XX00 0000 0000 <nil>
}

// A test of a program of yours, with its own record type.
func ExampleRecords_ForTenant() {
	crypt := exampleCrypt()
	defer crypt.Close()
	contacts, err := fieldcrypt.For[exampleContact](crypt)
	if err != nil {
		log.Fatal(err)
	}
	c := exampleContact{ID: 42, Tenant: "globex", Email: fieldcrypt.Of("ada@example.org")}
	err = contacts.ForTenant("acme").Encrypt(context.Background(), &c)
	fmt.Println(err)
	// Output:
	// fieldcrypt: Contacts.email of fieldcrypt_test.exampleContact, record 0: it belongs to tenant "globex", and the handle is for tenant "acme"
}
