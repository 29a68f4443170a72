package drivertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
)

// Client is what became of [Person]: the module and its fields have other permanent
// names, and the columns don't.
type Client struct {
	ID       int64             `fieldcrypt:"id"`
	Tenant   string            `fieldcrypt:"tenant"`
	Email    fieldcrypt.String `fieldcrypt:"Clients.mail,max=320"`
	LastName fieldcrypt.String `fieldcrypt:"Clients.surname,max=200"`
	Born     fieldcrypt.Date   `fieldcrypt:"Clients.birthday,text"`
	Phone    fieldcrypt.String `fieldcrypt:"Clients.telephone,max=40,pad=16/32/64"`
	Login    fieldcrypt.String `fieldcrypt:"Clients.account,max=320,deterministic"`

	EmailTag fieldcrypt.BlindIndex `fieldcrypt:"index=Clients.mail,normalise=email.v1,bits=20,partitions=2"`
	NameTag  fieldcrypt.BlindIndex `fieldcrypt:"index=Clients.surname,normalise=name.v1,bits=4"`
	Initials fieldcrypt.BlindIndex `fieldcrypt:"index=Clients.surname,normalise=name.v1,bits=16,first=2,text"`
	Last4    fieldcrypt.BlindIndex `fieldcrypt:"index=Clients.telephone,normalise=digits.v1,bits=12,last=4,text"`
	NameBorn fieldcrypt.BlindIndex `fieldcrypt:"index=Clients.surname+Clients.birthday,normalise=name.v1+none.v1,bits=64"`
}

// was are the names that the fields of Client had.
var was = map[string]string{"mail": "email", "surname": "last_name", "birthday": "born", "telephone": "phone", "account": "login"}

const peopleMoved = 40

// people makes a table of persons, of two tenants.
func (s *service) people() *fieldcrypt.Records[Person] {
	s.Helper()
	people, err := fieldcrypt.For[Person](s.crypt)
	require.NoError(s, err)
	ddl, err := people.DDL(s.Dialect, "people")
	s.tableOf("people", ddl, err)
	s.exec("CREATE UNIQUE INDEX people_login ON people (tenant, login)")
	s.exec("ALTER TABLE people ADD was BIGINT")
	for id := int64(1); id <= peopleMoved; id++ {
		p := Person{
			ID: id, Tenant: tenants[id%2], Email: fieldcrypt.Of(emailOf(id)), LastName: fieldcrypt.Of(fmt.Sprint("Surname", id)),
			Born: fieldcrypt.Of(fieldcrypt.CivilDate{Year: 1990, Month: 1, Day: int(1 + id%28)}), Phone: fieldcrypt.Of(fmt.Sprintf("+44 20 7946 %04d", id)), Login: fieldcrypt.Of(fmt.Sprint("user-", id)),
		}
		if id%5 == 0 {
			p.Email, p.Phone = fieldcrypt.String{}, fieldcrypt.String{}
		}
		require.NoError(s, people.Encrypt(s.Context(), &p))
		s.exec("INSERT INTO people ("+personColumns+", was) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", append(p.values(), id)...)
	}
	return people
}

// found tells whether queries of a tenant nominate the row that was made with the
// ID, each for its values: by e-mail address, by name and birthday, and by login. A
// tag may nominate others too.
func found[T any](s *service, records *fieldcrypt.Records[T], module, tenant string, id int64) (rows []int) {
	s.Helper()
	name := func(field string) string {
		for now, before := range was {
			if module == "Clients" && before == field {
				field = now
			}
		}
		return module + "." + field
	}
	for field, values := range map[string][]any{
		name("email"):                          {emailOf(id)},
		name("last_name") + "+" + name("born"): {[]any{fmt.Sprint("surname", id), fmt.Sprintf("1990-01-%02d", 1+id%28)}},
		name("login"):                          {fmt.Sprint("user-", id)},
	} {
		if id%5 == 0 && field == name("email") {
			continue
		}
		by, err := records.Search(field)
		require.NoError(s, err)
		q, err := by.Query(s.Context(), tenant, values...)
		require.NoError(s, err)
		var n int
		require.NoError(s, s.db.QueryRow(fmt.Sprintf("SELECT count(*) FROM people WHERE was = %d AND ", id)+q.Where(s.Dialect, 1), q.Args()...).Scan(&n))
		rows = append(rows, n)
	}
	return rows
}

// searched checks that each person is found as what it is now, and by nothing that it
// was, and that all values open.
func searched[T, U any](s *service, now *fieldcrypt.Records[T], nowModule string, before *fieldcrypt.Records[U], beforeModule string, tenantNow, tenantBefore func(id int64) string) {
	s.Helper()
	for id := int64(1); id <= peopleMoved; id++ {
		for _, n := range found(s, now, nowModule, tenantNow(id), id) {
			require.Equal(s, 1, n, "person %d isn't found", id)
		}
		if nowModule == beforeModule && tenantNow(id) == tenantBefore(id) {
			continue
		}
		for _, n := range found(s, before, beforeModule, tenantBefore(id), id) {
			require.Zero(s, n, "person %d is found as what it was", id)
		}
	}
	table := sweep.Table{Name: "people", Rows: now.Rows()}
	verify, err := s.sweeper(nil).Run(s.Context(), table, sweep.Verify, nil)
	require.NoError(s, err)
	require.EqualValues(s, peopleMoved, verify.Rows)
	dry, err := s.sweeper(nil).Run(s.Context(), table, sweep.Reindex, &sweep.JobOptions{DryRun: true})
	require.NoError(s, err)
	require.Zero(s, dry.Changed, "a tag isn't as it should be")
}

func rebinding(t *testing.T, r sweep.Rebinding) sweep.Operation {
	t.Helper()
	r.Name, r.Until = "test", time.Now().Add(time.Hour)
	op, err := sweep.Rebind(r)
	require.NoError(t, err)
	return op
}

// rebound runs a rebinding twice: the second time nothing is left to do.
func (s *service) rebound(rows *fieldcrypt.Rows, op sweep.Operation, o *sweep.JobOptions, changed int64) {
	s.Helper()
	for _, want := range []int64{changed, 0} {
		report, err := s.sweeper(&sweep.Options{RangeRows: 10}).Run(s.Context(), sweep.Table{Name: "people", Rows: rows}, op, o)
		require.NoError(s, err)
		require.Equal(s, want, report.Changed)
	}
}

func tenantMade(id int64) string { return tenants[id%2] }

// Rows with blind indexes and a deterministic column go to another tenant.
func TestRebindSearchedTenant(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		people := s.people()
		moved := func(id int64) string {
			if id%2 == 0 {
				return "umbrella"
			}
			return tenantMade(id)
		}
		searched(s, people, "People", people, "People", tenantMade, tenantMade)
		s.rebound(people.Rows(), rebinding(t, sweep.Rebinding{
			Set: map[string]any{"tenant": "umbrella"},
			Was: func(now envelope.Binding, _ []any) (envelope.Binding, error) {
				now.Scope.Tenant = "acme"
				return now, nil
			},
		}), &sweep.JobOptions{Tenant: "acme"}, peopleMoved/2)
		searched(s, people, "People", people, "People", moved, tenantMade)
	})
}

// The module and its fields get other permanent names.
func TestRebindRenamedFields(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		people := s.people()
		clients, err := fieldcrypt.For[Client](s.crypt)
		require.NoError(t, err)
		s.rebound(clients.Rows(), rebinding(t, sweep.Rebinding{
			Was: func(now envelope.Binding, _ []any) (envelope.Binding, error) {
				name, ok := was[now.Field.Name()]
				if !ok {
					return now, errors.New("it is a new field")
				}
				var err error
				now.Field, err = envelope.NewField("People", name)
				return now, err
			},
		}), nil, peopleMoved)
		searched(s, clients, "Clients", people, "People", tenantMade, tenantMade)
	})
}

// A merge gives records other IDs. What isn't bound to one stays.
func TestRebindSearchedIDs(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		people := s.people()
		s.exec("UPDATE people SET id = id + 1000 WHERE id > 30")
		s.rebound(people.Rows(), rebinding(t, sweep.Rebinding{
			Columns: []string{"was"},
			Was: func(now envelope.Binding, row []any) (envelope.Binding, error) {
				now.Record = fmt.Sprint(row[0])
				return now, nil
			},
		}), nil, peopleMoved-30)
		searched(s, people, "People", people, "People", tenantMade, tenantMade)
	})
}
