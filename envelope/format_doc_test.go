package envelope_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The worked example of FORMAT.md is derived again with the standard library
// alone, so that the page, and not this package, is what is tested.
func TestFormatWorkedExample(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	require.NoError(t, err)
	example := readExample(t, string(page))
	require.NoError(t, example.check())

	// The control: one digit or name changed anywhere is noticed.
	for _, table := range []map[string]string{example.names, example.shared, example.reference, example.inline} {
		for name, value := range table {
			for i := range value {
				table[name] = value[:i] + string(pageOtherChar(value[i])) + value[i+1:]
				require.Errorf(t, example.check(), "%s with character %d changed", name, i)
			}
			table[name] = value
		}
	}
	require.NoError(t, example.check())
}

// workedExample is what the page states, as it is written there.
type workedExample struct {
	names                     map[string]string // from the sentences
	shared, reference, inline map[string]string // the tables, by the first word of a line
}

func readExample(t *testing.T, page string) workedExample {
	t.Helper()
	_, section, ok := strings.Cut(page, "\n## Worked example\n")
	require.True(t, ok, "FORMAT.md has no worked example")
	section, _, _ = strings.Cut(section, "\n## ")

	sentence := regexp.MustCompile("(tenant|class|module|field|record|string|root key URI) `([^`]+)`|(and) (\\d+) made-up bytes")
	names := map[string]string{}
	for _, m := range sentence.FindAllStringSubmatch(strings.Replace(section, "Tenant", "tenant", 1), -1) {
		names[m[1]+m[3]] = m[2] + m[4]
	}
	require.Len(t, names, 8, "tenant, class, module, field, record, string, URI, length of the wrapped key")

	var tables []map[string]string
	for _, block := range regexp.MustCompile("(?s)```text\n(.*?)```").FindAllStringSubmatch(section, -1) {
		table := map[string]string{}
		for line := range strings.Lines(block[1]) {
			cells := strings.Fields(line)
			require.Lenf(t, cells, 2, "line %q", line)
			table[cells[0]] = cells[1]
		}
		tables = append(tables, table)
	}
	require.Len(t, tables, 3, "what is shared, by reference, inline")
	require.Len(t, tables[0], 7)
	require.Len(t, tables[1], 2)
	require.Len(t, tables[2], 4)
	return workedExample{names, tables[0], tables[1], tables[2]}
}

// check works every line out from the names, the secret and the nonce.
func (e workedExample) check() error {
	secret, err := hex.DecodeString(e.shared["secret"])
	if err != nil {
		return err
	}
	nonce, err := hex.DecodeString(e.shared["nonce"])
	if err != nil {
		return err
	}
	scope := pageLP(e.names["tenant"]) + pageLP(e.names["class"])
	keyID, err := pageDerive(secret, "fieldcrypt/v1 key-id"+pageLP("data")+scope)
	if err != nil {
		return err
	}
	key, err := pageDerive(secret, "fieldcrypt/v1 aes-256-gcm"+scope)
	if err != nil {
		return err
	}
	aad := "fieldcrypt/v1 field\x01" + keyID + scope + pageLP(e.names["module"]) + pageLP(e.names["field"]) + "\x01" + pageLP(e.names["record"])
	frame := "\x01" + e.names["string"]
	for name, want := range map[string]string{"scope": scope, "keyID": keyID, "K_gcm": key, "AAD": aad, "frame": frame} {
		if got := e.shared[name]; got != hex.EncodeToString([]byte(want)) {
			return fmt.Errorf("%s is %x, the page says %s", name, want, got)
		}
	}

	header := "\xfc\x01\x01" + keyID
	payload, err := e.checkEnvelope(e.reference, header)
	if err != nil {
		return fmt.Errorf("by reference: %w", err)
	}
	if !bytes.HasPrefix(payload, nonce) {
		return fmt.Errorf("the nonce of the envelope is %x, the table says %x", payload[:12], nonce)
	}
	if err := pageOpens(key, payload, aad, frame); err != nil {
		return err
	}
	return e.checkInline(keyID, payload)
}

func (e workedExample) checkInline(keyID string, payload []byte) error {
	uri, wrapped := e.names["root key URI"], e.inline["wrapped"]
	if e.inline["URI"] != hex.EncodeToString([]byte(uri)) {
		return fmt.Errorf("the URI is %x, the page says %s", uri, e.inline["URI"])
	}
	if strconv.Itoa(len(wrapped)/2) != e.names["and"] {
		return fmt.Errorf("the wrapped key has %d bytes, the page says %s", len(wrapped)/2, e.names["and"])
	}
	b, err := hex.DecodeString(wrapped)
	if err != nil {
		return err
	}
	header := "\xfc\x01\x02" + keyID + pageU16(uri) + pageU16(string(b))
	got, err := e.checkEnvelope(e.inline, header)
	if err != nil {
		return fmt.Errorf("inline: %w", err)
	}
	if !bytes.Equal(got, payload) {
		return fmt.Errorf("the inline payload is %x, by reference it is %x", got, payload)
	}
	return nil
}

// checkEnvelope compares an envelope with its header and its text form and
// returns what follows the header.
func (e workedExample) checkEnvelope(table map[string]string, header string) ([]byte, error) {
	envelope, err := hex.DecodeString(table["envelope"])
	if err != nil {
		return nil, err
	}
	if text := "fc1." + base64.RawURLEncoding.EncodeToString(envelope); text != table["text"] {
		return nil, fmt.Errorf("the text form is %s, the page says %s", text, table["text"])
	}
	payload, ok := bytes.CutPrefix(envelope, []byte(header))
	if want := 12 + 1 + len(e.names["string"]) + 16; !ok || len(payload) != want {
		return nil, fmt.Errorf("the envelope is %x, it should be %x and %d bytes", envelope, header, want)
	}
	return payload, nil
}

// pageOpens decrypts nonce, ciphertext and tag. AES-GCM has one ciphertext and tag
// for a key, nonce, plaintext and associated data, so what opens is also what
// a writer makes.
func pageOpens(key string, payload []byte, aad, frame string) error {
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	got, err := gcm.Open(nil, nil, payload, []byte(aad))
	if err != nil {
		return err
	}
	if string(got) != frame {
		return fmt.Errorf("the envelope opens to %x, the page says %x", got, frame)
	}
	return nil
}

// pageDerive is 32 bytes of HKDF-SHA256 with an empty salt, by crypto/hkdf and
// by RFC 5869 written out, where an empty salt is 32 zeros.
func pageDerive(secret []byte, info string) (string, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, info, 32)
	if err != nil {
		return "", err
	}
	prk := pageHMAC(make([]byte, sha256.Size), secret)
	if okm := pageHMAC(prk, []byte(info+"\x01")); !bytes.Equal(key, okm) {
		return "", fmt.Errorf("HKDF gives %x and by hand %x", key, okm)
	}
	return string(key), nil
}

func pageHMAC(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}

func pageLP(s string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func pageU16(s string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s
}

// pageOtherChar is another character of the same kind: a digit stays one.
func pageOtherChar(c byte) byte {
	switch c {
	case '9', 'f', 'z', 'Z':
		return c - 1
	}
	return c + 1
}
