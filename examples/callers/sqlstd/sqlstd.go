// Package sqlstd stores records with database/sql and nothing else.
package sqlstd

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// Contact is a record with two sensitive fields.
type Contact struct {
	ID     string `fieldcrypt:"id"`
	Tenant string `fieldcrypt:"tenant"`
	Name   string
	Email  fieldcrypt.String `fieldcrypt:"Contacts.email,max=320"`
	Phone  fieldcrypt.String `fieldcrypt:"Contacts.phone,max=32,text"`
}

// Run makes the table, stores a contact, and reads it back. The statements are
// for SQLite and PostgreSQL alike.
func Run(ctx context.Context, db *sql.DB, dialect fieldcrypt.Dialect, crypt *fieldcrypt.Crypt, contact Contact) (*Contact, error) {
	contacts, err := fieldcrypt.For[Contact](crypt) // once, when a program starts
	if err != nil {
		return nil, err
	}
	sensitive, err := contacts.DDL(dialect, "contacts")
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, `CREATE TABLE contacts (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL); `+sensitive)
	if err != nil {
		return nil, fmt.Errorf("create the table: %w", err)
	}

	// Before the transaction begins: it may call the key service.
	if err := contacts.Encrypt(ctx, &contact); err != nil {
		return nil, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // after Commit it has nothing to do
	if err := Insert(ctx, tx, &contact); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	return Load(ctx, db, contacts, contact.ID)
}

// Insert stores an encrypted contact.
func Insert(ctx context.Context, tx *sql.Tx, c *Contact) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO contacts (id, tenant, name, email, phone) VALUES ($1, $2, $3, $4, $5)`,
		c.ID, c.Tenant, c.Name, c.Email, c.Phone)
	return err
}

// Load reads a contact and decrypts it.
func Load(ctx context.Context, db *sql.DB, contacts *fieldcrypt.Records[Contact], id string) (*Contact, error) {
	var c Contact
	err := db.QueryRowContext(ctx, `SELECT id, tenant, name, email, phone FROM contacts WHERE id = $1`, id).
		Scan(&c.ID, &c.Tenant, &c.Name, &c.Email, &c.Phone)
	if err != nil {
		return nil, err
	}
	return &c, contacts.Decrypt(ctx, &c)
}
