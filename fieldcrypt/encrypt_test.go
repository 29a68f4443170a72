package fieldcrypt_test

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

type contact struct {
	ID     int64  `fieldcrypt:"id"`
	Tenant string `fieldcrypt:"tenant"`
	Name   string
	Email  fieldcrypt.String  `fieldcrypt:"Contacts.email,max=40"`
	Phone  *fieldcrypt.String `fieldcrypt:"Contacts.phone,text,class=billing"`
	Home   *address
	Paid   fieldcrypt.Bool   `fieldcrypt:"Contacts.paid,pad=32"`
	Custom fieldcrypt.Fields `fieldcrypt:"Contacts.custom.*"`
}

func newContact(id int64, tenant, content string) *contact {
	phone := fieldcrypt.Of("phone of " + content)
	return &contact{
		ID: id, Tenant: tenant, Name: content,
		Email:  fieldcrypt.Of("email of " + content),
		Phone:  &phone,
		Home:   &address{Street: fieldcrypt.Of("street of " + content)},
		Paid:   fieldcrypt.Of(true),
		Custom: fieldcrypt.Fields{"loyalty": fieldcrypt.Of("loyalty of " + content), "none": {}},
	}
}

// reread returns the record as a program reads it from a database.
func reread(t testing.TB, c *contact) *contact {
	t.Helper()
	out := &contact{ID: c.ID, Tenant: c.Tenant, Name: c.Name, Phone: new(fieldcrypt.String), Home: new(address)}
	through := func(dst interface{ Scan(any) error }, src driver.Valuer) {
		v, err := src.Value()
		require.NoError(t, err)
		require.NoError(t, dst.Scan(v))
	}
	through(&out.Email, c.Email)
	through(out.Phone, *c.Phone)
	through(&out.Home.Street, c.Home.Street)
	through(&out.Paid, c.Paid)
	through(&out.Custom, c.Custom)
	return out
}

func records[T any](t testing.TB, crypt *fieldcrypt.Crypt) *fieldcrypt.Records[T] {
	t.Helper()
	r, err := fieldcrypt.For[T](crypt)
	require.NoError(t, err)
	return r
}

func encrypted(t testing.TB, r *fieldcrypt.Records[contact], c *contact) *contact {
	t.Helper()
	require.NoError(t, r.Encrypt(t.Context(), c))
	return c
}

func requirePlain[T fieldcrypt.Plain](t testing.TB, want T, v fieldcrypt.Value[T]) {
	t.Helper()
	got, err := v.Plain()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func envelopeOf[T fieldcrypt.Plain](t testing.TB, v fieldcrypt.Value[T]) driver.Value {
	t.Helper()
	out, err := v.Value()
	require.NoError(t, err)
	return out
}

func requireContent(t testing.TB, c *contact, content string) {
	t.Helper()
	requirePlain(t, "email of "+content, c.Email)
	requirePlain(t, "phone of "+content, *c.Phone)
	requirePlain(t, "street of "+content, c.Home.Street)
	requirePlain(t, true, c.Paid)
	requirePlain(t, "loyalty of "+content, c.Custom["loyalty"])
	require.True(t, c.Custom["none"].IsNull())
}

func TestRoundTrip(t *testing.T) {
	for name, crypt := range map[string]*fieldcrypt.Crypt{
		"inline": fieldcrypttest.New(t), "reference": fieldcrypttest.NewWithStore(t),
	} {
		t.Run(name, func(t *testing.T) {
			r := records[contact](t, crypt)
			c := encrypted(t, r, newContact(1, "acme", "one"))
			requireContent(t, c, "one")
			require.IsType(t, "", envelopeOf(t, *c.Phone))
			require.IsType(t, []byte{}, envelopeOf(t, c.Email))

			again := reread(t, c)
			_, err := again.Email.Plain()
			require.ErrorIs(t, err, fieldcrypt.ErrNotDecrypted)
			require.NoError(t, r.Decrypt(t.Context(), again))
			requireContent(t, again, "one")
			require.Equal(t, envelopeOf(t, c.Email), envelopeOf(t, again.Email))
			require.Equal(t, envelopeOf(t, *c.Phone), envelopeOf(t, *again.Phone))

			strict := reread(t, c)
			require.NoError(t, r.DecryptStrict(t.Context(), strict, strict))
			requireContent(t, strict, "one")
		})
	}
}

func TestNullsAndNilPointers(t *testing.T) {
	r := records[contact](t, fieldcrypttest.New(t))
	c := &contact{} // without an ID, too: there is nothing to bind
	require.NoError(t, r.Encrypt(t.Context(), c))
	require.Equal(t, &contact{}, c)
	require.NoError(t, r.Decrypt(t.Context(), c))
	require.NoError(t, r.DecryptStrict(t.Context(), c))
	require.Equal(t, &contact{}, c)
	require.NoError(t, r.Encrypt(t.Context()))
	require.NoError(t, r.DecryptAll(t.Context(), nil))
}

func TestEveryType(t *testing.T) {
	type all struct {
		_       struct{}                    `fieldcrypt:"unbound"`
		String  fieldcrypt.String           `fieldcrypt:"All.string,pad=64"`
		Bytes   fieldcrypt.Bytes            `fieldcrypt:"All.bytes,pad=2"`
		Int64   fieldcrypt.Int64            `fieldcrypt:"All.int64,pad=3"`
		Uint64  fieldcrypt.Uint64           `fieldcrypt:"All.uint64"`
		Float64 fieldcrypt.Float64          `fieldcrypt:"All.float64"`
		Bool    fieldcrypt.Bool             `fieldcrypt:"All.bool"`
		Time    fieldcrypt.Time             `fieldcrypt:"All.time"`
		Date    fieldcrypt.Date             `fieldcrypt:"All.date"`
		Decimal fieldcrypt.Decimal          `fieldcrypt:"All.decimal,pad=65536"`
		JSON    fieldcrypt.JSON             `fieldcrypt:"All.json"`
		Scores  map[string]fieldcrypt.Int64 `fieldcrypt:"All.score.*"`
	}
	r := records[all](t, fieldcrypttest.New(t)).ForTenant("acme")
	long := strings.Repeat("long ", 5000) // more than the pooled memory holds
	at := time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)
	v := all{
		String: fieldcrypt.Of(long), Bytes: fieldcrypt.Of([]byte{0, 1}), Int64: fieldcrypt.Of(int64(-5)),
		Uint64: fieldcrypt.Of(^uint64(0)), Float64: fieldcrypt.Of(-0.5), Bool: fieldcrypt.Of(false), Time: fieldcrypt.Of(at),
		Date: fieldcrypt.Of(fieldcrypt.CivilDate{Year: 2024, Month: 2, Day: 29}), Decimal: fieldcrypt.Of(fieldcrypt.DecimalString("1.50")),
		JSON: fieldcrypt.Of(json.RawMessage(`{"a":1}`)), Scores: map[string]fieldcrypt.Int64{"a": fieldcrypt.Of(int64(1)), "b": fieldcrypt.Of(int64(2))},
	}
	require.NoError(t, r.Encrypt(t.Context(), &v))
	read := all{Scores: map[string]fieldcrypt.Int64{}}
	for _, pair := range []struct {
		dst interface{ Scan(any) error }
		src driver.Valuer
	}{
		{&read.String, v.String},
		{&read.Bytes, v.Bytes},
		{&read.Int64, v.Int64},
		{&read.Uint64, v.Uint64},
		{&read.Float64, v.Float64},
		{&read.Bool, v.Bool},
		{&read.Time, v.Time},
		{&read.Date, v.Date},
		{&read.Decimal, v.Decimal},
		{&read.JSON, v.JSON},
	} {
		stored, err := pair.src.Value()
		require.NoError(t, err)
		require.NoError(t, pair.dst.Scan(stored))
	}
	for key, score := range v.Scores {
		var s fieldcrypt.Int64
		require.NoError(t, s.Scan(envelopeOf(t, score)))
		read.Scores[key] = s
	}
	require.NoError(t, r.DecryptStrict(t.Context(), &read))
	requirePlain(t, long, read.String)
	requirePlain(t, []byte{0, 1}, read.Bytes)
	requirePlain(t, int64(-5), read.Int64)
	requirePlain(t, ^uint64(0), read.Uint64)
	requirePlain(t, -0.5, read.Float64)
	requirePlain(t, false, read.Bool)
	requirePlain(t, at, read.Time)
	requirePlain(t, fieldcrypt.CivilDate{Year: 2024, Month: 2, Day: 29}, read.Date)
	requirePlain(t, fieldcrypt.DecimalString("1.50"), read.Decimal)
	requirePlain(t, json.RawMessage(`{"a":1}`), read.JSON)
	requirePlain(t, int64(2), read.Scores["b"])
}

// Every kind of ID opens again, and none opens as another.
func TestIDs(t *testing.T) {
	crypt := fieldcrypttest.New(t)
	id := uuid{0xAB, 0xCD, 15: 1}
	testID(t, crypt, "text", "M-7")
	testID(t, crypt, "orderID", orderID("M-8"))
	testID(t, crypt, "-7", int8(-7))
	testID(t, crypt, "int16", int16(300))
	testID(t, crypt, "int32", int32(301))
	testID(t, crypt, "int64", int64(302))
	testID(t, crypt, "int", 303)
	testID(t, crypt, "uint8", uint8(200))
	testID(t, crypt, "uint16", uint16(304))
	testID(t, crypt, "uint32", uint32(305))
	testID(t, crypt, "uint64", ^uint64(0))
	testID(t, crypt, "uint", uint(306))
	testID(t, crypt, "uuid", id)
	testID(t, crypt, "pointer", &[]int64{307}[0])

	// The text of an ID is part of the format.
	ring := ringFor(t)
	type record struct {
		ID   uuid              `fieldcrypt:"id"`
		Part int               `fieldcrypt:"id"`
		Note fieldcrypt.String `fieldcrypt:"Notes.note,class=crm"`
	}
	r := record{ID: id, Part: 42, Note: fieldcrypt.Of("x")}
	require.NoError(t, records[record](t, crypt).ForTenant("acme").Encrypt(t.Context(), &r))
	composite, err := envelope.CompositeRecord("abcd0000-0000-0000-0000-000000000001", "42")
	require.NoError(t, err)
	b := envelope.Binding{Scope: envelope.Scope{Tenant: "acme", Class: "crm"}, Field: envelope.MustField("Notes", "note"), Record: composite}
	frame, err := ring.Open(t.Context(), &b, envelopeOf(t, r.Note).([]byte))
	require.NoError(t, err)
	require.Equal(t, "\x01x", string(frame))
}

func testID[I any](t *testing.T, crypt *fieldcrypt.Crypt, name string, id I) {
	t.Helper()
	type record struct {
		ID   I                 `fieldcrypt:"id"`
		Note fieldcrypt.String `fieldcrypt:"Notes.note"`
	}
	rs := records[record](t, crypt).ForTenant("acme")
	var zero record
	zero.Note.Set("secret")
	err := rs.Encrypt(t.Context(), &zero)
	require.ErrorContains(t, err, "its ID (field ID) is zero", name)
	require.ErrorContains(t, err, "unbound", name)

	r := record{ID: id, Note: fieldcrypt.Of(name)}
	require.NoError(t, rs.Encrypt(t.Context(), &r), name)
	read := record{ID: id}
	require.NoError(t, read.Note.Scan(envelopeOf(t, r.Note)))
	require.NoError(t, rs.DecryptStrict(t.Context(), &read), name)
	requirePlain(t, name, read.Note)
}

func ringFor(t testing.TB) *envelope.KeyRing {
	t.Helper()
	ring, err := envelope.NewKeyRing(fieldcrypttest.Provider(), envelope.RootKeys{Seal: fieldcrypttest.RootKey}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ring.Close()) })
	return ring
}

func TestEncryptAgainChangesNothing(t *testing.T) {
	r := records[contact](t, fieldcrypttest.NewWithStore(t))
	c := encrypted(t, r, newContact(1, "acme", "one"))
	before := envelopeOf(t, c.Email)
	require.NoError(t, r.Encrypt(t.Context(), c))
	require.Equal(t, before, envelopeOf(t, c.Email))

	// Scanned and not decrypted: verified, and as it was.
	read := reread(t, c)
	require.NoError(t, r.Encrypt(t.Context(), read))
	require.Equal(t, before, envelopeOf(t, read.Email))
	_, err := read.Email.Plain()
	require.ErrorIs(t, err, fieldcrypt.ErrNotDecrypted)

	// One value changes, and no other.
	require.NoError(t, r.Decrypt(t.Context(), read))
	phone := envelopeOf(t, *read.Phone)
	read.Email.Set("new@example.org")
	require.NoError(t, r.Encrypt(t.Context(), read))
	require.NotEqual(t, before, envelopeOf(t, read.Email))
	require.Equal(t, phone, envelopeOf(t, *read.Phone))
	require.Len(t, envelopeOf(t, read.Paid), 63+32)
}

type denyingProvider struct {
	kmsprovider.Provider
	denies atomic.Bool
}

func (p *denyingProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if p.denies.Load() {
		return kmsprovider.DataKey{}, kmsprovider.ErrDenied
	}
	return p.Provider.GenerateDataKey(ctx, rootKey, ec)
}

// TestEncryptRefuses reads every message, and sees that no record was changed:
// the first one of each call is in order.
func TestEncryptRefuses(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	r := records[contact](t, crypt)
	const secret = "made-up-secret"
	moved := func(change func(*contact)) func(*testing.T) *contact {
		return func(t *testing.T) *contact {
			c := encrypted(t, r, newContact(1, "acme", secret))
			change(c)
			return c
		}
	}
	tests := map[string]struct {
		record func(*testing.T) *contact
		says   []string
		is     error
	}{
		"nil pointer": {func(*testing.T) *contact { return nil }, []string{"Encrypt of fieldcrypt_test.contact", "record 1 is a nil pointer"}, nil},
		"zero ID": {
			func(*testing.T) *contact { return newContact(0, "acme", secret) },
			[]string{"Contacts.email of fieldcrypt_test.contact, record 1", "its ID (field ID) is zero: set it"},
			nil,
		},
		"no tenant": {func(*testing.T) *contact { return newContact(2, "", secret) }, []string{"its tenant field is empty"}, nil},
		"tenant too long": {
			func(*testing.T) *contact { return newContact(2, strings.Repeat("t", 256), secret) },
			[]string{"the tenant is 256 bytes"},
			envelope.ErrMalformed,
		},
		"value too long": {func(*testing.T) *contact {
			c := newContact(2, "acme", secret)
			c.Email.Set(strings.Repeat(secret, 10))
			return c
		}, []string{"Contacts.email", "the value is 140 bytes, the limit is 40 (max in the field's tag)"}, nil},
		"longer than the option": {func(*testing.T) *contact {
			c := newContact(2, "acme", secret)
			c.Phone.Set(strings.Repeat("x", fieldcrypt.DefaultMaxValue+1))
			return c
		}, []string{"Contacts.phone", "1048577 bytes, the limit is 1048576 (Options.MaxValue)"}, nil},
		"not UTF-8": {func(*testing.T) *contact {
			c := newContact(2, "acme", secret)
			c.Email.Set(secret + "\xff")
			return c
		}, []string{"Contacts.email", "not UTF-8"}, envelope.ErrMalformed},
		"custom key with a quote": {func(*testing.T) *contact {
			c := newContact(2, "acme", secret)
			c.Custom[`a"b`] = fieldcrypt.Of(secret)
			return c
		}, []string{"Contacts.custom.*", `the key "a\"b"`, "a quote"}, nil},
		"custom key with a colon first": {func(*testing.T) *contact {
			c := newContact(2, "acme", secret)
			c.Custom[":a"] = fieldcrypt.Of(secret)
			return c
		}, []string{"Contacts.custom.*", `the key ":a" starts with a colon`}, nil},
		"custom key empty": {func(*testing.T) *contact {
			c := newContact(2, "acme", secret)
			c.Custom[""] = fieldcrypt.Of(secret)
			return c
		}, []string{"Contacts.custom.*", "empty key"}, nil},
		"custom key not UTF-8": {func(*testing.T) *contact {
			c := newContact(2, "acme", secret)
			c.Custom["\xff"] = fieldcrypt.Of(secret)
			return c
		}, []string{"not UTF-8"}, nil},
		"custom key too long": {func(*testing.T) *contact {
			c := newContact(2, "acme", secret)
			c.Custom[strings.Repeat("k", 250)] = fieldcrypt.Of(secret)
			return c
		}, []string{"can't be a field's name", "limit is 255"}, envelope.ErrMalformed},
		"another record's envelope": {
			moved(func(c *contact) { c.ID = 9 }),
			[]string{`Contacts.email (tenant "acme", class "default", record "1")`, `at Contacts.email (tenant "acme", class "default", record "9")`, "Set it"},
			nil,
		},
		"another tenant's envelope": {
			moved(func(c *contact) { c.Tenant = "globex" }),
			[]string{`tenant "acme"`, `tenant "globex"`},
			nil,
		},
		"another field's envelope": {
			moved(func(c *contact) { c.Home.Street = c.Email }),
			[]string{"Contacts.street of", "another place, Contacts.email"},
			nil,
		},
		"another class's envelope": {
			moved(func(c *contact) { c.Email = *c.Phone }),
			[]string{`Contacts.phone (tenant "acme", class "billing"`, `Contacts.email (tenant "acme", class "default"`},
			nil,
		},
		"another key's envelope": {
			moved(func(c *contact) { c.Custom["none"] = c.Custom["loyalty"] }),
			[]string{"Contacts.custom.none", "another place, Contacts.custom.loyalty"},
			nil,
		},
		"a scanned envelope of another record": {func(t *testing.T) *contact {
			c := reread(t, encrypted(t, r, newContact(1, "acme", secret)))
			c.ID = 9
			return c
		}, []string{"the envelope that was read can't be written here"}, envelope.ErrNotAuthentic},
		"a scanned envelope of another type": {func(t *testing.T) *contact {
			c := encrypted(t, r, newContact(1, "acme", secret))
			require.NoError(t, c.Paid.Scan(envelopeOf(t, c.Email)))
			return c
		}, []string{"Contacts.paid"}, envelope.ErrNotAuthentic},
		"plaintext in the column": {func(t *testing.T) *contact {
			c := newContact(2, "acme", secret)
			require.NoError(t, c.Email.Scan(secret))
			return c
		}, []string{"Contacts.email", "not an envelope", "Set or SetNull"}, fieldcrypt.ErrNotEnvelope},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bad := test.record(t)
			good := newContact(5, "acme", "good")
			var before contact
			var custom fieldcrypt.Fields
			if bad != nil {
				before, custom = *bad, maps.Clone(bad.Custom)
			}
			err := r.Encrypt(t.Context(), good, bad)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), "fieldcrypt: "), err)
			for _, says := range test.says {
				require.ErrorContains(t, err, says)
			}
			require.NotContains(t, err.Error(), secret)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			_, err = good.Email.Value()
			require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted, "the good record wasn't changed")
			_, err = good.Custom.Value()
			require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)
			if bad != nil {
				require.Equal(t, before, *bad)
				require.Equal(t, custom, bad.Custom)
			}
		})
	}
	good := newContact(5, "acme", "good") // the control
	require.NoError(t, r.Encrypt(t.Context(), good, good))
	requireContent(t, good, "good")
	require.NoError(t, r.Decrypt(t.Context(), good))
	require.NoError(t, r.Decrypt(t.Context(), reread(t, good)))
}

func TestCollidingCustomKey(t *testing.T) {
	type record struct {
		_      struct{}          `fieldcrypt:"unbound"`
		VIP    fieldcrypt.String `fieldcrypt:"Contacts.custom.vip"`
		Custom fieldcrypt.Fields `fieldcrypt:"Contacts.custom.*"`
	}
	r := records[record](t, fieldcrypttest.New(t)).ForTenant("acme")
	bad := record{Custom: fieldcrypt.Fields{"vip": fieldcrypt.Of("x")}}
	require.ErrorContains(t, r.Encrypt(t.Context(), &bad), `the key "vip" makes the name of another field of this type, Contacts.custom.vip`)
	require.NoError(t, r.Encrypt(t.Context(), &record{VIP: fieldcrypt.Of("x"), Custom: fieldcrypt.Fields{"gold": fieldcrypt.Of("x")}}))
}

func TestCallsThatCantStart(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	r := records[contact](t, crypt)
	c := newContact(1, "acme", "one")
	calls := map[string]func(*fieldcrypt.Records[contact], context.Context) error{
		"Encrypt": func(r *fieldcrypt.Records[contact], ctx context.Context) error { return r.Encrypt(ctx, c) },
		"EncryptAll": func(r *fieldcrypt.Records[contact], ctx context.Context) error {
			return r.EncryptAll(ctx, []contact{*c})
		},
		"Decrypt": func(r *fieldcrypt.Records[contact], ctx context.Context) error { return r.Decrypt(ctx, c) },
		"DecryptAll": func(r *fieldcrypt.Records[contact], ctx context.Context) error {
			return r.DecryptAll(ctx, []contact{*c})
		},
		"DecryptStrict": func(r *fieldcrypt.Records[contact], ctx context.Context) error { return r.DecryptStrict(ctx, c) },
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		require.NoError(t, call(r, t.Context()), name)
		require.ErrorIs(t, call(r, cancelled), context.Canceled, name)
		require.ErrorContains(t, call(r, cancelled), name+" of fieldcrypt_test.contact")
		require.ErrorContains(t, call(&fieldcrypt.Records[contact]{}, t.Context()), "Records are made with For", name)
	}
	require.ErrorContains(t, r.Decrypt(t.Context(), c, nil), "record 1 is a nil pointer")
	require.ErrorContains(t, r.DecryptStrict(t.Context(), nil), "record 0 is a nil pointer")

	require.NoError(t, crypt.Close())
	for name, call := range calls {
		require.ErrorIs(t, call(r, t.Context()), envelope.ErrClosed, name)
		require.ErrorContains(t, call(r, t.Context()), name+" of fieldcrypt_test.contact")
	}
}

func TestTenantOfTheHandle(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	type note struct {
		ID   int               `fieldcrypt:"id"`
		Text fieldcrypt.String `fieldcrypt:"Notes.text"`
	}
	notes := records[note](t, crypt)
	n := note{1, fieldcrypt.Of("x")}
	require.ErrorContains(t, notes.Encrypt(t.Context(), &n), "use ForTenant")
	require.ErrorContains(t, notes.Decrypt(t.Context(), &n), "use ForTenant")
	require.ErrorContains(t, notes.ForTenant("").Encrypt(t.Context(), &n), "an empty tenant")
	require.NoError(t, notes.ForTenant("acme").Encrypt(t.Context(), &n))
	require.ErrorContains(t, notes.ForTenant("globex").Encrypt(t.Context(), &n), `tenant "acme"`)

	c := newContact(1, "acme", "one")
	r := records[contact](t, crypt)
	require.ErrorContains(t, r.ForTenant("globex").Encrypt(t.Context(), c), `belongs to tenant "acme"`)
	require.ErrorContains(t, r.ForTenant("acme").Encrypt(t.Context(), newContact(1, "", "one")), "tenant field is empty")
	require.NoError(t, r.ForTenant("acme").Encrypt(t.Context(), c))
	read := reread(t, c)
	err := r.ForTenant("globex").Decrypt(t.Context(), read)
	require.ErrorContains(t, err, `belongs to tenant "acme"`)
	_, err = read.Email.Plain()
	require.ErrorContains(t, err, `belongs to tenant "acme"`)
	require.NoError(t, r.Decrypt(t.Context(), read))
	requireContent(t, read, "one")
}

// A key service that is away, or says no, leaves every record as it was.
func TestKeyServiceFails(t *testing.T) {
	provider := &denyingProvider{Provider: fieldcrypttest.Provider()}
	provider.denies.Store(true)
	crypt, err := fieldcrypt.New(provider, fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}, nil)
	require.NoError(t, err)
	defer crypt.Close()
	r := records[contact](t, crypt)
	c, d := newContact(1, "acme", "one"), newContact(2, "globex", "two")
	require.ErrorIs(t, r.Encrypt(t.Context(), c, d), kmsprovider.ErrDenied)
	_, err = c.Email.Value()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)
	provider.denies.Store(false)
	require.NoError(t, r.Encrypt(t.Context(), c, d))
	require.NotZero(t, crypt.Stats().GenerateDataKey)
}

func TestNewRefuses(t *testing.T) {
	roots := fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}
	for name, try := range map[string]func() error{
		"no provider": func() error { _, err := fieldcrypt.New(nil, roots, nil); return err },
		"no roots":    func() error { _, err := fieldcrypt.New(fieldcrypttest.Provider(), nil, nil); return err },
		"negative": func() error {
			_, err := fieldcrypt.New(fieldcrypttest.Provider(), roots, &fieldcrypt.Options{MaxValue: -1})
			return err
		},
		"too large": func() error {
			_, err := fieldcrypt.New(fieldcrypttest.Provider(), roots, &fieldcrypt.Options{MaxValue: 16_711_680})
			return err
		},
		"ring's": func() error {
			_, err := fieldcrypt.New(fieldcrypttest.Provider(), roots, &fieldcrypt.Options{Envelope: envelope.Options{KeyAge: 1}})
			return err
		},
	} {
		require.ErrorContains(t, try(), "fieldcrypt: New: ", name)
	}
	crypt := fieldcrypttest.New(t)
	require.Equal(t, "fieldcrypt.Crypt fieldcrypt.Crypt", fmt.Sprintf("%v %+v", crypt, crypt))
}

func TestConcurrently(t *testing.T) {
	r := records[contact](t, fieldcrypttest.NewWithStore(t))
	var group sync.WaitGroup
	failures := make(chan error, 8)
	for g := range 8 {
		group.Go(func() {
			for i := range 40 {
				content := fmt.Sprint(g, "/", i)
				c := newContact(int64(i+1), fmt.Sprint("tenant", i%3), content)
				err := errors.Join(r.Encrypt(t.Context(), c), r.Decrypt(t.Context(), c))
				read := reread(t, c)
				err = errors.Join(err, r.DecryptStrict(t.Context(), read))
				got, plainErr := read.Email.Plain()
				if err = errors.Join(err, plainErr); err != nil || got != "email of "+content {
					failures <- fmt.Errorf("%s: got %q: %w", content, got, err)
					return
				}
			}
		})
	}
	group.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
}
