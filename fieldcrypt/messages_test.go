package fieldcrypt_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// These tests read what a person at the end of an error would: what was
// attempted, on which type, field, record and key, and what to do.

const typeName = "fieldcrypt_test.contact"

func requireSays(t *testing.T, err error, says ...string) {
	t.Helper()
	require.Error(t, err)
	require.True(t, strings.HasPrefix(err.Error(), "fieldcrypt: "), err)
	for _, part := range says {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), "\n")
}

func TestMaxValue(t *testing.T) {
	crypt, err := fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}, &fieldcrypt.Options{MaxValue: 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, crypt.Close()) })
	type plain struct {
		ID    int64  `fieldcrypt:"id"`
		Phone string `fieldcrypt:"Contacts.phone"`
	}
	values, plains := records[contact](t, crypt), records[plain](t, crypt).ForTenant("acme")
	encrypt := func(set func(*contact)) error {
		c := newContact(7, "acme", "x")
		set(c)
		return values.Encrypt(t.Context(), c)
	}
	at, over := strings.Repeat("ä", 10), strings.Repeat("ä", 10)+"x" // bytes count, not characters
	for name, test := range map[string]struct {
		err  error
		says []string
	}{
		"at the limit":         {encrypt(func(c *contact) { c.Phone.Set(at) }), nil},
		"a field with max":     {encrypt(func(c *contact) { c.Email.Set(strings.Repeat("e", 40)) }), nil},
		"a type of fixed size": {encrypt(func(c *contact) { c.Paid.Set(false) }), nil},
		"over the limit": {
			encrypt(func(c *contact) { c.Phone.Set(over) }),
			[]string{"Contacts.phone of " + typeName + ", record 0: the value is 21 bytes, the limit is 20 (Options.MaxValue): shorten it, or raise the limit and its column's size"},
		},
		"a custom field": {
			encrypt(func(c *contact) { c.Custom["note"] = fieldcrypt.Of(over) }),
			[]string{"Contacts.custom.note of " + typeName, "the value is 21 bytes, the limit is 20 (Options.MaxValue)"},
		},
		"max in the tag": {
			encrypt(func(c *contact) { c.Email.Set(strings.Repeat("e", 41)) }),
			[]string{"Contacts.email of " + typeName, "the value is 41 bytes, the limit is 40 (max in the field's tag)"},
		},
		"a plain field": {
			func() error { _, err := plains.EncryptColumns(t.Context(), &plain{7, over}); return err }(),
			[]string{"Contacts.phone of fieldcrypt_test.plain", "the value is 21 bytes, the limit is 20 (Options.MaxValue)"},
		},
		"a plain field at the limit": {
			func() error { _, err := plains.EncryptColumns(t.Context(), &plain{7, at}); return err }(), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.says == nil {
				require.NoError(t, test.err)
				return
			}
			requireSays(t, test.err, test.says...)
			require.NotContains(t, test.err.Error(), "ä")
		})
	}

	// The column is as long as the limit makes it.
	columns, err := plains.ColumnDefs(fieldcrypt.MariaDB)
	require.NoError(t, err)
	require.Equal(t, envelope.MaxInlineOverhead+20, columns[0].Size)
}

// otherEnvelope is a change to the envelope of an e-mail, and what Decrypt
// says of it.
var otherEnvelopes = map[string]struct {
	change func(env []byte) []byte
	is     error // inline
	byRef  error // by reference; nil: the same
	says   string
}{
	"cut off":            {func(b []byte) []byte { return b[:len(b)-1] }, envelope.ErrNotAuthentic, nil, "restore what was stored at this place"},
	"extended":           {func(b []byte) []byte { return append(b, 0) }, envelope.ErrNotAuthentic, nil, "restore what was stored at this place"},
	"a bit flipped":      {func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, envelope.ErrNotAuthentic, nil, "restore what was stored at this place"},
	"another key ID":     {func(b []byte) []byte { b[3] ^= 1; return b }, envelope.ErrNotAuthentic, envelope.ErrKeyNotFound, "restore "},
	"another version":    {func(b []byte) []byte { b[1] = 2; return b }, envelope.ErrUnknownVersion, nil, "an envelope of version 2, and this release reads version 1: a newer release is needed"},
	"cut off in the key": {func(b []byte) []byte { return b[:20] }, envelope.ErrMalformed, nil, "restore the row, or give the value its content anew with Set or SetNull"},
	"a stream":           {func([]byte) []byte { return append([]byte{0xFC, 1, 4}, make([]byte, 200)...) }, envelope.ErrModeNotAllowed, nil, "is not an envelope of a field"},
}

func TestEnvelopesThatCantBeOpened(t *testing.T) {
	for mode, crypt := range map[string]*fieldcrypt.Crypt{"inline": fieldcrypttest.New(t), "reference": fieldcrypttest.NewWithStore(t)} {
		r := records[contact](t, crypt)
		stored := encrypted(t, r, newContact(7, "acme", "seven"))
		for name, other := range otherEnvelopes {
			t.Run(mode+"/"+name, func(t *testing.T) {
				env := other.change(envelopeOf(t, stored.Email).([]byte))
				is := other.is
				if mode == "reference" && other.byRef != nil {
					is = other.byRef
				}
				c := reread(t, stored)
				require.NoError(t, c.Email.Scan(env))
				err := r.Decrypt(t.Context(), c)
				require.ErrorIs(t, err, is)
				requireSays(t, err, "a value of "+typeName+" couldn't be decrypted: row 0, Contacts.email: ", other.says)
				_, plainErr := c.Email.Plain()
				require.ErrorIs(t, plainErr, is)
				require.ErrorContains(t, plainErr, other.says)
				if !errors.Is(is, envelope.ErrNotAuthentic) && !errors.Is(is, envelope.ErrKeyNotFound) {
					require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
					require.NotContains(t, err.Error(), "seven")
					return
				}
				info, inspectErr := envelope.Inspect(env)
				require.NoError(t, inspectErr)
				requireSays(t, err, `open Contacts.email (tenant "acme", class "default", record "7") with key `+info.KeyID.String())
			})
		}
	}
}

// The number of a version to come is told, in both forms, and that a newer
// release is needed; not that the value should be overwritten.
func TestEnvelopeOfAnotherVersion(t *testing.T) {
	r := records[contact](t, fieldcrypttest.NewWithStore(t))
	env := envelopeOf(t, encrypted(t, r, newContact(7, "acme", "seven")).Email).([]byte)
	env[1] = 2
	for form, column := range map[string]any{
		"binary": env, "text": "fc2." + base64.RawURLEncoding.EncodeToString(env), "text in bytes": []byte("fc2." + base64.RawURLEncoding.EncodeToString(env)),
	} {
		t.Run(form, func(t *testing.T) {
			c := newContact(7, "acme", "seven")
			require.NoError(t, c.Email.Scan(column))
			_, writeErr := c.Email.Value()
			for call, err := range map[string]error{
				"Decrypt": r.Decrypt(t.Context(), c), "Encrypt": r.Encrypt(t.Context(), c), "Value": writeErr,
			} {
				require.ErrorIs(t, err, envelope.ErrUnknownVersion, call)
				require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope, call)
				requireSays(t, err, "envelope of version 2, and this release reads version 1: a newer release is needed")
				require.NotContains(t, err.Error(), "Set or SetNull", call)
				if call != "Value" {
					requireSays(t, err, typeName, "Contacts.email")
				}
			}
		})
	}
	// What only begins like one is plaintext, of which nothing is told.
	for name, column := range map[string]string{
		"a name": "fc2.ada@example.com", "in the alphabet": "fc2." + strings.Repeat("ada", 40), "version 1 in a text of 2": "fc2." + base64.RawURLEncoding.EncodeToString(bytes.Replace(env, []byte{2}, []byte{1}, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			var v fieldcrypt.String
			require.NoError(t, v.Scan(column))
			_, err := v.Plain()
			require.NotErrorIs(t, err, envelope.ErrUnknownVersion)
			require.NotContains(t, err.Error(), "version")
		})
	}
}

func TestUseAfterClose(t *testing.T) {
	const advice = "the Crypt was closed: keep one for the life of the process, and close it after the last call"
	crypt := fieldcrypttest.NewWithStore(t)
	type plain struct {
		ID    int64  `fieldcrypt:"id"`
		Phone string `fieldcrypt:"Contacts.phone"`
	}
	values, plains := records[contact](t, crypt), records[plain](t, crypt).ForTenant("acme")
	c := encrypted(t, values, newContact(7, "acme", "seven"))
	read := reread(t, c)
	require.NoError(t, crypt.Close())

	c.Email.Set("new")
	_, columnsErr := plains.EncryptColumns(t.Context(), &plain{7, "1"})
	_, rotateErr := crypt.Rotate(t.Context(), fieldcrypt.Scope{Tenant: "acme", Class: "crm"})
	for what, err := range map[string]error{
		"Encrypt of " + typeName:                  values.Encrypt(t.Context(), c),
		"EncryptAll of " + typeName:               values.EncryptAll(t.Context(), []contact{*c}),
		"Decrypt of " + typeName:                  values.Decrypt(t.Context(), read),
		"DecryptAll of " + typeName:               values.DecryptAll(t.Context(), []contact{*read}),
		"DecryptStrict of " + typeName:            values.DecryptStrict(t.Context(), read),
		"EncryptColumns of fieldcrypt_test.plain": columnsErr,
		"DecryptColumns of fieldcrypt_test.plain": plains.DecryptColumns(t.Context(), &plain{ID: 7}, fieldcrypt.Columns{}),
		`Rotate of tenant "acme", class "crm"`:    rotateErr,
	} {
		require.ErrorIs(t, err, envelope.ErrClosed, what)
		requireSays(t, err, "fieldcrypt: "+what+": "+advice)
	}
	// What was decrypted before stays readable, and what was sealed writable.
	envelopeOf(t, read.Email)
	requirePlain(t, "street of seven", c.Home.Street)
}

// TestKMSMessages: what AWS KMS, or the network before it, says no to.
func TestKMSMessages(t *testing.T) {
	const place = `Contacts.email (tenant "acme", class "default", record "7")`
	for name, test := range map[string]struct {
		fail             func(srv *fakekms.Server, arn string)
		is               error
		encrypt, decrypt []string // what and advice
	}{
		"unreachable": {
			func(srv *fakekms.Server, _ string) { srv.Inject(fakekms.Fault{Break: fakekms.Drop}) }, kmsprovider.ErrUnavailable,
			[]string{"KMS can't be reached", "check the network, DNS and the configured endpoint"},
			[]string{"KMS can't be reached", "check the network, DNS and the configured endpoint"},
		},
		"denied": {
			func(srv *fakekms.Server, arn string) { srv.Deny(arn) }, kmsprovider.ErrDenied,
			[]string{"access denied", "grant kms:GenerateDataKey to the caller, in its IAM policies and in the key's policy"},
			[]string{"access denied", "grant kms:Decrypt to the caller, in its IAM policies and in the key's policy"},
		},
		"disabled": {
			func(srv *fakekms.Server, arn string) { srv.Disable(arn) }, kmsprovider.ErrKeyUnusable,
			[]string{"the root key is disabled", "enable it with kms:EnableKey"},
			[]string{"the root key is disabled", "enable it with kms:EnableKey"},
		},
		"pending deletion": {
			func(srv *fakekms.Server, arn string) { srv.ScheduleDeletion(arn, 7) }, kmsprovider.ErrKeyUnusable,
			[]string{"pending deletion", "kms:CancelKeyDeletion"},
			[]string{"pending deletion", "kms:CancelKeyDeletion"},
		},
		"wrong credentials": {
			func(srv *fakekms.Server, _ string) {
				srv.Inject(fakekms.Fault{Error: "UnrecognizedClientException"})
			}, kmsprovider.ErrDenied,
			[]string{"AWS doesn't accept the credentials", "check which credentials are in use"},
			[]string{"AWS doesn't accept the credentials", "check which credentials are in use"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := fakekms.New(fakekms.Options{})
			t.Cleanup(srv.Close)
			rootKey := "aws-kms://" + srv.CreateKey(fakekms.KeyOptions{})
			cold := func() *fieldcrypt.Records[contact] {
				provider, err := awskms.New(srv.Config(), &awskms.Options{UnreachableAfter: time.Second})
				require.NoError(t, err)
				crypt, err := fieldcrypt.New(provider, fieldcrypt.RootKeys{Seal: rootKey}, nil)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, crypt.Close()) })
				return records[contact](t, crypt)
			}
			email := func() *contact {
				return &contact{ID: 7, Tenant: "acme", Email: fieldcrypt.Of("ada@example.com")}
			}
			stored := encrypted(t, cold(), email())
			env := envelopeOf(t, stored.Email)
			info, err := envelope.Inspect(env.([]byte))
			require.NoError(t, err)
			test.fail(srv, strings.TrimPrefix(rootKey, "aws-kms://"))

			err = cold().Encrypt(t.Context(), email())
			require.ErrorIs(t, err, test.is)
			requireSays(t, err, test.encrypt...)
			requireSays(t, err, "Contacts.email of "+typeName+", record 0: ", "seal "+place+": awskms: generate a data key under "+rootKey+": ")

			read := &contact{ID: 7, Tenant: "acme"}
			require.NoError(t, read.Email.Scan(env))
			decryptErr := cold().Decrypt(t.Context(), read)
			_, plainErr := read.Email.Plain()
			strictErr := cold().DecryptStrict(t.Context(), read)
			for call, err := range map[string]error{"Decrypt": decryptErr, "DecryptStrict": strictErr, "Plain": plainErr} {
				require.ErrorIs(t, err, test.is, call)
				for _, says := range append(test.decrypt, "open "+place+" with key "+info.KeyID.String()+": awskms: decrypt under "+rootKey+": ") {
					require.ErrorContains(t, err, says, call)
				}
				if call != "Plain" {
					requireSays(t, err, "a value of "+typeName+" couldn't be decrypted: row 0, Contacts.email: ")
				}
			}
			// An envelope that was read and is to be written again.
			again := &contact{ID: 7, Tenant: "acme"}
			require.NoError(t, again.Email.Scan(env))
			err = cold().Encrypt(t.Context(), again)
			require.ErrorIs(t, err, test.is)
			requireSays(t, err, test.decrypt...)
			requireSays(t, err, "Contacts.email of "+typeName+", record 0: the envelope that was read can't be written here: ", rootKey)
		})
	}
}
