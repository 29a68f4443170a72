package fieldcrypt_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

// Each key is fetched once for a whole page, however many records and values
// need it: one of each tenant and class.
func TestPagesOfManyTenants(t *testing.T) {
	const tenants, classes = 5, 2
	store := envelope.NewMemoryStore()
	for mode, opts := range map[string]*fieldcrypt.Options{
		"inline": nil, "reference": {Envelope: envelope.Options{Store: store}},
	} {
		t.Run(mode, func(t *testing.T) {
			cold := func() (*fieldcrypt.Crypt, *fieldcrypt.Records[contact]) {
				crypt, err := fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}, opts)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, crypt.Close()) })
				return crypt, records[contact](t, crypt)
			}
			var page []contact
			for i := range 50 {
				page = append(page, *newContact(int64(i+1), fmt.Sprint("tenant", i%tenants), fmt.Sprint(i)))
			}
			crypt, r := cold()
			require.NoError(t, r.EncryptAll(t.Context(), page))
			require.Equal(t, envelope.Stats{GenerateDataKey: tenants * classes}, crypt.Stats())

			reread := func() []contact {
				read := make([]contact, len(page))
				for i := range page {
					read[i] = *reread(t, &page[i])
				}
				return read
			}
			for call, open := range map[string]func(*fieldcrypt.Records[contact], []contact) error{
				"DecryptAll": func(r *fieldcrypt.Records[contact], read []contact) error { return r.DecryptAll(t.Context(), read) },
				"Decrypt": func(r *fieldcrypt.Records[contact], read []contact) error {
					return r.Decrypt(t.Context(), pointers(read)...)
				},
				"DecryptStrict": func(r *fieldcrypt.Records[contact], read []contact) error {
					return r.DecryptStrict(t.Context(), pointers(read)...)
				},
			} {
				crypt, r := cold()
				read := reread()
				require.NoError(t, open(r, read), call)
				require.Equal(t, envelope.Stats{Unwrap: tenants * classes}, crypt.Stats(), call)
				for i := range read {
					requireContent(t, &read[i], fmt.Sprint(i))
				}
				require.NoError(t, open(r, reread()), call)
				require.Equal(t, envelope.Stats{Unwrap: tenants * classes}, crypt.Stats(), "%s again", call)
			}

			// What was read and is to be written again needs the same keys.
			crypt, r = cold()
			require.NoError(t, r.EncryptAll(t.Context(), reread()))
			require.Equal(t, envelope.Stats{Unwrap: tenants * classes}, crypt.Stats())

			// The control: a call for each record of a cold process each.
			calls := uint64(0)
			for i := range 10 {
				crypt, r := cold()
				require.NoError(t, r.DecryptAll(t.Context(), reread()[i:i+1]))
				calls += crypt.Stats().Unwrap
			}
			require.EqualValues(t, 10*classes, calls)
		})
	}
}

func pointers[T any](records []T) []*T {
	out := make([]*T, len(records))
	for i := range records {
		out[i] = &records[i]
	}
	return out
}
