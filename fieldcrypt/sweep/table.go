package sweep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
)

// A Table is the table of a record type.
type Table struct {
	// Name is the table's name as the database has it, without quotes, and
	// Schema its schema's, or in MariaDB its database's. An empty Schema is the
	// one that the connection finds by itself; name it in all calls or in none,
	// since it is part of the job's name.
	Name   string
	Schema string

	// Rows is the record type, from [fieldcrypt.Records.Rows] or
	// [fieldcrypt.Maps.Rows].
	Rows *fieldcrypt.Rows

	// Key names the columns of the primary key, in their order. Default: what
	// the database's catalogue says. For a table without one, name the columns
	// of a unique index that has no NULL in it.
	Key []string

	// ID names the columns of the record's ID, and Tenant that of its tenant,
	// where they aren't those of Rows.
	ID     []string
	Tenant string

	// Plain names the columns that hold the plaintext of sensitive columns
	// apart from their envelopes, by the names of the sensitive ones: where
	// Encrypt takes it from, Coverage counts it, and DecryptToPlaintext puts it.
	Plain map[string]string
}

// A column is one of a table, as the catalogue has it.
type column struct {
	name     string
	typ      string // the database's name of it
	form     form
	length   int64 // characters or bytes that it takes; 0 where it has no limit
	computed bool
	nulls    bool
	cuts     bool // of a PostgreSQL type to which a cast shortens values, or that pads them
}

// A form says how a column's values are read, compared and written.
type form uint8

const (
	formText  form = iota + 1 // strings of characters
	formBytes                 // strings of bytes
	formInt                   // whole numbers
	formJSON                  // JSON that the database parses
	formOther                 // read as they come, and compared as text
)

// A relation is what the catalogue says of a table.
type relation struct {
	columns  []column
	key      []string
	triggers bool
	rows     int64 // about how many; negative where the catalogue doesn't know
}

// A target is a table that a job can work on: all names were found.
type target struct {
	*Table
	dialect  Dialect
	label    string // for errors
	from     string // quoted
	key      []column
	ids      []column
	tenant   *column
	cells    []column // those of the record type, in its order
	plain    []*column
	touched  []column // cells and then plain ones, each once: what is read and compared
	plainAt  []int    // of each cell: where its plain column is in touched, or -1
	indexAt  []int    // of each blind index that the operation writes: where its column is in touched
	swapped  []column // touched, and then all else that a row must still hold as it was read when it is written
	writes   []int    // which of touched are written
	sets     []column // which others are set beside them
	triggers bool
	rows     int64
	shape    string
	extras   []column // of the operation
	plainly  bool     // values are written in the clear
}

func (t *Table) label() string {
	if t.Schema != "" {
		return t.Schema + "." + t.Name
	}
	return t.Name
}

// resolve finds the table's columns in the catalogue and holds them to what the
// operation needs of them.
func (s *Sweeper) resolve(ctx context.Context, table *Table, op *operation) (*target, error) {
	fail := func(err error) (*target, error) {
		return nil, fmt.Errorf("sweep: table %s: %w", table.label(), err)
	}
	if table.Name == "" {
		return nil, errors.New("sweep: the Table has no Name")
	}
	if err := table.Rows.Err(); err != nil {
		return fail(err)
	}
	rel, err := s.inspect(ctx, table)
	if err != nil {
		return fail(err)
	}
	t := &target{Table: table, dialect: s.dialect, label: table.label(), from: qualified(s.dialect, table.Schema, table.Name), triggers: rel.triggers, rows: rel.rows, plainly: op.writesPlain}
	find := func(what, name string) (column, error) {
		for _, c := range rel.columns {
			if c.name == name || s.dialect != Postgres && strings.EqualFold(c.name, name) {
				return c, nil
			}
		}
		return column{}, fmt.Errorf("%w: there is no column %q, which is %s: name it in the tag, in Table, or add it", ErrTable, name, what)
	}
	keys := table.Key
	if len(keys) == 0 {
		keys = rel.key
	}
	if len(keys) == 0 {
		return fail(fmt.Errorf("%w, and a sweep goes along one: add it, or name the columns of a unique index without NULLs in Table.Key", ErrNoKey))
	}
	for _, name := range keys {
		c, err := find("part of the primary key", name)
		if err != nil {
			return fail(err)
		}
		if err := keyable(s.dialect, &c); err != nil {
			return fail(err)
		}
		t.key = append(t.key, c)
	}
	if err := s.noNulls(ctx, t); err != nil {
		return fail(err)
	}
	ids := table.ID
	if len(ids) == 0 {
		ids = table.Rows.IDColumns()
	}
	if len(ids) != len(table.Rows.IDColumns()) {
		return fail(fmt.Errorf("%w: Table.ID names %d columns, and the record's ID has %d parts", ErrTable, len(ids), len(table.Rows.IDColumns())))
	}
	for _, name := range ids {
		c, err := find("part of the record's ID", name)
		if err != nil {
			return fail(err)
		}
		t.ids = append(t.ids, c)
	}
	if name := table.Rows.TenantColumn(); name != "" {
		if table.Tenant != "" {
			name = table.Tenant
		}
		c, err := find("the record's tenant", name)
		if err != nil {
			return fail(err)
		}
		if c.cuts {
			return fail(fmt.Errorf("%w: column %s of the tenant is a %s, in which PostgreSQL pads values, so that a tenant has two names: make it text or varchar", ErrTable, c.name, c.typ))
		}
		t.tenant = &c
	}
	if err := t.sensitive(op, find); err != nil {
		return fail(err)
	}
	for name := range op.sets {
		c, err := find("what the operation sets", name)
		if err != nil {
			return fail(err)
		}
		if c.cuts && c.typ != "bpchar" {
			return fail(fmt.Errorf("%w: column %s, which the operation sets, is a %s, to which PostgreSQL cuts values: make it text or varchar", ErrTable, c.name, c.typ))
		}
		if slices.ContainsFunc(t.key, func(k column) bool { return k.name == c.name }) {
			return fail(fmt.Errorf("%w: column %s is part of the primary key, along which the sweep goes: change it by your own means first, and say in Rebinding.Was where the envelopes were bound", ErrTable, c.name))
		}
		t.sets = append(t.sets, c)
	}
	for _, name := range op.extra {
		c, err := find("what the operation reads", name)
		if err != nil {
			return fail(err)
		}
		t.extras = append(t.extras, c)
	}
	t.watch()
	slices.SortFunc(t.sets, func(a, b column) int { return strings.Compare(a.name, b.name) })
	t.shape = t.describe()
	return t, nil
}

// watch lists the columns on which a write depends beside those of the cells:
// what its envelopes are bound to, what the operation is told, and what it sets.
func (t *target) watch() {
	t.swapped = slices.Clone(t.touched)
	add := func(c *column) {
		// Whole numbers in the key have one form. Other keys a collation may
		// take for equal.
		if c.form == formInt && slices.ContainsFunc(t.key, func(k column) bool { return k.name == c.name }) {
			return
		}
		if !slices.ContainsFunc(t.swapped, func(other column) bool { return other.name == c.name }) {
			t.swapped = append(t.swapped, *c)
		}
	}
	if t.tenant != nil {
		add(t.tenant)
	}
	for _, list := range [][]column{t.ids, t.extras, t.sets} {
		for i := range list {
			add(&list[i])
		}
	}
}

// noNulls refuses a key in which NULL can be: no comparison would come to such a
// row. A primary key has none, save in SQLite.
func (s *Sweeper) noNulls(ctx context.Context, t *target) error {
	for i := range t.key {
		c := &t.key[i]
		if !c.nulls {
			continue
		}
		found := false
		query := "SELECT 1 FROM " + t.from + " WHERE " + quote(s.dialect, c.name) + " IS NULL LIMIT 1"
		err := sqlconn.Each(ctx, s.db, query, nil, func(scan func(...any) error) error {
			found = true
			var one int
			return scan(&one)
		})
		switch {
		case err != nil:
			return err
		case found:
			return fmt.Errorf("%w: column %s of its key is NULL in some row, which a sweep wouldn't come to: give the row a key, and the column NOT NULL", ErrTable, c.name)
		}
	}
	return nil
}

// sensitive finds the sensitive columns and those of their plaintext.
func (t *target) sensitive(op *operation, find func(what, name string) (column, error)) error {
	columns := t.Rows.Columns()
	known := map[string]bool{}
	for _, rc := range columns {
		known[rc.Name] = true
		c, err := find("a sensitive column of "+t.Rows.Type(), rc.Name)
		if err != nil {
			return err
		}
		if err := holds(t.dialect, &c, rc, op); err != nil {
			return err
		}
		t.cells = append(t.cells, c)
	}
	for name := range t.Plain {
		if !known[name] {
			return fmt.Errorf("%w: Table.Plain has %q, which is no sensitive column of %s", ErrTable, name, t.Rows.Type())
		}
	}
	t.touched = slices.Clone(t.cells)
	for i, rc := range columns {
		t.plain = append(t.plain, nil)
		t.plainAt = append(t.plainAt, -1)
		name, apart := t.Plain[rc.Name]
		if op.writesCells {
			t.writes = append(t.writes, i)
		}
		if !apart || !op.usesPlain {
			continue
		}
		c, err := find("the plaintext of "+rc.Name, name)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(t.touched, func(other column) bool { return other.name == c.name }) {
			return fmt.Errorf("%w: Table.Plain names column %s for %s, and it is used already", ErrTable, c.name, rc.Name)
		}
		t.plain[i], t.plainAt[i] = &c, len(t.touched)
		if op.writesPlain {
			t.writes = slices.DeleteFunc(t.writes, func(at int) bool { return at == i })
			t.writes = append(t.writes, len(t.touched))
		}
		t.touched = append(t.touched, c)
	}
	if op.writesIndexes {
		for _, rc := range t.Rows.IndexColumns() {
			c, err := find("the blind index of "+strings.Join(rc.Fields, " and "), rc.Name)
			if err != nil {
				return err
			}
			if err := holds(t.dialect, &c, rc, &operation{}); err != nil {
				return err
			}
			t.indexAt, t.writes = append(t.indexAt, len(t.touched)), append(t.writes, len(t.touched))
			t.touched = append(t.touched, c)
		}
	}
	for i := range t.touched {
		if c := &t.touched[i]; c.cuts {
			return fmt.Errorf("%w: column %s is a %s, in which PostgreSQL pads values or cuts them, so that none could be compared or written safely: make it text or varchar", ErrTable, c.name, c.typ)
		}
	}
	for _, at := range t.writes {
		if t.touched[at].computed {
			return fmt.Errorf("%w: column %s is computed by the database, and can't be written", ErrTable, t.touched[at].name)
		}
	}
	return nil
}

// holds refuses a column that can't hold the envelopes of a field.
func holds(d Dialect, c *column, rc fieldcrypt.RowColumn, op *operation) error {
	if d == SQLite || op.leavesEnvelopes {
		return nil
	}
	switch {
	case rc.JSON:
		if c.form != formJSON && c.form != formText {
			return fmt.Errorf("%w: column %s is a %s, and a JSON document goes there", ErrTable, c.name, c.typ)
		}
	case rc.Text && c.form != formText && c.form != formBytes:
		return fmt.Errorf("%w: column %s is a %s, which can't hold an envelope: make it text, or give its plaintext a column of its own (Table.Plain)", ErrTable, c.name, c.typ)
	case !rc.Text && c.form != formBytes:
		return fmt.Errorf("%w: column %s is a %s, and field %s is written in binary form: make the column one of bytes, or give the field the tag option text", ErrTable, c.name, c.typ, rc.Fields[0])
	}
	return nil
}

// describe names all that a job depends on.
func (t *target) describe() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", t.Rows.Shape())
	for _, list := range [][]column{t.key, t.ids, t.touched, t.sets} {
		for _, c := range list {
			fmt.Fprintf(h, "%q %q,", c.name, c.typ)
		}
		fmt.Fprintln(h)
	}
	if t.tenant != nil {
		fmt.Fprintf(h, "%q\n", t.tenant.name)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
