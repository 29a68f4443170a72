package sweep

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlconn"
	"github.com/fieldcrypt/fieldcrypt-go/internal/sqlerr"
)

// inspect reads what the catalogue has on a table.
func (s *Sweeper) inspect(ctx context.Context, t *Table) (*relation, error) {
	var rel *relation
	var err error
	switch s.dialect {
	case Postgres:
		rel, err = s.inspectPostgres(ctx, t)
	case MariaDB:
		rel, err = s.inspectMariaDB(ctx, t)
	default:
		rel, err = s.inspectSQLite(ctx, t)
	}
	if err != nil && sqlerr.Of(err) == sqlerr.NoTable {
		return nil, noTable(err)
	}
	return rel, err
}

func noTable(err error) error {
	if err == nil {
		return fmt.Errorf("%w: there is no such table", ErrTable)
	}
	return fmt.Errorf("%w: there is no such table: %w", ErrTable, err)
}

func (s *Sweeper) inspectPostgres(ctx context.Context, t *Table) (*relation, error) {
	rel := &relation{}
	var oid int64
	var kind string
	var hidden bool
	err := sqlconn.Each(ctx, s.db, `SELECT c.oid::bigint, c.relkind::text, c.reltuples::bigint, row_security_active(c.oid),
		EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
		FROM pg_class c WHERE c.oid = to_regclass($1)`, []any{qualified(Postgres, t.Schema, t.Name)},
		func(scan func(...any) error) error { return scan(&oid, &kind, &rel.rows, &hidden, &rel.triggers) })
	switch {
	case err != nil:
		return nil, err
	case oid == 0:
		return nil, noTable(nil)
	case kind != "r" && kind != "p":
		return nil, fmt.Errorf("%w: it is a view or the like: sweep the table behind it", ErrTable)
	case hidden:
		return nil, fmt.Errorf("%w: row-level security hides rows of it from this role: sweep with one that has BYPASSRLS, or the sweep would leave rows out without knowing", ErrTable)
	}
	err = sqlconn.Each(ctx, s.db, `SELECT a.attname,
		CASE WHEN t.oid = 'bpchar'::regtype THEN 'bpchar' ELSE format_type(a.atttypid, NULL) END, -- "character" is character(1), to which a cast cuts
		CASE WHEN t.typtype = 'd' AND t.typbasetype IN ('bpchar'::regtype, 'bit'::regtype, 'name'::regtype, '"char"'::regtype) THEN (SELECT b.typname FROM pg_type b WHERE b.oid = t.typbasetype) ELSE t.typname END,
		CASE WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) THEN greatest(a.atttypmod - 4, 0) ELSE 0 END,
		a.attgenerated <> '' OR a.attidentity = 'a', NOT a.attnotnull
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = CAST($1 AS bigint)::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, []any{oid},
		func(scan func(...any) error) error {
			var c column
			var short string
			if err := scan(&c.name, &c.typ, &short, &c.length, &c.computed, &c.nulls); err != nil {
				return err
			}
			switch short {
			case "bpchar", "bit", "name", "char", "_bpchar", "_bit", "_char", "_name":
				c.cuts = true
			}
			switch short {
			case "text", "varchar", "bpchar", "citext", "name":
				c.form = formText
			case "bytea":
				c.form = formBytes
			case "int2", "int4", "int8":
				c.form = formInt
			case "jsonb":
				c.form = formJSON
			case "json":
				c.form = formText // it has no equality but that of its text
			default:
				c.form = formOther
			}
			rel.columns = append(rel.columns, c)
			return nil
		})
	if err != nil {
		return nil, err
	}
	return rel, sqlconn.Each(ctx, s.db, `SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indrelid = CAST($1 AS bigint)::oid AND i.indisprimary ORDER BY k.at`, []any{oid}, rel.addKey)
}

func (rel *relation) addKey(scan func(...any) error) error {
	var name string
	err := scan(&name)
	rel.key = append(rel.key, name)
	return err
}

func (s *Sweeper) inspectMariaDB(ctx context.Context, t *Table) (*relation, error) {
	rel := &relation{rows: -1}
	var kind, engine sql.NullString
	var rows sql.NullInt64
	where := " WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ?"
	args := []any{sql.NullString{String: t.Schema, Valid: t.Schema != ""}, t.Name}
	err := sqlconn.Each(ctx, s.db, "SELECT table_type, engine, table_rows FROM information_schema.tables"+where, args,
		func(scan func(...any) error) error { return scan(&kind, &engine, &rows) })
	switch {
	case err != nil:
		return nil, err
	case !kind.Valid:
		return nil, noTable(nil)
	case kind.String != "BASE TABLE":
		return nil, fmt.Errorf("%w: it is a %s: sweep the table behind it", ErrTable, strings.ToLower(kind.String))
	case !strings.EqualFold(engine.String, "InnoDB"):
		return nil, fmt.Errorf("%w: its engine is %s, which has no transactions to take back a write that went wrong: ALTER TABLE … ENGINE = InnoDB", ErrTable, engine.String)
	case rows.Valid:
		rel.rows = rows.Int64
	}
	err = sqlconn.Each(ctx, s.db, "SELECT column_name, data_type, column_type, COALESCE(character_maximum_length, 0), extra, is_nullable FROM information_schema.columns"+where+" ORDER BY ordinal_position", args,
		func(scan func(...any) error) error {
			var c column
			var kind, extra, nulls string
			if err := scan(&c.name, &kind, &c.typ, &c.length, &extra, &nulls); err != nil {
				return err
			}
			extra = strings.ToUpper(extra)
			c.computed, c.nulls = strings.Contains(extra, "GENERATED") && !strings.Contains(extra, "DEFAULT_GENERATED"), nulls == "YES"
			switch kind = strings.ToLower(kind); {
			case strings.HasSuffix(kind, "char"), strings.HasSuffix(kind, "text"), kind == "json":
				c.form = formText
			case strings.HasSuffix(kind, "binary"), strings.HasSuffix(kind, "blob"):
				c.form = formBytes
			case strings.HasSuffix(kind, "int"):
				c.form = formInt
			default:
				c.form = formOther
			}
			rel.columns = append(rel.columns, c)
			return nil
		})
	if err != nil {
		return nil, err
	}
	err = sqlconn.Each(ctx, s.db, "SELECT column_name FROM information_schema.statistics"+where+" AND index_name = 'PRIMARY' ORDER BY seq_in_index", args, rel.addKey)
	if err != nil {
		return nil, err
	}
	return rel, sqlconn.Each(ctx, s.db, "SELECT COUNT(*) > 0 FROM information_schema.triggers WHERE event_object_schema = COALESCE(?, DATABASE()) AND event_object_table = ?", args,
		func(scan func(...any) error) error { return scan(&rel.triggers) })
}

func (s *Sweeper) inspectSQLite(ctx context.Context, t *Table) (*relation, error) {
	if t.Schema != "" {
		return nil, fmt.Errorf("%w: Table.Schema is %.80q, but SQLite has no schemas: leave it empty", ErrTable, t.Schema)
	}
	rel := &relation{rows: -1}
	var kind string
	err := sqlconn.Each(ctx, s.db, "SELECT type FROM sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE", []any{t.Name},
		func(scan func(...any) error) error { return scan(&kind) })
	switch {
	case err != nil:
		return nil, err
	case kind == "":
		return nil, noTable(nil)
	case kind == "view":
		return nil, fmt.Errorf("%w: it is a view: sweep the table behind it", ErrTable)
	}
	keys := map[int]string{}
	err = sqlconn.Each(ctx, s.db, `SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)`, []any{t.Name},
		func(scan func(...any) error) error {
			var c column
			var notNull bool
			var pk, hidden int
			if err := scan(&c.name, &c.typ, &notNull, &pk, &hidden); err != nil {
				return err
			}
			c.form, c.computed, c.nulls = formOther, hidden > 1, !notNull
			if pk > 0 {
				keys[pk] = c.name
			}
			rel.columns = append(rel.columns, c)
			return nil
		})
	if err != nil {
		return nil, err
	}
	for i := 1; i <= len(keys); i++ {
		rel.key = append(rel.key, keys[i])
	}
	return rel, sqlconn.Each(ctx, s.db, "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE", []any{t.Name},
		func(scan func(...any) error) error { return scan(&rel.triggers) })
}
