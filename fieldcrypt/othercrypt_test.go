package fieldcrypt_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

// A program that copies records from one database to another has two Crypts.
// What one of them opened or encrypted, the other encrypts with its own keys.
func TestAnotherCryptEncryptsAnew(t *testing.T) {
	here, there := fieldcrypttest.NewWithStore(t), fieldcrypttest.NewWithStore(t)
	from, to := records[contact](t, here), records[contact](t, there)
	for name, get := range map[string]func(t *testing.T) *contact{
		"encrypted by the other": func(t *testing.T) *contact { return encrypted(t, from, newContact(1, "acme", "one")) },
		"decrypted by the other": func(t *testing.T) *contact {
			c := reread(t, encrypted(t, from, newContact(1, "acme", "one")))
			require.NoError(t, from.Decrypt(t.Context(), c))
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := get(t)
			before, form := envelopeOf(t, c.Email), envelopeOf(t, *c.Phone)
			require.NoError(t, to.Encrypt(t.Context(), c))
			require.NotEqual(t, before, envelopeOf(t, c.Email))
			require.IsType(t, form, envelopeOf(t, *c.Phone))
			requireContent(t, c, "one")

			read := reread(t, c)
			require.NoError(t, to.Decrypt(t.Context(), read))
			requireContent(t, read, "one")
			require.ErrorIs(t, from.Decrypt(t.Context(), reread(t, c)), envelope.ErrKeyNotFound, "the control: the keys are others")

			again := envelopeOf(t, c.Email)
			require.NoError(t, to.Encrypt(t.Context(), c))
			require.Equal(t, again, envelopeOf(t, c.Email), "its own it leaves alone")
			require.NoError(t, to.ForTenant("acme").Encrypt(t.Context(), c))
			require.NoError(t, records[contact](t, there).Encrypt(t.Context(), c))
			require.Equal(t, again, envelopeOf(t, c.Email), "and so does every handle of it")
		})
	}
	t.Run("at another place", func(t *testing.T) {
		c := encrypted(t, from, newContact(1, "acme", "one"))
		c.ID = 2
		require.ErrorContains(t, to.Encrypt(t.Context(), c), "another place")
	})
	t.Run("without the content", func(t *testing.T) {
		c := reread(t, encrypted(t, from, newContact(1, "acme", "one")))
		require.ErrorIs(t, to.Encrypt(t.Context(), c), envelope.ErrKeyNotFound)
		_, err := c.Email.Plain()
		require.ErrorIs(t, err, fieldcrypt.ErrNotDecrypted)
	})
}
