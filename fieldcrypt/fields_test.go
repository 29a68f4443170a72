package fieldcrypt_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A column that can't be read is a failure of its row and of no other, and
// isn't overwritten.
func TestUnreadableFieldsColumn(t *testing.T) {
	r := records[contact](t, fieldcrypttest.NewWithStore(t))
	first := reread(t, encrypted(t, r, newContact(1, "acme", "first")))
	bad := reread(t, encrypted(t, r, newContact(2, "acme", "bad")))
	require.NoError(t, bad.Custom.Scan(`{"loyalty":"made-up-secret","loyalty":null}`))
	last := reread(t, encrypted(t, r, newContact(3, "acme", "last")))

	for range 2 { // it stays so
		err := r.Decrypt(t.Context(), first, bad, last)
		var failed *fieldcrypt.DecryptError
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Failures, 1)
		require.Equal(t, "Contacts.custom.*", failed.Failures[0].Field)
		require.Equal(t, 1, failed.Failures[0].Row)
		require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
		require.NotContains(t, err.Error(), "made-up")
		requireContent(t, first, "first")
		requireContent(t, last, "last")
		requirePlain(t, "email of bad", bad.Email)
	}
	require.ErrorIs(t, r.DecryptStrict(t.Context(), bad), fieldcrypt.ErrNotEnvelope)

	bad.Custom["tier"] = fieldcrypt.Of("gold") // by a program that overlooked it
	err := r.Encrypt(t.Context(), bad)
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
	require.ErrorContains(t, err, "Contacts.custom.* of fieldcrypt_test.contact, record 0")
	require.ErrorContains(t, err, "assign the map anew")
	_, err = bad.Custom.Value()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)

	bad.Custom = fieldcrypt.Fields{"tier": fieldcrypt.Of("gold")}
	require.NoError(t, r.Encrypt(t.Context(), bad))
	_, err = bad.Custom.Value()
	require.NoError(t, err)
}

// What Encrypt and Value let pass, Scan reads again.
func TestFieldsLimits(t *testing.T) {
	type record struct {
		ID     int64             `fieldcrypt:"id"`
		Custom fieldcrypt.Fields `fieldcrypt:"Contacts.custom.*"`
	}
	const large = 12_600_000 // of which four take more than 64 MiB in text form
	crypts := map[string]*envelope.Options{"reference": {Store: envelope.NewMemoryStore()}, "inline": {}}
	filled := func(n int, v fieldcrypt.String) fieldcrypt.Fields {
		f := fieldcrypt.Fields{}
		for i := range n {
			f[fmt.Sprint("key", i)] = v
		}
		return f
	}
	text, null := fieldcrypt.Of("x"), fieldcrypt.String{}
	long := fieldcrypt.Of(strings.Repeat("x", large))
	for mode, opts := range crypts {
		crypt, err := fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey},
			&fieldcrypt.Options{Envelope: *opts, MaxValue: 16_711_679})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, crypt.Close()) })
		r := records[record](t, crypt).ForTenant("acme")
		for name, test := range map[string]struct {
			before, added fieldcrypt.Fields // encrypted in one call and in another
			says          string
		}{
			"as many as can be":              {filled(250, text), nil, ""},
			"one too many":                   {nil, filled(251, text), "at most 250 members"},
			"one too many for those before":  {filled(250, text), fieldcrypt.Fields{"a": text}, "at most 250 members"},
			"as many nulls as can be":        {filled(250, null), nil, ""},
			"one too many for nulls":         {filled(250, null), fieldcrypt.Fields{"a": text}, "at most 250 members"},
			"as long as can be":              {filled(3, long), nil, ""},
			"one too long":                   {nil, filled(4, long), "at most 67108864 bytes"},
			"one too long for those before":  {filled(3, long), fieldcrypt.Fields{"a": long}, "at most 67108864 bytes"},
			"one that fits those before too": {filled(3, long), fieldcrypt.Fields{"a": text}, ""},
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				v := record{1, fieldcrypt.Fields{}}
				maps.Copy(v.Custom, test.before)
				require.NoError(t, r.Encrypt(t.Context(), &v))
				maps.Copy(v.Custom, test.added)
				err := r.Encrypt(t.Context(), &v)
				if test.says != "" {
					require.ErrorContains(t, err, "Contacts.custom.* of fieldcrypt_test.record, record 0")
					require.ErrorContains(t, err, test.says)
					for key := range test.added {
						_, err = v.Custom[key].Value()
						require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted, "a value was changed")
						break
					}
					return
				}
				require.NoError(t, err)
				stored, err := v.Custom.Value()
				require.NoError(t, err)
				read := record{ID: 1}
				require.NoError(t, read.Custom.Scan(stored))
				require.Len(t, read.Custom, len(v.Custom))
				require.NoError(t, r.Decrypt(t.Context(), &read))
			})
		}
	}
}

// How many there are is known before the key service is asked.
func TestFieldsAreCountedFirst(t *testing.T) {
	crypt, err := fieldcrypt.New(downProvider{}, fieldcrypt.RootKeys{Seal: "made-up://root"}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, crypt.Close()) })
	r := records[contact](t, crypt)
	c := &contact{ID: 1, Tenant: "acme", Custom: fieldcrypt.Fields{}}
	for i := range 250 {
		c.Custom[fmt.Sprint("key", i)] = fieldcrypt.Of("x")
	}
	require.ErrorIs(t, r.Encrypt(t.Context(), c), kmsprovider.ErrUnavailable)
	c.Custom["one more"] = fieldcrypt.Of("x")
	require.ErrorContains(t, r.Encrypt(t.Context(), c), "at most 250 members")
}

// Value holds the map to the same limits, whoever filled it.
func TestFieldsValueLimits(t *testing.T) {
	var sealed fieldcrypt.String
	require.NoError(t, sealed.Scan(fakeEnvelope(64)))
	f := fieldcrypt.Fields{}
	for i := range 250 {
		f[fmt.Sprint("key", i)] = sealed
	}
	stored, err := f.Value()
	require.NoError(t, err)
	var read fieldcrypt.Fields
	require.NoError(t, read.Scan(stored))
	require.Len(t, read, 250)
	f["one more"] = fieldcrypt.String{}
	written, err := f.Value()
	require.Equal(t, fieldcrypt.Redacted, written)
	require.ErrorContains(t, err, "fieldcrypt: custom fields: one column holds at most 250 members")

	// To the byte: the braces, and for each member the key, six characters
	// around it and its envelope, and a comma but for the last.
	fixed := len(`{"a":"","b":"","c":"","d":""}`)
	exact := (64 << 20) - fixed - 3*envelope.TextLen(12_000_000)
	for name, size := range map[string]int{"the longest": exact, "a byte too long": exact + 1} {
		text := size - len("fc1.")
		last := text / 4 * 3
		if text%4 != 0 {
			last += text%4 - 1 // 2 characters are a byte, 3 are two
		}
		if envelope.TextLen(last) != size {
			t.Fatalf("no envelope has a text of %d characters", size)
		}
		f := fieldcrypt.Fields{}
		for key, n := range map[string]int{"a": 12_000_000, "b": 12_000_000, "c": 12_000_000, "d": last} {
			var v fieldcrypt.String
			require.NoError(t, v.Scan(fakeEnvelope(n)))
			f[key] = v
		}
		stored, err := f.Value()
		if name == "the longest" {
			require.NoError(t, err)
			require.Len(t, stored, 64<<20)
			require.NoError(t, read.Scan(stored))
			require.Len(t, read, 4)
		} else {
			require.ErrorContains(t, err, "at most 67108864 bytes")
		}
	}
}

// fakeEnvelope returns n bytes of the shape of an envelope by reference.
func fakeEnvelope(n int) []byte {
	env := make([]byte, n)
	env[0], env[1], env[2] = 0xFC, 0x01, byte(envelope.ModeReference)
	return env
}
