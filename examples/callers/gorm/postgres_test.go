//go:build postgres

package gorm_test

import (
	"testing"

	"gorm.io/driver/postgres"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

func TestPostgres(t *testing.T) {
	_, pool := check.Postgres(t)
	exercise(t, postgres.New(postgres.Config{Conn: pool}), fieldcrypt.Postgres)
}
