package fieldcrypt_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/normalise"
)

type person struct {
	ID     int64  `fieldcrypt:"id"`
	Tenant string `fieldcrypt:"tenant"`

	Email    fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
	LastName fieldcrypt.String `fieldcrypt:"Contacts.last_name"`
	Born     fieldcrypt.Date   `fieldcrypt:"Contacts.born"`
	Phone    fieldcrypt.String `fieldcrypt:"Contacts.phone"`
	Login    fieldcrypt.String `fieldcrypt:"Contacts.login,deterministic"`

	EmailTag fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=40"`
	NameTag  fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.last_name,normalise=name.v1,bits=2"`
	Initial  fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.last_name,normalise=name.v1,bits=32,first=3,text"`
	Last4    fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.phone,normalise=digits.v1,bits=16,last=4,partitions=3"`
	NameBorn fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.last_name+Contacts.born,normalise=name.v1+none.v1,bits=64"`
	Shared   fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=64,shared=People.email,column=people_email"`
}

func people(t testing.TB, crypt *fieldcrypt.Crypt) *fieldcrypt.Records[person] {
	t.Helper()
	r, err := fieldcrypt.For[person](crypt)
	require.NoError(t, err)
	return r
}

func newPerson(id int64, email, name, phone string) person {
	return person{
		ID: id, Tenant: "acme", Email: fieldcrypt.Of(email), LastName: fieldcrypt.Of(name), Phone: fieldcrypt.Of(phone),
		Born: fieldcrypt.Of(fieldcrypt.CivilDate{Year: 1990, Month: time.March, Day: int(id%28) + 1}), Login: fieldcrypt.Of(email),
	}
}

// readBack returns what a SELECT of all columns gives.
func readBack(t testing.TB, p person) person {
	t.Helper()
	out := person{ID: p.ID, Tenant: p.Tenant}
	from := []driver.Valuer{p.Email, p.LastName, p.Born, p.Phone, p.Login, p.EmailTag, p.NameTag, p.Initial, p.Last4, p.NameBorn, p.Shared}
	to := []interface{ Scan(any) error }{&out.Email, &out.LastName, &out.Born, &out.Phone, &out.Login, &out.EmailTag, &out.NameTag, &out.Initial, &out.Last4, &out.NameBorn, &out.Shared}
	for i := range from {
		v, err := from[i].Value()
		require.NoError(t, err)
		require.NoError(t, to[i].Scan(v))
	}
	return out
}

// nominated are the rows that have one of the query's arguments in its column.
func nominated[T any](t testing.TB, q *fieldcrypt.Query[T], rows []T, column func(*T) driver.Valuer) (out []T) {
	t.Helper()
	for i := range rows {
		v, err := column(&rows[i]).Value()
		require.NoError(t, err)
		for _, arg := range q.Args() {
			if fmt.Sprintf("%T%v", arg, arg) == fmt.Sprintf("%T%v", v, v) {
				out = append(out, rows[i])
				break
			}
		}
	}
	return out
}

func ids(rows []person) (out []int64) {
	for i := range rows {
		out = append(out, rows[i].ID)
	}
	slices.Sort(out)
	return out
}

func TestSearch(t *testing.T) {
	r := people(t, fieldcrypttest.NewWithStore(t))
	rows := []person{
		newPerson(1, "Ada@Example.com", "Müller", "+49 30 555 4711"),
		newPerson(2, "grace@example.com", "Mueller", "+1 (202) 555-4711"),
		newPerson(3, "ada@EXAMPLE.com", "MÜLLER", "030 555 0000"),
		newPerson(4, "edsger@example.org", "Mülhaus", "12"),
		newPerson(5, "wei@example.net", "王", "+86 10 5555 4711"),
		{ID: 6, Tenant: "acme", LastName: fieldcrypt.Of("Müller")},
	}
	other := newPerson(7, "ada@example.com", "Müller", "4711")
	other.Tenant = "globex"
	rows = append(rows, other)
	require.NoError(t, r.EncryptAll(t.Context(), rows))
	for i := range rows {
		rows[i] = readBack(t, rows[i])
	}

	tests := []struct {
		name    string
		search  func() (*fieldcrypt.Search[person], error)
		values  []any
		column  func(*person) driver.Valuer
		want    []int64
		reaches int // rows that the tags nominate, where it is certain
	}{
		{"whole", func() (*fieldcrypt.Search[person], error) { return r.Search("email_tag") }, []any{"ADA@example.com"}, func(p *person) driver.Valuer { return p.EmailTag }, []int64{1, 3}, 2},
		{"several values", func() (*fieldcrypt.Search[person], error) { return r.Search("email_tag") }, []any{"ada@example.com", "wei@example.net", "ada@example.com"}, func(p *person) driver.Valuer { return p.EmailTag }, []int64{1, 3, 5}, 3},
		{"shared", func() (*fieldcrypt.Search[person], error) { return r.Search("people_email") }, []any{"ada@example.com"}, func(p *person) driver.Valuer { return p.Shared }, []int64{1, 3}, 2},
		{"few bits", func() (*fieldcrypt.Search[person], error) { return r.Search("Contacts.last_name") }, []any{"müller"}, func(p *person) driver.Valuer { return p.NameTag }, []int64{1, 3, 6}, -1},
		{"first", func() (*fieldcrypt.Search[person], error) { return r.SearchFirst("Contacts.last_name", 3) }, []any{"Mül"}, func(p *person) driver.Valuer { return p.Initial }, []int64{1, 3, 4, 6}, 4},
		{"last, partitions", func() (*fieldcrypt.Search[person], error) { return r.SearchLast("Contacts.phone", 4) }, []any{"4711"}, func(p *person) driver.Valuer { return p.Last4 }, []int64{1, 2, 5}, -1},
		{"compound", func() (*fieldcrypt.Search[person], error) { return r.Search("Contacts.last_name+Contacts.born") }, []any{[]any{"MÜLLER", fieldcrypt.CivilDate{Year: 1990, Month: time.March, Day: 4}}}, func(p *person) driver.Valuer { return p.NameBorn }, []int64{3}, 1},
		{"deterministic", func() (*fieldcrypt.Search[person], error) { return r.Search("Contacts.login") }, []any{"Ada@Example.com"}, func(p *person) driver.Valuer { return p.Login }, []int64{1}, 1},
		{"nothing", func() (*fieldcrypt.Search[person], error) { return r.Search("email_tag") }, []any{"nobody@example.com"}, func(p *person) driver.Valuer { return p.EmailTag }, nil, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := test.search()
			require.NoError(t, err)
			q, err := s.Query(t.Context(), "acme", test.values...)
			require.NoError(t, err)
			candidates := nominated(t, q, rows, test.column)
			if test.reaches >= 0 {
				require.Len(t, candidates, test.reaches)
			}
			found, err := q.Open(t.Context(), candidates)
			require.NoError(t, err)
			require.Equal(t, test.want, ids(found))
			for i := range found {
				require.True(t, q.Matches(&found[i]))
			}
			// Rows that nobody nominated are dropped all the same.
			all, err := q.Open(t.Context(), rows)
			require.NoError(t, err)
			require.Equal(t, test.want, ids(all))
		})
	}
}

// A tag only nominates: the control keeps what it nominates.
func TestSearchDropsWhatATagNominatesWrongly(t *testing.T) {
	r := people(t, fieldcrypttest.NewWithStore(t))
	rows := make([]person, 200)
	for i := range rows {
		rows[i] = newPerson(int64(i+1), fmt.Sprintf("p%d@example.com", i), fmt.Sprintf("Name%d", i), "5550000")
	}
	require.NoError(t, r.EncryptAll(t.Context(), rows))
	s, err := r.Search("Contacts.last_name")
	require.NoError(t, err)
	q, err := s.Query(t.Context(), "acme", "name17")
	require.NoError(t, err)
	candidates := nominated(t, q, rows, func(p *person) driver.Valuer { return p.NameTag })
	require.Greater(t, len(candidates), 20, "with two bits about a quarter of all rows is nominated")
	require.Less(t, len(candidates), 120)
	found, err := q.Open(t.Context(), candidates)
	require.NoError(t, err)
	require.Equal(t, []int64{18}, ids(found))
}

func TestTwoModulesShareAnIndex(t *testing.T) {
	type lead struct {
		ID     int64                 `fieldcrypt:"id"`
		Tenant string                `fieldcrypt:"tenant"`
		Mail   fieldcrypt.String     `fieldcrypt:"Leads.mail"`
		Tag    fieldcrypt.BlindIndex `fieldcrypt:"index=Leads.mail,normalise=email.v1,bits=64,shared=People.email"`
		Own    fieldcrypt.BlindIndex `fieldcrypt:"index=Leads.mail,normalise=email.v1,bits=64"`
	}
	crypt := fieldcrypttest.NewWithStore(t)
	r := people(t, crypt)
	leads, err := fieldcrypt.For[lead](crypt)
	require.NoError(t, err)
	p, l := newPerson(1, "ada@example.com", "A", "1"), lead{ID: 9, Tenant: "acme", Mail: fieldcrypt.Of("ADA@example.com")}
	require.NoError(t, r.Encrypt(t.Context(), &p))
	require.NoError(t, leads.Encrypt(t.Context(), &l))
	require.Equal(t, tagOf(t, p.Shared), tagOf(t, l.Tag))
	require.NotEqual(t, tagOf(t, l.Own), tagOf(t, l.Tag))
}

func tagOf(t testing.TB, x fieldcrypt.BlindIndex) any {
	t.Helper()
	v, err := x.Value()
	require.NoError(t, err)
	return v
}

func TestIndexesOfEqualValues(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	r := people(t, crypt)
	a, b, c := newPerson(1, "ada@example.com", "Müller", "123456"), newPerson(2, "ada@example.com", "Müller", "123456"), newPerson(3, "ada@example.com", "Müller", "123456")
	c.Tenant = "globex"
	require.NoError(t, r.Encrypt(t.Context(), &a, &b, &c))
	require.Equal(t, tagOf(t, a.EmailTag), tagOf(t, b.EmailTag))
	require.NotEqual(t, tagOf(t, a.EmailTag), tagOf(t, c.EmailTag), "equal values of two tenants")
	la, err := a.Login.Value()
	require.NoError(t, err)
	lb, err := b.Login.Value()
	require.NoError(t, err)
	lc, err := c.Login.Value()
	require.NoError(t, err)
	require.Equal(t, la, lb)
	require.NotEqual(t, la, lc, "equal values of two tenants")
	ea, err := a.Email.Value()
	require.NoError(t, err)
	eb, err := b.Email.Value()
	require.NoError(t, err)
	require.NotEqual(t, ea, eb, "the control: another mode")
	require.True(t, strings.HasPrefix(tagOf(t, a.Initial).(string), "fi1."))
	require.Len(t, tagOf(t, a.EmailTag), 5)
}

func TestIndexFollowsTheValue(t *testing.T) {
	r := people(t, fieldcrypttest.NewWithStore(t))
	fresh := func() person {
		p := newPerson(1, "ada@example.com", "Müller", "123456")
		require.NoError(t, r.Encrypt(t.Context(), &p))
		return p
	}
	first := fresh()
	want := tagOf(t, first.EmailTag)

	t.Run("not made yet", func(t *testing.T) {
		var p person
		_, err := p.EmailTag.Value()
		require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)
	})
	t.Run("null", func(t *testing.T) {
		p := fresh()
		p.Email.SetNull()
		require.NoError(t, r.Encrypt(t.Context(), &p))
		require.Nil(t, tagOf(t, p.EmailTag))
		require.True(t, p.EmailTag.IsNull())
		require.NoError(t, p.EmailTag.Err())
	})
	t.Run("part of several is null", func(t *testing.T) {
		p := fresh()
		p.Born.SetNull()
		require.NoError(t, r.Encrypt(t.Context(), &p))
		require.Nil(t, tagOf(t, p.NameBorn))
	})
	t.Run("set anew", func(t *testing.T) {
		p := readBack(t, fresh())
		p.Email.Set("grace@example.com")
		require.NoError(t, r.Encrypt(t.Context(), &p))
		require.NotEqual(t, want, tagOf(t, p.EmailTag))
	})
	t.Run("read and not decrypted, index not read", func(t *testing.T) {
		p := readBack(t, fresh())
		p.EmailTag = fieldcrypt.BlindIndex{}
		require.NoError(t, r.Encrypt(t.Context(), &p))
		require.Equal(t, want, tagOf(t, p.EmailTag))
	})
	t.Run("read and decrypted, the row has a wrong index", func(t *testing.T) {
		p := readBack(t, fresh())
		require.NoError(t, p.EmailTag.Scan([]byte("wrong")))
		require.NoError(t, r.Decrypt(t.Context(), &p))
		require.NoError(t, r.Encrypt(t.Context(), &p))
		require.Equal(t, want, tagOf(t, p.EmailTag))
	})
	t.Run("no normalised form", func(t *testing.T) {
		p := newPerson(2, "no address", "\u200b", "none")
		require.NoError(t, r.Encrypt(t.Context(), &p))
		require.Nil(t, tagOf(t, p.EmailTag))
		require.ErrorIs(t, p.EmailTag.Err(), fieldcrypt.ErrNotIndexed)
		require.ErrorIs(t, p.EmailTag.Err(), normalise.ErrInvalid)
		require.ErrorIs(t, p.NameTag.Err(), normalise.ErrEmpty, "a character that isn't seen")
		require.ErrorIs(t, p.Last4.Err(), fieldcrypt.ErrNotIndexed)
		require.NotContains(t, p.EmailTag.Err().Error(), "no address")
	})
	t.Run("unavailable", func(t *testing.T) {
		p := readBack(t, fresh())
		env, err := p.Email.Value()
		require.NoError(t, err)
		broken := bytes.Clone(env.([]byte))
		broken[len(broken)-1] ^= 1
		require.NoError(t, p.Email.Scan(broken))
		require.Error(t, r.Decrypt(t.Context(), &p))
		require.NoError(t, r.Encrypt(t.Context(), &p))
		require.Equal(t, want, tagOf(t, p.EmailTag), "what was read is written again")
		p.EmailTag = fieldcrypt.BlindIndex{}
		require.NoError(t, r.Encrypt(t.Context(), &p))
		_, err = p.EmailTag.Value()
		require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted, "it must not become NULL")
	})
	t.Run("plaintext in migrating mode", func(t *testing.T) {
		type migrant struct {
			ID     int64                 `fieldcrypt:"id"`
			Tenant string                `fieldcrypt:"tenant"`
			Email  fieldcrypt.String     `fieldcrypt:"Contacts.email,migrating,until=2999-12-31"`
			Tag    fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=40"`
		}
		crypt := fieldcrypttest.NewWithStore(t)
		ms, err := fieldcrypt.For[migrant](crypt)
		require.NoError(t, err)
		a, b := migrant{ID: 1, Tenant: "acme"}, migrant{ID: 2, Tenant: "acme", Email: fieldcrypt.Of("ADA@example.com")}
		require.NoError(t, a.Email.Scan("ada@example.com"))
		require.NoError(t, ms.Encrypt(t.Context(), &a, &b))
		require.NotNil(t, tagOf(t, a.Tag))
		require.Equal(t, tagOf(t, b.Tag), tagOf(t, a.Tag))
	})
	t.Run("all or nothing", func(t *testing.T) {
		p, q := readBack(t, fresh()), newPerson(0, "x@example.com", "x", "1")
		p.Email.Set("grace@example.com")
		require.Error(t, r.Encrypt(t.Context(), &p, &q))
		require.Equal(t, want, tagOf(t, p.EmailTag))
	})
}

func TestSearchOpensOnlyItsTenant(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	r := people(t, crypt)
	mine, theirs := newPerson(1, "ada@example.com", "A", "1"), newPerson(2, "ada@example.com", "A", "1")
	theirs.Tenant = "globex"
	require.NoError(t, r.Encrypt(t.Context(), &mine, &theirs))
	s, err := r.Search("email_tag")
	require.NoError(t, err)
	q, err := s.Query(t.Context(), "acme", "ada@example.com")
	require.NoError(t, err)
	found, err := q.Open(t.Context(), []person{readBack(t, mine), readBack(t, theirs)})
	require.NoError(t, err)
	require.Equal(t, []int64{1}, ids(found))
	opened := theirs
	require.False(t, q.Matches(&opened), "another tenant's record with the value")
}

func TestSearchTellsWhatItCouldntOpen(t *testing.T) {
	r := people(t, fieldcrypttest.NewWithStore(t))
	rows := []person{newPerson(1, "ada@example.com", "A", "1"), newPerson(2, "ada@example.com", "A", "1"), newPerson(3, "grace@example.com", "A", "1")}
	require.NoError(t, r.EncryptAll(t.Context(), rows))
	spoil := func(v *fieldcrypt.String) {
		env, err := v.Value()
		require.NoError(t, err)
		broken := bytes.Clone(env.([]byte))
		broken[len(broken)-1] ^= 1
		require.NoError(t, v.Scan(broken))
	}
	for i := range rows {
		rows[i] = readBack(t, rows[i])
	}
	spoil(&rows[0].Email)
	spoil(&rows[1].Phone)
	spoil(&rows[2].Phone) // of a row that isn't found
	s, err := r.Search("email_tag")
	require.NoError(t, err)
	q, err := s.Query(t.Context(), "acme", "ada@example.com")
	require.NoError(t, err)
	found, err := q.Open(t.Context(), rows)
	require.Equal(t, []int64{2}, ids(found))
	failed, ok := errors.AsType[*fieldcrypt.DecryptError](err)
	require.True(t, ok, err)
	require.Len(t, failed.Failures, 2)
	require.Equal(t, "Contacts.email", failed.Failures[0].Field)
	require.Equal(t, 0, failed.Failures[0].Row)
	require.Equal(t, "Contacts.phone", failed.Failures[1].Field)
	require.Equal(t, 1, failed.Failures[1].Row)
}

func TestWhere(t *testing.T) {
	type two struct {
		ID     int64                 `fieldcrypt:"id"`
		Tenant string                `fieldcrypt:"tenant"`
		Email  fieldcrypt.String     `fieldcrypt:"Contacts.email"`
		Old    fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=16"`
		New    fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=24,version=2,partitions=2"`
	}
	r, err := fieldcrypt.For[two](fieldcrypttest.NewWithStore(t))
	require.NoError(t, err)
	s, err := r.Search("Contacts.email")
	require.NoError(t, err)
	q, err := s.Query(t.Context(), "acme", "ada@example.com")
	require.NoError(t, err)
	require.Equal(t, "(1 = 0)", q.Where(fieldcrypt.Postgres, 1), "nothing was ever written for this tenant")
	rows := []two{{ID: 1, Tenant: "acme", Email: fieldcrypt.Of("ada@example.com")}}
	require.NoError(t, r.EncryptAll(t.Context(), rows))
	q, err = s.Query(t.Context(), "acme", "ada@example.com")
	require.NoError(t, err)
	require.Equal(t, `("old" IN ($2) OR "new" IN ($3, $4))`, q.Where(fieldcrypt.Postgres, 2))
	require.Equal(t, "(`old` IN (?) OR `new` IN (?, ?))", q.Where(fieldcrypt.MariaDB, 2))
	require.Equal(t, `("old" IN (?) OR "new" IN (?, ?))`, q.Where(fieldcrypt.SQLite, 1))
	require.Len(t, q.Args(), 3)

	// A row that has one of them only is found, whichever it is.
	for _, tag := range []fieldcrypt.BlindIndex{rows[0].Old, rows[0].New} {
		require.Contains(t, q.Args(), tagOf(t, tag))
	}
	require.Equal(t, "fieldcrypt.Query", fmt.Sprintf("%+v", q)[:16])
	require.NotContains(t, fmt.Sprintf("%#v %v", q, s), "ada@")
}

func TestSearchRefusesBadCalls(t *testing.T) {
	r := people(t, fieldcrypttest.NewWithStore(t))
	byEmail, err := r.Search("email_tag")
	require.NoError(t, err)
	byFirst, err := r.SearchFirst("Contacts.last_name", 3)
	require.NoError(t, err)
	byBoth, err := r.Search("name_born")
	require.NoError(t, err)
	byBorn := func() error { _, err := r.Search("Contacts.born"); return err }
	query := func(s *fieldcrypt.Search[person], tenant string, values ...any) error {
		_, err := s.Query(t.Context(), tenant, values...)
		return err
	}
	many := make([]any, fieldcrypt.MaxValues+1)
	for i := range many {
		many[i] = "x@example.com"
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, endedErr := byEmail.Query(ended, "acme", "x@example.com")
	_, noneErr := new(fieldcrypt.Search[person]).Query(t.Context(), "acme", "x")
	_, notFor := new(fieldcrypt.Records[person]).Search("email_tag")
	_, otherPart := r.SearchFirst("Contacts.last_name", 5)
	_, unknown := r.Search("Contacts.nickname")
	_, forOther := r.ForTenant("globex").Search("email_tag")
	require.NoError(t, forOther)
	for9, err := r.ForTenant("globex").Search("email_tag")
	require.NoError(t, err)
	for _, test := range []struct {
		name string
		err  error
		says string
	}{
		{"no index", byBorn(), "has no blind index and isn't deterministic: add a BlindIndex"},
		{"no field", unknown, "neither a field, fields with + between them, nor a blind index's column; indexes there are of Contacts.email (email_tag)"},
		{"another part", otherPart, "its blind indexes are of whole values, of the first 3 characters: search by these"},
		{"no Records", notFor, "Records are made with For"},
		{"no Search", noneErr, "a Search is made with Search of Records or Maps"},
		{"no tenant", query(byEmail, "", "x@example.com"), "the tenant is empty"},
		{"another tenant", query(for9, "acme", "x@example.com"), `the tenant is "acme", and the handle is for tenant "globex"`},
		{"no value", query(byEmail, "acme"), "no value to search for"},
		{"too many values", query(byEmail, "acme", many...), "1001 values to search for, the limit is 1000"},
		{"longer than indexed", query(byFirst, "acme", "Müll"), "has the first 3 characters, and the value has 4: search for 3, and compare the rest after decrypting"},
		{"shorter than indexed", query(byFirst, "acme", "Mü"), "has the first 3 characters, and the value has 2"},
		{"not normalised", query(byEmail, "acme", "secret nobody"), "value 0: " + fieldcrypt.ErrNotIndexed.Error()},
		{"normalises to nothing", query(byFirst, "acme", "\u200b"), "nothing of the value is left"},
		{"type", query(byEmail, "acme", 7), "Contacts.email is a string, and the value a int that can't be one"},
		{"not several", query(byBoth, "acme", "Müller"), "a value of 2 fields is a []any with one for each"},
		{"bad part", query(byBoth, "acme", []any{"Müller", "yesterday"}), "Contacts.born is a date, and the value a string"},
		{"ended context", endedErr, "context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.ErrorContains(t, test.err, test.says)
			require.NotContains(t, test.err.Error(), "secret")
		})
	}
}

type ours struct {
	ID     int64                 `fieldcrypt:"id"`
	Tenant string                `fieldcrypt:"tenant"`
	IBAN   fieldcrypt.String     `fieldcrypt:"Accounts.iban"`
	Tag    fieldcrypt.BlindIndex `fieldcrypt:"index=Accounts.iban,normalise=iban.v1,bits=64"`
}

func TestOwnNormalisers(t *testing.T) {
	secretive := errors.New("IBAN XX12 is bad")
	iban := fieldcrypt.Normaliser{Name: "iban.v1", Normalise: func(s string) (string, error) {
		s = strings.ToUpper(strings.ReplaceAll(s, " ", ""))
		if len(s) < 10 {
			return "", secretive
		}
		return s, nil
	}}
	open := func(n ...fieldcrypt.Normaliser) (*fieldcrypt.Crypt, error) {
		return fieldcrypt.New(fieldcrypttest.Provider(), fieldcrypt.RootKeys{Seal: fieldcrypttest.RootKey},
			&fieldcrypt.Options{Envelope: envelope.Options{Store: envelope.NewMemoryStore()}, Normalisers: n})
	}
	crypt, err := open(iban)
	require.NoError(t, err)
	defer crypt.Close()
	r, err := fieldcrypt.For[ours](crypt)
	require.NoError(t, err)
	a, b, c := ours{ID: 1, Tenant: "t", IBAN: fieldcrypt.Of("de00 1234 5678")}, ours{ID: 2, Tenant: "t", IBAN: fieldcrypt.Of("DE0012345678")}, ours{ID: 3, Tenant: "t", IBAN: fieldcrypt.Of("XX12")}
	require.NoError(t, r.Encrypt(t.Context(), &a, &b, &c))
	require.Equal(t, tagOf(t, a.Tag), tagOf(t, b.Tag))
	require.Nil(t, tagOf(t, c.Tag))
	require.NotContains(t, c.Tag.Err().Error(), "XX12", "a normaliser's own text may show the value")

	for name, n := range map[string]fieldcrypt.Normaliser{
		"is taken":        {Name: "email.v1", Normalise: iban.Normalise},
		"has no function": {Name: "x.v1"},
		"has no name":     {Normalise: iban.Normalise},
		"has '+' in it":   {Name: "a+b", Normalise: iban.Normalise},
	} {
		_, err := open(n)
		require.ErrorContains(t, err, name)
	}
	_, err = fieldcrypt.For[ours](fieldcrypttest.NewWithStore(t))
	require.ErrorContains(t, err, `unknown normaliser "iban.v1": there are digits.v1, email.v1, name.v1, none.v1, trim.v1; add your own to Options.Normalisers`)
}

func TestIndexesNeedAKeyStore(t *testing.T) {
	_, err := fieldcrypt.For[person](fieldcrypttest.New(t))
	require.ErrorContains(t, err, "field Login is deterministic, and there is no key store")
	_, err = fieldcrypt.For[ours](fieldcrypttest.New(t))
	require.ErrorContains(t, err, "field Tag is a blind index, and there is no key store")
}

func TestDeterministicField(t *testing.T) {
	r := people(t, fieldcrypttest.NewWithStore(t))
	a, b := newPerson(1, "ada@example.com", "A", "1"), newPerson(2, "grace@example.com", "B", "2")
	require.NoError(t, r.Encrypt(t.Context(), &a, &b))
	a, b = readBack(t, a), readBack(t, b)
	a.Login, b.Login = b.Login, a.Login
	require.NoError(t, r.Decrypt(t.Context(), &a, &b), "it is bound to no record")
	login, err := a.Login.Plain()
	require.NoError(t, err)
	require.Equal(t, "grace@example.com", login)
	require.NoError(t, r.Encrypt(t.Context(), &a, &b))

	// Envelopes of one mode aren't read where the other is expected.
	c, d := readBack(t, a), readBack(t, b)
	c.Login, d.Email = d.Email, c.Login
	err = r.Decrypt(t.Context(), &c, &d)
	failed, ok := errors.AsType[*fieldcrypt.DecryptError](err)
	require.True(t, ok, err)
	require.Len(t, failed.Failures, 2)
	for _, f := range failed.Failures {
		require.ErrorIs(t, f.Err, envelope.ErrModeNotAllowed)
	}
}

func TestMapsSearch(t *testing.T) {
	crypt := fieldcrypttest.NewWithStore(t)
	const text = `{"version":1,"modules":[{"name":"Contacts","id":["id"],"tenant":"tenant","fields":[
		{"name":"email","type":"string"},{"name":"login","type":"string","deterministic":true},
		{"name":"postal_code","type":"string","path":"address.postal_code"}],
	  "indexes":[{"column":"email_tag","of":["email"],"normalise":["email.v1"],"bits":40},
	    {"column":"area","of":["postal_code"],"normalise":["trim.v1"],"bits":16,"first":3,"text":true},
	    {"column":"both","of":["email","postal_code"],"normalise":["email.v1","trim.v1"],"bits":40}]}]}`
	m, err := fieldcrypt.ForMaps(crypt, schema(t, text), "Contacts")
	require.NoError(t, err)
	record := func(id int, email, code string) map[string]any {
		return map[string]any{"id": id, "tenant": "acme", "email": email, "login": email, "address": map[string]any{"street": "1 Example Road", "postal_code": code}}
	}
	rows := []map[string]any{record(1, "ada@example.com", "EX1 1MP"), record(2, "grace@example.com", "EX1 9ZZ"), record(3, "ADA@example.com", "ZZ9")}
	require.NoError(t, m.Encrypt(t.Context(), rows...))
	for i := range rows {
		rows[i] = stored(t, rows[i])
	}
	for _, test := range []struct {
		search func() (*fieldcrypt.Search[map[string]any], error)
		value  any
		column string
		want   []any
	}{
		{func() (*fieldcrypt.Search[map[string]any], error) { return m.Search("Contacts.email") }, "ada@example.com", "email_tag", []any{1, 3}},
		{func() (*fieldcrypt.Search[map[string]any], error) { return m.Search("Contacts.login") }, "ada@example.com", "login", []any{1}},
		{func() (*fieldcrypt.Search[map[string]any], error) { return m.SearchFirst("Contacts.postal_code", 3) }, "EX1", "area", []any{1, 2}},
		{func() (*fieldcrypt.Search[map[string]any], error) { return m.Search("both") }, []any{"ada@example.com", "ZZ9"}, "both", []any{3}},
	} {
		s, err := test.search()
		require.NoError(t, err)
		q, err := s.Query(t.Context(), "acme", test.value)
		require.NoError(t, err)
		var candidates []map[string]any
		for _, row := range rows {
			for _, arg := range q.Args() {
				if fmt.Sprint(arg) == fmt.Sprint(row[test.column]) {
					candidates = append(candidates, maps.Clone(row))
				}
			}
		}
		require.Len(t, candidates, len(test.want), test.column)
		found, err := q.Open(t.Context(), candidates)
		require.NoError(t, err)
		var got []any
		for _, row := range found {
			got = append(got, row["id"])
		}
		require.ElementsMatch(t, test.want, got)
	}
	_, err = m.SearchLast("Contacts.email", 3)
	require.ErrorContains(t, err, "its blind indexes are of whole values")
	_, err = (*fieldcrypt.Maps)(nil).Search("x")
	require.Error(t, err)
}

func TestColumnsWithIndexes(t *testing.T) {
	type plainPerson struct {
		ID     int64                 `fieldcrypt:"id"`
		Tenant string                `fieldcrypt:"tenant"`
		Email  string                `fieldcrypt:"Contacts.email"`
		Nick   *string               `fieldcrypt:"Contacts.nick,deterministic"`
		Tag    fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.email,normalise=email.v1,bits=40,column=email_tag"`
		Nicks  fieldcrypt.BlindIndex `fieldcrypt:"index=Contacts.nick,normalise=none.v1,bits=40,text,column=nick_tag"`
	}
	r, err := fieldcrypt.For[plainPerson](fieldcrypttest.NewWithStore(t))
	require.NoError(t, err)
	nick := "countess"
	p := plainPerson{ID: 1, Tenant: "acme", Email: "Ada@example.com", Nick: &nick}
	columns, err := r.EncryptColumns(t.Context(), &p)
	require.NoError(t, err)
	s, err := r.Search("Contacts.email")
	require.NoError(t, err)
	q, err := s.Query(t.Context(), "acme", "ada@example.com")
	require.NoError(t, err)
	require.Equal(t, []any{columns["email_tag"]}, q.Args())
	require.True(t, strings.HasPrefix(string(columns["nick_tag"]), "fi1."))
	back := plainPerson{ID: 1, Tenant: "acme"}
	require.NoError(t, r.DecryptColumns(t.Context(), &back, columns))
	require.Equal(t, p.Email, back.Email)
	require.Equal(t, nick, *back.Nick)
	require.True(t, q.Matches(&back))
	require.False(t, q.Matches(&plainPerson{ID: 1, Tenant: "acme", Email: "x@example.com"}))

	p.Nick = nil
	columns, err = r.EncryptColumns(t.Context(), &p)
	require.NoError(t, err)
	require.Nil(t, columns["nick_tag"])
}
