package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSearchProgram(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, t.TempDir()))
	text := out.String()
	require.Regexp(t, `(?m)^e-mail address, in capitals +\S+@\S+ +\d+ of 1000 rows read, +1 found$`, text)
	require.Regexp(t, `(?m)^login, deterministic +user-12 +1 of 1000 rows read, +1 found$`, text)
	require.Regexp(t, `(?m)^nobody's e-mail address .* 0 found$`, text)
	require.Regexp(t, `(?m)^a login that is taken .*UNIQUE constraint failed: contacts.tenant, contacts.login`, text)

	// The page shows what it prints; which rows a tag nominates in vain depends
	// on the keys.
	page, err := os.ReadFile("../../docs/search.md")
	require.NoError(t, err)
	rows := regexp.MustCompile(`\d+ of 1000 rows read`)
	require.Contains(t, rows.ReplaceAllString(string(page), "N rows read"), rows.ReplaceAllString(text, "N rows read"))
}
