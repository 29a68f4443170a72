package indexplan

import (
	"encoding/base64"
	"fmt"
)

// A Target says where an index is stored.
type Target struct {
	Table  string // may have a schema's name and a dot before it
	Column string // that holds the tags, to be added
	Tenant string // the column with the tenant, which searches name too; "": none
	Text   bool   // tags in text form and not as bytes
}

// maxVersion is how many digits an index version can have in the text form.
const maxVersion = 10

// DDL returns the statements that add the column of the tags, with a check of
// their length, and a database index on tenant and tag. A row without the value
// has NULL. A plan that says not to index has none.
func (p *Plan) DDL(d Dialect, t Target) (string, error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("indexplan: DDL for %s: %w", p.Field, err)
	}
	if !p.Index {
		return fail(ErrLowEntropy)
	}
	if p.Bits < 1 || p.Bits > MaxBits {
		return fail(fmt.Errorf("the plan has %d bits, tags have 1 to %d: plans are made by New", p.Bits, MaxBits))
	}
	table, err := d.table(t.Table)
	if err != nil {
		return fail(err)
	}
	column, err := d.name("column", t.Column)
	if err != nil {
		return fail(err)
	}
	on := column
	if t.Tenant != "" {
		tenant, err := d.name("column", t.Tenant)
		if err != nil {
			return fail(err)
		}
		on = tenant + ", " + column
	}
	name, err := d.name("index", t.Column+"_search")
	if err != nil {
		return fail(err)
	}
	typ, check := d.tagColumn(column, (p.Bits+7)/8, t.Text)
	return fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s CHECK (%s);\nCREATE INDEX %s ON %s (%s);\n", table, column, typ, check, name, table, on), nil
}

// tagColumn returns the type and the check of a column for tags of a number of
// bytes. The text form is "fi", the index's version, a dot, and base64url.
func (d Dialect) tagColumn(column string, size int, text bool) (typ, check string) {
	if !text {
		switch d {
		case Postgres:
			return "bytea", fmt.Sprintf("octet_length(%s) = %d", column, size)
		case MariaDB:
			return fmt.Sprintf("VARBINARY(%d)", size), fmt.Sprintf("LENGTH(%s) = %d", column, size)
		}
		return "BLOB", fmt.Sprintf("typeof(%s) IN ('blob', 'null') AND coalesce(length(%s), %d) = %d", column, column, size, size)
	}
	encoded := base64.RawURLEncoding.EncodedLen(size)
	// The shortest version has one digit.
	least, most := len("fi.")+1+encoded, len("fi.")+maxVersion+encoded
	switch d {
	case Postgres:
		return "text COLLATE \"C\"", fmt.Sprintf("%s LIKE 'fi%%.%%' AND length(%s) BETWEEN %d AND %d", column, column, least, most)
	case MariaDB:
		return fmt.Sprintf("VARCHAR(%d) CHARACTER SET ascii COLLATE ascii_bin", most), fmt.Sprintf("%s LIKE 'fi%%.%%' AND LENGTH(%s) BETWEEN %d AND %d", column, column, least, most)
	}
	return "TEXT", fmt.Sprintf("%s GLOB 'fi[0-9]*.*' AND length(%s) BETWEEN %d AND %d", column, column, least, most)
}
