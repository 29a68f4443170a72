package sqlstore

import (
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// statements are the queries of a store, as its dialect has them.
type statements struct {
	active, get  string
	claim, renew string // claim is all of it, save in MariaDB, where it follows renew
	release      string
	insert       string
	retire       string
	look         string
	take         string // what is left of a budget: all of it in PostgreSQL, elsewhere it follows look
	update       string
	exists       string
}

const (
	atPlace = "tenant = ? AND class = ? AND purpose = ?"
	atKey   = atPlace + " AND key_id = ?"
)

func (n names) statements() statements {
	isActive, ifNew, byName := "state = 'active'", " ON CONFLICT DO NOTHING", ""
	take := "UPDATE {keys} SET taken = ? WHERE " + atKey + " AND state = 'active' AND taken = ?"
	claim := "INSERT INTO {claims} AS c (tenant, class, purpose, holder, until) VALUES (?, ?, ?, ?, {now} + CAST(? AS bigint))" +
		" ON CONFLICT (tenant, class, purpose) DO UPDATE SET holder = excluded.holder, until = excluded.until" +
		" WHERE c.holder = excluded.holder OR c.until <= {now}"
	switch n.dialect {
	case MariaDB:
		isActive, ifNew = "active = 1", ""
		// Left to itself it also comes by the other index, and then locks the row
		// in another order than Lease does.
		byName = " FORCE INDEX (PRIMARY)"
		take = strings.Replace(take, "{keys}", "{keys}"+byName, 1)
		claim = "INSERT INTO {claims} (tenant, class, purpose, holder, until) VALUES (?, ?, ?, ?, {now} + ?)"
	case Postgres:
		// The row is locked and read in its newest version, and only then changed:
		// RETURNING knows no value from before.
		take = "WITH was AS (SELECT state, budget, taken, LEAST(CAST(? AS bigint), budget - GREATEST(taken, 0)) AS granted FROM {keys} WHERE " + atKey + " FOR UPDATE)," +
			" done AS (UPDATE {keys} AS k SET taken = GREATEST(was.taken, 0) + was.granted FROM was" +
			" WHERE k.tenant = ? AND k.class = ? AND k.purpose = ? AND k.key_id = ? AND was.state = 'active' AND was.granted > 0 RETURNING 1)" +
			" SELECT state, budget, taken, (SELECT count(*) FROM done) FROM was"
	}
	fill := func(query string) string { return n.dialect.bind(n.fill(query)) }
	return statements{
		active: fill("SELECT " + columns + " FROM {keys} WHERE " + atPlace + " AND " + isActive),
		get:    fill("SELECT " + columns + " FROM {keys} WHERE " + atKey),

		claim:   fill(claim),
		renew:   fill("UPDATE {claims} SET holder = ?, until = {now} + ? WHERE " + atPlace + " AND (holder = ? OR until <= {now})"),
		release: fill("DELETE FROM {claims} WHERE " + atPlace + " AND holder = ?"),

		insert: fill("INSERT INTO {keys} (" + columns + ") VALUES (" + marks(strings.Count(columns, ",")+1) + ")" + ifNew),
		retire: fill("UPDATE {keys}" + byName + " SET state = 'retired', revision = revision + 1 WHERE " + atKey + " AND state = 'active'"),

		look: fill("SELECT state, budget, taken FROM {keys} WHERE " + atKey),
		take: fill(take),

		// The revision changes whatever else does not, so that MariaDB counts
		// the row as changed.
		update: fill("UPDATE {keys}" + byName + " SET root_key = ?, wrapped = ?, state = ?, destroy_after = ?, changed_at = ?, changed_by = ?, changed_why = ?," +
			" revision = revision + 1 WHERE " + atKey + " AND state = ? AND root_key = ? AND wrapped = ? AND COALESCE(destroy_after, 0) = ?"),
		exists: fill("SELECT 1 FROM {keys} WHERE " + atKey),
	}
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// states is the query for the states of some keys.
func (n names) states(keys []envelope.KeyName) (query string, args []any) {
	each := make([]string, len(keys))
	for i, k := range keys {
		each[i] = "(" + atKey + ")"
		args = append(args, placeOf(k.Scope, k.Purpose).key(k.ID)...)
	}
	query = "SELECT tenant, class, purpose, key_id, state FROM {keys} WHERE " + strings.Join(each, " OR ")
	return n.dialect.bind(n.fill(query)), args
}

// page is the query for a page of records.
func (n names) page(f *envelope.Filter, after envelope.KeyName, limit int) (query string, args []any) {
	where := []string{}
	add := func(condition string, values ...any) {
		where = append(where, condition)
		args = append(args, values...)
	}
	if f.Tenant != "" {
		add("tenant = ?", []byte(f.Tenant))
	}
	if f.Class != "" {
		add("class = ?", []byte(f.Class))
	}
	if f.Purpose != "" {
		add("purpose = ?", string(f.Purpose))
	}
	if f.RootKey != "" {
		add("root_key = ?", []byte(f.RootKey))
	}
	if len(f.States) > 0 {
		states := make([]any, len(f.States))
		for i, s := range f.States {
			states[i] = string(s)
		}
		add("state IN ("+marks(len(states))+")", states...)
	}
	if after != (envelope.KeyName{}) {
		key := placeOf(after.Scope, after.Purpose).key(after.ID)
		if n.dialect == MariaDB {
			// It doesn't look for a row of values in an index.
			t, c, p, k := key[0], key[1], key[2], key[3]
			add("(tenant > ? OR (tenant = ? AND class > ?) OR (tenant = ? AND class = ? AND purpose > ?) OR ("+atPlace+" AND key_id > ?))",
				t, t, c, t, c, p, t, c, p, k)
		} else {
			add("(tenant, class, purpose, key_id) > (?, ?, ?, ?)", key...)
		}
	}
	condition := ""
	if len(where) > 0 {
		condition = " WHERE " + strings.Join(where, " AND ")
	}
	if n.dialect == MariaDB {
		// It takes values for text, and then sorts even what an index has in
		// order.
		condition = strings.ReplaceAll(condition, "?", "CAST(? AS BINARY)")
	}
	query = "SELECT " + columns + " FROM {keys}" + condition + " ORDER BY tenant, class, purpose, key_id LIMIT ?"
	return n.dialect.bind(n.fill(query)), append(args, int64(limit))
}
