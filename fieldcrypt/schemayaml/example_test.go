package schemayaml_test

import (
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/schemayaml"
)

func ExampleParse() {
	schema, err := schemayaml.Parse([]byte(`
version: 1
modules:
  - name: Contacts
    id: [id]
    tenant: tenant
    fields:
      - {name: email, type: string, max: 320}
      - {name: birthday, type: date}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, field := range schema.Module("Contacts").Fields {
		fmt.Println(field.Name, field.Type)
	}
	_, err = schemayaml.Parse([]byte("version: 1\nmodules:\n  - title: Contacts\n"))
	fmt.Println(err)
	// Output:
	// email string
	// birthday date
	// schemayaml: read a schema: line 3: fieldcrypt: read a schema: json: unknown field "title"
}
