package drivertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/normalise"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/internal/madeup"
)

// Person is found by what it has.
type Person struct {
	ID       int64             `fieldcrypt:"id"`
	Tenant   string            `fieldcrypt:"tenant"`
	Email    fieldcrypt.String `fieldcrypt:"People.email,max=320"`
	LastName fieldcrypt.String `fieldcrypt:"People.last_name,max=200"`
	Born     fieldcrypt.Date   `fieldcrypt:"People.born,text"`
	Phone    fieldcrypt.String `fieldcrypt:"People.phone,max=40,pad=16/32/64"`
	Login    fieldcrypt.String `fieldcrypt:"People.login,max=320,deterministic"`

	EmailTag fieldcrypt.BlindIndex `fieldcrypt:"index=People.email,normalise=email.v1,bits=20,partitions=2"`
	NameTag  fieldcrypt.BlindIndex `fieldcrypt:"index=People.last_name,normalise=name.v1,bits=4"`
	Initials fieldcrypt.BlindIndex `fieldcrypt:"index=People.last_name,normalise=name.v1,bits=16,first=2,text"`
	Last4    fieldcrypt.BlindIndex `fieldcrypt:"index=People.phone,normalise=digits.v1,bits=12,last=4,text"`
	NameBorn fieldcrypt.BlindIndex `fieldcrypt:"index=People.last_name+People.born,normalise=name.v1+none.v1,bits=64"`
}

const personColumns = "id, tenant, email, last_name, born, phone, login, email_tag, name_tag, initials, last4, name_born"

func (p *Person) values() []any {
	return []any{p.ID, p.Tenant, p.Email, p.LastName, p.Born, p.Phone, p.Login, p.EmailTag, p.NameTag, p.Initials, p.Last4, p.NameBorn}
}

func (p *Person) targets() []any {
	return []any{&p.ID, &p.Tenant, &p.Email, &p.LastName, &p.Born, &p.Phone, &p.Login, &p.EmailTag, &p.NameTag, &p.Initials, &p.Last4, &p.NameBorn}
}

// table makes a table with an ID and a tenant, and the DDL's columns.
func (s *service) tableOf(name string, ddl string, err error) {
	s.Helper()
	require.NoError(s, err)
	s.exec("CREATE TABLE " + name + " (id BIGINT PRIMARY KEY, tenant VARCHAR(100) NOT NULL)")
	for _, statement := range strings.Split(strings.TrimSpace(ddl), ";\n") {
		s.exec(strings.TrimSuffix(statement, ";"))
	}
}

func contacts(t testing.TB, n int) (all []madeup.Contact) {
	t.Helper()
	for c := range madeup.Contacts(7, n) {
		all = append(all, c)
	}
	return all
}

func TestSearchOnEachDatabase(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		people, err := fieldcrypt.For[Person](s.crypt)
		require.NoError(t, err)
		ddl, err := people.DDL(d.Dialect, "people")
		s.tableOf("people", ddl, err)
		s.exec("CREATE UNIQUE INDEX people_login ON people (tenant, login)")
		made := contacts(t, 600)
		tenantOf := func(c *madeup.Contact) string { return tenants[c.ID%2] }
		for page := range slices.Chunk(made, 100) {
			rows := make([]Person, len(page))
			for i, c := range page {
				born, err := fieldcrypt.ParseDate(c.Birthday)
				require.NoError(t, err)
				rows[i] = Person{
					ID: c.ID, Tenant: tenantOf(&page[i]), Email: fieldcrypt.Of(c.Email), LastName: fieldcrypt.Of(c.LastName),
					Born: fieldcrypt.Of(born), Phone: fieldcrypt.Of(c.Phone), Login: fieldcrypt.Of(fmt.Sprintf("user-%d", c.ID)),
				}
			}
			require.NoError(t, people.EncryptAll(t.Context(), rows))
			for i := range rows {
				s.exec("INSERT INTO people ("+personColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows[i].values()...)
			}
		}

		find := func(t *testing.T, by *fieldcrypt.Search[Person], tenant string, values ...any) (found []int64, asked int) {
			q, err := by.Query(t.Context(), tenant, values...)
			require.NoError(t, err)
			rows, err := s.db.QueryContext(t.Context(), "SELECT "+personColumns+" FROM people WHERE tenant = "+s.bind("?")+" AND "+q.Where(d.Dialect, 2), append([]any{tenant}, q.Args()...)...)
			require.NoError(t, err)
			defer rows.Close()
			var candidates []Person
			for rows.Next() {
				var p Person
				require.NoError(t, rows.Scan(p.targets()...))
				candidates = append(candidates, p)
			}
			require.NoError(t, rows.Err())
			kept, err := q.Open(t.Context(), candidates)
			require.NoError(t, err)
			for _, p := range kept {
				found = append(found, p.ID)
			}
			slices.Sort(found)
			return found, len(candidates)
		}
		search := func(by *fieldcrypt.Search[Person], err error) *fieldcrypt.Search[Person] {
			require.NoError(t, err)
			return by
		}
		normal := func(n normalise.Normaliser, v string) string {
			out, err := n.Normalise(v)
			require.NoError(t, err)
			return out
		}
		last4 := func(c *madeup.Contact) string { d := normal(normalise.Digits, c.Phone); return d[len(d)-4:] }
		first2 := func(c *madeup.Contact) string {
			r := []rune(normal(normalise.Name, c.LastName))
			return string(r[:min(2, len(r))])
		}
		for name, test := range map[string]struct {
			by    *fieldcrypt.Search[Person]
			value func(*madeup.Contact) any
			same  func(a, b *madeup.Contact) bool
		}{
			"email": {search(people.Search("People.email")), func(c *madeup.Contact) any { return strings.ToUpper(c.Email) }, func(a, b *madeup.Contact) bool {
				return normal(normalise.Email, a.Email) == normal(normalise.Email, b.Email)
			}},
			"few bits": {search(people.Search("People.last_name")), func(c *madeup.Contact) any { return " " + c.LastName }, func(a, b *madeup.Contact) bool {
				return normal(normalise.Name, a.LastName) == normal(normalise.Name, b.LastName)
			}},
			"first characters": {search(people.SearchFirst("People.last_name", 2)), func(c *madeup.Contact) any { return first2(c) }, func(a, b *madeup.Contact) bool { return first2(a) == first2(b) }},
			"last characters":  {search(people.SearchLast("People.phone", 4)), func(c *madeup.Contact) any { return last4(c) }, func(a, b *madeup.Contact) bool { return last4(a) == last4(b) }},
			"compound": {search(people.Search("People.last_name+People.born")), func(c *madeup.Contact) any { return []any{c.LastName, c.Birthday} }, func(a, b *madeup.Contact) bool {
				return a.Birthday == b.Birthday && normal(normalise.Name, a.LastName) == normal(normalise.Name, b.LastName)
			}},
			"deterministic": {search(people.Search("People.login")), func(c *madeup.Contact) any { return fmt.Sprintf("user-%d", c.ID) }, func(a, b *madeup.Contact) bool { return a.ID == b.ID }},
		} {
			t.Run(name, func(t *testing.T) {
				candidates, hits := 0, 0
				for i := range 40 {
					c := &made[i*14]
					if name == "first characters" && len([]rune(first2(c))) < 2 {
						continue
					}
					var want []int64
					for j := range made {
						if tenantOf(&made[j]) == tenantOf(c) && test.same(c, &made[j]) {
							want = append(want, made[j].ID)
						}
					}
					found, asked := find(t, test.by, tenantOf(c), test.value(c))
					require.Equal(t, want, found)
					candidates, hits = candidates+asked, hits+len(found)
				}
				if name == "few bits" {
					require.Greater(t, candidates, 2*hits, "with four bits most of what is nominated is something else")
				}
			})
		}
		t.Run("unique", func(t *testing.T) {
			twin := Person{ID: 10_001, Tenant: tenantOf(&made[0]), Login: fieldcrypt.Of(fmt.Sprintf("user-%d", made[0].ID))}
			require.NoError(t, people.Encrypt(t.Context(), &twin))
			insert := s.bind("INSERT INTO people (" + personColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
			_, err := s.db.ExecContext(t.Context(), insert, twin.values()...)
			require.Error(t, err, "the login is taken")
			twin.Tenant = tenantOf(&made[1])
			twin.Login = fieldcrypt.Of("user-1")
			require.NoError(t, people.Encrypt(t.Context(), &twin))
			_, err = s.db.ExecContext(t.Context(), insert, twin.values()...)
			require.NoError(t, err, "the control: another tenant's isn't")
		})
		t.Run("the checks", func(t *testing.T) {
			_, err := s.db.ExecContext(t.Context(), s.bind("UPDATE people SET email_tag = ? WHERE id = 1"), []byte("ada@example.com"))
			require.Error(t, err, "plaintext in an index column")
			_, err = s.db.ExecContext(t.Context(), s.bind("UPDATE people SET last4 = ? WHERE id = 1"), "fi1.A")
			require.Error(t, err, "a tag of another length")
			_, err = s.db.ExecContext(t.Context(), "UPDATE people SET email_tag = NULL WHERE id = 1")
			require.NoError(t, err)
		})
		t.Run("a sweep finds what has no tag", func(t *testing.T) {
			s.exec("UPDATE people SET name_born = NULL, initials = NULL")
			table := sweep.Table{Name: "people", Rows: people.Rows()}
			dry, err := s.sweeper(nil).Run(t.Context(), table, sweep.Reindex, &sweep.JobOptions{DryRun: true})
			require.NoError(t, err)
			require.EqualValues(t, 600, dry.Changed)
			report, err := s.sweeper(nil).Run(t.Context(), table, sweep.Reindex, nil)
			require.NoError(t, err)
			require.NoError(t, report.Err())
			require.EqualValues(t, 600, report.Changed)
			dry, err = s.sweeper(nil).Run(t.Context(), table, sweep.Reindex, &sweep.JobOptions{DryRun: true})
			require.NoError(t, err)
			require.Zero(t, dry.Changed, "every row is found")
			found, _ := find(t, search(people.Search("name_born")), tenantOf(&made[3]), []any{made[3].LastName, made[3].Birthday})
			require.Contains(t, found, made[3].ID)
		})
	})
}

// The old program knows one index, the new one two, and the newest only the new.
type (
	oldLead struct {
		ID     int64                 `fieldcrypt:"id"`
		Tenant string                `fieldcrypt:"tenant"`
		Email  fieldcrypt.String     `fieldcrypt:"Leads.email,max=320"`
		TagOne fieldcrypt.BlindIndex `fieldcrypt:"index=Leads.email,normalise=trim.v1,bits=24"`
	}
	bothLead struct {
		ID     int64                 `fieldcrypt:"id"`
		Tenant string                `fieldcrypt:"tenant"`
		Email  fieldcrypt.String     `fieldcrypt:"Leads.email,max=320"`
		TagOne fieldcrypt.BlindIndex `fieldcrypt:"index=Leads.email,normalise=trim.v1,bits=24"`
		TagTwo fieldcrypt.BlindIndex `fieldcrypt:"index=Leads.email,normalise=trim.v1,bits=32,version=2"`
	}
	newLead struct {
		ID     int64                 `fieldcrypt:"id"`
		Tenant string                `fieldcrypt:"tenant"`
		Email  fieldcrypt.String     `fieldcrypt:"Leads.email,max=320"`
		TagTwo fieldcrypt.BlindIndex `fieldcrypt:"index=Leads.email,normalise=trim.v1,bits=32,version=2"`
	}
)

// An index gets a new version while programs read and write: no search misses a
// row at any time. The control searches by the new version before it is proved
// complete.
func TestIndexVersions(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		const rows = 900
		s := d.service(t)
		one, err := fieldcrypt.For[oldLead](s.crypt)
		require.NoError(t, err)
		ddl, err := one.DDL(d.Dialect, "leads")
		s.tableOf("leads", ddl, err)
		address := func(id int64) string { return fmt.Sprintf("lead-%d@example.com", id) }
		insertOld := func(id int64) {
			l := oldLead{ID: id, Tenant: "acme", Email: fieldcrypt.Of(address(id))}
			require.NoError(t, one.Encrypt(context.Background(), &l))
			s.exec("INSERT INTO leads (id, tenant, email, tag_one) VALUES (?, ?, ?, ?)", l.ID, l.Tenant, l.Email, l.TagOne)
		}
		for id := range int64(rows) {
			insertOld(id + 1)
		}

		// 1. The column is added, and the new program starts beside the old one.
		both, err := fieldcrypt.For[bothLead](s.crypt)
		require.NoError(t, err)
		defs, err := both.ColumnDefs(d.Dialect)
		require.NoError(t, err)
		s.exec("ALTER TABLE leads ADD COLUMN " + defs[2].String())
		bySome, err := both.Search("Leads.email")
		require.NoError(t, err)
		latest, err := fieldcrypt.For[newLead](s.crypt)
		require.NoError(t, err)
		byNew, err := latest.Search("Leads.email")
		require.NoError(t, err)

		missesNew := func(id int64) bool {
			q, err := byNew.Query(t.Context(), "acme", address(id))
			require.NoError(t, err)
			var n int
			require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM leads WHERE "+q.Where(d.Dialect, 1), q.Args()...).Scan(&n))
			return n == 0
		}
		require.True(t, missesNew(5), "the control: by the new version alone the row is missed")

		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var last, searches atomic.Int64
		last.Store(rows)
		var wg sync.WaitGroup
		wg.Add(2)
		go func() { // writers of both programs
			defer wg.Done()
			for id := int64(rows + 1); ctx.Err() == nil; id++ {
				if id%2 == 0 {
					insertOld(id)
				} else {
					l := bothLead{ID: id, Tenant: "acme", Email: fieldcrypt.Of(address(id))}
					if err := both.Encrypt(context.Background(), &l); err != nil {
						t.Error(err)
						return
					}
					s.exec("INSERT INTO leads (id, tenant, email, tag_one, tag_two) VALUES (?, ?, ?, ?, ?)", l.ID, l.Tenant, l.Email, l.TagOne, l.TagTwo)
				}
				last.Store(id)
				time.Sleep(2 * time.Millisecond)
			}
		}()
		missed := make(chan int64, 1)
		go func() { // searches by both
			defer wg.Done()
			for n := int64(0); ctx.Err() == nil; n++ {
				id := n*7919%last.Load() + 1
				q, err := bySome.Query(context.Background(), "acme", address(id))
				if err != nil {
					t.Error(err)
					return
				}
				var found int
				err = s.db.QueryRowContext(context.Background(), "SELECT COUNT(*) FROM leads WHERE "+q.Where(d.Dialect, 1), q.Args()...).Scan(&found)
				if err != nil {
					t.Error(err)
					return
				}
				if found == 0 {
					select {
					case missed <- id:
					default:
					}
					return
				}
				searches.Add(1)
			}
		}()

		// 2. A sweep fills it; the old program goes on writing rows without it.
		table := sweep.Table{Name: "leads", Rows: both.Rows()}
		_, err = s.sweeper(nil).Run(t.Context(), table, sweep.Reindex, nil)
		require.NoError(t, err)
		stop() // 3. and ends
		wg.Wait()
		select {
		case id := <-missed:
			t.Fatalf("a search missed row %d", id)
		default:
		}
		require.Positive(t, searches.Load())

		// 4. Until a dry run has nothing to do, it isn't complete.
		complete := func() bool {
			dry, err := s.sweeper(nil).Run(t.Context(), table, sweep.Reindex, &sweep.JobOptions{DryRun: true})
			require.NoError(t, err)
			require.NoError(t, dry.Err())
			return dry.Changed == 0
		}
		if !complete() {
			_, err = s.sweeper(nil).Run(t.Context(), table, sweep.Reindex, &sweep.JobOptions{Name: "what the old program wrote"})
			require.NoError(t, err)
		}
		require.True(t, complete())
		for id := range last.Load() {
			require.False(t, missesNew(id+1), "row %d", id+1)
		}

		// 5. The old one is dropped.
		if d.Dialect == sweep.SQLite {
			s.exec("DROP INDEX leads_tag_one")
		} else if d.Dialect == sweep.MariaDB {
			s.exec("DROP INDEX leads_tag_one ON leads")
		}
		_, err = s.db.ExecContext(t.Context(), "ALTER TABLE leads DROP COLUMN tag_one")
		require.NoError(t, err)
		l := newLead{ID: 1_000_000, Tenant: "acme", Email: fieldcrypt.Of(address(1_000_000))}
		require.NoError(t, latest.Encrypt(t.Context(), &l))
		s.exec("INSERT INTO leads (id, tenant, email, tag_two) VALUES (?, ?, ?, ?)", l.ID, l.Tenant, l.Email, l.TagTwo)
		require.False(t, missesNew(1_000_000))
	})
}
