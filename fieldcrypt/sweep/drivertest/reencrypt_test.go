package drivertest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/sweep"
)

// All values go under the new data keys, and hold what they held.
func TestReencrypt(t *testing.T) {
	everywhere(t, func(t *testing.T, d database) {
		s := d.service(t)
		s.fill(1, 1000)
		before := s.keys()
		require.Len(t, before, len(tenants))
		for _, tenant := range tenants {
			_, err := s.crypt.Rotate(t.Context(), fieldcrypt.Scope{Tenant: tenant})
			require.NoError(t, err)
		}
		report, err := s.sweeper(&sweep.Options{RangeRows: 100}).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.True(t, report.Done)
		require.EqualValues(t, 1000, report.Rows)
		require.EqualValues(t, 1000, report.Changed)
		require.Zero(t, report.Failed)
		s.whole(1000)
		after := s.keys()
		require.Len(t, after, len(tenants))
		for key := range after {
			require.NotContains(t, before, key)
		}

		again, err := s.sweeper(nil).Run(t.Context(), s.table(), sweep.Reencrypt, nil)
		require.NoError(t, err)
		require.EqualValues(t, 1000, again.Rows)
		require.Zero(t, again.Changed, "what is under the active key is left alone")
	})
}
