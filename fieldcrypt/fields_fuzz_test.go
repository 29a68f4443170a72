package fieldcrypt

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// checkFields holds the parser of a Fields column to what it promises: it
// agrees with encoding/json about what such a column is, and what it takes it
// writes again in a form that reads the same, unless that is refused for a name
// or for a member that isn't an envelope.
func checkFields(t require.TestingT, text []byte) {
	var f, g Fields
	src := bytes.Clone(text)
	err := f.Scan(src)
	clear(src) // the driver's, which uses it again
	again := g.Scan(string(text))
	require.Equal(t, again, err)
	require.Equal(t, g, f, "bytes are read unlike the same text, or were kept")
	var oracle map[string]*string
	oracleErr := json.Unmarshal(text, &oracle)
	if err != nil {
		require.Nil(t, f, "a refused column left something behind")
		if errors.Is(err, errFields) && utf8.Valid(text) && !bytes.Contains(text, []byte(`\`)) {
			require.True(t, oracleErr != nil || oracle == nil, "refused, and is an object of strings")
		}
		return
	}
	require.LessOrEqual(t, len(f), maxFields)
	if !bytes.Contains(text, []byte(`\`)) { // else a member may be no JSON, which is no envelope either
		require.NoError(t, oracleErr)
		require.Len(t, oracle, len(f))
		for key, member := range oracle {
			v, ok := f[key]
			require.True(t, ok)
			require.Equal(t, member == nil, v.IsNull())
		}
	}
	written, err := f.Value()
	if err != nil {
		return
	}
	var reread Fields
	require.NoError(t, reread.Scan(written))
	require.Equal(t, f, reread)
	twice, err := reread.Value()
	require.NoError(t, err)
	require.Equal(t, written, twice)
}

func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"vip":"` + textOf(f, envelopeOf('e')) + `","none":null}`))
	f.Fuzz(func(t *testing.T, text []byte) { checkFields(t, text) })
}
