package sqlstd_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/sqlstd"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

const (
	name  = "Canary in the clear"
	email = "canary@example.com"
	phone = "+44 20 7946 0815"
)

func contact() sqlstd.Contact {
	return sqlstd.Contact{ID: "c-1", Tenant: "acme", Name: name, Email: fieldcrypt.Of(email), Phone: fieldcrypt.Of(phone)}
}

func TestSQLite(t *testing.T) {
	db, folder := check.SQLite(t)
	exercise(t, db, fieldcrypt.SQLite)
	check.Stored(t, folder, name, email, phone)
}

// exercise runs the program, and then what must be refused.
func exercise(t *testing.T, db *sql.DB, dialect fieldcrypt.Dialect) {
	ctx, crypt := t.Context(), check.Crypt(t)
	read, err := sqlstd.Run(ctx, db, dialect, crypt, contact())
	require.NoError(t, err)
	require.Equal(t, name, read.Name)
	for want, value := range map[string]fieldcrypt.String{email: read.Email, phone: read.Phone} {
		got, err := value.Plain()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}

	t.Run("an unencrypted value is refused", func(t *testing.T) {
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		forgotten := contact()
		forgotten.ID = "c-2"
		require.ErrorIs(t, sqlstd.Insert(ctx, tx, &forgotten), fieldcrypt.ErrNotEncrypted)
		require.NoError(t, tx.Rollback())
	})

	t.Run("plaintext past the program is refused", func(t *testing.T) {
		for _, column := range []string{"email", "phone"} {
			_, err := db.ExecContext(ctx, `UPDATE contacts SET `+column+` = 'planted'`)
			require.ErrorContains(t, err, "constraint", column)
		}
	})

	contacts, err := fieldcrypt.For[sqlstd.Contact](crypt)
	require.NoError(t, err)

	t.Run("another tenant's envelope is refused", func(t *testing.T) {
		check.Exec(ctx, t, db, `INSERT INTO contacts (id, tenant, name, email) SELECT 'c-3', 'globex', name, email FROM contacts WHERE id = 'c-1'`)
		moved, err := sqlstd.Load(ctx, db, contacts, "c-3")
		var failed *fieldcrypt.DecryptError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, "Contacts.email", failed.Failures[0].Field)
		_, err = moved.Email.Plain()
		require.Error(t, err)
		require.True(t, moved.Phone.IsNull())
	})

	t.Run("a missing record", func(t *testing.T) {
		_, err := sqlstd.Load(ctx, db, contacts, "c-9")
		require.ErrorIs(t, err, sql.ErrNoRows)
	})
}
