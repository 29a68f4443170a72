package checks_test

import (
	"strings"
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

func TestChecksRefuse(t *testing.T) {
	db, _ := check.SQLite(t)
	check.Exec(t.Context(), t, db, "PRAGMA synchronous = OFF")
	exercise(t, server{fieldcrypt.SQLite, db, "?", refusedBySQLite})
}

func TestMigrating(t *testing.T) {
	db, _ := check.SQLite(t)
	migrate(t, server{fieldcrypt.SQLite, db, "?", refusedBySQLite})
}

func refusedBySQLite(err error) bool { return strings.Contains(err.Error(), "CHECK constraint failed") }
