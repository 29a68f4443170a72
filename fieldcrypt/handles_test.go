package fieldcrypt_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

// callsOf returns every method of Records that can fail.
func callsOf[T any](r *fieldcrypt.Records[T]) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Encrypt":       func(ctx context.Context) error { return r.Encrypt(ctx, new(T)) },
		"EncryptAll":    func(ctx context.Context) error { return r.EncryptAll(ctx, make([]T, 1)) },
		"Decrypt":       func(ctx context.Context) error { return r.Decrypt(ctx, new(T)) },
		"DecryptAll":    func(ctx context.Context) error { return r.DecryptAll(ctx, make([]T, 1)) },
		"DecryptStrict": func(ctx context.Context) error { return r.DecryptStrict(ctx, new(T)) },
		"EncryptColumns": func(ctx context.Context) error {
			columns, err := r.EncryptColumns(ctx, new(T))
			if columns != nil {
				return fmt.Errorf("columns beside %w", err)
			}
			return err
		},
		"DecryptColumns": func(ctx context.Context) error {
			return r.DecryptColumns(ctx, new(T), fieldcrypt.Columns{"Accounts.iban": nil})
		},
		"DDL": func(context.Context) error {
			_, err := r.DDL(fieldcrypt.SQLite, "contacts")
			return err
		},
		"ColumnDefs": func(context.Context) error {
			_, err := r.ColumnDefs(fieldcrypt.SQLite)
			return err
		},
	}
}

// A handle that nobody made is an error of the program, told in words and not
// by a panic.
func TestHandlesThatNobodyMade(t *testing.T) {
	var null *fieldcrypt.Records[contact]
	for name, r := range map[string]*fieldcrypt.Records[contact]{
		"nil": null, "zero": {}, "nil with a tenant": null.ForTenant("acme"), "zero with a tenant": (&fieldcrypt.Records[contact]{}).ForTenant("acme"),
	} {
		for call, fail := range callsOf(r) {
			require.ErrorContains(t, fail(t.Context()), "Records are made with For", "%s of %s Records", call, name)
		}
	}
	var noCrypt *fieldcrypt.Crypt
	for name, crypt := range map[string]*fieldcrypt.Crypt{"nil": noCrypt, "zero": {}} {
		t.Run(name+" Crypt", func(t *testing.T) {
			const says = "fieldcrypt: no Crypt: make one with New"
			_, err := fieldcrypt.For[contact](crypt)
			require.EqualError(t, err, says)
			_, err = crypt.Rotate(t.Context(), fieldcrypt.Scope{Tenant: "acme"})
			require.EqualError(t, err, says)
			require.Zero(t, crypt.Stats())
			require.Nil(t, crypt.KeyRing())
			require.NoError(t, crypt.Close())
			require.Equal(t, "fieldcrypt.Crypt", fmt.Sprint(crypt))
		})
	}
}

func TestNilContext(t *testing.T) {
	const says = "the context is nil: a caller that has none passes context.Background()"
	crypt := fieldcrypttest.New(t)
	var none context.Context
	values, plains := callsOf(records[contact](t, crypt)), callsOf(records[account](t, crypt))
	for call, fail := range map[string]func(context.Context) error{
		"Encrypt": values["Encrypt"], "EncryptAll": values["EncryptAll"], "Decrypt": values["Decrypt"], "DecryptAll": values["DecryptAll"],
		"DecryptStrict": values["DecryptStrict"], "EncryptColumns": plains["EncryptColumns"], "DecryptColumns": plains["DecryptColumns"],
		"Rotate": func(ctx context.Context) error {
			_, err := crypt.Rotate(ctx, fieldcrypt.Scope{Tenant: "acme"})
			return err
		},
	} {
		require.ErrorContains(t, fail(none), says, call)
		require.ErrorContains(t, fail(none), "fieldcrypt: "+call, call)
		if err := fail(t.Context()); err != nil { // the control
			require.NotContains(t, err.Error(), says, call)
		}
	}
}
