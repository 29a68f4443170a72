package localkms

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/stretchr/testify/require"
)

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(sampleFile))
	for _, c := range badFiles {
		if len(c.content) < 4096 {
			f.Add([]byte(c.content))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kf, err := parseKeyFile(data)
		if err != nil {
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
			require.Less(t, len(err.Error()), 500)
			return
		}
		encoded := kf.encode()
		var is, want bytes.Buffer
		require.NoError(t, json.Compact(&is, encoded))
		require.NoError(t, json.Compact(&want, data))
		require.Equal(t, want.String(), is.String())
		again, err := parseKeyFile(encoded)
		require.NoError(t, err)
		require.Equal(t, kf, again)
		_, err = newSnapshot(kf, nil)
		require.NoError(t, err)
	})
}

func FuzzUnwrap(f *testing.F) {
	p, good := openSample(f), mustHex(foreignWrapped)
	for _, seed := range [][]byte{good, nil, {1}, good[:64], append(good[:65:65], 0), make([]byte, 65), bytes.Repeat([]byte{0xFF}, 65)} {
		f.Add(seed, "local-kms://abcdefghijklmnopqrstuvwx23/crm", "acme")
	}
	f.Add(good, "local-kms://abcdefghijklmnopqrstuvwx23/default", "acme")
	f.Add(good, "local-kms://", "\xff")
	f.Fuzz(func(t *testing.T, wrapped []byte, rootKey, tenant string) {
		ec := kmsprovider.EncryptionContext{
			"fieldcrypt:v": "1", "fieldcrypt:tenant": tenant, "fieldcrypt:class": "crm", "fieldcrypt:purpose": "data",
		}
		before := bytes.Clone(wrapped)
		plain, err := p.Unwrap(t.Context(), rootKey, wrapped, ec)
		require.True(t, bytes.Equal(before, wrapped))
		if bytes.Equal(wrapped, good) && rootKey == "local-kms://abcdefghijklmnopqrstuvwx23/crm" && tenant == "acme" {
			require.NoError(t, err)
			require.Len(t, plain, kmsprovider.DataKeySize)
			return
		}
		require.Error(t, err)
		require.Nil(t, plain)
		require.NotErrorIs(t, err, kmsprovider.ErrUnavailable)
	})
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}
