package examples_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// Each link between files of the repository leads to something, and each link
// to a heading to one that is there.
func TestLinks(t *testing.T) {
	pages, links := 0, 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".cache" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		dead, n := deadLinks(t, path)
		require.Empty(t, dead, path)
		pages, links = pages+1, links+n
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, pages, 5)
	require.Greater(t, links, 50)
}

// The control: what is dead is found, and nothing else.
func TestLinksThatAreDead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	write("other.md", "# A heading, with `code` and (more)\n\n## Twice\n## Twice\n```\n# no heading\n```\n")
	dead, n := deadLinks(t, write("page.md", strings.Join([]string{
		"# Here", "[a](other.md) [b](other.md#a-heading-with-code-and-more) [c](#here) [`d`](.) [e](https://example.com/none)",
		"[f](other.md#twice-1) [g](none.md) [h](#none) [i](other.md#twice-2) [j](other.md#no-heading)", "```go", "x[T](none)", "```", "and `y[T](none)`",
	}, "\n")))
	require.Equal(t, []string{"none.md", "#none", "other.md#twice-2", "other.md#no-heading"}, dead)
	require.Equal(t, 9, n)
}

var (
	fences   = regexp.MustCompile("(?ms)^```.*?\n```")
	code     = regexp.MustCompile("`[^`\n]*`")
	links    = regexp.MustCompile(`\[[^\]]*\]\(([^()\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	external = regexp.MustCompile(`^[a-z]+:`)
)

// deadLinks returns the links of a page that lead nowhere, and how many it has
// to files and headings.
func deadLinks(t *testing.T, path string) (dead []string, n int) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	prose := code.ReplaceAllString(fences.ReplaceAllString(string(text), ""), "")
	for _, match := range links.FindAllStringSubmatch(prose, -1) {
		link := match[1]
		if external.MatchString(link) {
			continue
		}
		n++
		file, heading, _ := strings.Cut(link, "#")
		target := path
		if file != "" {
			target = filepath.Join(filepath.Dir(path), filepath.FromSlash(file))
		}
		if _, err := os.Stat(target); err != nil || heading != "" && !anchors(t, target)[heading] {
			dead = append(dead, link)
		}
	}
	return dead, n
}

// anchors are what GitHub makes of a page's headings.
func anchors(t *testing.T, path string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	all := map[string]bool{}
	for _, match := range headings.FindAllStringSubmatch(fences.ReplaceAllString(string(text), ""), -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, match[1])
		unique := anchor
		for i := 1; all[unique]; i++ {
			unique = fmt.Sprintf("%s-%d", anchor, i)
		}
		all[unique] = true
	}
	return all
}
