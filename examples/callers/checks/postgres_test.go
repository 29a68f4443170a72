//go:build postgres

package checks_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

func TestChecksRefuseOnPostgres(t *testing.T) {
	_, db := check.Postgres(t)
	exercise(t, server{fieldcrypt.Postgres, db, "$", refusedByPostgres})
}

func TestMigratingOnPostgres(t *testing.T) {
	_, db := check.Postgres(t)
	migrate(t, server{fieldcrypt.Postgres, db, "$", refusedByPostgres},
		"ALTER TABLE migrants ALTER COLUMN email TYPE text, ALTER COLUMN age TYPE text USING age::text")
}

func refusedByPostgres(err error) bool {
	said, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{
		"23514", // a check
		"22P02", // no JSON
		"22021", // not UTF-8, or a zero byte
	}, said.Code)
}
