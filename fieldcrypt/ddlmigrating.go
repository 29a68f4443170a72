package fieldcrypt

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// CheckName is the name of the constraint that CheckDDL adds. It doesn't change
// with what the check says: before one with another max or pad is added, drop it.
func (c ColumnDef) CheckName() string {
	const suffix = "_envelope"
	if len(c.Name) <= maxIdentifier-len(suffix) {
		return c.Name + suffix
	}
	sum := sha256.Sum256([]byte(c.Name)) // so that two long names stay two
	return c.Name[:maxIdentifier-len(suffix)-9] + "_" + hex.EncodeToString(sum[:4]) + suffix
}

// CheckDDL returns the statements that add the column's check to a table in
// which the column is already, after its plaintext was encrypted: a column of
// a field in migrating mode is made without one. The table's name may have a
// schema's and a dot before it. Each statement ends in a semicolon.
//
//   - PostgreSQL: the first refuses new plaintext and takes no time, also while
//     there still is some in other rows (NOT VALID); but it refuses each update
//     of such a row. It waits for all transactions that use the table, and all
//     that come later wait behind it: set lock_timeout, as sweep.AddChecks does.
//     The second makes sure that there is none, without keeping
//     writers out, and fails where there is.
//   - MariaDB: one, which fails where there is plaintext.
//   - SQLite, which adds no check to a column that is there: two triggers, which
//     refuse new plaintext and say nothing of what is stored.
func (c ColumnDef) CheckDDL(table string) ([]string, error) {
	if c.dialect == 0 {
		return nil, fmt.Errorf("fieldcrypt: CheckDDL of %.80q: a ColumnDef is made by ColumnDefs", c.Field)
	}
	quoted, err := c.dialect.quoteTable(table)
	if err != nil {
		return nil, fmt.Errorf("fieldcrypt: CheckDDL of %s: %w", c.Field, err)
	}
	name := c.dialect.quote(c.CheckName())
	switch c.dialect {
	case Postgres:
		return []string{fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID;", quoted, name, c.Check), fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s;", quoted, name)}, nil
	case MariaDB:
		return []string{fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT IF NOT EXISTS %s CHECK (%s);", quoted, name, c.Check)}, nil
	}
	return c.triggers(table, quoted), nil
}

// triggers hold a column of SQLite to the check from now on.
func (c ColumnDef) triggers(table, quoted string) []string {
	column := c.dialect.quote(c.Name)
	check := strings.ReplaceAll(c.Check, column, "NEW."+column)
	schema, bare := "", quoted
	if before, after, ok := strings.Cut(quoted, "."); ok {
		schema, bare = before+".", after
	}
	table = table[strings.LastIndex(table, ".")+1:]
	var statements []string
	for _, event := range []string{"INSERT", "UPDATE OF " + column} {
		name := c.dialect.quote(fmt.Sprintf("%s_%s_envelope_%s", table, c.Name, strings.ToLower(event[:len("INSERT")])))
		statements = append(statements, fmt.Sprintf(
			"CREATE TRIGGER IF NOT EXISTS %s%s BEFORE %s ON %s WHEN NOT (%s) BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: %s holds envelopes only'); END;",
			schema, name, event, bare, check, c.Name))
	}
	return statements
}

// quoteTable quotes a table's name with a schema's before it, or not.
func (d Dialect) quoteTable(table string) (string, error) {
	parts := strings.Split(table, ".")
	if len(parts) > 2 {
		return "", fmt.Errorf("the table name %.80q has at most one dot, after a schema's name", table)
	}
	for i, part := range parts {
		if err := checkIdentifier("table", part); err != nil {
			return "", err
		}
		parts[i] = d.quote(part)
	}
	return strings.Join(parts, "."), nil
}
