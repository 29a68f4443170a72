package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README's program is compiled and run as it stands there.
func TestReadmeProgram(t *testing.T) {
	program := block(t, "go", "package main")
	require.LessOrEqual(t, strings.Count(program, "\n"), 60)

	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(source, []byte(program), 0o600))
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput()
	require.NoError(t, err, string(built))
	run := func() error {
		command := exec.CommandContext(t.Context(), binary)
		command.Dir = dir
		out, err := command.CombinedOutput()
		if err != nil || string(out) != "1 acme ada@example.com\n" {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	// Twice at once, and again.
	var first, second error
	var wg sync.WaitGroup
	wg.Go(func() { first = run() })
	wg.Go(func() { second = run() })
	wg.Wait()
	require.NoError(t, first)
	require.NoError(t, second)
	require.NoError(t, run())

	stored, err := os.ReadFile(filepath.Join(dir, "crm.db"))
	require.NoError(t, err)
	require.Contains(t, string(stored), "acme")
	require.NotContains(t, string(stored), "ada@example.com")
}

// The README shows what the quickstart prints, but for the random parts.
func TestReadmeOutput(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", "./quickstart").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, withoutRandom(string(out)), withoutRandom(block(t, "text", "root key")))
}

var random = regexp.MustCompile(`local-kms://\w+|/\S*fieldcrypt-quickstart(-\d+)?|fc0102[0-9a-f]+…[0-9a-f]+|key [0-9a-f]{8,}…?`)

func withoutRandom(s string) string { return random.ReplaceAllString(s, "*") }

// block returns the fenced block of a language that starts with the text.
func block(t *testing.T, language, start string) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "```"+language+"\n"+start)
	require.True(t, ok, "the README has no such block")
	body, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	return start + body
}
