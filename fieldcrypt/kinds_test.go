package fieldcrypt

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What one type holds would be read as another's, past all checks.
func TestValuesOfDifferentTypesDontConvert(t *testing.T) {
	for from := range kinds {
		for to := range kinds {
			require.Equal(t, from == to, from.ConvertibleTo(to), "%s to %s", from, to)
		}
	}
}
