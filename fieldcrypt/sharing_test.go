package fieldcrypt_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

// A lead has each of the three ways in which records can share a value.
type lead struct {
	ID     int64              `fieldcrypt:"id"`
	Email  *fieldcrypt.String `fieldcrypt:"Leads.email"`
	Work   *fieldcrypt.String `fieldcrypt:"Leads.work"`
	Home   *home
	Custom fieldcrypt.Fields            `fieldcrypt:"Leads.custom.*"`
	Scores map[string]fieldcrypt.String `fieldcrypt:"Leads.score.*"`
}

type home struct {
	Street fieldcrypt.String `fieldcrypt:"Leads.street"`
}

// sharedLeads returns records that share a value, and how it is read.
func sharedLeads() map[string]func(v fieldcrypt.String) (list []lead, of func(*lead) fieldcrypt.String) {
	street := func(l *lead) fieldcrypt.String { return l.Home.Street }
	email := func(l *lead) fieldcrypt.String { return *l.Email }
	custom := func(l *lead) fieldcrypt.String { return l.Custom["source"] }
	return map[string]func(fieldcrypt.String) ([]lead, func(*lead) fieldcrypt.String){
		"a pointer in two records": func(v fieldcrypt.String) ([]lead, func(*lead) fieldcrypt.String) {
			return []lead{{ID: 1, Email: &v}, {ID: 2, Email: &v}}, email
		},
		"a nested struct in two records": func(v fieldcrypt.String) ([]lead, func(*lead) fieldcrypt.String) {
			h := &home{v}
			return []lead{{ID: 1, Home: h}, {ID: 2, Home: h}}, street
		},
		"a value inside a shared struct": func(v fieldcrypt.String) ([]lead, func(*lead) fieldcrypt.String) {
			h := &home{v}
			return []lead{{ID: 1, Home: h}, {ID: 2, Email: &h.Street}}, street
		},
		"a map in two records": func(v fieldcrypt.String) ([]lead, func(*lead) fieldcrypt.String) {
			m := fieldcrypt.Fields{"source": v}
			return []lead{{ID: 1, Custom: m}, {ID: 2, Custom: m}}, custom
		},
	}
}

// Sealed for two places, a value could be read again at one of them only.
func TestEncryptRefusesSharedValues(t *testing.T) {
	r := records[lead](t, fieldcrypttest.NewWithStore(t)).ForTenant("acme")
	requireRefused := func(t *testing.T, err error, says string, v fieldcrypt.String) {
		t.Helper()
		require.ErrorContains(t, err, "fieldcrypt: Leads.")
		require.ErrorContains(t, err, says)
		_, err = v.Value()
		require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted, "a record was changed")
	}
	for name, share := range sharedLeads() {
		t.Run(name, func(t *testing.T) {
			list, of := share(fieldcrypt.Of("shared"))
			const says = "the same value belongs to record 0 and record 1: give each its own"
			requireRefused(t, r.EncryptAll(t.Context(), list), says, of(&list[0]))
			requireRefused(t, r.Encrypt(t.Context(), &list[0], &list[1]), says, of(&list[0]))
			require.NoError(t, r.Encrypt(t.Context(), &list[0]), "the control: one record alone")
		})
	}
	t.Run("a pointer in two fields", func(t *testing.T) {
		v := fieldcrypt.Of("shared")
		l := &lead{ID: 1, Email: &v, Work: &v}
		requireRefused(t, r.Encrypt(t.Context(), l), "the same value belongs to Leads.email and Leads.work of record 0", v)
	})
	t.Run("a map in two fields", func(t *testing.T) {
		m := fieldcrypt.Fields{"source": fieldcrypt.Of("shared")}
		l := &lead{ID: 1, Custom: m, Scores: m}
		requireRefused(t, r.Encrypt(t.Context(), l), "the same value belongs to Leads.custom.source and Leads.score.source of record 0", m["source"])
	})
	t.Run("one record among many", func(t *testing.T) {
		list := make([]lead, 50)
		for i := range list {
			v := fieldcrypt.Of("its own")
			list[i] = lead{ID: int64(i + 1), Email: &v}
		}
		list[40].Work = list[7].Email
		requireRefused(t, r.EncryptAll(t.Context(), list), "the same value belongs to record 7 and record 40", *list[0].Email)
	})
	t.Run("scanned and not decrypted", func(t *testing.T) {
		v := fieldcrypt.Of("shared")
		require.NoError(t, r.Encrypt(t.Context(), &lead{ID: 1, Email: &v}))
		require.NoError(t, v.Scan(envelopeOf(t, v)))
		err := r.Encrypt(t.Context(), &lead{ID: 1, Email: &v}, &lead{ID: 2, Email: &v})
		require.ErrorContains(t, err, "the same value belongs to record 0 and record 1")
	})
}

// What is allowed is told by what the places say, not by where they are in
// memory.
func TestEncryptTakesARecordTwice(t *testing.T) {
	r := records[lead](t, fieldcrypttest.NewWithStore(t)).ForTenant("acme")
	v, m := fieldcrypt.Of("one"), fieldcrypt.Fields{"source": fieldcrypt.Of("two")}
	l := lead{ID: 1, Email: &v, Home: &home{fieldcrypt.Of("three")}, Custom: m}
	copied := l
	require.NoError(t, r.Encrypt(t.Context(), &l, &l, &copied))

	read := lead{ID: 1, Email: new(fieldcrypt.String), Home: new(home)}
	require.NoError(t, read.Email.Scan(envelopeOf(t, v)))
	require.NoError(t, read.Home.Street.Scan(envelopeOf(t, l.Home.Street)))
	stored, err := m.Value()
	require.NoError(t, err)
	require.NoError(t, read.Custom.Scan(stored))
	require.NoError(t, r.Decrypt(t.Context(), &read, &read))
	requirePlain(t, "one", *read.Email)
	requirePlain(t, "two", read.Custom["source"])
	requirePlain(t, "three", read.Home.Street)
}

// A value that is shared is opened for the record that it belongs to, whatever
// comes before or after.
func TestDecryptOpensSharedValuesForTheirOwner(t *testing.T) {
	r := records[lead](t, fieldcrypttest.NewWithStore(t)).ForTenant("acme")
	for name, share := range sharedLeads() {
		t.Run(name, func(t *testing.T) {
			owner, of := share(fieldcrypt.Of("shared"))
			require.NoError(t, r.Encrypt(t.Context(), &owner[0]))
			var sealed fieldcrypt.String
			require.NoError(t, sealed.Scan(envelopeOf(t, of(&owner[0]))))

			for order, first := range map[string]int{"owner first": 0, "owner last": 1} {
				t.Run(order, func(t *testing.T) {
					list, of := share(sealed)
					err := r.Decrypt(t.Context(), &list[first], &list[1-first])
					var failed *fieldcrypt.DecryptError
					require.ErrorAs(t, err, &failed)
					require.Len(t, failed.Failures, 1)
					require.Equal(t, 1-first, failed.Failures[0].Row)
					require.ErrorIs(t, err, envelope.ErrNotAuthentic)
					require.ErrorContains(t, err, "the same value belongs to record 0 and record 1: give each its own")
					requirePlain(t, "shared", of(&list[0]))
					require.Equal(t, envelopeOf(t, of(&owner[0])), envelopeOf(t, of(&list[0])))

					list, of = share(sealed)
					err = r.DecryptStrict(t.Context(), &list[first], &list[1-first])
					require.ErrorContains(t, err, "the same value belongs to record 0 and record 1")
					_, err = of(&list[0]).Plain()
					require.ErrorIs(t, err, fieldcrypt.ErrNotDecrypted)
				})
			}
		})
	}
}

// A record without an ID can't have its values opened, and doesn't take the
// shared ones away from a record that can.
func TestDecryptOfASharedValueWithoutAPlace(t *testing.T) {
	r := records[lead](t, fieldcrypttest.NewWithStore(t)).ForTenant("acme")
	v := fieldcrypt.Of("shared")
	require.NoError(t, r.Encrypt(t.Context(), &lead{ID: 1, Email: &v}))
	require.NoError(t, v.Scan(envelopeOf(t, v)))
	for name, list := range map[string][]*lead{
		"before": {{Email: &v}, {ID: 1, Email: &v}}, "after": {{ID: 1, Email: &v}, {Email: &v}},
	} {
		require.NoError(t, v.Scan(envelopeOf(t, v)))
		require.ErrorContains(t, r.Decrypt(t.Context(), list...), "its ID (field ID) is zero", name)
		requirePlain(t, "shared", v)
	}
}

// Looking for shared values costs no allocation.
func TestSharingIsFoundWithoutAllocating(t *testing.T) {
	type pointed struct {
		ID    int64              `fieldcrypt:"id"`
		Email *fieldcrypt.String `fieldcrypt:"Leads.email"`
		Work  *fieldcrypt.String `fieldcrypt:"Leads.work"`
	}
	r := records[pointed](t, fieldcrypttest.NewWithStore(t)).ForTenant("acme")
	email, work := fieldcrypt.Of("one"), fieldcrypt.Of("two")
	l := &pointed{ID: 1, Email: &email, Work: &work}
	type flat struct {
		ID    int64             `fieldcrypt:"id"`
		Email fieldcrypt.String `fieldcrypt:"Leads.email"`
		Work  fieldcrypt.String `fieldcrypt:"Leads.work"`
	}
	flats := records[flat](t, fieldcrypttest.NewWithStore(t)).ForTenant("acme")
	f := &flat{ID: 1}
	ctx := context.Background()
	pointers := fewestAllocations(func() {
		email.Set("one")
		work.Set("two")
		_ = r.Encrypt(ctx, l)
	})
	none := fewestAllocations(func() {
		f.Email.Set("one")
		f.Work.Set("two")
		_ = flats.Encrypt(ctx, f)
	})
	require.InDelta(t, none, pointers, 0.5)
}

// fewestAllocations is what f allocates when every pool has what it asks for:
// under the race detector they lose things at random.
func fewestAllocations(f func()) float64 {
	fewest := testing.AllocsPerRun(1, f)
	for range 200 {
		fewest = min(fewest, testing.AllocsPerRun(1, f))
	}
	return fewest
}
