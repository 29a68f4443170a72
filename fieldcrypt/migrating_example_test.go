package fieldcrypt_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// A column in plaintext becomes one of envelopes, row by row, while the service
// runs. A struct's tag says the same with the options migrating and until.
func ExampleCrypt_Migrations() {
	ctx := context.Background()
	crypt := exampleCrypt()
	defer crypt.Close()
	contacts, err := fieldcrypt.ForMaps(crypt, &fieldcrypt.Schema{Version: 1, Modules: []fieldcrypt.Module{{
		Name: "Contacts", ID: []string{"id"}, Tenant: "tenant",
		Fields: []fieldcrypt.SchemaField{{
			Name: "email", Type: "string", Text: true,
			MigratingUntil: time.Now().AddDate(0, 3, 0).Format(time.DateOnly),
		}},
	}}}, "Contacts")
	if err != nil {
		log.Fatal(err)
	}

	row := map[string]any{"id": 1, "tenant": "acme", "email": "ada@example.com"} // as the driver gives it
	if err := contacts.Decrypt(ctx, row); err != nil {
		log.Fatal(err)
	}
	email := row["email"].(fieldcrypt.String)
	fmt.Println(email.Plain())
	_, err = email.Value() // what database/sql calls
	fmt.Println(err)

	if err := contacts.Encrypt(ctx, row); err != nil {
		log.Fatal(err)
	}
	stored, err := row["email"].(fieldcrypt.String).Value()
	fmt.Println(stored.(string)[:4], err)
	for _, m := range crypt.Migrations() {
		fmt.Println(m.Field, "plaintext:", m.Plaintext, "refused:", m.Refused, "envelopes:", m.Envelopes)
	}
	// Output:
	// ada@example.com <nil>
	// fieldcrypt: the value is not encrypted: call Encrypt on its record before writing it
	// fc1. <nil>
	// Contacts.email plaintext: 1 refused: 0 envelopes: 0
}

// After the day that until names, the field is a strict one.
func ExampleRecords_Decrypt_migrationEnded() {
	crypt := exampleCrypt()
	defer crypt.Close()
	type contact struct {
		ID     int64             `fieldcrypt:"id"`
		Tenant string            `fieldcrypt:"tenant"`
		Email  fieldcrypt.String `fieldcrypt:"Contacts.email,migrating,until=2020-12-31"`
	}
	contacts, err := fieldcrypt.For[contact](crypt)
	if err != nil {
		log.Fatal(err)
	}
	c := contact{ID: 1, Tenant: "acme"}
	if err := c.Email.Scan("ada@example.com"); err != nil { // what rows.Scan calls
		log.Fatal(err)
	}
	fmt.Println(contacts.Decrypt(context.Background(), &c))
	// Output:
	// fieldcrypt: a value of fieldcrypt_test.contact couldn't be decrypted: row 0, Contacts.email: fieldcrypt: the column holds something that is not an envelope, and its field took plaintext until 2020-12-31 only: restore the row, or give the value its content anew with Set or SetNull
}

// The check of a column that held plaintext, once it has none any more.
func ExampleColumnDef_CheckDDL() {
	crypt := exampleCrypt()
	defer crypt.Close()
	type contact struct {
		ID    int64             `fieldcrypt:"id"`
		Email fieldcrypt.String `fieldcrypt:"Contacts.email,max=320,migrating,until=2020-12-31"`
	}
	contacts, err := fieldcrypt.For[contact](crypt)
	if err != nil {
		log.Fatal(err)
	}
	columns, err := contacts.ColumnDefs(fieldcrypt.Postgres)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(columns[0]) // without it
	statements, err := columns[0].CheckDDL("contacts")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Join(statements, "\n"))
	// Output:
	// "email" bytea
	// ALTER TABLE "contacts" ADD CONSTRAINT "email_envelope" CHECK ("email" IS NULL OR (substr("email", 1, 3) = decode('fc0101', 'hex') AND octet_length("email") BETWEEN 64 AND 384) IS TRUE) NOT VALID;
	// ALTER TABLE "contacts" VALIDATE CONSTRAINT "email_envelope";
}

// Lengths are hidden up to the size of a bucket.
func ExampleFor_padding() {
	ctx := context.Background()
	crypt := exampleCrypt()
	defer crypt.Close()
	type contact struct {
		ID     int64             `fieldcrypt:"id"`
		Tenant string            `fieldcrypt:"tenant"`
		Note   fieldcrypt.String `fieldcrypt:"Contacts.note,pad=16/64/256"`
	}
	contacts, err := fieldcrypt.For[contact](crypt)
	if err != nil {
		log.Fatal(err)
	}
	for _, length := range []int{0, 14, 15, 62, 63, 300} {
		c := contact{ID: 1, Tenant: "acme", Note: fieldcrypt.Of(strings.Repeat("n", length))}
		if err := contacts.Encrypt(ctx, &c); err != nil {
			log.Fatal(err)
		}
		stored, err := c.Note.Value()
		fmt.Println(length, "bytes:", len(stored.([]byte)), err)
	}
	// Output:
	// 0 bytes: 79 <nil>
	// 14 bytes: 79 <nil>
	// 15 bytes: 127 <nil>
	// 62 bytes: 127 <nil>
	// 63 bytes: 319 <nil>
	// 300 bytes: 575 <nil>
}
