package fieldcrypt_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// A value that the program sets is readable, doesn't print, and can't be
// written to a database before it is encrypted.
func ExampleOf() {
	email := fieldcrypt.Of("ada@example.com")
	fmt.Println("printed:", email)

	b, err := json.Marshal(map[string]any{"email": email})
	fmt.Println(string(b), err)

	_, err = email.Value() // what database/sql calls
	fmt.Println(errors.Is(err, fieldcrypt.ErrNotEncrypted))
	// Output:
	// printed: [REDACTED]
	// {"email":"[REDACTED]"} <nil>
	// true
}

func ExampleValue_Plain() {
	var phone fieldcrypt.String
	_, err := phone.Plain()
	fmt.Println(errors.Is(err, fieldcrypt.ErrNull))

	phone.Set("+44 20 7946 0958")
	number, err := phone.Plain()
	fmt.Println(number, err)
	// Output:
	// true
	// +44 20 7946 0958 <nil>
}

// What was scanned is written again as it was, also without a key.
func ExampleValue_Scan() {
	const stored = "fc1._AEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"

	var email fieldcrypt.String
	if err := email.Scan(stored); err != nil { // what rows.Scan calls
		fmt.Println(err)
	}
	_, err := email.Plain()
	fmt.Println(errors.Is(err, fieldcrypt.ErrNotDecrypted))

	written, err := email.Value()
	fmt.Println(written == stored, err)
	// Output:
	// true
	// true <nil>
}

// Plaintext in a column is neither shown nor written again.
func ExampleValue_Value() {
	var email fieldcrypt.String
	if err := email.Scan("ada@example.com"); err != nil {
		fmt.Println(err)
	}
	_, err := email.Value()
	fmt.Println(err)

	email.SetNull()
	written, err := email.Value()
	fmt.Println(written, err)
	// Output:
	// fieldcrypt: refused to write: fieldcrypt: the column holds something that is not an envelope: malformed: call Decrypt if its field is migrating; else restore the row, or give the value its content anew with Set or SetNull
	// <nil> <nil>
}
