package drivertest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
)

// visitors and orders share one cryptographic field: their e-mail columns are
// joined.
const shop = `{"version":1,"modules":[
	{"name":"Visitors","id":["id"],"tenant":"tenant","fields":[
		{"name":"email","type":"string","max":320,"deterministic":true},
		{"name":"name","type":"string","text":true}]},
	{"name":"Orders","id":["id"],"tenant":"tenant","fields":[
		{"name":"buyer","type":"string","max":320,"deterministic":true,"as":"Visitors.email"}]}]}`

func (s *service) modules(names ...string) (all []*fieldcrypt.Maps) {
	s.Helper()
	schema, err := fieldcrypt.ParseSchema([]byte(shop))
	require.NoError(s, err)
	for _, name := range names {
		m, err := fieldcrypt.ForMaps(s.crypt, schema, name)
		require.NoError(s, err)
		all = append(all, m)
	}
	return all
}

func (s *service) sealed(m *fieldcrypt.Maps, record map[string]any) map[string]any {
	s.Helper()
	require.NoError(s, m.Encrypt(s.Context(), record))
	return record
}

// A unique deterministic column is what an upsert finds its row by: equal values of
// a tenant meet, and those of two tenants don't.
func TestDeterministicUpserts(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		visitors := s.modules("Visitors")[0]
		ddl, err := visitors.DDL(d.Dialect, "visitors")
		s.tableOf("visitors", ddl, err)
		s.exec("CREATE UNIQUE INDEX visitors_email ON visitors (tenant, email)")
		upsert := "INSERT INTO visitors (id, tenant, email, name) VALUES (?, ?, ?, ?) ON CONFLICT (tenant, email) DO UPDATE SET id = excluded.id, name = excluded.name"
		if d.Dialect == sweep.MariaDB {
			upsert = "INSERT INTO visitors (id, tenant, email, name) VALUES (?, ?, ?, ?) ON DUPLICATE KEY UPDATE id = VALUES(id), name = VALUES(name)"
		}
		put := func(id int, tenant, email, name string) {
			v := s.sealed(visitors, map[string]any{"id": id, "tenant": tenant, "email": email, "name": name})
			s.exec(upsert, id, tenant, v["email"], v["name"])
		}
		for id := range 20 {
			put(1+id, "acme", fmt.Sprintf("visitor-%d@example.com", id%5), fmt.Sprint("name ", id))
		}
		put(100, "globex", "visitor-0@example.com", "of another tenant")
		put(101, "acme", "Visitor-0@example.com", "another value")

		rows, err := s.db.Query("SELECT id, tenant, email, name FROM visitors ORDER BY id")
		require.NoError(t, err)
		defer rows.Close()
		found := map[int64]string{}
		for rows.Next() {
			var id int64
			var tenant string
			var email, name any
			require.NoError(t, rows.Scan(&id, &tenant, &email, &name))
			v := map[string]any{"id": id, "tenant": tenant, "email": email, "name": name}
			require.NoError(t, visitors.DecryptStrict(t.Context(), v))
			text, err := v["email"].(fieldcrypt.String).Plain()
			require.NoError(t, err)
			called, err := v["name"].(fieldcrypt.String).Plain()
			require.NoError(t, err)
			found[id] = text + ", " + called
		}
		require.NoError(t, rows.Err())
		require.Equal(t, map[int64]string{
			16: "visitor-0@example.com, name 15", 17: "visitor-1@example.com, name 16", 18: "visitor-2@example.com, name 17",
			19: "visitor-3@example.com, name 18", 20: "visitor-4@example.com, name 19",
			100: "visitor-0@example.com, of another tenant", 101: "Visitor-0@example.com, another value",
		}, found, "the last of each, in the row of the first")
	})
}

// Two columns that the schema seals as one field are joined by the database.
func TestDeterministicJoins(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		both := s.modules("Visitors", "Orders")
		visitors, orders := both[0], both[1]
		ddl, err := visitors.DDL(d.Dialect, "visitors")
		s.tableOf("visitors", ddl, err)
		ddl, err = orders.DDL(d.Dialect, "orders")
		s.tableOf("orders", ddl, err)
		for id := range 12 {
			v := s.sealed(visitors, map[string]any{"id": 1 + id, "tenant": tenants[id%3], "email": fmt.Sprintf("visitor-%d@example.com", id/3)})
			s.exec("INSERT INTO visitors (id, tenant, email) VALUES (?, ?, ?)", 1+id, tenants[id%3], v["email"])
		}
		for id := range 30 { // those of visitor 4 have no visitor
			o := s.sealed(orders, map[string]any{"id": 1 + id, "tenant": tenants[id%3], "buyer": fmt.Sprintf("visitor-%d@example.com", id/3%5)})
			s.exec("INSERT INTO orders (id, tenant, buyer) VALUES (?, ?, ?)", 1+id, tenants[id%3], o["buyer"])
		}
		rows, err := s.db.Query("SELECT v.id, o.id FROM visitors v JOIN orders o ON o.buyer = v.email ORDER BY o.id")
		require.NoError(t, err)
		defer rows.Close()
		var found, want [][2]int
		for rows.Next() {
			var pair [2]int
			require.NoError(t, rows.Scan(&pair[0], &pair[1]))
			found = append(found, pair)
		}
		require.NoError(t, rows.Err())
		for id := range 30 {
			if who := id / 3 % 5; who < 4 { // of the same tenant, though the JOIN doesn't say so
				want = append(want, [2]int{1 + 3*who + id%3, 1 + id})
			}
		}
		require.Equal(t, want, found)

		// The envelopes themselves are equal, within a tenant.
		apart := map[string]any{"id": 1, "tenant": "acme", "email": "x@example.com"}
		other := map[string]any{"id": 1, "tenant": "globex", "buyer": "x@example.com"}
		same := map[string]any{"id": 2, "tenant": "acme", "buyer": "x@example.com"}
		value := func(v any) any {
			stored, err := v.(fieldcrypt.String).Value()
			require.NoError(t, err)
			return stored
		}
		email := value(s.sealed(visitors, apart)["email"])
		require.Equal(t, email, value(s.sealed(orders, same)["buyer"]))
		require.NotEqual(t, email, value(s.sealed(orders, other)["buyer"]))
	})
}
