//go:build !race

package memdump

import (
	"bytes"
	"crypto/aes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// The kinds of secrets.
const (
	dataKey       = "data key"
	aesKey        = "AES key" // derived; each schedule begins with it
	recordKey     = "record key"
	schedules     = "schedule"
	sivFirst      = "first half of AES-SIV's key" // a schedule begins with it, too
	sivSecond     = "second half of AES-SIV's key"
	sivSchedules  = "schedule of the first half" // as long as the key is in use
	tinkSchedules = "schedule of the second half"
	indexKey      = "key of a blind index"
	states        = "state of an HMAC"
	base64Text    = "data key in base64"
	extract       = "HKDF's extract"
	pads          = "HMAC key with a pad"
	rootKeys      = "root key"
)

func lp(text string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(text)))) + text
}

// secretsOf derives all that FORMAT.md derives from a data key of a tenant, and
// forms in which the key service's client, Tink or the standard library has them.
func secretsOf(t *testing.T, secret []byte, tenant, purpose string) []Secret {
	t.Helper()
	scope := lp(tenant) + lp("crm")
	prk, err := hkdf.Extract(sha256.New, secret, nil)
	require.NoError(t, err)
	expand := func(info string, n int) []byte {
		key, err := hkdf.Expand(sha256.New, prk, info, n)
		require.NoError(t, err)
		return key
	}
	record := expand("fieldcrypt/v1 key-record"+lp(purpose)+scope, 32)
	all := []Secret{
		{dataKey, tenant, secret},
		{recordKey, tenant, record},
		{base64Text, tenant, []byte(base64.StdEncoding.EncodeToString(secret))},
		{extract, tenant, prk},
	}
	padded := [][]byte{prk, record}
	switch purpose {
	case "data":
		gcm := expand("fieldcrypt/v1 aes-256-gcm"+scope, 32)
		all = append(all, Secret{aesKey, tenant, gcm}, Secret{schedules, tenant, schedule(t, gcm)})
	case "det":
		siv := expand("fieldcrypt/v1 aes-siv"+scope, 64)
		all = append(all,
			Secret{sivFirst, tenant, siv[:32]}, Secret{sivSecond, tenant, siv[32:]},
			Secret{sivSchedules, tenant, schedule(t, siv[:32])}, Secret{tinkSchedules, tenant, schedule(t, siv[32:])})
	case "index":
		key := expand("fieldcrypt/v1 blind-index"+scope+lp("Contacts")+lp("email")+lp(indexName)+"\x00\x00\x00\x01", 32)
		all = append(all, Secret{indexKey, tenant, key})
		padded = append(padded, key)
		for _, key := range [][]byte{prk, key} { // what an index key in use consists of
			for _, pad := range []byte{0x36, 0x5c} {
				all = append(all, statesAfter(t, tenant, key, pad)...)
			}
		}
	default:
		t.Fatalf("a key of purpose %q", purpose)
	}
	for _, key := range padded {
		for _, pad := range []byte{0x36, 0x5c} {
			all = append(all, Secret{pads, tenant, under(key, pad)})
		}
	}
	return all
}

func under(key []byte, pad byte) []byte {
	padded := bytes.Clone(key)
	for i := range padded {
		padded[i] ^= pad
	}
	return padded
}

// statesAfter returns the state of SHA-256 after an HMAC's key with a pad, as the
// words of this machine and as Go marshals it: whoever has the two states of a key
// has all that the key can do.
func statesAfter(t *testing.T, tenant string, key []byte, pad byte) []Secret {
	t.Helper()
	d := sha256.New()
	_, _ = d.Write(under(append(bytes.Clone(key), make([]byte, sha256.BlockSize-len(key))...), pad))
	marshaled, err := d.(encoding.BinaryMarshaler).MarshalBinary()
	require.NoError(t, err)
	state := marshaled[4:36]
	words := make([]byte, 0, len(state))
	for i := 0; i < len(state); i += 4 {
		words = binary.NativeEndian.AppendUint32(words, binary.BigEndian.Uint32(state[i:]))
	}
	return []Secret{{states, tenant, state}, {states, tenant, words}}
}

// schedule returns the first round keys of AES-256, of which the key is the first
// half.
func schedule(t *testing.T, key []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	v := reflect.ValueOf(block)
	mem := unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
	_, at, found := strings.Cut(string(mem), string(key))
	require.True(t, found, "the key is not where it was taken to be")
	return append(key[:32:32], at[:32]...)
}
