package residency

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func mustGlob(t testing.TB, text string) *glob {
	t.Helper()
	g, err := parseGlob(text)
	require.NoError(t, err, text)
	return g
}

func TestGlobMatches(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"acme", []string{"acme"}, []string{"", "acm", "acme ", "Acme", "acme/x"}},
		{"us-*", []string{"us-", "us-acme", "us-*", "us-\n", "us-é"}, []string{"us", "xus-a", "us-a/b", "us-/"}},
		{"*", []string{"", "a", "山田"}, []string{"/", "a/b"}},
		{"*/*", []string{"/", "a/b"}, []string{"a", "a/b/c"}},
		{"?", []string{"a", "é", "🔑", "\ufffd"}, []string{"", "/", "ab"}},
		{"*-prod", []string{"-prod", "a-prod", "a-prod-prod"}, []string{"prod", "a-prod-", "a/b-prod"}},
		{"a*b*c", []string{"abc", "aXbYc", "abbcc"}, []string{"ac", "abcd", "acb"}},
		{"[a-c]?", []string{"ax", "c3"}, []string{"dx", "a", "a/"}},
		{"[^a-c]", []string{"d", "/", "é"}, []string{"a", "b", ""}},
		{`\*[\]\-x]`, []string{"*]", "*-", "*x"}, []string{"a]", "*a"}},
		{`a\b`, []string{"ab"}, []string{`a\b`}},
		{"[äö]", []string{"ä", "ö"}, []string{"a", "ü"}},
		{"*[^x]*c", []string{"a/c"}, nil}, // path.Match says no, against its own grammar
	} {
		g := mustGlob(t, c.pattern)
		for _, s := range c.yes {
			require.True(t, g.match(s), "%q, %q", c.pattern, s)
		}
		for _, s := range c.no {
			require.False(t, g.match(s), "%q, %q", c.pattern, s)
		}
	}
}

// randomGlob makes patterns out of few characters, so that they often meet.
func randomGlob(r *rand.Rand, classes bool) string {
	parts := []string{"a", "b", "-", "/", "*", "*", "?", `\a`, `\*`}
	if classes {
		parts = append(parts, "[ab]", "[^a]", "[a-z]", "[-", "[^", "[]", "[", "]", `\`, "[b-a]", `[\]]`)
	}
	var b strings.Builder
	for range r.IntN(6) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

// all returns the strings of some characters up to a length.
func all(length int) []string {
	found, last := []string{""}, []string{""}
	for range length {
		var next []string
		for _, s := range last {
			for _, c := range "ab-/*x" {
				next = append(next, s+string(c))
			}
		}
		found, last = append(found, next...), next
	}
	return found
}

// What path.Match makes of a pattern is the reference, except where a negated
// class meets a slash.
func TestGlobIsThatOfPathMatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	strs := all(4)
	bad, good := 0, 0
	for range 3000 {
		pattern := randomGlob(r, true)
		g, err := parseGlob(pattern)
		_, refErr := path.Match(pattern, "")
		require.Equal(t, refErr == nil, err == nil, "%q", pattern)
		if err != nil {
			bad++
			continue
		}
		good++
		if strings.Contains(pattern, "[^") {
			continue
		}
		for range 50 {
			s := strs[r.IntN(len(strs))]
			want, err := path.Match(pattern, s)
			require.NoError(t, err)
			require.Equal(t, want, g.match(s), "%q, %q", pattern, s)
			if g.literal() {
				require.Equal(t, pattern == s, g.match(s))
			}
		}
	}
	require.Greater(t, bad, 300)
	require.Greater(t, good, 1000)
}

// Every example is one, and where none is found there is none among all short
// strings.
func TestExamples(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	strs := all(4)[1:]
	found, none := 0, 0
	for range 4000 {
		var globs [2][]*glob
		for i, n := range []int{1 + r.IntN(2), r.IntN(4)} {
			for range n {
				if g, err := parseGlob(randomGlob(r, true)); err == nil {
					globs[i] = append(globs[i], g)
				}
			}
		}
		if len(globs[0]) == 0 {
			continue
		}
		is := func(s string) bool {
			for _, g := range globs[0] {
				if !g.match(s) {
					return false
				}
			}
			for _, g := range globs[1] {
				if g.match(s) {
					return false
				}
			}
			return true
		}
		what := ""
		for _, gs := range globs {
			for _, g := range gs {
				what += fmt.Sprintf("%q ", g.text)
			}
			what += "; "
		}
		s, ok := example(globs[0], globs[1])
		if ok {
			found++
			require.NotEmpty(t, s, what)
			require.True(t, is(s), "%s: %q", what, s)
			continue
		}
		none++
		for _, s := range strs {
			require.False(t, is(s), "%s: %q is one", what, s)
		}
	}
	require.Greater(t, found, 500)
	require.Greater(t, none, 500)
}

// A search that would take too long is given up, and soon.
func TestExampleIsBounded(t *testing.T) {
	a, b := mustGlob(t, "*a"+strings.Repeat("?", 200)), mustGlob(t, "*b"+strings.Repeat("?", 200)+"*")
	s, ok := example([]*glob{a}, []*glob{b})
	require.True(t, ok)
	if s != "" {
		require.True(t, a.match(s) && !b.match(s))
	}
	_, ok = example([]*glob{a}, []*glob{a})
	require.True(t, ok, "given up: it isn't said that there is none")
}

func FuzzGlob(f *testing.F) {
	for _, s := range []string{"us-*", "[a-z]?", `\*`, "[^a]*/", "[", "é*", "[-a]", "[a-]"} {
		f.Add(s, "us-acme")
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 64 || len(s) > 64 {
			return
		}
		g, err := parseGlob(pattern)
		if err != nil {
			return
		}
		_, refErr := path.Match(pattern, "")
		require.NoError(t, refErr)
		g.match(s)
		if e, ok := example([]*glob{g}, nil); ok && e != "" {
			require.True(t, g.match(e))
		}
	})
}
