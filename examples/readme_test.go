package examples_test

import (
	"bytes"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// The README's program is compiled and run as it stands there: again where it
// has run before, and twice at once.
func TestReadmeProgram(t *testing.T) {
	program := block(t, "go", "package main")
	require.LessOrEqual(t, strings.Count(program, "\n"), 60)
	formatted, err := format.Source([]byte(program))
	require.NoError(t, err)
	require.Equal(t, string(formatted), program)
	binary := build(t, program)

	dir := t.TempDir()
	for range 2 {
		out, err := start(t, binary, dir)()
		require.NoError(t, err, out)
		require.Equal(t, printed, out)
	}
	stored, err := os.ReadFile(filepath.Join(dir, "crm.db"))
	require.NoError(t, err)
	require.Contains(t, string(stored), "acme")
	require.NotContains(t, string(stored), "ada@example.com")
	require.Contains(t, string(stored), "CHECK", "the table is made with its check")

	for range 5 {
		dir := t.TempDir()
		one, other := start(t, binary, dir), start(t, binary, dir)
		for _, wait := range []func() (string, error){one, other} {
			out, err := wait()
			require.NoError(t, err, out)
			require.Equal(t, printed, out)
		}
	}
}

const printed = "1 acme ada@example.com\n"

// So is the program with the lines for AWS KMS in the place of the key file's.
func TestReadmeProgramOnKMS(t *testing.T) {
	program := block(t, "go", "package main")
	before, rest, ok := strings.Cut(program, "\tkms, err := localkms.Open")
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, "\tdb, err :=")
	require.True(t, ok)
	lines := block(t, "go", "\tkms, err := awskms.Open")
	program = strings.Replace(before, "kmsprovider/localkms", "kmsprovider/awskms", 1) + lines + "\tdb, err :=" + after
	binary := build(t, program)

	srv := fakekms.Start(t)
	t.Setenv("AWS_ENDPOINT_URL", srv.URL())
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "localstack")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret-key")
	dir := t.TempDir()
	out, err := start(t, binary, dir)()
	require.Error(t, err)
	require.Contains(t, out, "alias/crm")
	require.NoFileExists(t, filepath.Join(dir, "crm.db"), "a wrong root key shows before the first record")

	srv.CreateAlias("alias/crm", srv.CreateKey(fakekms.KeyOptions{}))
	for starts := range 3 {
		out, err = start(t, binary, dir)()
		require.NoError(t, err, out)
		require.Equal(t, printed, out)
		require.Equal(t, 1, srv.Count("GenerateDataKey"), "the key store has the data key")
		require.Equal(t, starts, srv.Count("Decrypt"))
	}
}

func build(t *testing.T, program string) (binary string) {
	t.Helper()
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(source, []byte(program), 0o600))
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput()
	require.NoError(t, err, string(built))
	return binary
}

// start runs a program in a folder; the returned function waits for its end.
func start(t *testing.T, binary, dir string) (wait func() (string, error)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	require.NoError(t, cmd.Start())
	return func() (string, error) {
		err := cmd.Wait()
		return out.String(), err
	}
}

// A name that is a link in the README is in the file that it leads to.
func TestReadmeNames(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	links := regexp.MustCompile("\\[`([^`]+)`\\]\\(([^)]+)\\)").FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		file, err := os.ReadFile(filepath.Join("..", link[2]))
		require.NoError(t, err)
		require.Contains(t, string(file), link[1])
	}
}

// The README shows what the quickstart prints, but for the random parts.
func TestReadmeOutput(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", "./quickstart").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, withoutRandom(string(out)), withoutRandom(block(t, "text", "root key")))
}

// docs/sweep.md shows what the rotation prints, but for the random parts.
func TestSweepOutput(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "run", "./rotation")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, errs.String())
	shown, err := os.ReadFile("../docs/sweep.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(shown), "```text\n")
	require.True(t, ok)
	block, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	require.Equal(t, withoutCounts(block), withoutCounts(string(out)))
	require.Contains(t, string(out), "resumed: true, proved: true")
}

var counts = regexp.MustCompile(`[0-9a-f]{8}…  \d+|[0-9a-f]{64}|after \d+|in \d+[.\d]*m?s`)

// withoutCounts also leaves out what depends on when the process was killed, and
// the order of keys, which are random.
func withoutCounts(s string) string { return withoutRandom(counts.ReplaceAllString(s, "*")) }

var random = regexp.MustCompile(`local-kms://\w+|/\S*fieldcrypt-quickstart(-\d+)?|[0-9a-f]{8}…[0-9a-f]*|key [0-9a-f]{64}`)

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
