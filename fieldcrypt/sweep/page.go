package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// A record is a row that was read, and what became of it.
type record struct {
	key    key
	row    fieldcrypt.Row
	tenant any   // as it was read
	old    []any // of target.swapped, as it is compared
	value  []any // of target.touched, as the driver gave it
	extra  []any
	size   int
}

// A bound is a part of the table along its primary key: behind one key, up to
// another. Nil is open.
type bound struct{ after, last key }

// reader makes the queries that read rows.
type reader struct {
	*target
	tenant   string // rows of this tenant only, unless empty
	tenantOf *column
	extras   []column
	sets     map[string]any
}

// expression is how a column is selected.
func (t *target) expression(c *column) string {
	name := quote(t.dialect, c.name)
	switch {
	case t.dialect == SQLite:
		return "+" + name // without its declared type, which drivers would turn some into times by
	case t.dialect == MariaDB && c.form == formText:
		return "CAST(CONVERT(" + name + " USING utf8mb4) AS BINARY)"
	case t.dialect == Postgres && c.typ == "real":
		return "CAST(" + name + " AS double precision)" // some drivers get the number, and some its text, which is shorter
	case t.dialect == MariaDB && strings.HasPrefix(strings.ToLower(c.typ), "float"):
		return "CAST(" + name + " AS DOUBLE)" // whose text has all digits
	}
	return name
}

// compared is how a column of another form is read to be compared later.
func (t *target) compared(c *column) string {
	name := quote(t.dialect, c.name)
	if t.dialect == MariaDB {
		return "CAST(CAST(" + name + " AS CHAR CHARACTER SET utf8mb4) AS BINARY)"
	}
	return "CAST(" + name + " AS text)"
}

// asText reports whether a column is compared as text, apart from its value.
func (t *target) asText(c *column) bool { return c.form == formOther && t.dialect != SQLite }

func (t *target) keyExpression(c *column) string {
	if t.dialect == Postgres {
		return "CAST(" + quote(t.dialect, c.name) + " AS text)"
	}
	return t.expression(c)
}

// keyParameter is a placeholder for a value of a key's column.
func (t *target) keyParameter(c *column) string {
	switch {
	case t.dialect == Postgres:
		return "CAST(CAST(? AS text) AS " + c.typ + ")"
	case t.dialect == MariaDB && strings.HasPrefix(strings.ToLower(c.typ), "decimal"):
		return "CAST(? AS DECIMAL(65,30))"
	}
	return "?"
}

// keyList names the key's columns, with a prefix that tells them from what is
// selected under the same name.
func (t *target) keyList(prefix string) string {
	names := make([]string, len(t.key))
	for i := range t.key {
		names[i] = prefix + quote(t.dialect, t.key[i].name)
	}
	return strings.Join(names, ", ")
}

// compareKey is a condition on the key, with one of < > <= >=. The database
// compares, so that its collations decide here as they do in its index.
func (t *target) compareKey(op string, k key) (string, []any) {
	if len(t.key) == 1 || t.dialect != MariaDB {
		parameters := make([]string, len(t.key))
		for i := range t.key {
			parameters[i] = t.keyParameter(&t.key[i])
		}
		return "(" + t.keyList("") + ") " + op + " (" + strings.Join(parameters, ", ") + ")", k
	}
	// MariaDB finds no range for comparisons of rows. It does for this.
	strict := op[:1]
	name := func(i int) string { return quote(t.dialect, t.key[i].name) }
	var args []any
	text := ""
	closing := ""
	for i, value := range k { // as many as the key has columns
		last := i == len(k)-1
		switch {
		case last:
			text += name(i) + " " + op + " " + t.keyParameter(&t.key[i])
			args = append(args, value)
		default:
			text += name(i) + " " + strict + "= " + t.keyParameter(&t.key[i]) + " AND (" + name(i) + " " + strict + " " + t.keyParameter(&t.key[i]) + " OR "
			args = append(args, value, value)
			closing += ")"
		}
	}
	return "(" + text + closing + ")", args
}

// where is the condition of rows in a bound.
func (r *reader) where(b bound) (string, []any) {
	var parts []string
	var args []any
	add := func(text string, values []any) { parts, args = append(parts, text), append(args, values...) }
	if b.after != nil {
		text, values := r.compareKey(">", b.after)
		add(text, values)
	}
	if b.last != nil {
		text, values := r.compareKey("<=", b.last)
		add(text, values)
	}
	if r.tenant != "" && r.tenantOf != nil {
		add(quote(r.dialect, r.tenantOf.name)+" = "+r.tenantParameter(), []any{r.tenant})
	}
	if len(parts) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(parts, " AND "), args
}

// tenantParameter is a placeholder for a tenant.
func (r *reader) tenantParameter() string {
	if r.dialect == Postgres {
		return "CAST(CAST(? AS text) AS " + r.tenantOf.typ + ")"
	}
	return "?"
}

// list is what is selected of a row.
func (r *reader) list() string {
	var parts []string
	for i := range r.key {
		parts = append(parts, r.keyExpression(&r.key[i]))
	}
	for i := range r.ids {
		parts = append(parts, r.expression(&r.ids[i]))
	}
	if r.target.tenant != nil {
		parts = append(parts, r.expression(r.target.tenant))
	}
	for i := range r.extras {
		parts = append(parts, r.expression(&r.extras[i]))
	}
	for i := range r.touched {
		c := &r.touched[i]
		parts = append(parts, r.expression(c))
		if r.asText(c) {
			parts = append(parts, r.compared(c))
		}
	}
	for i := len(r.touched); i < len(r.swapped); i++ {
		c := &r.swapped[i]
		if r.asText(c) || r.dialect == Postgres && c.form == formText {
			parts = append(parts, r.compared(c))
			continue
		}
		parts = append(parts, r.expression(c))
	}
	return strings.Join(parts, ", ")
}

var errNotUnique = errors.New("two rows have the same key")

// page reads the next rows of a bound, at most limit of them and about
// maxBatchBytes, and reports whether there are more.
func (r *reader) page(ctx context.Context, q sqlconn.Querier, b bound, limit int) (records []*record, more bool, err error) {
	where, args := r.where(b)
	query := "SELECT " + r.list() + " FROM " + r.from + " AS r" + where + " ORDER BY " + r.keyList("r.") + fmt.Sprintf(" LIMIT %d", limit+1)
	rows, err := q.QueryContext(ctx, bind(r.dialect, query), args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		rec, err := r.scan(rows.Scan)
		if err != nil {
			return nil, false, err
		}
		if n := len(records); n > 0 && rec.key.name() == records[n-1].key.name() {
			return nil, false, fmt.Errorf("%w: %w (%s), and a sweep that goes along it could miss some: name the columns of a unique index in Table.Key", ErrTable, errNotUnique, rec.key)
		}
		if b.after != nil && rec.key.name() == b.after.name() {
			return nil, false, fmt.Errorf("%w: %w (%s, and it comes behind itself), and a sweep that goes along it would never end: name the columns of another unique index in Table.Key", ErrTable, errNotUnique, rec.key)
		}
		if len(records) == limit || size > maxBatchBytes {
			more = true
			break
		}
		records, size = append(records, rec), size+rec.size
	}
	if err := rows.Err(); err != nil && !more {
		return nil, false, err
	}
	return records, more, rows.Close()
}

// others reads a few rows of other tenants than these.
func (r *reader) others(ctx context.Context, q sqlconn.Querier, than []any, limit int) (records []*record, err error) {
	not := strings.TrimSuffix(strings.Repeat(r.tenantParameter()+", ", len(than)), ", ")
	query := "SELECT " + r.list() + " FROM " + r.from + " WHERE " + quote(r.dialect, r.tenantOf.name) + " NOT IN (" + not + ")" + fmt.Sprintf(" LIMIT %d", limit)
	err = sqlconn.Each(ctx, q, bind(r.dialect, query), than, func(scan func(...any) error) error {
		rec, err := r.scan(scan)
		records = append(records, rec)
		return err
	})
	return records, err
}

// one reads a row by its key; nil if it isn't there any more.
func (r *reader) one(ctx context.Context, q sqlconn.Querier, k key) (*record, error) {
	found, err := r.many(ctx, q, []key{k})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	for _, rec := range found {
		return rec, nil
	}
	return nil, nil
}

// keysInQuery bounds the keys in one query of many.
const keysInQuery = 200

// many reads rows by their keys, and returns those that are there by key.name.
func (r *reader) many(ctx context.Context, q sqlconn.Querier, keys []key) (map[string]*record, error) {
	found := make(map[string]*record, len(keys))
	equal := make([]string, len(r.key))
	for i := range r.key {
		equal[i] = quote(r.dialect, r.key[i].name) + " = " + r.keyParameter(&r.key[i])
	}
	condition := "(" + strings.Join(equal, " AND ") + ")"
	for part := range slices.Chunk(keys, keysInQuery) {
		var args []any
		for _, k := range part {
			args = append(args, k...)
		}
		query := "SELECT " + r.list() + " FROM " + r.from + " WHERE " + strings.TrimSuffix(strings.Repeat(condition+" OR ", len(part)), " OR ")
		err := sqlconn.Each(ctx, q, bind(r.dialect, query), args, func(scan func(...any) error) error {
			rec, err := r.scan(scan)
			if err == nil {
				found[rec.key.name()] = rec
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (r *reader) scan(scan func(...any) error) (*record, error) {
	n := len(r.key) + len(r.ids) + len(r.extras) + len(r.touched) + len(r.swapped) + 1
	values, targets := make([]any, n), make([]any, n)
	for i := range values {
		targets[i] = &values[i]
	}
	used := len(r.key) + len(r.ids) + len(r.extras) + len(r.swapped)
	if r.target.tenant != nil {
		used++
	}
	for i := range r.touched {
		if r.asText(&r.touched[i]) {
			used++
		}
	}
	if err := scan(targets[:used]...); err != nil {
		return nil, err
	}
	next := func() any {
		v := values[0]
		values = values[1:]
		return v
	}
	rec := &record{key: make(key, len(r.key))}
	for i := range r.key {
		rec.key[i] = normal(r.dialect, &r.key[i], next())
		if rec.key[i] == nil {
			return nil, fmt.Errorf("%w: column %s of the key is NULL in some row, which no sweep would come to: use NOT NULL", ErrTable, r.key[i].name)
		}
		if b, ok := rec.key[i].([]byte); ok && r.dialect == Postgres {
			rec.key[i] = string(b)
		}
	}
	for i := range r.ids {
		rec.row.ID = append(rec.row.ID, r.set(r.ids[i].name, normal(r.dialect, &r.ids[i], next())))
	}
	if r.target.tenant != nil {
		rec.tenant = normal(r.dialect, r.target.tenant, next())
		rec.row.Tenant = r.set(r.target.tenant.name, rec.tenant)
	}
	for i := range r.extras {
		rec.extra = append(rec.extra, normal(r.dialect, &r.extras[i], next()))
	}
	rec.old, rec.value = make([]any, len(r.swapped)), make([]any, len(r.touched))
	for i := range r.touched {
		c := &r.touched[i]
		v := normal(r.dialect, c, next())
		rec.value[i], rec.old[i] = v, v
		if r.asText(c) {
			rec.old[i] = next()
			if b, ok := rec.old[i].([]byte); ok {
				rec.old[i] = string(b)
			}
		}
		switch v := v.(type) {
		case []byte:
			rec.size += len(v)
		case string:
			rec.size += len(v)
		}
	}
	for i := len(r.touched); i < len(r.swapped); i++ {
		rec.old[i] = normal(r.dialect, &r.swapped[i], next())
	}
	rec.row.Cells = make([]fieldcrypt.RowCell, len(r.cells))
	for i := range r.cells {
		rec.row.Cells[i].Old = rec.value[i]
	}
	for _, at := range r.indexAt {
		rec.row.Index = append(rec.row.Index, fieldcrypt.RowCell{Old: rec.value[at]})
	}
	for i, at := range r.plainAt {
		if at < 0 {
			continue
		}
		if rec.row.Plain == nil {
			rec.row.Plain = make([]fieldcrypt.RowCell, len(r.cells))
		}
		rec.row.Plain[i] = fieldcrypt.RowCell{Old: rec.value[at], Apart: true}
	}
	return rec, nil
}

// set returns what the operation sets a column to, else what it holds.
func (r *reader) set(name string, v any) any {
	if to, ok := r.sets[name]; ok {
		return to
	}
	return v
}

// ours reports whether a row is of the tenant that was asked for: a collation
// may take another's name for equal.
func (r *reader) ours(rec *record) bool {
	if r.tenant == "" || r.target.tenant == nil {
		return true
	}
	text, ok := rec.tenant.(string)
	if b, isBytes := rec.tenant.([]byte); isBytes {
		text, ok = string(b), true
	}
	return ok && text == r.tenant
}
