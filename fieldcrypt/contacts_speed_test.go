package fieldcrypt_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/internal/madeup"
)

// A crmContact is a contact as a CRM has it: what is sensitive sealed, and found
// by three of its fields.
type crmContact struct {
	ID         int64             `fieldcrypt:"id"`
	Tenant     string            `fieldcrypt:"tenant"`
	FirstName  fieldcrypt.String `fieldcrypt:"Contacts.first_name"`
	LastName   fieldcrypt.String `fieldcrypt:"Contacts.last_name"`
	Email      fieldcrypt.String `fieldcrypt:"Contacts.email"`
	Phone      fieldcrypt.String `fieldcrypt:"Contacts.phone"`
	NationalID fieldcrypt.String `fieldcrypt:"Contacts.national_id,class=identity"`
	IBAN       fieldcrypt.String `fieldcrypt:"Contacts.iban,class=bank"`
	Notes      fieldcrypt.String `fieldcrypt:"Contacts.notes,pad=64"`

	ByEmail fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24"`
	ByName  fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.last_name,normalise=name.v1,bits=16"`
	ByLast4 fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.phone,normalise=digits.v1,bits=13,last=4"`
}

func crmContacts(n int) []crmContact {
	page := make([]crmContact, 0, n)
	for c := range madeup.Contacts(1, n) {
		page = append(page, crmContact{
			ID: c.ID, Tenant: "acme",
			FirstName: fieldcrypt.Of(c.FirstName), LastName: fieldcrypt.Of(c.LastName), Email: fieldcrypt.Of(c.Email),
			Phone: fieldcrypt.Of(c.Phone), NationalID: fieldcrypt.Of(c.NationalID), IBAN: fieldcrypt.Of(c.IBAN), Notes: fieldcrypt.Of(c.Notes),
		})
	}
	return page
}

// BenchmarkContacts encrypts and decrypts pages of 100 made-up contacts with 7
// fields of 3 classes and 3 blind indexes. Copying the page is part of it.
func BenchmarkContacts(b *testing.B) {
	const size = 100
	records, err := fieldcrypt.For[crmContact](fieldcrypttest.NewWithStore(b))
	require.NoError(b, err)
	plain := crmContacts(size)
	page := make([]crmContact, size)
	perContact := func(b *testing.B) {
		b.Helper()
		b.ReportAllocs()
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/contact")
	}
	b.Run("encrypt", func(b *testing.B) {
		for b.Loop() {
			copy(page, plain)
			require.NoError(b, records.EncryptAll(b.Context(), page))
		}
		perContact(b)
	})
	sealed := make([]crmContact, size)
	copy(sealed, plain)
	require.NoError(b, records.EncryptAll(b.Context(), sealed))
	for i := range sealed {
		c := &sealed[i]
		for _, v := range []*fieldcrypt.String{&c.FirstName, &c.LastName, &c.Email, &c.Phone, &c.NationalID, &c.IBAN, &c.Notes} {
			stored, err := v.Value()
			require.NoError(b, err)
			require.NoError(b, v.Scan(stored))
		}
	}
	b.Run("decrypt", func(b *testing.B) {
		for b.Loop() {
			copy(page, sealed)
			require.NoError(b, records.DecryptAll(b.Context(), page))
		}
		perContact(b)
	})
}
