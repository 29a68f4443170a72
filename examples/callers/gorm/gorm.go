// Package gorm stores records with GORM.
//
// The program encrypts before GORM writes and decrypts after GORM reads. GORM
// itself needs to know nothing: the values are its Valuers and Scanners.
//
// Don't make a sensitive value a condition: equal values have different
// envelopes, so that no row would match. One that isn't encrypted is refused
// there too, with the statement it stands in. A null is left out of a condition
// that GORM makes of a struct, like every zero value, and is IS NULL in one that
// it makes of a map.
package gorm

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// Contact is a model with two sensitive fields. Their type:bytes tells GORM
// what their columns hold.
type Contact struct {
	ID     string `gorm:"primaryKey" fieldcrypt:"id"`
	Tenant string `fieldcrypt:"tenant"`
	Name   string
	Email  fieldcrypt.String `gorm:"type:bytes" fieldcrypt:"Contacts.email,max=320"`
	Phone  fieldcrypt.String `gorm:"type:bytes" fieldcrypt:"Contacts.phone,max=32"`
}

// Migrate makes the table. AutoMigrate would leave out the checks, which refuse
// what a map given to Updates writes past the values.
func Migrate(ctx context.Context, db *gorm.DB, dialect fieldcrypt.Dialect, contacts *fieldcrypt.Records[Contact]) error {
	sensitive, err := contacts.DDL(dialect, "contacts")
	if err != nil {
		return err
	}
	if err := db.WithContext(ctx).Exec(`CREATE TABLE contacts (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL); ` + sensitive).Error; err != nil {
		return fmt.Errorf("create the table: %w", err)
	}
	return nil
}

// Run stores contacts, changes the e-mail address of the first, and reads all.
func Run(ctx context.Context, db *gorm.DB, dialect fieldcrypt.Dialect, crypt *fieldcrypt.Crypt, list []Contact, newEmail string) ([]Contact, error) {
	contacts, err := fieldcrypt.For[Contact](crypt) // once, when a program starts
	if err != nil {
		return nil, err
	}
	if err := Migrate(ctx, db, dialect, contacts); err != nil {
		return nil, err
	}
	db = db.WithContext(ctx)

	// Before the transaction that Create begins: it may call the key service.
	if err := contacts.EncryptAll(ctx, list); err != nil {
		return nil, err
	}
	if err := db.Create(&list).Error; err != nil {
		return nil, err
	}

	// What isn't set anew keeps its envelope: the phone is written as it was.
	var first Contact
	if err := db.First(&first, "id = ?", list[0].ID).Error; err != nil {
		return nil, err
	}
	first.Email.Set(newEmail)
	if err := contacts.Encrypt(ctx, &first); err != nil {
		return nil, err
	}
	if err := db.Save(&first).Error; err != nil {
		return nil, err
	}

	var found []Contact
	if err := db.Order("id").Find(&found).Error; err != nil {
		return nil, err
	}
	return found, contacts.DecryptAll(ctx, found)
}
