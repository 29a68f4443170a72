package fieldcrypt_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

// newcomer migrates to a deterministic field and to one with a blind index.
type newcomer struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Newcomers.email,text,deterministic,migrating,until=2000-01-02"`
	Name   fieldcrypt.String `fieldcrypt:"Newcomers.name,text,migrating,until=2000-01-02"`

	NameTag fieldcrypt.BlindIndex `fieldcrypt:"index=Newcomers.name,normalise=name.v1,bits=32"`
}

func newcomerRow(t testing.TB, id int64) newcomer {
	t.Helper()
	n := newcomer{ID: id, Tenant: "acme"}
	require.NoError(t, n.Email.Scan("ada@example.org"))
	require.NoError(t, n.Name.Scan("Ada Lovelace"))
	return n
}

// What migrates into an envelope by which it is looked up is found there, and
// before, where the program asks for its plaintext as well.
func TestMigratingIntoSearch(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := records[newcomer](t, fieldcrypttest.NewWithStore(t))
		for by, value := range map[string]string{"Newcomers.email": "ada@example.org", "Newcomers.name": "ada  LOVELACE"} {
			search, err := r.Search(by)
			require.NoError(t, err)
			q, err := search.Query(t.Context(), "acme", value)
			require.NoError(t, err)

			left := newcomerRow(t, 1) // as the sweep hasn't come to it
			swept := newcomerRow(t, 2)
			require.NoError(t, r.Encrypt(t.Context(), &swept))
			fresh := newcomer{ID: 3, Tenant: "acme", Email: fieldcrypt.Of("ada@example.org"), Name: fieldcrypt.Of("Ada Lovelace")}
			require.NoError(t, r.Encrypt(t.Context(), &fresh))
			other := newcomer{ID: 4, Tenant: "acme", Email: fieldcrypt.Of("grace@example.org"), Name: fieldcrypt.Of("Grace Hopper")}
			require.NoError(t, r.Encrypt(t.Context(), &other))

			require.Equal(t, envelopeOf(t, swept.Email), envelopeOf(t, fresh.Email), "a UNIQUE constraint would tell")
			hits, err := q.Open(t.Context(), []newcomer{left, swept, fresh, other})
			require.NoError(t, err)
			require.Len(t, hits, 3, by)
			for i, hit := range hits {
				require.EqualValues(t, i+1, hit.ID, by)
			}
		}

		// After the day the plaintext is no candidate.
		time.Sleep(48 * time.Hour)
		search, err := r.Search("Newcomers.email")
		require.NoError(t, err)
		q, err := search.Query(t.Context(), "acme", "ada@example.org")
		require.NoError(t, err)
		hits, err := q.Open(t.Context(), []newcomer{newcomerRow(t, 1)})
		require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
		require.Empty(t, hits)
	})
}
