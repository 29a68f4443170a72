package fieldcrypt_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// In a bubble of testing/synctest it is the first of January 2000, and these
// fields migrate until the end of the second.
type migrant struct {
	ID     int64              `fieldcrypt:"id"`
	Tenant string             `fieldcrypt:"tenant"`
	Email  fieldcrypt.String  `fieldcrypt:"Migrants.email,text,migrating,until=2000-01-02"`
	Age    *fieldcrypt.Int64  `fieldcrypt:"Migrants.age,migrating,until=2000-01-02"`
	Custom fieldcrypt.Fields  `fieldcrypt:"Migrants.custom.*,migrating,until=2000-01-02"`
	Phone  fieldcrypt.String  `fieldcrypt:"Migrants.phone"` // strict
	Short  *fieldcrypt.String `fieldcrypt:"Migrants.short,max=5,migrating,until=2000-01-02"`
}

// settler is the same record where all is strict.
type settler struct {
	ID     int64             `fieldcrypt:"id"`
	Tenant string            `fieldcrypt:"tenant"`
	Email  fieldcrypt.String `fieldcrypt:"Migrants.email,text"`
	Age    *fieldcrypt.Int64 `fieldcrypt:"Migrants.age"`
	Custom fieldcrypt.Fields `fieldcrypt:"Migrants.custom.*"`
}

// cryptWith returns a Crypt whose OnPlaintext appends to the events.
func cryptWith(t testing.TB, events *[]fieldcrypt.PlaintextEvent) *fieldcrypt.Crypt {
	t.Helper()
	crypt, err := fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}, &fieldcrypt.Options{
		Envelope:    envelope.Options{Store: envelope.NewMemoryStore()},
		OnPlaintext: func(e fieldcrypt.PlaintextEvent) { *events = append(*events, e) },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, crypt.Close()) })
	return crypt
}

// plaintextRow returns a record as it is read from a table that was never
// encrypted.
func plaintextRow(t testing.TB, id int64) *migrant {
	t.Helper()
	m := &migrant{ID: id, Tenant: "acme", Age: new(fieldcrypt.Int64)}
	require.NoError(t, m.Email.Scan("canary@example.com"))
	require.NoError(t, m.Age.Scan(int64(4711)))
	require.NoError(t, m.Custom.Scan([]byte(`{"city":"Canary \"Old\" Town 🐤","none":null}`)))
	return m
}

func requireMigrant(t testing.TB, m *migrant) {
	t.Helper()
	requirePlain(t, "canary@example.com", m.Email)
	requirePlain(t, int64(4711), *m.Age)
	requirePlain(t, `Canary "Old" Town 🐤`, m.Custom["city"])
	require.True(t, m.Custom["none"].IsNull())
}

// requireRefused holds a value to what may be seen of one that nobody judged:
// nothing, neither by the program nor by the database.
func requireRefused[T fieldcrypt.Plain](t testing.TB, v fieldcrypt.Value[T]) {
	t.Helper()
	_, err := v.Plain()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
	require.NotContains(t, err.Error(), "anary")
	written, err := v.Value()
	require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope)
	require.Equal(t, fieldcrypt.Redacted, written)
	require.NotContains(t, err.Error(), "anary")
	require.Equal(t, fieldcrypt.Redacted, v.String())
}

func TestMigratingReadsPlaintextAndWritesEnvelopes(t *testing.T) {
	for call, read := range map[string]func(context.Context, *fieldcrypt.Records[migrant], *migrant) error{
		"Decrypt": func(ctx context.Context, r *fieldcrypt.Records[migrant], m *migrant) error { return r.Decrypt(ctx, m) },
		"DecryptStrict": func(ctx context.Context, r *fieldcrypt.Records[migrant], m *migrant) error {
			return r.DecryptStrict(ctx, m)
		},
		"DecryptAll": func(ctx context.Context, r *fieldcrypt.Records[migrant], m *migrant) error {
			page := []migrant{*m}
			err := r.DecryptAll(ctx, page)
			*m = page[0]
			return err
		},
		"Encrypt alone": func(ctx context.Context, r *fieldcrypt.Records[migrant], m *migrant) error { return r.Encrypt(ctx, m) },
	} {
		t.Run(call, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				crypt := fieldcrypttest.NewWithStore(t)
				r := records[migrant](t, crypt)
				m := plaintextRow(t, 1)
				requireRefused(t, m.Email)
				requireRefused(t, *m.Age)
				requireRefused(t, m.Custom["city"])
				require.NoError(t, read(t.Context(), r, m))
				requireMigrant(t, m)
				if call != "Encrypt alone" {
					_, err := m.Email.Value()
					require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted, "plaintext isn't written again")
					_, err = m.Custom.Value()
					require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)
					require.NoError(t, read(t.Context(), r, m), "again")
				}
				require.NoError(t, r.Encrypt(t.Context(), m))
				requireMigrant(t, m)

				// What is stored now is envelopes, which the strict type reads.
				s := &settler{ID: 1, Tenant: "acme", Age: new(fieldcrypt.Int64)}
				for _, column := range []struct {
					from interface{ Scan(any) error }
					what any
				}{{&s.Email, envelopeOf(t, m.Email)}, {s.Age, envelopeOf(t, *m.Age)}} {
					require.NoError(t, column.from.Scan(column.what))
				}
				custom, err := m.Custom.Value()
				require.NoError(t, err)
				require.NotContains(t, custom, "Canary")
				require.NoError(t, s.Custom.Scan(custom))
				require.IsType(t, "", envelopeOf(t, m.Email), "in text form, as its tag says")
				require.NoError(t, records[settler](t, crypt).DecryptStrict(t.Context(), s))
				requirePlain(t, "canary@example.com", s.Email)
				requirePlain(t, int64(4711), *s.Age)

				// And so does the migrating one.
				back := plaintextRow(t, 1)
				require.NoError(t, back.Email.Scan(envelopeOf(t, m.Email)))
				require.NoError(t, r.Decrypt(t.Context(), back))
				requireMigrant(t, back)
			})
		})
	}
}

// The day that until names is the last one, by UTC whatever the process's zone.
func TestMigrationEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var events []fieldcrypt.PlaintextEvent
		r := records[migrant](t, cryptWith(t, &events))
		time.Sleep(48*time.Hour - time.Nanosecond)
		require.Equal(t, "2000-01-02T23:59:59.999999999Z", time.Now().UTC().Format(time.RFC3339Nano))
		m := plaintextRow(t, 1)
		require.NoError(t, r.Decrypt(t.Context(), m))
		requireMigrant(t, m)
		require.Len(t, events, 3)

		time.Sleep(time.Nanosecond)
		for call, read := range map[string]func(*migrant) error{
			"Decrypt":       func(m *migrant) error { return r.Decrypt(t.Context(), m) },
			"DecryptStrict": func(m *migrant) error { return r.DecryptStrict(t.Context(), m) },
			"Encrypt":       func(m *migrant) error { return r.Encrypt(t.Context(), m) },
		} {
			late := plaintextRow(t, 1)
			err := read(late)
			require.ErrorIs(t, err, fieldcrypt.ErrNotEnvelope, call)
			require.ErrorContains(t, err, "its field took plaintext until 2000-01-02 only", call)
			require.NotContains(t, err.Error(), "anary")
			requireRefused(t, late.Email)
			requireRefused(t, *late.Age)
			requireRefused(t, late.Custom["city"])
		}
		// Its content set anew is sealed as in any strict field.
		m.Email.Set("new@example.com")
		require.NoError(t, r.Encrypt(t.Context(), m))
		for _, e := range events[3:] {
			require.ErrorIs(t, e.Err, fieldcrypt.ErrNotEnvelope)
		}
	})
}

// An envelope that doesn't open, and what begins like one, is an error and never
// plaintext; each is listed with its record.
func TestMigratingDoesNotTakeEnvelopesForPlaintext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		crypt := fieldcrypttest.NewWithStore(t)
		r := records[migrant](t, crypt)
		other := plaintextRow(t, 2)
		require.NoError(t, r.Encrypt(t.Context(), other))
		text := envelopeOf(t, other.Email).(string)
		binary, err := envelope.DecodeText(text)
		require.NoError(t, err)
		for name, c := range map[string]struct {
			src any
			is  error
		}{
			"of another record":              {text, envelope.ErrNotAuthentic},
			"of another record, binary":      {binary, envelope.ErrNotAuthentic},
			"damaged":                        {text[:len(text)-4] + "AAAA", envelope.ErrNotAuthentic},
			"cut short":                      {text[:60], fieldcrypt.ErrNotEnvelope},
			"with a line break":              {text + "\n", fieldcrypt.ErrNotEnvelope},
			"plaintext that begins like one": {"fc1.canary", fieldcrypt.ErrNotEnvelope},
			"the beginning alone":            {"fc1.", fieldcrypt.ErrNotEnvelope},
			"a version to come":              {"fc2.canary", fieldcrypt.ErrNotEnvelope},
			"the last version there can be":  {"fc255.canary", fieldcrypt.ErrNotEnvelope},
			"bytes that begin like one":      {[]byte("\xfc\x01\x01canary"), fieldcrypt.ErrNotEnvelope},
			"bytes of a version to come":     {[]byte("\xfc\x02\x01" + strings.Repeat("canary", 20)), envelope.ErrUnknownVersion},
			"the first byte alone":           {"\xfc", fieldcrypt.ErrNotEnvelope},
			"not UTF-8":                      {"canary\xff", fieldcrypt.ErrNotEnvelope},
			"not UTF-8, as bytes":            {[]byte("canary\xff"), fieldcrypt.ErrNotEnvelope},
			"a redaction marker":             {fieldcrypt.Redacted, fieldcrypt.ErrRedacted},
			"a number, in a field of text":   {int64(4711), fieldcrypt.ErrNotEnvelope},
			"a time, in a field of text":     {time.Now(), fieldcrypt.ErrNotEnvelope},
			"what no driver gives":           {struct{ canary string }{"canary"}, fieldcrypt.ErrNotEnvelope},
			"longer than any envelope":       {strings.Repeat("canary", 4<<20), fieldcrypt.ErrNotEnvelope},
		} {
			good, bad := plaintextRow(t, 1), plaintextRow(t, 3)
			require.NoError(t, bad.Email.Scan(c.src), name)
			err := r.Decrypt(t.Context(), good, bad)
			require.ErrorIs(t, err, c.is, name)
			failed, ok := errors.AsType[*fieldcrypt.DecryptError](err)
			require.True(t, ok, name)
			require.Len(t, failed.Failures, 1, name)
			require.Equal(t, 1, failed.Failures[0].Row)
			require.Equal(t, "Migrants.email", failed.Failures[0].Field)
			require.NotContains(t, err.Error(), "canary")
			requireMigrant(t, good)
			_, err = bad.Email.Plain()
			require.ErrorIs(t, err, c.is, name)
			requirePlain(t, int64(4711), *bad.Age)

			again := plaintextRow(t, 3)
			require.NoError(t, again.Email.Scan(c.src))
			require.ErrorIs(t, r.Encrypt(t.Context(), good, again), c.is, "%s: Encrypt", name)
			requireRefused(t, *again.Age) // nothing was changed
		}
		for name, src := range map[string]any{
			"a club": "fc Bayern", "a club with a dot": "fc.Bayern", "zero isn't a version": "fc0.x", "a leading zero": "fc01.x", "too many digits": "fc1000.x",
			"no dot": "fc1", "upper case": "FC1.x", "empty": "", "empty bytes": []byte{}, "a sign": "fc+1.x",
		} {
			m := plaintextRow(t, 1)
			require.NoError(t, m.Email.Scan(src))
			require.NoError(t, r.Decrypt(t.Context(), m), name)
			if b, ok := src.([]byte); ok {
				src = string(b)
			}
			requirePlain(t, src.(string), m.Email)
		}
	})
}

// A strict type drops what it finds, so that no migrating type can take it
// later. DecryptStrict and Encrypt, which change nothing on an error, leave it
// where it is, and nobody sees it.
func TestStrictTypesDropPlaintext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		crypt := fieldcrypttest.NewWithStore(t)
		strict, migrating := records[settler](t, crypt), records[migrant](t, crypt)
		scanned := func() (*settler, *migrant) {
			s := &settler{ID: 1, Tenant: "acme"}
			require.NoError(t, s.Email.Scan("canary@example.com"))
			return s, &migrant{ID: 1, Tenant: "acme"}
		}
		s, m := scanned()
		require.ErrorIs(t, strict.Decrypt(t.Context(), s), fieldcrypt.ErrNotEnvelope)
		requireRefused(t, s.Email)
		m.Email = s.Email
		require.ErrorIs(t, migrating.Decrypt(t.Context(), m), fieldcrypt.ErrNotEnvelope)
		require.ErrorIs(t, migrating.Encrypt(t.Context(), m), fieldcrypt.ErrNotEnvelope)
		requireRefused(t, m.Email)

		for name, call := range map[string]func(*settler) error{
			"DecryptStrict": func(s *settler) error { return strict.DecryptStrict(t.Context(), s) },
			"Encrypt":       func(s *settler) error { return strict.Encrypt(t.Context(), s) },
		} {
			s, _ := scanned()
			require.ErrorIs(t, call(s), fieldcrypt.ErrNotEnvelope, name)
			requireRefused(t, s.Email)
		}

		// The control: nobody judged it before.
		s, m = scanned()
		m.Email = s.Email
		require.NoError(t, migrating.Decrypt(t.Context(), m))
		requirePlain(t, "canary@example.com", m.Email)
	})
}

// Plaintext is held to the place that its record has, as envelopes are.
func TestMigratingNeedsThePlace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := records[migrant](t, fieldcrypttest.NewWithStore(t))
		m := plaintextRow(t, 0)
		require.ErrorContains(t, r.Decrypt(t.Context(), m), "its ID (field ID) is zero")
		requireRefused(t, m.Email)
		m.ID = 1
		require.NoError(t, r.Decrypt(t.Context(), m), "a later Decrypt tries again")
		requireMigrant(t, m)

		foreign := plaintextRow(t, 1)
		require.ErrorContains(t, r.ForTenant("globex").Decrypt(t.Context(), foreign), `it belongs to tenant "acme"`)
		requireRefused(t, foreign.Email)
		require.ErrorContains(t, r.ForTenant("globex").Encrypt(t.Context(), foreign), `it belongs to tenant "acme"`)
		requireRefused(t, foreign.Email)
	})
}

// An Encrypt that fails leaves plaintext as it was read.
func TestMigratingEncryptIsAllOrNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := records[migrant](t, fieldcrypttest.NewWithStore(t))
		tooLong := func() *migrant {
			m := plaintextRow(t, 2)
			m.Short = new(fieldcrypt.String)
			require.NoError(t, m.Short.Scan("canary"))
			return m
		}
		first, second := plaintextRow(t, 1), tooLong()
		err := r.Encrypt(t.Context(), first, second)
		require.ErrorContains(t, err, "Migrants.short of fieldcrypt_test.migrant, record 1: the value is 6 bytes, the limit is 5")
		for _, m := range []*migrant{first, second} {
			requireRefused(t, m.Email)
			requireRefused(t, *m.Age)
			requireRefused(t, m.Custom["city"])
		}
		require.NoError(t, r.Decrypt(t.Context(), first, second), "what is too long to be sealed can be read")
		requirePlain(t, "canary", *second.Short)

		down, err := fieldcrypt.New(downProvider{}, fieldcrypt.RootKeys{Seal: "made-up://root"}, nil)
		require.NoError(t, err)
		defer down.Close()
		m := plaintextRow(t, 1)
		require.ErrorIs(t, records[migrant](t, down).Encrypt(t.Context(), m), kmsprovider.ErrUnavailable)
		requireRefused(t, m.Email)
		require.NoError(t, records[migrant](t, down).Decrypt(t.Context(), m), "plaintext needs no key")
		requireMigrant(t, m)
		require.ErrorIs(t, records[migrant](t, down).Encrypt(t.Context(), m), kmsprovider.ErrUnavailable)
		_, err = m.Email.Value()
		require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)

		// One value that fails DecryptStrict leaves the others alone.
		broken := plaintextRow(t, 1)
		require.NoError(t, broken.Phone.Scan("canary"))
		require.ErrorIs(t, r.DecryptStrict(t.Context(), broken), fieldcrypt.ErrNotEnvelope)
		requireRefused(t, broken.Email)
		requireRefused(t, broken.Phone)
	})
}

// Records that share a value by a pointer read it, and can't be sealed, as with
// any other value.
func TestMigratingSharedValues(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := records[migrant](t, fieldcrypttest.NewWithStore(t))
		one, two := plaintextRow(t, 1), plaintextRow(t, 2)
		two.Age, two.Custom = one.Age, one.Custom
		require.ErrorContains(t, r.Encrypt(t.Context(), one, two), "the same value belongs to record 0 and record 1")
		requireRefused(t, *one.Age)
		require.NoError(t, r.Decrypt(t.Context(), one, two))
		requireMigrant(t, one)
		requireMigrant(t, two)
		require.ErrorContains(t, r.Encrypt(t.Context(), one, two), "the same value belongs to record 0 and record 1")
	})
}

func TestMigrationsAreCounted(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var events []fieldcrypt.PlaintextEvent
		crypt := cryptWith(t, &events)
		r := records[migrant](t, crypt)
		day := fieldcrypt.CivilDate{Year: 2000, Month: 1, Day: 2}
		require.Equal(t, []fieldcrypt.Migration{
			{Field: "Migrants.age", Until: day}, {Field: "Migrants.custom.*", Until: day}, {Field: "Migrants.email", Until: day}, {Field: "Migrants.short", Until: day},
		}, crypt.Migrations())

		read, sealed, bad := plaintextRow(t, 1), plaintextRow(t, 2), plaintextRow(t, 3)
		require.NoError(t, r.Decrypt(t.Context(), read))
		require.NoError(t, r.Encrypt(t.Context(), read), "what was counted when it was read isn't counted again")
		require.NoError(t, r.Encrypt(t.Context(), sealed))
		require.NoError(t, bad.Email.Scan("fc1.canary"))
		require.NoError(t, bad.Custom.Scan(`{"city":"fc1.canary"}`))
		require.Error(t, r.Decrypt(t.Context(), bad))
		back := &migrant{ID: 1, Tenant: "acme"}
		require.NoError(t, back.Email.Scan(envelopeOf(t, read.Email)))
		require.NoError(t, r.Decrypt(t.Context(), back))
		require.NoError(t, back.Email.Scan(envelopeOf(t, read.Email)))
		require.NoError(t, r.DecryptStrict(t.Context(), back))
		require.Equal(t, []fieldcrypt.Migration{
			{Field: "Migrants.age", Until: day, Plaintext: 3},
			{Field: "Migrants.custom.*", Until: day, Plaintext: 2, Refused: 1},
			{Field: "Migrants.email", Until: day, Plaintext: 2, Refused: 1, Envelopes: 2},
			{Field: "Migrants.short", Until: day},
		}, crypt.Migrations())

		require.Len(t, events, 9)
		byField := map[string]int{}
		for _, e := range events {
			text, err := json.Marshal(e)
			require.NoError(t, err)
			require.NotContains(t, string(text), "anary")
			require.Equal(t, day, e.Until)
			require.Equal(t, fieldcrypt.Scope{Tenant: "acme", Class: "default"}, e.Scope)
			require.Contains(t, []string{"1", "2", "3"}, e.Record)
			if e.Err != nil {
				require.ErrorIs(t, e.Err, fieldcrypt.ErrNotEnvelope)
				require.Equal(t, "3", e.Record)
			}
			byField[e.Field]++
		}
		require.Equal(t, map[string]int{"Migrants.email": 3, "Migrants.age": 3, "Migrants.custom.city": 3}, byField)

		// Strict fields and types aren't counted.
		before := crypt.Migrations()
		s := &settler{ID: 1, Tenant: "acme"}
		require.NoError(t, s.Email.Scan("canary"))
		require.Error(t, records[settler](t, crypt).Decrypt(t.Context(), s))
		require.Equal(t, before, crypt.Migrations())
		require.Len(t, events, 9)
		require.Nil(t, (*fieldcrypt.Crypt)(nil).Migrations())
		require.Nil(t, new(fieldcrypt.Crypt).Migrations())
	})
}

func TestPanicOfOnPlaintextIsIgnored(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		crypt, err := fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey}, &fieldcrypt.Options{
			OnPlaintext: func(fieldcrypt.PlaintextEvent) { panic("made-up panic") },
		})
		require.NoError(t, err)
		defer crypt.Close()
		m := plaintextRow(t, 1)
		require.NoError(t, records[migrant](t, crypt).Encrypt(t.Context(), m))
		requireMigrant(t, m)
		require.EqualValues(t, 1, crypt.Migrations()[2].Plaintext)
	})
}
