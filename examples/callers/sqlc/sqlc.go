// Package sqlc stores records with code that sqlc generates.
//
// The overrides in sqlc.yaml give the sensitive columns their type and every
// column that matters its tag. sqlc puts them on its parameter and row structs
// too, so each of them is a record type: what is encrypted in one opens in
// another, as long as both have the ID, the tenant and the same field names.
package sqlc

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/sqlc/db"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

//go:embed schema.sql
var schema string

// Run stores contacts, changes the e-mail address of the first, and reads all.
func Run(ctx context.Context, pool *sql.DB, crypt *fieldcrypt.Crypt, params []db.CreateContactParams, newEmail string) ([]db.Contact, error) {
	// Once, when a program starts.
	contacts, err1 := fieldcrypt.For[db.Contact](crypt)
	creates, err2 := fieldcrypt.For[db.CreateContactParams](crypt)
	updates, err3 := fieldcrypt.For[db.UpdateEmailParams](crypt)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if _, err := pool.ExecContext(ctx, schema); err != nil {
		return nil, fmt.Errorf("create the table: %w", err)
	}

	// Before the transaction begins: they may call the key service.
	if err := creates.EncryptAll(ctx, params); err != nil {
		return nil, err
	}
	update := db.UpdateEmailParams{ID: params[0].ID, Tenant: params[0].Tenant, Email: fieldcrypt.Of(newEmail)}
	if err := updates.Encrypt(ctx, &update); err != nil {
		return nil, err
	}
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // after Commit it has nothing to do
	queries := db.New(tx)
	for _, p := range params {
		if err := queries.CreateContact(ctx, p); err != nil {
			return nil, err
		}
	}
	if _, err := queries.UpdateEmail(ctx, update); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}

	rows, err := db.New(pool).ListContacts(ctx)
	if err != nil {
		return nil, err
	}
	return rows, contacts.DecryptAll(ctx, rows)
}
