package fieldcrypttest_test

import (
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

// saveContact stands for the program that is tested.
func saveContact(t *testing.T, contacts *fieldcrypt.Records[contact], c *contact) any {
	if err := contacts.ForTenant("acme").Encrypt(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	stored, err := c.Email.Value()
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestSave(t *testing.T) {
	contacts, err := fieldcrypt.For[contact](fieldcrypttest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	stored := saveContact(t, contacts, &contact{ID: 1, Email: fieldcrypt.Of("ada@example.org")})
	if text, ok := stored.(string); !ok || text[:4] != "fc1." {
		t.Errorf("stored %T, want the text form of an envelope", stored)
	}
}

// What TestSave does, in one piece. It needs the testing.T of a test function,
// so it has no output to compare.
func Example() {
	var t *testing.T // the parameter of the test function

	contacts, err := fieldcrypt.For[contact](fieldcrypttest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	saveContact(t, contacts, &contact{ID: 1, Email: fieldcrypt.Of("ada@example.org")})
}
