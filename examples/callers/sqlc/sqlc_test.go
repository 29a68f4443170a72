package sqlc

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/sqlc/db"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

const (
	name     = "Canary in the clear"
	email    = "canary@example.com"
	newEmail = "canary.new@example.com"
	phone    = "+44 20 7946 0815"
)

func contacts() []db.CreateContactParams {
	return []db.CreateContactParams{
		{ID: "c-1", Tenant: "acme", Name: name, Email: fieldcrypt.Of(email), Phone: fieldcrypt.Of(phone)},
		{ID: "c-2", Tenant: "globex", Name: "Grace"}, // nothing sensitive is known: NULL
	}
}

func TestRun(t *testing.T) {
	ctx, crypt := t.Context(), check.Crypt(t)
	pool, folder := check.SQLite(t)
	rows, err := Run(ctx, pool, crypt, contacts(), newEmail)
	require.NoError(t, err)
	require.Len(t, rows, 2)
	for want, value := range map[string]fieldcrypt.String{newEmail: rows[0].Email, phone: rows[0].Phone} {
		got, err := value.Plain()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.True(t, rows[1].Email.IsNull())
	check.Stored(t, folder, name, email, newEmail, phone)
	queries := db.New(pool)

	t.Run("a row of some columns is a record too", func(t *testing.T) {
		emails, err := fieldcrypt.For[db.ListEmailsRow](crypt)
		require.NoError(t, err)
		rows, err := queries.ListEmails(ctx)
		require.NoError(t, err)
		_, err = rows[0].Email.Plain()
		require.ErrorIs(t, err, fieldcrypt.ErrNotDecrypted)
		require.NoError(t, emails.DecryptAll(ctx, rows))
		got, err := rows[0].Email.Plain()
		require.NoError(t, err)
		require.Equal(t, newEmail, got)
	})

	t.Run("unencrypted parameters are refused", func(t *testing.T) {
		forgotten := contacts()[0]
		forgotten.ID = "c-3"
		require.ErrorIs(t, queries.CreateContact(ctx, forgotten), fieldcrypt.ErrNotEncrypted)
		_, err := queries.UpdateEmail(ctx, db.UpdateEmailParams{ID: "c-1", Tenant: "acme", Email: fieldcrypt.Of(email)})
		require.ErrorIs(t, err, fieldcrypt.ErrNotEncrypted)
	})

	t.Run("parameters without the ID are refused", func(t *testing.T) {
		updates, err := fieldcrypt.For[db.UpdateEmailParams](crypt)
		require.NoError(t, err)
		err = updates.Encrypt(ctx, &db.UpdateEmailParams{Tenant: "acme", Email: fieldcrypt.Of(email)})
		require.ErrorContains(t, err, "ID")
	})

	t.Run("parameters encrypted for another record don't open", func(t *testing.T) {
		creates, err := fieldcrypt.For[db.CreateContactParams](crypt)
		require.NoError(t, err)
		other := contacts()[0]
		require.NoError(t, creates.Encrypt(ctx, &other))
		_, err = queries.UpdateEmail(ctx, db.UpdateEmailParams{ID: "c-2", Tenant: "globex", Email: other.Email})
		require.NoError(t, err, "the database can't tell")
		all, err := fieldcrypt.For[db.Contact](crypt)
		require.NoError(t, err)
		row, err := queries.GetContact(ctx, "c-2")
		require.NoError(t, err)
		var failed *fieldcrypt.DecryptError
		require.ErrorAs(t, all.Decrypt(ctx, &row), &failed)
	})
}

// TestSchema requires of schema.sql what ColumnDefs says, which a changed tag
// changes.
func TestSchema(t *testing.T) {
	all, err := fieldcrypt.For[db.Contact](check.Crypt(t))
	require.NoError(t, err)
	columns, err := all.ColumnDefs(fieldcrypt.SQLite)
	require.NoError(t, err)
	require.Len(t, columns, 2)
	for _, c := range columns {
		require.Contains(t, schema, c.String())
	}
}
