package fieldcrypt_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// Records that are maps, with a schema that is read at run time.
func ExampleForMaps() {
	ctx := context.Background()
	crypt := exampleCrypt()
	defer crypt.Close()
	schema, err := fieldcrypt.ParseSchema([]byte(`{
	  "version": 1,
	  "modules": [{
	    "name": "Contacts", "id": ["id"], "tenant": "tenant",
	    "fields": [
	      {"name": "passport", "type": "string", "max": 20},
	      {"name": "address.postal_code", "type": "string", "path": "address.postal_code"}
	    ]
	  }]
	}`))
	if err != nil {
		log.Fatal(err)
	}
	contacts, err := fieldcrypt.ForMaps(crypt, schema, "Contacts")
	if err != nil {
		log.Fatal(err)
	}

	ada := map[string]any{
		"id": 1, "tenant": "acme", "name": "Ada", "passport": "X1234567",
		"address": map[string]any{"city": "Exampleton", "postal_code": "EX1 1MP"},
	}
	if err := contacts.Encrypt(ctx, ada); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ada["passport"], ada["address"]) // both are written as they are: INSERT … VALUES (?, ?)

	row := map[string]any{"id": 1, "tenant": "acme"}
	row["passport"], _ = ada["passport"].(fieldcrypt.String).Value()
	row["address"], _ = ada["address"].(fieldcrypt.Document).Value()
	if err := contacts.Decrypt(ctx, row); err != nil {
		log.Fatal(err)
	}
	passport, err := row["passport"].(fieldcrypt.String).Plain()
	fmt.Println(passport, err)
	address, err := row["address"].(fieldcrypt.Document).Plain()
	fmt.Println(string(address), err)
	// Output:
	// [REDACTED] {"city":"Exampleton","postal_code":"[REDACTED]"}
	// X1234567 <nil>
	// {"city":"Exampleton","postal_code":"EX1 1MP"} <nil>
}

// What a change of schema means for what is stored.
func ExampleSchema_Diff() {
	read := func(text string) *fieldcrypt.Schema {
		s, err := fieldcrypt.ParseSchema([]byte(text))
		if err != nil {
			log.Fatal(err)
		}
		return s
	}
	before := read(`{"version":1,"modules":[{"name":"Contacts","id":["id"],"fields":[{"name":"email","type":"string","max":320}]}]}`)
	after := read(`{"version":2,"modules":[{"name":"Contacts","id":["id"],"fields":[{"name":"email","type":"string","max":500},{"name":"phone","type":"string"}]}]}`)
	for _, change := range before.Diff(after) {
		fmt.Println(change)
	}
	// Output:
	// Contacts.email: at most 500 bytes, was 320 bytes: safe: widen the column first
	// Contacts.phone: the field is new: needs a sweep: encrypt what is there in the clear; a column that is new needs nothing
}
