package fieldcrypt

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// checkFieldsText holds the parser of a Fields column to what it promises: it
// never ends the reading of a page, and what it takes it writes again, in a form
// that reads the same, unless that is refused for a name or a member that isn't
// an envelope.
func checkFieldsText(t require.TestingT, text []byte) {
	var f Fields
	require.NoError(t, f.Scan(text))
	require.LessOrEqual(t, len(f), maxFields)
	written, err := f.Value()
	if err != nil {
		return
	}
	var again Fields
	require.NoError(t, again.Scan(written))
	require.Equal(t, f, again)
	twice, err := again.Value()
	require.NoError(t, err)
	require.Equal(t, written, twice)
}

func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"vip":"` + textOf(f, envelopeOf('e')) + `","none":null}`))
	f.Fuzz(func(t *testing.T, text []byte) { checkFieldsText(t, text) })
}
