// Package ent stores records with code that ent generates.
//
// The entity that ent makes of the schema is the record type: the tags in the
// schema end up on it. Its builders take values one by one, so the program
// encrypts an entity first and hands its values on.
package ent

import (
	"context"
	stdsql "database/sql"
	"fmt"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/ent/db"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/ent/db/contact"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// Open returns ent's client for an SQLite database and makes the table. What
// ent's own migration makes lacks the checks.
func Open(ctx context.Context, pool *stdsql.DB, contacts *fieldcrypt.Records[db.Contact]) (*db.Client, error) {
	sensitive, err := contacts.DDL(fieldcrypt.SQLite, contact.Table)
	if err != nil {
		return nil, err
	}
	if _, err := pool.ExecContext(ctx, `CREATE TABLE contacts (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL); `+sensitive); err != nil {
		return nil, fmt.Errorf("create the table: %w", err)
	}
	return db.NewClient(db.Driver(sql.OpenDB(dialect.SQLite, pool))), nil
}

// Run stores contacts, changes the e-mail address of the first, and reads all.
func Run(ctx context.Context, client *db.Client, contacts *fieldcrypt.Records[db.Contact], list []*db.Contact, newEmail string) ([]*db.Contact, error) {
	// Before the transaction begins: it may call the key service.
	if err := contacts.Encrypt(ctx, list...); err != nil {
		return nil, err
	}
	tx, err := client.Tx(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	for _, c := range list {
		if err := Create(tx.Contact, c).Exec(ctx); err != nil {
			return nil, err
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}

	first, err := client.Contact.Get(ctx, list[0].ID)
	if err != nil {
		return nil, err
	}
	first.Email.Set(newEmail)
	if err := contacts.Encrypt(ctx, first); err != nil {
		return nil, err
	}
	if err := first.Update().SetEmail(first.Email).Exec(ctx); err != nil {
		return nil, err
	}

	found, err := client.Contact.Query().Order(contact.ByID()).All(ctx)
	if err != nil {
		return nil, err
	}
	return found, contacts.Decrypt(ctx, found...)
}

// Create returns the builder that stores an encrypted contact. A value that is
// null makes NULL.
func Create(client *db.ContactClient, c *db.Contact) *db.ContactCreate {
	return client.Create().SetID(c.ID).SetTenant(c.Tenant).SetName(c.Name).SetEmail(c.Email).SetPhone(c.Phone)
}
