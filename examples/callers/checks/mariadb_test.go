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
	exercise(t, server{fieldcrypt.MariaDB, db, "?", refusedByMariaDB})
	// What it cut is not there.
	var spaced int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM checks_reference WHERE phone REGEXP '[[:space:]]' OR birthday REGEXP '[[:space:]]'").Scan(&spaced))
	require.Zero(t, spaced)
}

func TestMigratingOnMariaDB(t *testing.T) {
	migrate(t, server{fieldcrypt.MariaDB, check.MariaDB(t), "?", refusedByMariaDB},
		"ALTER TABLE migrants MODIFY email VARCHAR(300) CHARACTER SET ascii COLLATE ascii_bin, MODIFY age VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin")
}

func refusedByMariaDB(err error) bool {
	said, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && slices.Contains([]uint16{
		4025, // a check
		1406, // too long for the column
		1366, // not in the column's character set
	}, said.Number)
}
