// Package registry keeps schemas in a table, so that an administrator's click on
// "encrypt this field" needs no deployment: a program to copy from, on SQLite.
//
// A [Registry] takes the next schema only if fieldcrypt.Schema.Diff refuses no
// change of it, and none needs a sweep that the registry can't see was made: a new
// field may come, a migration ends only when no plaintext is left, and a field goes
// only when none of its envelopes is. Each
// process has [Contacts], which polls for the schema in force and swaps what was
// compiled from it. What a process reads or writes is in one transaction with a
// look at the version in force: a process that is behind gets [ErrBehind], polls
// and tries again, and never writes in the clear what others encrypt.
package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// Errors that a caller can act on.
var (
	// ErrRefused: the next schema was not taken.
	ErrRefused = errors.New("registry: the schema was refused")
	// ErrBehind: the process has another version of the schema than the one in
	// force. Poll, and try again.
	ErrBehind = errors.New("registry: this process is behind")
)

const tables = `
CREATE TABLE IF NOT EXISTS schemas (version INTEGER PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS contacts (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, passport TEXT, email TEXT);`

// A Registry holds the schemas of all versions. It is safe for concurrent use.
type Registry struct {
	db    *sql.DB
	crypt *fieldcrypt.Crypt
}

// Open makes the tables where they aren't there. Transactions of db must begin
// immediately (_txlock=immediate), so that what they read holds until they end.
func Open(ctx context.Context, db *sql.DB, crypt *fieldcrypt.Crypt) (*Registry, error) {
	if _, err := db.ExecContext(ctx, tables); err != nil {
		return nil, fmt.Errorf("registry: make the tables: %w", err)
	}
	return &Registry{db, crypt}, nil
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version returns the version in force; 0 where there is none.
func version(ctx context.Context, q querier) (v int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM schemas").Scan(&v)
	return v, err
}

// InForce returns the newest schema. What can't be read is an error, and not the
// one before it.
func (r *Registry) InForce(ctx context.Context) (*fieldcrypt.Schema, error) {
	return inForce(ctx, r.db)
}

func inForce(ctx context.Context, q querier) (*fieldcrypt.Schema, error) {
	var content []byte
	err := q.QueryRowContext(ctx, "SELECT content FROM schemas ORDER BY version DESC LIMIT 1").Scan(&content)
	if err != nil {
		return nil, fmt.Errorf("registry: read the schema in force: %w", err)
	}
	return fieldcrypt.ParseSchema(content)
}

// Publish puts the next schema in force, if it follows the one that is. It
// returns what that means for what is stored, as Diff says. A change that needs a
// sweep is refused, unless a count of the table shows that nothing is left to do:
// of a field that was forgotten envelopes would show as values, and new values be
// written in the clear.
func (r *Registry) Publish(ctx context.Context, next *fieldcrypt.Schema) ([]fieldcrypt.SchemaChange, error) {
	return r.publish(ctx, next, false)
}

// PublishSwept is Publish for a caller who says that the sweeps which Diff asks
// for were made, or can be made later without harm. What Diff refuses stays
// refused, and so do strict fields over plaintext.
func (r *Registry) PublishSwept(ctx context.Context, next *fieldcrypt.Schema) ([]fieldcrypt.SchemaChange, error) {
	return r.publish(ctx, next, true)
}

func (r *Registry) publish(ctx context.Context, next *fieldcrypt.Schema, swept bool) ([]fieldcrypt.SchemaChange, error) {
	if err := next.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	var changes []fieldcrypt.SchemaChange
	switch before, err := inForce(ctx, tx); {
	case errors.Is(err, sql.ErrNoRows): // the first
	case err != nil:
		return nil, err
	default:
		changes = before.Diff(next)
		for _, change := range changes {
			if change.Effect == fieldcrypt.Refused {
				return changes, fmt.Errorf("%w: %s", ErrRefused, change)
			}
		}
		if !swept {
			if err := r.unswept(ctx, tx, before, next); err != nil {
				return changes, err
			}
		}
	}
	if err := r.settled(ctx, tx, next); err != nil {
		return changes, err
	}
	content, err := json.Marshal(next)
	if err != nil {
		return changes, fmt.Errorf("registry: write the schema: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO schemas (version, content) VALUES (?, ?)", next.Version, string(content)); err != nil {
		return changes, fmt.Errorf("registry: store schema version %d: %w", next.Version, err)
	}
	return changes, tx.Commit()
}

// unswept refuses changes that need a sweep, but for those that need none as
// things are: a new field in migrating mode; what settled counts, a new strict
// field and the end of a migration; and a field that is gone with all of its
// envelopes.
func (r *Registry) unswept(ctx context.Context, tx *sql.Tx, before, next *fieldcrypt.Schema) error {
	rest := *next
	rest.Modules = slices.Clone(next.Modules)
	for i := range rest.Modules {
		m := &rest.Modules[i]
		was := map[string]fieldcrypt.SchemaField{}
		if old := before.Module(m.Name); old != nil {
			for _, f := range old.Fields {
				was[f.Name] = f
			}
		}
		var fields []fieldcrypt.SchemaField
		for _, f := range m.Fields {
			old, known := was[f.Name]
			switch {
			case !known && (f.MigratingUntil != "" || m.Name == "Contacts"):
				continue
			case known && f.MigratingUntil == "" && m.Name == "Contacts":
				f.MigratingUntil = old.MigratingUntil
			}
			fields = append(fields, f)
		}
		m.Fields = fields
	}
	for _, change := range before.Diff(&rest) {
		if change.Effect != fieldcrypt.NeedsSweep {
			continue
		}
		gone, err := r.gone(ctx, tx, before, next, &change)
		if err != nil {
			return err
		}
		if !gone {
			return fmt.Errorf("%w: %s; if that was done, PublishSwept takes it", ErrRefused, change)
		}
	}
	return nil
}

// gone reports whether a change takes a field away of which no envelope is left.
func (r *Registry) gone(ctx context.Context, tx *sql.Tx, before, next *fieldcrypt.Schema, change *fieldcrypt.SchemaChange) (bool, error) {
	m := next.Module("Contacts")
	if m == nil || change.Module != m.Name || change.Field == "" || slices.ContainsFunc(m.Fields, func(f fieldcrypt.SchemaField) bool { return f.Name == change.Field }) {
		return false, nil
	}
	old, err := fieldcrypt.ForMaps(r.crypt, before, "Contacts")
	if err != nil {
		return false, err
	}
	columns, err := old.ColumnDefs(fieldcrypt.SQLite)
	if err != nil {
		return false, err
	}
	for _, c := range columns {
		if c.Field != "Contacts."+change.Field {
			continue
		}
		var envelopes int
		query := fmt.Sprintf("SELECT count(*) FROM contacts WHERE %q IS NOT NULL AND (%s)", c.Name, c.Check)
		if err := tx.QueryRowContext(ctx, query).Scan(&envelopes); err != nil {
			return false, fmt.Errorf("registry: look for envelopes of %s: %w", c.Field, err)
		}
		return envelopes == 0, nil
	}
	return false, nil
}

// settled refuses strict fields while there is plaintext in their columns, which
// nobody could read then. It asks the database what isn't an envelope.
func (r *Registry) settled(ctx context.Context, tx *sql.Tx, next *fieldcrypt.Schema) error {
	m, err := fieldcrypt.ForMaps(r.crypt, next, "Contacts")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	columns, err := m.ColumnDefs(fieldcrypt.SQLite)
	if err != nil {
		return err
	}
	for _, c := range columns {
		if c.Migrating {
			continue
		}
		var plaintexts int
		query := "SELECT count(*) FROM contacts WHERE NOT (" + c.Check + ")"
		if err := tx.QueryRowContext(ctx, query).Scan(&plaintexts); err != nil {
			return fmt.Errorf("registry: look for plaintext of %s: %w", c.Field, err)
		}
		if plaintexts > 0 {
			return fmt.Errorf("%w: %s would be strict, and %d rows hold no envelope of it: let it migrate, and sweep first", ErrRefused, c.Field, plaintexts)
		}
	}
	return nil
}

// EncryptField is the click: the column of that name becomes a sensitive field,
// whose plaintext is taken until a day.
func (r *Registry) EncryptField(ctx context.Context, name string, until time.Time) ([]fieldcrypt.SchemaChange, error) {
	return r.change(ctx, func(m *fieldcrypt.Module) error {
		for _, f := range m.Fields {
			if f.Name == name {
				return fmt.Errorf("%w: the field %q is encrypted already", ErrRefused, name)
			}
		}
		m.Fields = append(m.Fields, fieldcrypt.SchemaField{Name: name, Type: "string", Text: true, MigratingUntil: until.UTC().Format(time.DateOnly)})
		return nil
	})
}

// Finish ends the migration of a field, if no plaintext is left.
func (r *Registry) Finish(ctx context.Context, name string) ([]fieldcrypt.SchemaChange, error) {
	return r.change(ctx, func(m *fieldcrypt.Module) error {
		for i := range m.Fields {
			if m.Fields[i].Name == name && m.Fields[i].MigratingUntil != "" {
				m.Fields[i].MigratingUntil = ""
				return nil
			}
		}
		return fmt.Errorf("%w: there is no field %.80q in migrating mode", ErrRefused, name)
	})
}

func (r *Registry) change(ctx context.Context, edit func(*fieldcrypt.Module) error) ([]fieldcrypt.SchemaChange, error) {
	s, err := r.InForce(ctx) // a copy of its own
	if err != nil {
		return nil, err
	}
	m := s.Module("Contacts")
	if m == nil {
		return nil, fmt.Errorf("%w: it has no module Contacts", ErrRefused)
	}
	if err := edit(m); err != nil {
		return nil, err
	}
	s.Version++
	return r.Publish(ctx, s)
}

// Describe tells an administrator what a change asks for.
func Describe(changes []fieldcrypt.SchemaChange) string {
	lines := make([]string, len(changes))
	for i, c := range changes {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}
