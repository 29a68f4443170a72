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

// A call needs the testing.T of a test function, so there is no output to compare.
func Example() {
	_ = func(t *testing.T) { // TestSaveContact, in a program of yours
		contacts, err := fieldcrypt.For[contact](fieldcrypttest.New(t))
		if err != nil {
			t.Fatal(err)
		}
		saveContact(t, contacts, &contact{ID: 1, Email: fieldcrypt.Of("ada@example.org")})
	}
}
