//go:build postgres

package searchplan_test

import (
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/indexplan"
)

func TestPlanOnPostgres(t *testing.T) {
	_, db := check.Postgres(t)
	plan(t, indexplan.Postgres, db)
}
