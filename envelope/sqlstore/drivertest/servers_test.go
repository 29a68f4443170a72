//go:build postgres || mariadb

package drivertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope/sqlstore"
)

// unreachable tries a database whose port is closed.
func unreachable(t *testing.T, d database) {
	t.Helper()
	_, err := sqlstore.Open(t.Context(), d.pool(t), d.dialect, nil)
	require.ErrorIs(t, err, sqlstore.ErrUnreachable)
	require.ErrorContains(t, err, ": the database can't be reached: ")
	require.ErrorContains(t, err, "connection refused")
}
