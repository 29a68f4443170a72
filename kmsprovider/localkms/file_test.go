package localkms

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/stretchr/testify/require"
)

// A key file as version 1 of the format writes it. Its keys are the bytes 0 to
// 31, 32 to 63 and 64 to 95.
const sampleFile = `{
  "format": "fieldcrypt local key file",
  "version": 1,
  "id": "abcdefghijklmnopqrstuvwx23",
  "root_keys": [
    {
      "name": "default",
      "versions": [
        {"version": 1, "created": "2026-01-02T03:04:05Z", "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
      ]
    },
    {
      "name": "crm",
      "versions": [
        {"version": 1, "created": "2026-01-02T03:04:05Z", "key": "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8="},
        {"version": 2, "created": "2026-02-03T04:05:06Z", "key": "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="}
      ]
    }
  ]
}
`

func TestParseWritesBackTheSame(t *testing.T) {
	f, err := parseKeyFile([]byte(sampleFile))
	require.NoError(t, err)
	require.Equal(t, sampleFile, string(f.encode()))

	made := newKeyFile()
	for range 3 {
		made.RootKeys = append(made.RootKeys, fileRootKey{Name: "k" + strings.Repeat("x", len(made.RootKeys)), Versions: []fileVersion{newVersion(1), newVersion(2)}})
	}
	encoded := made.encode()
	f, err = parseKeyFile(encoded)
	require.NoError(t, err)
	require.Equal(t, made, f)
	require.Equal(t, encoded, f.encode())

	// White space is what editors and version control change.
	for name, same := range map[string]string{
		"CRLF":       strings.ReplaceAll(sampleFile, "\n", "\r\n"),
		"one line":   strings.ReplaceAll(sampleFile, "\n", ""),
		"no newline": strings.TrimSpace(sampleFile),
	} {
		f, err := parseKeyFile([]byte(same))
		require.NoError(t, err, name)
		require.Equal(t, sampleFile, string(f.encode()), name)
	}
}

// badFiles are contents that are refused, each with what its error says.
var badFiles = []struct {
	name, says string
	content    string
}{
	{"empty", "is empty; restore it from a backup", ""},
	{"white space", "is empty", " \n\t"},
	{"too large", "larger than 1048576 bytes", strings.Repeat(" ", maxFileSize) + sampleFile},
	{"binary", "not JSON at byte 1", "\x00\x01\x02"},
	{"text", "not JSON at byte 1 of", "root keys"},
	{"cut short", "damaged or cut short", sampleFile[:len(sampleFile)/2]},
	{"cut inside a key", "damaged or cut short", sampleFile[:strings.Index(sampleFile, "AAEC")+20]},
	{"without its last brace", "damaged or cut short", sampleFile[:len(sampleFile)-2]},
	{"twice", "damaged or cut short", sampleFile + sampleFile},
	{"a byte order mark", "not JSON at byte 1", "\xef\xbb\xbf" + sampleFile},
	{"deep", "damaged or cut short", strings.Repeat("[", 100_000)},
	{"null", "not a key file", "null"},
	{"a list", "not a key file", "[]"},
	{"a number", "not a key file", "17"},
	{"an empty object", "not a key file", "{}"},
	{"another format", `"format" isn't "fieldcrypt local key file"`, edit(`fieldcrypt local key file`, `something else`)},
	{"version 0", "has the version 0, and this package reads version 1", edit(`"version": 1,`+"\n", `"version": 0,`+"\n")},
	{"version 2", "has the version 2, and this package reads version 1; it was written by a newer release", edit(`"version": 1,`+"\n", `"version": 2,`+"\n")},
	{"version 2 with other members", "has the version 2", `{"format": "fieldcrypt local key file", "version": 2, "id": 7, "keys": {}}`},
	{"a version that is text", "this package reads version 1", edit(`"version": 1,`+"\n", `"version": "1",`+"\n")},
	{"a version that is a fraction", "this package reads version 1", edit(`"version": 1,`+"\n", `"version": 1.5,`+"\n")},
	{"an unknown member", `a member "comment", which this release doesn't know`, edit(`"id"`, `"comment": "mine", "id"`)},
	{"an unknown member of a root key", `a member "disabled"`, edit(`"name": "crm",`, `"name": "crm", "disabled": true,`)},
	{"a key as a member's name", "isn't as this package writes it", edit(`"id"`, `"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=": 1, "id"`)},
	{"what could be half a key in hex as a member's name", "isn't as this package writes it", edit(`"id"`, `"000102030405060708090a0b0c0d0e0f": 1, "id"`)},
	{"a member twice", "a member twice", edit(`"id"`, `"id": "zzzzzzzzzzzzzzzzzzzzzzzzzz", "id"`)},
	{"a key twice", "a member twice", edit(`"created": "2026-02-03T04:05:06Z", `, `"created": "2026-02-03T04:05:06Z", "key": "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=", `)},
	{"a member in capitals", "order or spelling", edit(`"root_keys"`, `"Root_Keys"`)},
	{"members in another order", "order or spelling", edit(`"version": 2, "created": "2026-02-03T04:05:06Z"`, `"created": "2026-02-03T04:05:06Z", "version": 2`)},
	{"an escape that isn't needed", "order or spelling", edit(`"crm"`, `"\u0063rm"`)},
	{"a line break in a key", "order or spelling", edit(`QEFC`, `QEFC\n`)},
	{"no ID", `"id" isn't 26 characters`, edit(`"id": "abcdefghijklmnopqrstuvwx23",`, ``)},
	{"a short ID", `"id" isn't 26 characters`, edit(`uvwx23`, `uvwx2`)},
	{"an ID with capitals", `"id" isn't 26 characters`, edit(`abcdef`, `ABCDEF`)},
	{"an ID with a slash", `"id" isn't 26 characters`, edit(`abcdef`, `abcde/`)},
	{"an ID that is a number", `its member "id" has a value of the wrong kind`, edit(`"abcdefghijklmnopqrstuvwx23"`, `12`)},
	{"no root keys", `no root key named "default"`, sampleFile[:strings.Index(sampleFile, ",\n  \"root_keys\"")] + "}"},
	{"root keys null", `no root key named "default"`, sampleFile[:strings.Index(sampleFile, "[")] + "null}"},
	{"no default root key", `no root key named "default"`, edit(`"default"`, `"other"`)},
	{"a name twice", "two root keys have the name of root key 2", edit(`"crm"`, `"default"`)},
	{"an empty name", "root key 2 has no valid name", edit(`"crm"`, `""`)},
	{"a name with a slash", "root key 2 has no valid name", edit(`"crm"`, `"a/b"`)},
	{"a name with capitals", "root key 2 has no valid name", edit(`"crm"`, `"CRM"`)},
	{"a long name", "root key 2 has no valid name", edit(`"crm"`, `"`+strings.Repeat("a", 64)+`"`)},
	{"a key as a name", "root key 2 has no valid name", edit(`"crm"`, `"QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8="`)},
	{"no versions", "root key 2 has no versions", sampleFile[:strings.Index(sampleFile, `        {"version": 1, "created": "2026-01-02T03:04:05Z", "key": "QE`)] + "]}]}"},
	{"a gap between versions", "aren't numbered 1, 2, 3", edit(`{"version": 2`, `{"version": 3`)},
	{"a version twice", "aren't numbered 1, 2, 3", edit(`{"version": 2`, `{"version": 1`)},
	{"a negative version", "wrong kind", edit(`{"version": 2`, `{"version": -2`)},
	{"no date", "version 2 of root key 2 has no date", edit(`2026-02-03T04:05:06Z`, ``)},
	{"a key as a date", "version 2 of root key 2 has no date", edit(`2026-02-03T04:05:06Z`, `QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=`)},
	{"a date elsewhere than in UTC", "version 2 of root key 2 has no date", edit(`2026-02-03T04:05:06Z`, `2026-02-03T04:05:06+01:00`)},
	{"no key", "version 2 of root key 2 has a key of 0 bytes, want 32", edit(`ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=`, ``)},
	{"a short key", "has a key of 31 bytes, want 32", edit(`PT4/`, ``, `Ozw9Pj8=`, `Ozw9Pg==`)},
	{"a long key", "has a key of 33 bytes, want 32", edit(`Ozw9Pj8=`, `Ozw9Pj8/`)},
	{"a key that isn't base64", "isn't base64", edit(`ICEi`, `I*Ei`)},
	{"a key that is a number", "wrong kind", edit(`"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="`, `3232`)},
	{"a key with unused bits", "order or spelling", edit(`Pj8=`, `Pj9=`)},
}

// edit returns sampleFile with old replaced by new, for each pair of the two.
func edit(oldnew ...string) string { return strings.NewReplacer(oldnew...).Replace(sampleFile) }

func TestBadFiles(t *testing.T) {
	for _, c := range badFiles {
		t.Run(c.name, func(t *testing.T) {
			require.NotEqual(t, sampleFile, c.content)
			f, err := parseKeyFile([]byte(c.content))
			require.Nil(t, f)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
			require.ErrorContains(t, err, c.says)
			requireNoKey(t, err)
		})
	}
}

// requireNoKey fails if an error shows a piece of one of sampleFile's keys.
func requireNoKey(t *testing.T, err error) {
	t.Helper()
	for _, text := range []string{err.Error(), strings.ToLower(err.Error())} {
		for first := range byte(90) {
			piece := []byte{first, first + 1, first + 2, first + 3, first + 4, first + 5}
			require.NotContains(t, text, base64.StdEncoding.EncodeToString(piece))
			require.NotContains(t, text, hex.EncodeToString(piece))
			if first < ' ' || first > '~' {
				require.NotContains(t, text, string(piece))
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"default", "a", "7", "tenant-1.eu_west", strings.Repeat("a", 63)} {
		require.True(t, validName(good), good)
	}
	for _, bad := range []string{"", "-a", ".a", "..", "_", "A", "a b", "a/b", "a\x00", "ä", "a\n", strings.Repeat("a", 64)} {
		require.False(t, validName(bad), "%q", bad)
	}
}

func TestWipe(t *testing.T) {
	f, err := parseKeyFile([]byte(sampleFile))
	require.NoError(t, err)
	key := f.RootKeys[1].Versions[1].Key
	require.Equal(t, byte(32), key[0])
	f.wipe()
	require.True(t, bytes.Equal(key, make([]byte, 32)))
}

// The encoder must not grow its buffer, which would leave keys behind.
func TestEncodeNeverGrows(t *testing.T) {
	f := newKeyFile()
	for i := range 40 {
		k := fileRootKey{Name: strings.Repeat("n", 23) + strings.Repeat("x", i)}
		for j := range uint32(20) {
			k.Versions = append(k.Versions, newVersion(j+1))
		}
		f.RootKeys = append(f.RootKeys, k)
	}
	f.RootKeys[3].Versions[0].Version = 1<<32 - 1
	size := 256
	for _, k := range f.RootKeys {
		size += 128 + 192*len(k.Versions)
	}
	b := f.encode()
	require.Less(t, len(b), size)
	require.Equal(t, cap(make([]byte, 0, size)), cap(b))
}
