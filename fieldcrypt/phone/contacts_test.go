package phone

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/madeup"
)

// Numbers of 20 countries: E.164 is their digits, and so is what their own
// country's normaliser makes of them.
func TestContacts(t *testing.T) {
	countries := map[string]bool{}
	for c := range madeup.Contacts(3, 2000) {
		countries[c.Country] = true
		want := strings.ReplaceAll(c.Phone, " ", "")
		got, err := International.Normalise(c.Phone)
		require.NoError(t, err, c.Phone)
		require.Equal(t, want, got)
		own, err := New(c.Country)
		require.NoError(t, err)
		got, err = own.Normalise(c.Phone)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Len(t, countries, 20)
}
