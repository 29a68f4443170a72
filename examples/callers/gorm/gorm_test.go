package gorm_test

import (
	"bytes"
	"log"
	"testing"

	"github.com/libtnb/sqlite"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	caller "github.com/fieldcrypt/fieldcrypt-go/examples/callers/gorm"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

const (
	name     = "Canary in the clear"
	email    = "canary@example.com"
	newEmail = "canary.new@example.com"
	phone    = "+44 20 7946 0815"
)

func contact(id string) caller.Contact {
	return caller.Contact{ID: id, Tenant: "acme", Name: name, Email: fieldcrypt.Of(email), Phone: fieldcrypt.Of(phone)}
}

func TestSQLite(t *testing.T) {
	pool, folder := check.SQLite(t)
	exercise(t, sqlite.New(sqlite.Config{Conn: pool}), fieldcrypt.SQLite)
	check.Stored(t, folder, name, email, newEmail, phone)
}

// exercise runs the program, and then what must be refused.
func exercise(t *testing.T, dialector gorm.Dialector, dialect fieldcrypt.Dialect) {
	ctx, crypt := t.Context(), check.Crypt(t)
	var logged bytes.Buffer // GORM logs statements with what is in them
	db, err := gorm.Open(dialector, &gorm.Config{
		Logger: logger.New(log.New(&logged, "", 0), logger.Config{LogLevel: logger.Info}),
	})
	require.NoError(t, err)
	list, err := caller.Run(ctx, db, dialect, crypt, []caller.Contact{contact("c-1"), {ID: "c-2", Tenant: "globex"}}, newEmail)
	require.NoError(t, err)
	require.Len(t, list, 2)
	for want, value := range map[string]fieldcrypt.String{newEmail: list[0].Email, phone: list[0].Phone} {
		got, err := value.Plain()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.True(t, list[1].Email.IsNull())

	for what, write := range map[string]func() error{
		"Create":              func() error { return db.Create(new(contact("c-3"))).Error },
		"Create many":         func() error { return db.Create([]caller.Contact{contact("c-4"), contact("c-5")}).Error },
		"Create in batches":   func() error { return db.CreateInBatches([]caller.Contact{contact("c-4"), contact("c-5")}, 1).Error },
		"Save":                func() error { return db.Save(new(contact("c-1"))).Error },
		"Updates of a struct": func() error { return db.Updates(new(contact("c-1"))).Error },
		"Update of a column":  func() error { return db.Model(&list[1]).Update("email", fieldcrypt.Of(email)).Error },
		"Updates of a map":    func() error { return db.Model(&list[1]).Updates(map[string]any{"email": fieldcrypt.Of(email)}).Error },
		"UpdateColumn":        func() error { return db.Model(&list[1]).UpdateColumn("email", fieldcrypt.Of(email)).Error },
		"FirstOrCreate":       func() error { return db.FirstOrCreate(new(contact("c-6")), "id = ?", "c-6").Error },
		"a condition":         func() error { return db.Find(new([]caller.Contact), "email = ?", fieldcrypt.Of(email)).Error },
		// GORM looks for NULL in the conditions that it makes of structs and
		// maps, with the error of Value dropped.
		"Delete where a struct": func() error {
			return db.Where(&caller.Contact{Email: fieldcrypt.Of(email)}).Delete(&caller.Contact{}).Error
		},
		"Delete where a map": func() error {
			return db.Where(map[string]any{"email": fieldcrypt.Of(email)}).Delete(&caller.Contact{}).Error
		},
		"Delete where not": func() error {
			return db.Not(&caller.Contact{Email: fieldcrypt.Of(email)}).Delete(&caller.Contact{}).Error
		},
		"Delete where a pointer": func() error {
			return db.Where(map[string]any{"email": new(fieldcrypt.Of(email))}).Delete(&caller.Contact{}).Error
		},
		"Updates where a struct": func() error {
			return db.Model(&caller.Contact{}).Where(&caller.Contact{Email: fieldcrypt.Of(email)}).Update("name", "Eve").Error
		},
		"Find of a struct": func() error {
			return db.Find(new([]caller.Contact), &caller.Contact{Email: fieldcrypt.Of(email)}).Error
		},
		"FirstOrInit": func() error {
			return db.FirstOrInit(new(caller.Contact), &caller.Contact{Email: fieldcrypt.Of(email)}).Error
		},
		"a list of them": func() error {
			return db.Find(new([]caller.Contact), "email IN ?", []fieldcrypt.String{fieldcrypt.Of(email)}).Error
		},
		"a column of a map": func() error { return db.Delete(&caller.Contact{}, map[string]any{"email": fieldcrypt.Of(email)}).Error },
	} {
		t.Run("forgotten before "+what, func(t *testing.T) {
			require.ErrorIs(t, write(), fieldcrypt.ErrNotEncrypted)
		})
	}
	require.Contains(t, logged.String(), name, "the log shows what isn't sensitive")
	for _, secret := range []string{email, newEmail, phone} {
		require.NotContains(t, logged.String(), secret)
	}

	t.Run("plain Go values in a map are refused by the database", func(t *testing.T) {
		err := db.Model(&list[1]).Updates(map[string]any{"email": []byte("planted"), "name": "Eve"}).Error
		require.ErrorContains(t, err, "constraint")
	})

	var found []caller.Contact
	require.NoError(t, db.Order("id").Find(&found).Error)
	require.Len(t, found, 2, "nothing that was refused is stored")
	_, err = found[0].Email.Plain()
	require.ErrorIs(t, err, fieldcrypt.ErrNotDecrypted)
	require.True(t, found[1].Email.IsNull())
}
