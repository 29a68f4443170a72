package fieldcrypt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

type account struct {
	ID     int64   `fieldcrypt:"id"`
	Tenant string  `fieldcrypt:"tenant"`
	IBAN   string  `fieldcrypt:"Accounts.iban,max=34,pad=32"`
	Scan   []byte  `fieldcrypt:"Accounts.scan"`
	Phone  *string `fieldcrypt:"Accounts.phone,text"`
	Owner  *struct {
		Name string `fieldcrypt:"Accounts.owner"`
	}
}

func TestColumnsRoundTrip(t *testing.T) {
	r := records[account](t, fieldcrypttest.New(t))
	for name, a := range map[string]account{
		"full":  {IBAN: "XX00 1234", Scan: []byte{1, 2}, Phone: &[]string{"555-0100"}[0]},
		"empty": {Scan: []byte{}, Phone: new(string)},
		"null":  {},
	} {
		t.Run(name, func(t *testing.T) {
			a.ID, a.Tenant = 1, "acme"
			before := a
			columns, err := r.EncryptColumns(t.Context(), &a)
			require.NoError(t, err)
			require.Equal(t, before, a)
			require.Len(t, columns, 4)
			require.NotNil(t, columns["Accounts.iban"], "an empty string is a value")
			require.Equal(t, a.Scan == nil, columns["Accounts.scan"] == nil)
			require.Equal(t, a.Phone != nil, strings.HasPrefix(string(columns["Accounts.phone"]), "fc1."))
			require.Nil(t, columns["Accounts.owner"])

			read := account{ID: 1, Tenant: "acme", IBAN: "old", Scan: []byte("old"), Phone: new(string)}
			require.NoError(t, r.DecryptColumns(t.Context(), &read, columns))
			require.Equal(t, a, read)
		})
	}
}

func TestColumnsRefuse(t *testing.T) {
	r := records[account](t, fieldcrypttest.New(t))
	const secret = "made-up-secret"
	encrypt := func(change func(*account)) func(context.Context) error {
		a := &account{ID: 1, Tenant: "acme", IBAN: secret, Scan: []byte(secret)}
		change(a)
		return func(ctx context.Context) error {
			columns, err := r.EncryptColumns(ctx, a)
			require.Nil(t, columns)
			return err
		}
	}
	good := &account{ID: 1, Tenant: "acme", IBAN: secret, Scan: []byte(secret)}
	columns, err := r.EncryptColumns(t.Context(), good)
	require.NoError(t, err)
	with := func(name string, content []byte) fieldcrypt.Columns {
		out := fieldcrypt.Columns{"Accounts.iban": columns["Accounts.iban"], "Accounts.scan": columns["Accounts.scan"]}
		out[name] = content
		return out
	}
	decrypt := func(id int64, c fieldcrypt.Columns) func(context.Context) error {
		return func(ctx context.Context) error {
			a := &account{ID: id, Tenant: "acme", IBAN: "as it was"}
			err := r.DecryptColumns(ctx, a, c)
			require.Equal(t, "as it was", a.IBAN)
			require.Nil(t, a.Scan)
			return err
		}
	}
	values := records[contact](t, fieldcrypttest.New(t))
	tests := map[string]struct {
		call func(context.Context) error
		says string
		is   error
	}{
		"Encrypt of plain fields": {func(ctx context.Context) error { return r.Encrypt(ctx, good) }, "use EncryptColumns", nil},
		"Decrypt of plain fields": {func(ctx context.Context) error { return r.DecryptStrict(ctx, good) }, "use EncryptColumns and DecryptColumns", nil},
		"columns of values": {func(ctx context.Context) error {
			_, err := values.EncryptColumns(ctx, &contact{})
			return err
		}, "use Encrypt and Decrypt", nil},
		"nil record": {func(ctx context.Context) error {
			_, err := r.EncryptColumns(ctx, nil)
			return err
		}, "nil pointer", nil},
		"nil record to decrypt": {func(ctx context.Context) error { return r.DecryptColumns(ctx, nil, columns) }, "nil pointer", nil},
		"no ID":                 {encrypt(func(a *account) { a.ID = 0 }), "its ID (field ID) is zero", nil},
		"no tenant":             {encrypt(func(a *account) { a.Tenant = "" }), "tenant field is empty", nil},
		"too long":              {encrypt(func(a *account) { a.IBAN = strings.Repeat("9", 35) }), "the value is 35 bytes, the limit is 34", nil},
		"not UTF-8":             {encrypt(func(a *account) { a.IBAN = secret + "\xff" }), "Accounts.iban", envelope.ErrMalformed},
		"another record":        {decrypt(2, columns), "row 0, Accounts.iban", envelope.ErrNotAuthentic},
		"no ID to decrypt":      {decrypt(0, columns), "its ID (field ID) is zero", nil},
		"unknown column":        {decrypt(1, with("Accounts.bic", nil)), `"Accounts.bic" isn't one of its marked fields`, nil},
		"plaintext":             {decrypt(1, with("Accounts.iban", []byte(secret))), "not an envelope", fieldcrypt.ErrNotEnvelope},
		"exchanged":             {decrypt(1, with("Accounts.scan", columns["Accounts.iban"])), "Accounts.scan", envelope.ErrNotAuthentic},
		"empty cell":            {decrypt(1, with("Accounts.scan", []byte{})), "not an envelope", fieldcrypt.ErrNotEnvelope},
		"nowhere to put it":     {decrypt(1, with("Accounts.owner", columns["Accounts.iban"])), "a pointer on the way to field Owner.Name is nil", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := test.call(t.Context())
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), secret)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
	a := &account{ID: 1, Tenant: "acme"} // the control
	require.NoError(t, r.DecryptColumns(t.Context(), a, columns))
	require.Equal(t, secret, a.IBAN)
}

func TestFieldsColumn(t *testing.T) {
	type record struct {
		_      struct{}          `fieldcrypt:"unbound"`
		Custom fieldcrypt.Fields `fieldcrypt:"Contacts.custom.*"`
	}
	r := records[record](t, fieldcrypttest.NewWithStore(t)).ForTenant("acme")
	v := record{Custom: fieldcrypt.Fields{"tier": fieldcrypt.Of("gold"), "Größe in cm, <b>": fieldcrypt.Of(""), "none": {}}}
	require.NoError(t, r.Encrypt(t.Context(), &v))
	stored, err := v.Custom.Value()
	require.NoError(t, err)
	require.Regexp(t, `^\{"Größe in cm, <b>":"fc1\._AEB[A-Za-z0-9_-]+","none":null,"tier":"fc1\._AEB[A-Za-z0-9_-]+"\}$`, stored)

	for _, src := range []any{stored, []byte(stored.(string)), " \n" + strings.ReplaceAll(stored.(string), ":", " : ")} {
		read := record{Custom: fieldcrypt.Fields{"old": {}}}
		require.NoError(t, read.Custom.Scan(src))
		require.NoError(t, r.Decrypt(t.Context(), &read))
		require.Len(t, read.Custom, 3)
		requirePlain(t, "gold", read.Custom["tier"])
		requirePlain(t, "", read.Custom["Größe in cm, <b>"])
		require.True(t, read.Custom["none"].IsNull())
		again, err := read.Custom.Value()
		require.NoError(t, err)
		require.Equal(t, stored, again)
	}
	var null fieldcrypt.Fields
	require.NoError(t, null.Scan(nil))
	stored, err = null.Value()
	require.NoError(t, err)
	require.Nil(t, stored)
	stored, err = fieldcrypt.Fields{}.Value()
	require.NoError(t, err)
	require.Equal(t, "{}", stored)
}

func TestFieldsColumnRefuses(t *testing.T) {
	for name, src := range map[string]any{
		"empty": "", "array": `[]`, "string": `"made-up"`, "null": "null", "number": 7, "cut": `{"a":null`, "number inside": `{"a":7}`,
		"object inside": `{"a":{"b":null}}`, "array inside": `{"a":["made-up"]}`, "bool inside": `{"a":true}`, "twice": `{"made-up":null,"made-up":null}`,
		"trailing": `{} {}`, "trailing letter": `{}x`, "comma": `{"a":null,}`, "no colon": `{"a" null}`, "bare key": `{a:null}`,
		"deep": strings.Repeat(`{"a":`, 100_000), "comment": `{/**/}`,
		"many": manyFields(251), "control character": "{\"a\n\":null}", "bad escape": `{"\q":null}`, "cut escape": `{"\`, "long escape": `{"` + strings.Repeat(`\u0061`, 300) + `":null}`,
		"not UTF-8": "{\"\xff\":null}", "other space": "{\u00a0}", "no name": `{:null}`, "two colons": `{"a"::null}`, "no comma": `{"a":null"b":null}`, "null and more": `{"a":nullx}`,
		"twice once unescaped": `{"a":null,"\u0061":null}`, "cut name": `{"a`, "cut colon": `{"a":`, "brace alone": `}`, "NUL behind": "{}\x00",
	} {
		t.Run(name, func(t *testing.T) {
			f := fieldcrypt.Fields{"of the row before": {}}
			require.NoError(t, f.Scan(src), "one bad cell doesn't end the reading of all rows")
			require.Len(t, f, 1)
			_, err := f[""].Plain()
			require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
			require.EqualError(t, err, "fieldcrypt: the column holds something that is not an envelope: custom fields are one JSON object whose members are envelopes in text form, or null")
			written, refused := f.Value()
			require.Equal(t, fieldcrypt.Redacted, written)
			require.ErrorIs(t, refused, fieldcrypt.ErrNotEnvelope)
			require.ErrorContains(t, refused, "fieldcrypt: custom fields: refused to write")
		})
	}
	for name, f := range map[string]fieldcrypt.Fields{
		"plain":     {"a": fieldcrypt.Of("made-up")},
		"quote":     {`a"`: {}},
		"empty key": {"": {}},
		"colon":     {":a": {}},
		"backslash": {`a\`: {}},
		"not UTF-8": {"\xff": {}},
	} {
		written, err := f.Value()
		require.Equal(t, fieldcrypt.Redacted, written, "nil would be NULL to those who drop the error")
		require.ErrorContains(t, err, "custom field", name)
		require.NotContains(t, err.Error(), "made-up")
	}
	var most, over fieldcrypt.Fields
	require.NoError(t, most.Scan(manyFields(250)))
	stored, err := most.Value()
	require.NoError(t, err)
	require.NoError(t, over.Scan(stored))
	over["one more"] = fieldcrypt.String{}
	_, err = over.Value()
	require.ErrorContains(t, err, "custom fields: one column holds at most 250 members, and there are more: keep some in another map")

	var f fieldcrypt.Fields
	require.NoError(t, f.Scan(`{"\u00e4\"":null,"a":"fc1\u002e"}`)) // escaped names are read, escaped members are no envelopes
	require.Contains(t, f, `ä"`)
	_, err = f["a"].Plain()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
	require.NoError(t, f.Scan(`{"a":"made-up"}`)) // one bad cell doesn't end the reading
	written, err := f.Value()
	require.Equal(t, fieldcrypt.Redacted, written)
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
	require.ErrorContains(t, err, `custom field "a": refused to write`)
}

// manyFields returns a column with n members that are null.
func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%d":null`, i)
	}
	return "{" + b.String()[1:] + "}"
}
