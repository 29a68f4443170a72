package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// Contacts is what one process reads and writes contacts with. It is safe for
// concurrent use.
type Contacts struct {
	registry *Registry
	crypt    *fieldcrypt.Crypt
	current  atomic.Pointer[compiled]
}

// compiled is a module of one version. A call uses the one it began with.
type compiled struct {
	version int64
	maps    *fieldcrypt.Maps
}

// NewContacts polls once, so that it begins with the schema in force.
func NewContacts(ctx context.Context, r *Registry, crypt *fieldcrypt.Crypt) (*Contacts, error) {
	c := &Contacts{registry: r, crypt: crypt}
	return c, c.Poll(ctx)
}

// Poll swaps the schema if another one is in force. On an error the process
// keeps what it has, with which it can read and write nothing once another
// version is in force.
func (c *Contacts) Poll(ctx context.Context) error {
	in, err := version(ctx, c.registry.db)
	if err != nil {
		return fmt.Errorf("registry: poll: %w", err)
	}
	if has := c.current.Load(); has != nil && has.version == in {
		return nil
	}
	s, err := c.registry.InForce(ctx)
	if err != nil {
		return err
	}
	m, err := fieldcrypt.ForMaps(c.crypt, s, "Contacts")
	if err != nil {
		return err
	}
	c.current.Store(&compiled{s.Version, m})
	return nil
}

// Run polls until the context ends.
func (c *Contacts) Run(ctx context.Context, every time.Duration, log *slog.Logger) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := c.Poll(ctx); err != nil && ctx.Err() == nil {
				log.ErrorContext(ctx, "poll the schema in force", slog.Any("error", err))
			}
		}
	}
}

// inForce does something in a transaction in which the process's version is the
// one in force.
func (c *Contacts) inForce(ctx context.Context, has *compiled, do func(*sql.Tx) error) error {
	tx, err := c.registry.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	in, err := version(ctx, tx)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	if in != has.version {
		return fmt.Errorf("%w: it has schema version %d, and %d is in force: poll and try again", ErrBehind, has.version, in)
	}
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Save writes a contact with the members id, tenant, passport and email. What is
// sensitive in it is encrypted before the transaction begins.
func (c *Contacts) Save(ctx context.Context, contact map[string]any) error {
	has := c.current.Load()
	if err := has.maps.Encrypt(ctx, contact); err != nil {
		return err
	}
	return c.inForce(ctx, has, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO contacts (id, tenant, passport, email) VALUES (?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET passport = excluded.passport, email = excluded.email`,
			contact["id"], contact["tenant"], contact["passport"], contact["email"])
		return err
	})
}

// Load reads a contact. Members that the schema calls sensitive are values such
// as fieldcrypt.String, and others are what the database holds.
func (c *Contacts) Load(ctx context.Context, id int64) (map[string]any, error) {
	has := c.current.Load()
	contact, _, err := c.read(ctx, has, id)
	if err != nil {
		return nil, err
	}
	return contact, has.maps.Decrypt(ctx, contact)
}

// read returns a row as it is, and what its columns hold.
func (c *Contacts) read(ctx context.Context, has *compiled, id int64) (contact map[string]any, stored [2]any, err error) {
	var tenant string
	err = c.inForce(ctx, has, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT tenant, passport, email FROM contacts WHERE id = ?", id).Scan(&tenant, &stored[0], &stored[1])
	})
	if err != nil {
		return nil, stored, fmt.Errorf("registry: read contact %d: %w", id, err)
	}
	return map[string]any{"id": id, "tenant": tenant, "passport": stored[0], "email": stored[1]}, stored, nil
}

// Sweep encrypts what is there in plaintext. Each row is written only if it is as
// it was read, so that nobody's change is lost; one that was changed meanwhile is
// read again. It can be ended at any time and begun anew.
func (c *Contacts) Sweep(ctx context.Context) (rows int, err error) {
	for id := int64(0); ; {
		err := c.registry.db.QueryRowContext(ctx, "SELECT id FROM contacts WHERE id > ? ORDER BY id LIMIT 1", id).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return rows, nil
		}
		if err != nil {
			return rows, fmt.Errorf("registry: sweep: %w", err)
		}
		for done := false; !done; {
			if done, err = c.sweepRow(ctx, id); err != nil {
				return rows, err
			}
		}
		rows++
	}
}

// sweepRow reports whether the row was still as it had been read.
func (c *Contacts) sweepRow(ctx context.Context, id int64) (done bool, err error) {
	has := c.current.Load()
	contact, was, err := c.read(ctx, has, id)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil // it was deleted
	}
	if err == nil {
		err = has.maps.Decrypt(ctx, contact)
	}
	if err == nil {
		err = has.maps.Encrypt(ctx, contact)
	}
	if err != nil {
		return false, fmt.Errorf("registry: sweep contact %d: %w", id, err)
	}
	err = c.inForce(ctx, has, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, "UPDATE contacts SET passport = ?, email = ? WHERE id = ? AND passport IS ? AND email IS ?",
			contact["passport"], contact["email"], id, was[0], was[1])
		if err != nil {
			return err
		}
		written, err := result.RowsAffected()
		done = written == 1
		return err
	})
	return done, err
}
