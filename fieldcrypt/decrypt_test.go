package fieldcrypt_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// badRows are rows of a page whose cells can't all be opened.
func badRows(t *testing.T, r *fieldcrypt.Records[contact]) map[string]struct {
	row    *contact
	failed []string
	is     error
} {
	t.Helper()
	row := func(change func(*contact)) *contact {
		c := reread(t, encrypted(t, r, newContact(7, "acme", "seven")))
		change(c)
		return c
	}
	all := []string{"Contacts.email", "Contacts.phone", "Contacts.street", "Contacts.paid", "Contacts.custom.loyalty"}
	other := reread(t, encrypted(t, r, newContact(8, "acme", "eight")))
	type bad = struct {
		row    *contact
		failed []string
		is     error
	}
	return map[string]bad{
		"another record's cell":             {row(func(c *contact) { c.Email = other.Email }), all[:1], envelope.ErrNotAuthentic},
		"another field's cell":              {row(func(c *contact) { c.Home.Street = c.Email }), []string{"Contacts.street"}, envelope.ErrNotAuthentic},
		"another class's cell":              {row(func(c *contact) { c.Email = *c.Phone }), all[:1], envelope.ErrKeyNotFound},
		"another type's cell":               {row(func(c *contact) { _ = c.Paid.Scan(envelopeOf(t, c.Email)) }), []string{"Contacts.paid"}, envelope.ErrNotAuthentic},
		"another tenant":                    {row(func(c *contact) { c.Tenant = "globex" }), all, envelope.ErrKeyNotFound},
		"no tenant":                         {row(func(c *contact) { c.Tenant = "" }), all, nil},
		"no ID":                             {row(func(c *contact) { c.ID = 0 }), all, nil},
		"plaintext":                         {row(func(c *contact) { _ = c.Email.Scan("made-up-secret") }), all[:1], fieldcrypt.ErrNotEnvelope},
		"plaintext in JSON":                 {row(func(c *contact) { _ = c.Custom.Scan(`{"loyalty":"made-up-secret"}`) }), all[4:], fieldcrypt.ErrNotEnvelope},
		"cells of a custom field exchanged": {row(func(c *contact) { c.Custom["other"] = c.Custom["loyalty"] }), []string{"Contacts.custom.other"}, envelope.ErrNotAuthentic},
		"custom key that can't be":          {row(func(c *contact) { c.Custom["a\nb"] = c.Custom["loyalty"] }), []string{`Contacts.custom."a\nb"`}, nil},
	}
}

func TestDecryptOpensWhatItCan(t *testing.T) {
	r := records[contact](t, fieldcrypttest.NewWithStore(t))
	encrypted(t, r, newContact(1, "globex", "so that there is a key"))
	for name, bad := range badRows(t, r) {
		t.Run(name, func(t *testing.T) {
			first := reread(t, encrypted(t, r, newContact(1, "acme", "first")))
			last := reread(t, encrypted(t, r, newContact(2, "acme", "last")))
			before := *bad.row
			err := r.Decrypt(t.Context(), first, bad.row, last)
			var failed *fieldcrypt.DecryptError
			require.ErrorAs(t, err, &failed)
			require.NotContains(t, err.Error(), "made-up-secret")
			var fields []string
			for _, f := range failed.Failures {
				require.Equal(t, 1, f.Row)
				fields = append(fields, f.Field)
			}
			require.Equal(t, bad.failed, fields)
			require.ErrorContains(t, err, "row 1, "+bad.failed[0])
			require.NotNil(t, failed.Unwrap())
			if bad.is != nil {
				require.ErrorIs(t, err, bad.is)
			}
			requireContent(t, first, "first")
			requireContent(t, last, "last")

			// A failed cell keeps its envelope, and nothing of plaintext.
			if bad.failed[0] == "Contacts.email" {
				_, err = bad.row.Email.Plain()
				require.ErrorIs(t, err, failed.Failures[0].Err)
				want, wantErr := before.Email.Value()
				got, err := bad.row.Email.Value()
				require.Equal(t, want, got)
				require.Equal(t, wantErr == nil, err == nil)
			}
		})
	}
}

func TestDecryptStrictChangesNothing(t *testing.T) {
	r := records[contact](t, fieldcrypttest.NewWithStore(t))
	encrypted(t, r, newContact(1, "globex", "so that there is a key"))
	for name, bad := range badRows(t, r) {
		t.Run(name, func(t *testing.T) {
			first := reread(t, encrypted(t, r, newContact(1, "acme", "first")))
			err := r.DecryptStrict(t.Context(), first, bad.row)
			var failed *fieldcrypt.DecryptError
			require.ErrorAs(t, err, &failed)
			require.Len(t, failed.Failures, 1)
			require.Equal(t, 1, failed.Failures[0].Row)
			require.Equal(t, bad.failed[0], failed.Failures[0].Field)
			for _, v := range []fieldcrypt.String{first.Email, *first.Phone, first.Home.Street, first.Custom["loyalty"]} {
				_, err := v.Plain()
				require.ErrorIs(t, err, fieldcrypt.ErrNotDecrypted)
			}
		})
	}
}

// What Decrypt doesn't have to open stays as it is.
func TestDecryptLeavesTheRest(t *testing.T) {
	r := records[contact](t, fieldcrypttest.New(t))
	c := encrypted(t, r, newContact(1, "acme", "one"))
	c.Email.Set("set since")
	c.ID = 99 // neither plain nor opened values are looked at
	require.NoError(t, r.Decrypt(t.Context(), c))
	requirePlain(t, "set since", c.Email)
	requirePlain(t, "phone of one", *c.Phone)
	_, err := c.Email.Value()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)
}

type awayProvider struct {
	kmsprovider.Provider
	away atomic.Bool
}

func (p *awayProvider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if p.away.Load() {
		return nil, kmsprovider.ErrUnavailable
	}
	return p.Provider.Unwrap(ctx, rootKey, wrapped, ec)
}

// A record that is read while the key service is away, and saved, loses
// nothing; and it opens once the service is back.
func TestUnavailableValues(t *testing.T) {
	sealer := records[contact](t, fieldcrypttest.New(t))
	read := reread(t, encrypted(t, sealer, newContact(1, "acme", "one")))
	before := envelopeOf(t, read.Email)

	provider := &awayProvider{Provider: fieldcrypttest.Provider()}
	provider.away.Store(true)
	crypt, err := fieldcrypt.New(provider, fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}, nil)
	require.NoError(t, err)
	defer crypt.Close()
	r := records[contact](t, crypt)
	require.ErrorIs(t, r.Decrypt(t.Context(), read), kmsprovider.ErrUnavailable)
	_, err = read.Email.Plain()
	require.ErrorIs(t, err, kmsprovider.ErrUnavailable)

	read.Name = "changed"
	require.NoError(t, r.Encrypt(t.Context(), read))
	require.Equal(t, before, envelopeOf(t, read.Email))
	custom, err := read.Custom.Value()
	require.NoError(t, err)
	require.Contains(t, custom, "fc1.")

	provider.away.Store(false)
	require.NoError(t, r.Decrypt(t.Context(), read))
	requireContent(t, read, "one")
}

// An outage is one line, and a page of many causes is a few.
func TestDecryptErrorIsBounded(t *testing.T) {
	away := errors.New("away")
	place := func(row int, cause error) error { return fmt.Errorf("open record %d: %w", row, cause) }
	page := func(rows, fields int, err func(row int) error) (failures []fieldcrypt.Failure) {
		for i := range rows * fields {
			failures = append(failures, fieldcrypt.Failure{Row: i / fields, Field: fmt.Sprint("A.", i%fields), Err: err(i / fields)})
		}
		return failures
	}
	for name, test := range map[string]struct {
		failures []fieldcrypt.Failure
		says     string
	}{
		"one": {
			[]fieldcrypt.Failure{{Row: 3, Field: "A.b", Err: away}},
			"fieldcrypt: a value couldn't be decrypted: row 3, A.b: away",
		},
		"two of one cause": {
			page(2, 1, func(int) error { return away }),
			"fieldcrypt: 2 values couldn't be decrypted: row 0, A.0: away (the same for 2 values, rows: 2)",
		},
		"an outage": {
			page(100, 5, func(row int) error { return place(row, away) }),
			"fieldcrypt: 500 values couldn't be decrypted: row 0, A.0: open record 0: away (the same for 500 values, rows: 100)",
		},
		"an outage and a bad cell": {
			append(page(3, 1, func(row int) error { return place(row, away) }), fieldcrypt.Failure{Row: 3, Field: "A.0", Err: place(3, envelope.ErrNotAuthentic)}),
			"fieldcrypt: 4 values couldn't be decrypted: row 0, A.0: open record 0: away (the same for 3 values, rows: 3); " +
				"row 3, A.0: open record 3: " + envelope.ErrNotAuthentic.Error(),
		},
		"every value its own cause": {
			page(500, 1, func(row int) error { return fmt.Errorf("cause %d", row) }),
			"fieldcrypt: 500 values couldn't be decrypted: row 0, A.0: cause 0; row 1, A.0: cause 1; row 2, A.0: cause 2; and 497 more",
		},
		"no cause at all": {
			[]fieldcrypt.Failure{{Row: 3, Field: "A.b"}},
			"fieldcrypt: a value couldn't be decrypted: row 3, A.b: <nil>",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := &fieldcrypt.DecryptError{Failures: test.failures}
			require.EqualError(t, err, test.says)
			require.Len(t, err.Unwrap(), len(test.failures), "errors.Is looks at each of them")
		})
	}
}
