package drivertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// A trial is a sample on its way through a database.
type trial struct {
	*service
	s       *sample
	maps    *fieldcrypt.Maps
	rows    *fieldcrypt.Rows
	table   string
	columns []string // of the table, in the order in which they are written and read
	wrong   *wrong
}

var canaryForms = scoreboard.NewCanary([]byte(canaryMark), []byte(strings.ToUpper(canaryMark)), []byte(strings.ToLower(canaryMark)))

// check brings a sample into the service's database and back, and returns what
// isn't as it has to be. Wrong does something wrong on the way; nil for nothing.
func (s *service) check(ctx context.Context, of *sample, wrong *wrong) (err error) {
	t := &trial{service: s, s: of, wrong: wrong, table: fmt.Sprintf("property_%d", of.seed)}
	defer func() {
		if caught := recover(); caught != nil {
			err = fmt.Errorf("panic: %v\n%s", caught, debug.Stack())
		}
		_, dropped := s.db.ExecContext(context.WithoutCancel(ctx), "DROP TABLE IF EXISTS "+t.table)
		if err == nil && dropped != nil {
			err = dropped
		}
	}()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"compile the schema", t.compile},
		{"make the table", t.make},
		{"write", t.write},
		{"read", t.read},
		{"search", t.search},
		{"operate on rows", t.operate},
		{"read once more", t.read},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// compile brings the schema through its JSON form.
func (t *trial) compile(context.Context) error {
	schema := t.s.schema()
	if err := schema.Validate(); err != nil {
		return err
	}
	text, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	read, err := fieldcrypt.ParseSchema(text)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(read, schema) {
		return fmt.Errorf("its JSON form reads as another one: %s", text)
	}
	if t.maps, err = fieldcrypt.ForMaps(t.crypt, read, t.s.module.Name); err != nil {
		return err
	}
	if t.s.tenant != "" {
		t.maps = t.maps.ForTenant(t.s.tenant)
	}
	t.rows = t.maps.Rows()
	return t.rows.Err()
}

func (t *trial) quoted(name string) string {
	if t.Dialect == sweep.MariaDB {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}

// make makes the table: first what isn't sensitive.
func (t *trial) make(ctx context.Context) error {
	uuid, text, document := "BLOB", "TEXT", "TEXT"
	switch t.Dialect {
	case sweep.Postgres:
		uuid, document = "uuid", "jsonb"
		if t.s.seed%2 == 0 {
			uuid, document = "bytea", text
		}
	case sweep.MariaDB:
		uuid, text, document = "BINARY(16)", "VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "JSON"
	}
	t.columns = []string{"no"}
	definitions := []string{t.quoted("no") + " BIGINT PRIMARY KEY"}
	add := func(name, typ string) {
		t.columns, definitions = append(t.columns, name), append(definitions, t.quoted(name)+" "+typ)
	}
	for _, id := range t.s.module.ID {
		add(id, map[string]string{idNumber: "BIGINT", idText: text, idUUID: uuid}[idKind(id)]+" NOT NULL")
	}
	if t.s.module.Tenant != "" {
		add(t.s.module.Tenant, text+" NOT NULL")
	}
	for _, doc := range t.s.documents() {
		add(doc, document)
	}
	if _, err := t.db.ExecContext(ctx, "CREATE TABLE "+t.table+" ("+strings.Join(definitions, ", ")+")"); err != nil {
		return err
	}
	ddl, err := t.maps.DDL(t.Dialect, t.table)
	if err != nil {
		return err
	}
	for statement := range strings.SplitSeq(strings.TrimSpace(ddl), ";\n") {
		if statement == "" {
			continue
		}
		if _, err := t.db.ExecContext(ctx, strings.TrimSuffix(statement, ";")); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	for _, column := range slices.Concat(t.rows.Columns(), t.rows.IndexColumns()) {
		if !slices.Contains(t.columns, column.Name) {
			t.columns = append(t.columns, column.Name)
		}
	}
	return nil
}

func idKind(name string) string { return strings.TrimRight(name, "0123456789") }

// write encrypts the records and inserts them.
func (t *trial) write(ctx context.Context) error {
	records := make([]map[string]any, len(t.s.records))
	for i := range records {
		records[i] = t.s.given(&t.s.records[i])
	}
	if t.wrong.is(wrongContent) {
		t.wrong.content(t.s, records)
	}
	if err := t.maps.Encrypt(ctx, records...); err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	cells := make([][]any, len(records))
	for row, record := range records {
		var err error
		if cells[row], err = t.cells(row, record); err != nil {
			return err
		}
	}
	t.wrong.cells(t, cells)
	marks := "(?" + strings.Repeat(", ?", len(t.columns)-1) + ")"
	quoted := make([]string, len(t.columns))
	for i, name := range t.columns {
		quoted[i] = t.quoted(name)
	}
	insert := "INSERT INTO " + t.table + " (" + strings.Join(quoted, ", ") + ") VALUES " + marks + strings.Repeat(", "+marks, len(cells)-1)
	if _, err := t.db.ExecContext(ctx, t.bind(insert), slices.Concat(cells...)...); err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	return nil
}

// cells is a record as arguments of a statement.
func (t *trial) cells(row int, record map[string]any) ([]any, error) {
	out := make([]any, len(t.columns))
	for i, name := range t.columns {
		value := record[t.member(name)]
		if v, ok := value.([16]byte); ok {
			value = v[:]
			if t.Dialect == sweep.Postgres && t.s.seed%2 != 0 {
				value = fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
			}
		}
		if v, ok := value.(valuer); ok {
			var err error
			if value, err = v.Value(); err != nil {
				return nil, fmt.Errorf("row %d, column %s: %w", row, name, err)
			}
		}
		if name == "no" {
			value = int64(row)
		}
		out[i] = value
	}
	return out, nil
}

// member is the member of a record that belongs into a column.
func (t *trial) member(column string) string {
	for i := range t.s.fields {
		if f := &t.s.fields[i]; !f.inside() && f.column() == column {
			return f.steps[0]
		}
	}
	return column
}

// scan returns the rows of the table as the driver gives them.
func (t *trial) scan(ctx context.Context, where string, args ...any) (raw []map[string]any, err error) {
	quoted := make([]string, len(t.columns))
	for i, name := range t.columns {
		quoted[i] = t.quoted(name)
	}
	rows, err := t.db.QueryContext(ctx, "SELECT "+strings.Join(quoted, ", ")+" FROM "+t.table+where+" ORDER BY "+t.quoted("no"), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		cells, into := make([]any, len(t.columns)), make([]any, len(t.columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := map[string]any{}
		for i, name := range t.columns {
			if text, ok := cells[i].([]byte); ok && (idKind(name) == idText || name == t.s.module.Tenant) {
				cells[i] = string(text) // MariaDB's driver gives text as bytes
			}
			row[name] = cells[i]
		}
		raw = append(raw, row)
	}
	return raw, rows.Err()
}

// record is a row as the program reads it. Columns that were NULL are there.
func (t *trial) record(raw map[string]any) map[string]any {
	out := map[string]any{}
	for name, cell := range raw {
		out[t.member(name)] = cell
	}
	for _, id := range t.s.module.ID {
		if idKind(id) == idUUID {
			out[id] = t.s.records[raw["no"].(int64)].members[id]
		}
	}
	return out
}

// read checks what is in the table.
func (t *trial) read(ctx context.Context) error {
	raw, err := t.scan(ctx, "")
	if err != nil {
		return err
	}
	if len(raw) != len(t.s.records) {
		return fmt.Errorf("%d rows, there were %d", len(raw), len(t.s.records))
	}
	decrypted, sealed := make([]map[string]any, len(raw)), make([]map[string]any, len(raw))
	for i := range raw {
		for name, cell := range raw[i] {
			if found, _ := canaryForms.In([]string{textOf(cell)}); found > 0 {
				return fmt.Errorf("row %d: plaintext is in column %s", i, name)
			}
		}
		decrypted[i], sealed[i] = t.record(raw[i]), t.record(raw[i])
		for j := range t.s.fields {
			f := &t.s.fields[j]
			sealed[i][f.steps[0]] = scanned(f, raw[i][f.column()])
		}
	}
	if err := t.maps.Decrypt(ctx, decrypted...); err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	for i := range decrypted {
		if err := t.s.compare(&t.s.records[i], decrypted[i]); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	for state, records := range map[string][]map[string]any{"decrypted": decrypted, "sealed": sealed} {
		if err := t.maps.Encrypt(ctx, records...); err != nil {
			return fmt.Errorf("encrypt the %s records again: %w", state, err)
		}
		for i, record := range records {
			if err := t.unchanged(raw[i], record); err != nil {
				return fmt.Errorf("row %d, encrypted again when it was %s: %w", i, state, err)
			}
		}
	}
	return nil
}

// unchanged compares what would be written with what is there.
func (t *trial) unchanged(raw, record map[string]any) error {
	for _, c := range slices.Concat(t.rows.Columns(), t.rows.IndexColumns()) {
		var written any
		if v, ok := record[t.member(c.Name)].(valuer); ok {
			var err error
			if written, err = v.Value(); err != nil {
				return fmt.Errorf("column %s: %w", c.Name, err)
			}
		}
		was, is := textOf(raw[c.Name]), textOf(written)
		if c.JSON { // which PostgreSQL writes in its own way
			was, is = plainJSON([]byte(was)), plainJSON([]byte(is))
		}
		if was != is || (raw[c.Name] == nil) != (written == nil) {
			return fmt.Errorf("column %s would be written anew, although nothing was changed", c.Name)
		}
	}
	return nil
}

func textOf(cell any) string {
	switch c := cell.(type) {
	case nil:
		return ""
	case []byte:
		return string(c)
	}
	return fmt.Sprint(cell)
}

// plainJSON writes JSON in one way.
func plainJSON(text []byte) string {
	var tree any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&tree) != nil {
		return string(text)
	}
	out, err := json.Marshal(tree)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// generator makes the forms in which a program gives a record's contents.
func (rec *drawnRecord) generator() *rand.Rand { return rand.New(rand.NewPCG(rec.seed, 1)) }
