//go:build mariadb

package searchplan_test

import (
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/indexplan"
)

func TestPlanOnMariaDB(t *testing.T) { plan(t, indexplan.MariaDB, check.MariaDB(t)) }
