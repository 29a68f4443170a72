package fieldcrypt

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What ParseSchema takes it writes again, and reads the same.
func FuzzSchema(f *testing.F) {
	f.Add([]byte(`{"version":1,"modules":[{"name":"M","id":["id"],"tenant":"t","fields":[{"name":"a.b","type":"string","path":"a[*].b","pad":16}]}]}`))
	f.Add([]byte(`{"version":2,"modules":[{"name":"M","unbound":true,"class":"crm","fields":[{"name":"n","type":"int64","column":"n"},{"name":"x","type":"json","required":true}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSchema(text)
		if err != nil {
			require.Nil(t, s)
			return
		}
		again, err := json.Marshal(s)
		require.NoError(t, err)
		reread, err := ParseSchema(again)
		require.NoError(t, err)
		require.Equal(t, s, reread)
		require.Empty(t, s.Diff(&Schema{Version: s.Version + 1, Modules: reread.Modules}))
	})
}

// A path is written as it is read.
func FuzzPath(f *testing.F) {
	for _, text := range []string{"a", "a.b", "a[*]", "a[*][*].b", `"a.b".c`, `"[*]"`, "a..b", "[*]", `"`, "a[*]b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePath(text)
		if err != nil {
			return
		}
		again, err := parsePath(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
		require.True(t, p.meets(again))
	})
}

// A document is written as the JSON that it was read from means.
func FuzzDocument(f *testing.F) {
	for _, text := range []string{`{}`, `null`, `[1,2.50,"a",{"b":[true,null]}]`, `"\u0000"`, `{"a":1,"a":2}`, strings.Repeat("[", 2000)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var d Document
		require.NoError(t, d.Scan(text))
		if d.err != nil {
			return
		}
		written, err := d.Value()
		require.NoError(t, err)
		var again Document
		require.NoError(t, again.Scan(written))
		require.Equal(t, d.tree(), again.tree())
		_, err = DocumentOf(d.tree())
		require.True(t, err == nil || strings.Contains(err.Error(), "deep"))
	})
}
