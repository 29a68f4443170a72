package fieldcrypt

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// checkFieldsText holds the parser of a Fields column to what it promises: it
// never ends the reading of a page, it agrees with encoding/json about what such
// a column is, and what it takes it writes again in a form that reads the same,
// unless that is refused for a name or for a member that isn't an envelope.
func checkFieldsText(t require.TestingT, text []byte) {
	var f, g Fields
	src := bytes.Clone(text)
	require.NoError(t, f.Scan(src))
	clear(src) // the driver's, which uses it again
	require.NoError(t, g.Scan(string(text)))
	require.Len(t, f, len(g))
	for key, v := range f {
		w, ok := g[key]
		require.True(t, ok)
		require.Equal(t, settled(t, &w), settled(t, &v), "bytes are read unlike the same text, or were kept")
	}
	var oracle map[string]*string
	oracleErr := json.Unmarshal(text, &oracle)
	if errors.Is(f[unreadable].err, errFields) {
		require.Len(t, f, 1, "a refused column left something behind")
		if utf8.Valid(text) && !bytes.Contains(text, []byte(`\`)) && oracleErr == nil && oracle != nil {
			n := membersIn(t, text)
			require.True(t, n > len(oracle) || n > maxFields, "refused, and is an object of strings")
		}
		return
	}
	require.LessOrEqual(t, len(f), maxFields)
	if bytes.Contains(text, []byte(`\`)) { // a member may be no JSON, which is no envelope either
		for key, v := range f {
			if c := v.candidate(); oracleErr == nil && v.isCandidate() && oracle[key] != nil && !strings.Contains(*oracle[key], "\ufffd") {
				require.Equal(t, *oracle[key], c.content)
			}
		}
	} else {
		require.NoError(t, oracleErr)
		require.Len(t, oracle, len(f))
		for key, member := range oracle {
			v, ok := f[key]
			require.True(t, ok)
			require.Equal(t, member == nil, v.IsNull())
			if c := v.candidate(); v.isCandidate() {
				require.Equal(t, *member, c.content)
			}
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

// membersIn counts the members of an object of strings, those of one name too.
func membersIn(t require.TestingT, text []byte) int {
	d, tokens := json.NewDecoder(bytes.NewReader(text)), 0
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return (tokens - 2) / 2 // braces, and two for each
		}
		require.NoError(t, err)
		tokens++
	}
}

func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"vip":"` + textOf(f, envelopeOf('e')) + `","none":null}`))
	f.Fuzz(func(t *testing.T, text []byte) { checkFieldsText(t, text) })
}
