//go:build postgres

package sqlstd_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/sqlstd"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

func TestPostgres(t *testing.T) {
	_, db := check.Postgres(t)
	exercise(t, db, fieldcrypt.Postgres)

	var stored int
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM contacts WHERE name = $1`, name).Scan(&stored))
	require.NotZero(t, stored)
	err := db.QueryRow(`SELECT count(*) FROM contacts WHERE position($1::bytea IN email) > 0 OR position($2 IN phone) > 0`,
		[]byte(email), phone).Scan(&stored)
	require.NoError(t, err)
	require.Zero(t, stored)
}

func TestCustomFieldsPostgres(t *testing.T) {
	_, db := check.Postgres(t)
	exerciseCustomFields(t, db, fieldcrypt.Postgres, "$1")
}

// TestPgx tries pgx itself, which handles valuers and scanners in its own way,
// and differently in each of its modes.
func TestPgx(t *testing.T) {
	ctx := t.Context()
	modes := map[string]pgx.QueryExecMode{
		"cached statements":    pgx.QueryExecModeCacheStatement,
		"cached descriptions":  pgx.QueryExecModeCacheDescribe,
		"descriptions":         pgx.QueryExecModeDescribeExec,
		"types by Go's values": pgx.QueryExecModeExec,
		"the simple protocol":  pgx.QueryExecModeSimpleProtocol,
	}
	for mode, m := range modes {
		t.Run(mode, func(t *testing.T) {
			config, db := check.Postgres(t)
			crypt := check.Crypt(t)
			stored, err := sqlstd.Run(ctx, db, fieldcrypt.Postgres, crypt, contact())
			require.NoError(t, err)
			contacts, err := fieldcrypt.For[sqlstd.Contact](crypt)
			require.NoError(t, err)

			config.DefaultQueryExecMode = m
			conn, err := pgx.ConnectConfig(ctx, config)
			require.NoError(t, err)
			defer conn.Close(ctx)
			insert := func(c *sqlstd.Contact) error {
				_, err := conn.Exec(ctx, `INSERT INTO contacts (id, tenant, name, email, phone) VALUES ($1, $2, $3, $4, $5)`,
					c.ID, c.Tenant, c.Name, c.Email, c.Phone)
				return err
			}
			second := contact()
			second.ID = "c-2"
			require.ErrorIs(t, insert(&second), fieldcrypt.ErrNotEncrypted)
			require.NoError(t, contacts.Encrypt(ctx, &second))
			require.NoError(t, insert(&second))

			for _, id := range []string{stored.ID, second.ID} {
				var c sqlstd.Contact
				err := conn.QueryRow(ctx, `SELECT id, tenant, name, email, phone FROM contacts WHERE id = $1`, id).
					Scan(&c.ID, &c.Tenant, &c.Name, &c.Email, &c.Phone)
				require.NoError(t, err)
				require.NoError(t, contacts.Decrypt(ctx, &c))
				got, err := c.Email.Plain()
				require.NoError(t, err)
				require.Equal(t, email, got)
			}
		})
	}
}
