package checks_test

import (
	"bytes"
	"database/sql/driver"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

type sealers map[envelope.Mode]*fieldcrypt.Records[record]

// attempts returns what is written to a column that takes envelopes of the
// mode, and perhaps of others.
func attempts(t *testing.T, d fieldcrypt.Dialect, c *fieldcrypt.ColumnDef, mode envelope.Mode, modes []envelope.Mode, sealers sealers) []attempt {
	t.Helper()
	v := valueOf(shortest(), c.Name)
	if _, custom := v.(fieldcrypt.Fields); custom {
		return jsonAttempts(d, mode, modes)
	}
	least, most := bounds(t, c.Name, mode, sealers)
	text := strings.Contains(c.Type, "CHAR") || strings.Contains(c.Type, "TEXT") || c.Type == "text"
	size := most
	if text {
		size = envelope.TextLen(most)
	}
	if mode == modes[len(modes)-1] {
		require.Equal(t, size, c.Size, "the stated size of %s", c.Field)
	}
	if text {
		return textAttempts(d, c.Type, mode, modes, least, most)
	}
	return binaryAttempts(d, mode, modes, least, most)
}

// bounds returns the least and most bytes of an envelope of the field, from
// envelopes by reference, whose sizes don't depend on a root key.
func bounds(t *testing.T, column string, mode envelope.Mode, sealers sealers) (least, most int) {
	t.Helper()
	sizes := make([]int, 2)
	for i, r := range []*record{shortest(), longest()} {
		r.ID = 1
		require.NoError(t, sealers[envelope.ModeReference].Encrypt(t.Context(), r))
		stored, err := valueOf(r, column).Value()
		require.NoError(t, err)
		env, ok := stored.([]byte)
		if !ok {
			env, err = envelope.DecodeText(stored.(string))
			require.NoError(t, err)
		}
		sizes[i] = len(env)
	}
	if mode == envelope.ModeInline {
		sizes[0] += 2 + 1 + 2 + 1 // the shortest URI and wrapped data key
		sizes[1] += envelope.MaxInlineOverhead - envelope.ReferenceOverhead
	}
	return sizes[0], sizes[1]
}

func valueOf(r *record, column string) driver.Valuer {
	return map[string]driver.Valuer{
		"email": r.Email, "phone": r.Phone, "paid": r.Paid, "birthday": r.Born, "tax_id": r.TaxID,
		"letter": r.Letter, "scanned": r.Scanned, "custom": r.Custom,
	}[column]
}

// made returns bytes that have the start and the length of an envelope and
// nothing else of it.
func made(start []byte, size int) []byte {
	return append(slices.Clone(start), make([]byte, size-len(start))...)
}

func madeText(start []byte, size int) string {
	return "fc1." + base64.RawURLEncoding.EncodeToString(made(start, size))
}

func start(m envelope.Mode) []byte { return []byte{0xFC, 1, byte(m)} }

// otherModes returns the mode bytes that the column doesn't take.
func otherModes(modes []envelope.Mode) (others []envelope.Mode) {
	for _, m := range []envelope.Mode{0, 1, 2, 3, 4, 5, 0x41, 0xFF} {
		if !slices.Contains(modes, m) {
			others = append(others, m)
		}
	}
	return others
}

func repeated(s string, size int) string { return strings.Repeat(s, size/len(s)+1)[:size] }

func binaryAttempts(d fieldcrypt.Dialect, mode envelope.Mode, modes []envelope.Mode, least, most int) []attempt {
	all := []attempt{
		{"NULL", nil, true},
		// By design: of what follows the start, a check sees the length alone.
		{"anything of the least length", made(start(mode), least), true},
		{"anything of the most length", made(start(mode), most), true},

		{"plaintext", []byte(plaintext), false},
		{"plaintext of a possible length", []byte(repeated(plaintext, least)), false},
		{"nothing", []byte{}, false},
		{"the first byte", start(mode)[:1], false},
		{"the start alone", start(mode), false},
		{"too short", made(start(mode), least)[:least-1], false},
		{"one byte too long", made(start(mode), most+1), false},
		{"another magic", made([]byte{0xFB, 1, byte(mode)}, least), false},
		{"version 2", made([]byte{0xFC, 2, byte(mode)}, least), false},
		{"version 0", made([]byte{0xFC, 0, byte(mode)}, least), false},
		{"plaintext before it", append([]byte(plaintext), made(start(mode), least)...), false},
		{"its text form", []byte(madeText(start(mode), least)), false},
		{"its hexadecimal form", fmt.Appendf(nil, "%x", made(start(mode), least)), false},
	}
	for _, m := range otherModes(modes) {
		all = append(all, attempt{"mode " + m.String(), made(start(m), least), false})
	}
	if d == fieldcrypt.SQLite { // whose columns take values of any type
		all = append(all, attempt{"bytes as text", string(made(start(mode), least)), false}, attempt{"a number", 42, false}, attempt{"a fraction", 4.2, false})
	}
	return all
}

func textAttempts(d fieldcrypt.Dialect, columnType string, mode envelope.Mode, modes []envelope.Mode, least, most int) []attempt {
	good, longest := madeText(start(mode), least), madeText(start(mode), most)
	all := []attempt{
		{"NULL", nil, true},
		{"anything of the least length", good, true},
		{"anything of the most length", longest, true},
		// SQLite tells bytes and text apart.
		{"the text as bytes", []byte(good), d != fieldcrypt.SQLite},

		{"plaintext", plaintext, false},
		{"plaintext of a possible length", repeated(plaintext, len(good)), false},
		{"plaintext in the alphabet", repeated("ada", len(good)), false},
		{"nothing", "", false},
		{"the prefix alone", "fc1.", false},
		{"the start alone", good[:8], false},
		{"too short", good[:len(good)-1], false},
		{"one character too long", longest + "A", false},
		{"version 2 in the prefix", "fc2." + good[4:], false},
		{"version 2 inside", madeText([]byte{0xFC, 2, byte(mode)}, least), false},
		{"another magic", madeText([]byte{0xFB, 1, byte(mode)}, least), false},
		{"a prefix in upper case", "FC1." + good[4:], false},
		{"a start in lower case", strings.ToLower(good), false},
		{"a space before it", " " + good, false},
		{"quotes around it", `"` + good + `"`, false},
		{"plaintext before it", plaintext + good, false},
		{"a line break inside", good[:40] + "\n" + good[41:], false},
		{"the binary form", string(made(start(mode), len(good))), false},
	}
	// MariaDB cuts white space past the end of a VARCHAR off, and says so in a
	// warning: what it stores is the envelope.
	cuts := func(text, s string) bool {
		return d == fieldcrypt.MariaDB && columnType[:min(7, len(columnType))] == "VARCHAR" && len(text) == envelope.TextLen(most) && strings.TrimSpace(s) == ""
	}
	for name, s := range map[string]string{
		"a line break": "\n", "a carriage return": "\r", "a space": " ", "padding": "=", "a plus": "+", "a slash": "/", "an at": "@",
		"an umlaut": "ä", "a full-width A": "Ａ", "a zero byte": "\x00", "a tabulator": "\t", "a dot": ".",
	} {
		all = append(all, attempt{name + " at the end", good[:len(good)-1] + s, false}, attempt{name + " behind it", good + s, cuts(good, s)})
		if !large(longest) {
			all = append(all, attempt{name + " behind the longest", longest + s, cuts(longest, s)})
		}
	}
	for _, m := range otherModes(modes) {
		all = append(all, attempt{"mode " + m.String(), madeText(start(m), least), false})
	}
	if d == fieldcrypt.SQLite {
		all = append(all, attempt{"a number", 42, false}, attempt{"plaintext behind a zero byte", good[:len(good)-6] + "\x00plain", false})
	}
	return all
}

func jsonAttempts(d fieldcrypt.Dialect, mode envelope.Mode, modes []envelope.Mode) []attempt {
	least := envelope.ReferenceOverhead // of an empty string
	if mode == envelope.ModeInline {
		least += 2 + 1 + 2 + 1
	}
	good := madeText(start(mode), least)
	isPostgres, isSQLite := d == fieldcrypt.Postgres, d == fieldcrypt.SQLite
	member := func(s string) string { return `{"vip":` + s + `}` }
	all := []attempt{
		{"NULL", nil, true},
		{"no member", `{}`, true},
		{"a null member", member(`null`), true},
		{"a member", member(`"` + good + `"`), true},
		{"members", `{"a":"` + good + `","b":null,"Größe, m":"` + good + `"}`, true},

		// By design, see ColumnDef.
		{"a name, which is no secret", `{"` + plaintext + `":null}`, true},
		{"a member longer than any", member(`"` + madeText(start(mode), least+50_000) + `"`), true},
		{"a member too short", member(`"` + good[:len(good)-1] + `"`), isSQLite},
		{"a member's start alone", member(`"` + good[:8] + `"`), isSQLite},
		{"a line break behind a member", member(`"` + good + `\n"`), isSQLite},
		{"a line break inside a member", member(`"` + good[:40] + `\n` + good[40:] + `"`), isSQLite},
		{"padding behind a member", member(`"` + good + `="`), isSQLite},
		{"plaintext behind a member's start", member(`"` + good[:8] + plaintext + `"`), isSQLite},

		// jsonb is no text: spaces, escapes and what comes twice are not kept.
		{"spaces", `{ "vip": "` + good + `" }`, isPostgres},
		{"an escaped character", member(`"\u0066` + good[1:] + `"`), isPostgres},
		{"a name twice, plaintext first", `{"a":"` + plaintext + `","a":"` + good + `"}`, isPostgres},
		{"a name twice, plaintext last", `{"a":"` + good + `","a":"` + plaintext + `"}`, false},

		{"a plaintext member", member(`"` + plaintext + `"`), false},
		{"a plaintext member in the alphabet", member(`"` + repeated("ada", len(good)) + `"`), false},
		{"a plaintext member first", `{"a":"` + plaintext + `","b":"` + good + `"}`, false},
		{"a plaintext member last", `{"a":"` + good + `","b":"` + plaintext + `"}`, false},
		{"a plaintext member between", `{"a":null,"b":"` + plaintext + `","c":null}`, false},
		{"a plaintext member without a name", `{"":"` + plaintext + `"}`, false},
		{"an empty member", member(`""`), false},
		{"a number", member(`42`), false},
		{"a negative number", member(`-4.2e1`), false},
		{"a boolean", member(`true`), false},
		{"an object", member(`{"a":"` + good + `"}`), false},
		{"an object with plaintext", member(`{"a":"` + plaintext + `"}`), false},
		{"an empty object", member(`{}`), false},
		{"an array", member(`["` + good + `"]`), false},
		{"an array with plaintext", member(`["` + plaintext + `"]`), false},
		{"an array on top", `["` + good + `"]`, false},
		{"a string on top", `"` + good + `"`, false},
		{"null on top", `null`, false},
		{"a number on top", `42`, false},
		{"plaintext", plaintext, false},
		{"nothing", ``, false},
		{"an envelope's text form", good, false},
		{"an object cut short", `{"vip":"` + good + `"`, false},
		{"an object and more", member(`"`+good+`"`) + plaintext, false},
		{"two objects", member(`null`) + member(`null`), false},
		{"a comma too many", `{"vip":null,}`, false},
		{"names without quotes", `{vip:null}`, false},
		{"plaintext before a member's text", member(`"` + plaintext + good + `"`), false},
		{"the prefix alone", member(`"fc1."`), false},
		{"a prefix in upper case", member(`"FC1.` + good[4:] + `"`), false},
		{"version 2 in the prefix", member(`"fc2.` + good[4:] + `"`), false},
		{"version 2 inside", member(`"` + madeText([]byte{0xFC, 2, byte(mode)}, least) + `"`), false},
		{"another magic", member(`"` + madeText([]byte{0xFB, 1, byte(mode)}, least) + `"`), false},
		{"a quote that hides in a name", `{"a\":null,\"b":"` + plaintext + `"}`, false},
		{"a quote that hides in a member", member(`"\",\"b\":null"`), false},
		{"a member that looks like several", member(`"` + plaintext + `\",\"b\":\"` + good + `"`), false},
	}
	for _, m := range otherModes(modes) {
		all = append(all, attempt{"mode " + m.String(), member(`"` + madeText(start(m), least) + `"`), false})
	}
	if isSQLite {
		all = append(
			all, attempt{"bytes", []byte(member(`null`)), false}, attempt{"an integer", 42, false},
			attempt{"a zero byte and more", member(`null`) + "\x00" + plaintext, false},
			attempt{"SQLite's own binary form", bytes.Clone([]byte{0x0c}), false},
		)
	}
	return all
}
