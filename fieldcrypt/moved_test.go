package fieldcrypt_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A value that couldn't be opened is written where that was tried, and nowhere
// else.
func TestUnavailableValuesStayAtTheirPlace(t *testing.T) {
	store := envelope.NewMemoryStore()
	sealer := newOutage(store).records(t)
	stored := reread(t, encrypted(t, sealer, newContact(1, "acme", "one")))
	away := newOutage(store)
	away.err = kmsprovider.ErrUnavailable
	r := away.records(t)
	// unavailable returns the record as Decrypt leaves it while the service is
	// away.
	unavailable := func(t *testing.T) *contact {
		c := *stored
		require.ErrorIs(t, r.Decrypt(t.Context(), &c), kmsprovider.ErrUnavailable)
		return &c
	}
	require.NoError(t, r.Encrypt(t.Context(), unavailable(t)), "the control: where it was read")

	for name, test := range map[string]struct {
		move func(c *contact)
		says string
	}{
		"another record": {func(c *contact) { c.ID = 2 }, `record "1"), which can't be opened at Contacts.email (tenant "acme", class "default", record "2")`},
		"another tenant": {func(c *contact) { c.Tenant = "globex" }, `tenant "globex"`},
		"another field":  {func(c *contact) { c.Home.Street = c.Email }, "Contacts.street"},
		"another key":    {func(c *contact) { c.Custom["none"] = c.Custom["loyalty"] }, "Contacts.custom.none"},
	} {
		t.Run(name, func(t *testing.T) {
			c := unavailable(t)
			c.Home = &address{c.Home.Street, ""}
			test.move(c)
			err := r.Encrypt(t.Context(), c)
			require.ErrorContains(t, err, "the value has the envelope of another place")
			require.ErrorContains(t, err, test.says)
			require.ErrorContains(t, err, "it couldn't be decrypted there")
			require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
		})
	}
	t.Run("after a try without a place", func(t *testing.T) {
		c := unavailable(t)
		c.ID = 0
		require.ErrorContains(t, r.Decrypt(t.Context(), c), "its ID (field ID) is zero")
		c.ID = 2
		require.ErrorContains(t, r.Encrypt(t.Context(), c), "another place")
		c.ID = 1
		require.NoError(t, r.Encrypt(t.Context(), c))
	})
}

// Where opening wasn't tried, because the record had no ID, Encrypt does it.
func TestUnavailableValuesWithoutAPlaceAreVerified(t *testing.T) {
	r := records[contact](t, fieldcrypttest.NewWithStore(t))
	stored := reread(t, encrypted(t, r, newContact(1, "acme", "one")))
	want := envelopeOf(t, stored.Email)
	for id, is := range map[int64]error{1: nil, 2: envelope.ErrNotAuthentic} {
		c := *stored
		c.ID = 0
		require.ErrorContains(t, r.Decrypt(t.Context(), &c), "its ID (field ID) is zero")
		c.ID = id
		require.ErrorIs(t, r.Encrypt(t.Context(), &c), is)
		require.Equal(t, want, envelopeOf(t, c.Email))
		_, err := c.Email.Plain()
		require.ErrorContains(t, err, "its ID (field ID) is zero", "it isn't decrypted by that")
	}
}

// Encrypt refuses a value at another place and changes nothing, so that its
// envelope is still that of the first place, where the record can be saved.
func TestARefusedValueKeepsItsEnvelope(t *testing.T) {
	r := records[contact](t, fieldcrypttest.NewWithStore(t))
	c := encrypted(t, r, newContact(1, "acme", "one"))
	want := envelopeOf(t, c.Email)
	c.ID = 2
	require.ErrorContains(t, r.Encrypt(t.Context(), c), "another place")
	require.Equal(t, want, envelopeOf(t, c.Email))
	c.ID = 1
	require.NoError(t, r.Encrypt(t.Context(), c))
	require.Equal(t, want, envelopeOf(t, c.Email))
	c.ID = 2
	c.Email.Set("to stay")
	require.ErrorContains(t, r.Encrypt(t.Context(), c), "Contacts.phone", "the others are still of record 1")
	_, err := c.Email.Value()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)
}
