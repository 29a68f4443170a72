//go:build mariadb

package checks_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

func TestChecksRefuseOnMariaDB(t *testing.T) {
	db := check.MariaDB(t)
	var mode string
	require.NoError(t, db.QueryRow("SELECT @@sql_mode").Scan(&mode))
	require.Contains(t, mode, "STRICT_TRANS_TABLES", "the default, see ColumnDef")
	exercise(t, server{fieldcrypt.MariaDB, db, "?", func(err error) bool {
		said, ok := errors.AsType[*mysql.MySQLError](err)
		return ok && slices.Contains([]uint16{
			4025, // a check
			1406, // too long for the column
			1366, // not in the column's character set
		}, said.Number)
	}})
	// What it cut is not there.
	var spaced int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM checks_reference WHERE phone REGEXP '[[:space:]]' OR birthday REGEXP '[[:space:]]'").Scan(&spaced))
	require.Zero(t, spaced)
}
