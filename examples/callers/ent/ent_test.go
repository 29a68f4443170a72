package ent_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/ent"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/ent/db"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/ent/db/contact"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

const (
	name     = "Canary in the clear"
	email    = "canary@example.com"
	newEmail = "canary.new@example.com"
	phone    = "+44 20 7946 0815"
)

func newContact(id string) *db.Contact {
	return &db.Contact{ID: id, Tenant: "acme", Name: name, Email: fieldcrypt.Of(email), Phone: fieldcrypt.Of(phone)}
}

func TestRun(t *testing.T) {
	ctx := t.Context()
	contacts, err := fieldcrypt.For[db.Contact](check.Crypt(t))
	require.NoError(t, err)
	pool, folder := check.SQLite(t)
	client, err := ent.Open(ctx, pool, contacts)
	require.NoError(t, err)
	list, err := ent.Run(ctx, client, contacts, []*db.Contact{newContact("c-1"), {ID: "c-2", Tenant: "globex", Name: "Grace"}}, newEmail)
	require.NoError(t, err)
	require.Len(t, list, 2)
	for want, value := range map[string]fieldcrypt.String{newEmail: list[0].Email, phone: list[0].Phone} {
		got, err := value.Plain()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.True(t, list[1].Email.IsNull())
	require.Contains(t, list[0].String(), name)
	require.Contains(t, list[0].String(), fieldcrypt.Redacted)
	require.NotContains(t, list[0].String(), newEmail)

	plain := fieldcrypt.Of(email)
	for what, write := range map[string]func() error{
		"Create": func() error { return ent.Create(client.Contact, newContact("c-3")).Exec(ctx) },
		"CreateBulk": func() error {
			return client.Contact.CreateBulk(ent.Create(client.Contact, newContact("c-3"))).Exec(ctx)
		},
		"UpdateOne":   func() error { return list[1].Update().SetEmail(plain).Exec(ctx) },
		"Update":      func() error { return client.Contact.Update().SetEmail(plain).Exec(ctx) },
		"a condition": func() error { _, err := client.Contact.Query().Where(contact.Email(plain)).All(ctx); return err },
	} {
		t.Run("forgotten before "+what, func(t *testing.T) {
			require.ErrorIs(t, write(), fieldcrypt.ErrNotEncrypted)
		})
	}

	t.Run("an envelope in another record's update doesn't open", func(t *testing.T) {
		require.NoError(t, client.Contact.UpdateOneID("c-2").SetEmail(list[0].Email).Exec(ctx), "the database can't tell")
		moved, err := client.Contact.Get(ctx, "c-2")
		require.NoError(t, err)
		var failed *fieldcrypt.DecryptError
		require.ErrorAs(t, contacts.Decrypt(ctx, moved), &failed)
		require.NoError(t, client.Contact.UpdateOneID("c-2").ClearEmail().Exec(ctx))
	})

	stored, err := client.Contact.Query().Order(contact.ByID()).All(ctx)
	require.NoError(t, err)
	require.Len(t, stored, 2, "nothing that was refused is stored")
	_, err = stored[0].Email.Plain()
	require.ErrorIs(t, err, fieldcrypt.ErrNotDecrypted)
	require.True(t, stored[1].Email.IsNull())
	check.Stored(t, folder, name, email, newEmail, phone)
}
