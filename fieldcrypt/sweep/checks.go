package sweep

import (
	"context"
	"fmt"
)

// Checks returns the statements that add to a table that exists what a table
// made with [fieldcrypt.Records.DDL] has from the start: the CHECK that only
// envelopes pass, for each sensitive column. Run them when Coverage finds no
// plaintext any more, or let [Sweeper.AddChecks] do it.
//
// On PostgreSQL each is two statements: the first, which doesn't look at the
// rows, holds for all that is written from then on; the second looks at them
// without keeping writers waiting. MariaDB looks at all rows in one statement.
// SQLite can't add a CHECK to a table that exists: there the error says what to
// do.
func Checks(dialect Dialect, table Table) ([]string, error) {
	checks, err := checksOf(dialect, &table)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, c := range checks {
		all = append(all, c.add)
		if c.validate != "" {
			all = append(all, c.validate)
		}
	}
	return all, nil
}

type check struct{ name, add, validate string }

func checksOf(d Dialect, table *Table) ([]check, error) {
	fail := func(err error) ([]check, error) {
		return nil, fmt.Errorf("sweep: checks of table %s: %w", table.label(), err)
	}
	if err := checkDialect(d); err != nil {
		return nil, err
	}
	if err := table.Rows.Err(); err != nil {
		return fail(err)
	}
	if d == SQLite {
		return fail(fmt.Errorf("%w: SQLite can't add a CHECK to a table that exists: add new columns, which have it, with Records.DDL, and encrypt into these (Table.Plain); or make a new table and copy the rows", ErrTable))
	}
	columns, err := table.Rows.ColumnDefs(d)
	if err != nil {
		return fail(err)
	}
	from := qualified(d, table.Schema, table.Name)
	var all []check
	for _, c := range columns {
		name := shortened(table.Name, 30) + "_" + shortened(c.Name, 25) + "_sealed"
		add := "ALTER TABLE " + from + " ADD CONSTRAINT "
		switch d {
		case Postgres:
			all = append(all, check{name, add + quote(d, name) + " CHECK (" + c.Check + ") NOT VALID", "ALTER TABLE " + from + " VALIDATE CONSTRAINT " + quote(d, name)})
		default:
			all = append(all, check{name: name, add: add + "IF NOT EXISTS " + quote(d, name) + " CHECK (" + c.Check + ")"})
		}
	}
	return all, nil
}

// AddChecks runs what [Checks] returns. It may be run again. Where a row has
// plaintext the database's error says that the check is violated, and on
// PostgreSQL the check holds all the same for what is written from then on.
func (s *Sweeper) AddChecks(ctx context.Context, table Table) error {
	checks, err := checksOf(s.dialect, &table)
	if err != nil {
		return err
	}
	for _, c := range checks {
		there := false
		if s.dialect == Postgres {
			err := each(ctx, s.db, "SELECT count(*) > 0 FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2",
				[]any{qualified(s.dialect, table.Schema, table.Name), c.name}, func(scan func(...any) error) error { return scan(&there) })
			if err != nil {
				return fmt.Errorf("sweep: checks of table %s: %w", table.label(), err)
			}
		}
		for _, statement := range []string{c.add, c.validate} {
			if statement == "" || there && statement == c.add {
				continue
			}
			if _, err := s.db.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("sweep: add the check %s to table %s: %w", c.name, table.label(), told(err))
			}
		}
	}
	return nil
}
