package normalise_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/normalise"
	"github.com/fieldcrypt/fieldcrypt-go/internal/madeup"
)

// What a CRM holds has a form, and other spellings of it the same.
func TestContacts(t *testing.T) {
	for c := range madeup.Contacts(3, 5000) {
		for _, f := range []struct {
			n                normalise.Normaliser
			value, respelled string
		}{
			{normalise.Email, c.Email, "\u3000" + strings.ReplaceAll(strings.ToUpper(c.Email), "@", "＠") + " "},
			{normalise.Name, c.FirstName + " " + c.LastName, "\t" + strings.ToUpper(c.FirstName) + "\u3000\u00A0" + c.LastName + "\u200B"},
			{normalise.Name, c.City, strings.ToUpper(strings.ReplaceAll(c.City, "-", "\u2011"))},
			{normalise.Digits, c.PostalCode, strings.Join(strings.Split(c.PostalCode, ""), " ")},
			{normalise.Trim, c.NationalID, c.NationalID + "\n"},
		} {
			one, err := f.n.Normalise(f.value)
			require.NoError(t, err, f.value)
			require.True(t, utf8.ValidString(one))
			two, err := f.n.Normalise(f.respelled)
			require.NoError(t, err, f.respelled)
			require.Equal(t, one, two, "%s: %q and %q", f.n.Name, f.value, f.respelled)
		}
	}
}
