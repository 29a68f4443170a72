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
	exercise(t, server{fieldcrypt.Postgres, db, "$", func(err error) bool {
		said, ok := errors.AsType[*pgconn.PgError](err)
		return ok && slices.Contains([]string{
			"23514", // a check
			"22P02", // no JSON
			"22021", // not UTF-8, or a zero byte
		}, said.Code)
	}})
}
