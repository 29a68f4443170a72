package awskms_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
)

func TestURI(t *testing.T) {
	const uuid = "1234abcd-12ab-34cd-56ef-1234567890ab"
	for _, c := range []struct{ name, in, want string }{
		{"key ARN", arnA, keyA},
		{"URI", keyA, keyA},
		{"multi-Region key", arnMulti, "aws-kms://" + arnMulti},
		{"alias", "alias/crm", "aws-kms://alias/crm"},
		{"alias with slash", "alias/crm/acme_1-x", "aws-kms://alias/crm/acme_1-x"},
		{"alias URI", "aws-kms://alias/crm", "aws-kms://alias/crm"},
		{"alias ARN", "arn:aws:kms:eu-central-1:111122223333:alias/crm", "aws-kms://arn:aws:kms:eu-central-1:111122223333:alias/crm"},
		{"China", "arn:aws-cn:kms:cn-north-1:111122223333:key/" + uuid, "aws-kms://arn:aws-cn:kms:cn-north-1:111122223333:key/" + uuid},
		{"GovCloud", "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/" + uuid, "aws-kms://arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/" + uuid},
		{"isolated", "arn:aws-iso-b:kms:us-isob-east-1:111122223333:key/" + uuid, "aws-kms://arn:aws-iso-b:kms:us-isob-east-1:111122223333:key/" + uuid},
		{"European sovereign", "arn:aws-eusc:kms:eusc-de-east-1:111122223333:key/" + uuid, "aws-kms://arn:aws-eusc:kms:eusc-de-east-1:111122223333:key/" + uuid},
	} {
		t.Run(c.name, func(t *testing.T) {
			uri, err := awskms.URI(c.in)
			require.NoError(t, err)
			require.Equal(t, c.want, uri)
		})
	}
	for name, in := range map[string]string{
		"empty":            "",
		"scheme alone":     "aws-kms://",
		"other scheme":     "local-kms://one",
		"upper scheme":     "AWS-KMS://" + arnA,
		"scheme twice":     "aws-kms://" + keyA,
		"key ID":           uuid,
		"multi-Region ID":  "mrk-1234abcd12ab34cd56ef1234567890ab",
		"key/ID":           "key/" + uuid,
		"upper-case ID":    strings.ToUpper(arnA),
		"upper-case UUID":  "arn:aws:kms:eu-central-1:111122223333:key/1234ABCD-12ab-34cd-56ef-1234567890ab",
		"short UUID":       arnA[:len(arnA)-1],
		"long UUID":        arnA + "0",
		"trailing newline": arnA + "\n",
		"leading space":    " " + arnA,
		"query":            arnA + "?region=eu-west-1",
		"other service":    strings.Replace(arnA, ":kms:", ":s3:", 1),
		"other partition":  strings.Replace(arnA, "arn:aws:", "arn:azure:", 1),
		"no region":        strings.Replace(arnA, region, "", 1),
		"bad region":       strings.Replace(arnA, region, "europe", 1),
		"short account":    strings.Replace(arnA, "111122223333", "11112222333", 1),
		"other resource":   strings.Replace(arnA, ":key/", ":grant/", 1),
		"short mrk":        arnMulti[:len(arnMulti)-1],
		"empty alias":      "alias/",
		"alias with space": "alias/my crm",
		"alias with NUL":   "alias/crm\x00",
		"alias of 251":     "alias/" + strings.Repeat("a", 251),
		"alias ARN, empty": "arn:aws:kms:eu-central-1:111122223333:alias/",
		"600 bytes":        "arn:aws:kms:eu-central-1:111122223333:alias/" + strings.Repeat("a", 600),
		"long region":      "arn:aws:kms:eu-" + strings.Repeat("a", 600) + "-1:111122223333:key/" + uuid,
		"not UTF-8":        "alias/\xff",
	} {
		t.Run("not/"+name, func(t *testing.T) {
			uri, err := awskms.URI(in)
			require.Error(t, err)
			require.Empty(t, uri)
		})
	}
}

func FuzzURI(f *testing.F) {
	for _, s := range []string{arnA, arnMulti, keyA, "alias/crm", "", "aws-kms://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		uri, err := awskms.URI(s)
		if err != nil {
			return
		}
		again, err := awskms.URI(uri)
		require.NoError(t, err)
		require.Equal(t, uri, again, "a root key has one URI")
		require.LessOrEqual(t, len(uri), 512)
	})
}

// Root keys that this provider must not call, and says so without a call.
func TestRootKeysElsewhere(t *testing.T) {
	const uuid = "1234abcd-12ab-34cd-56ef-1234567890ab"
	requests := 0
	p := newOn(t, counting(&requests, always(400, apiError("NotFoundException", "must not be called"))), nil)
	for _, c := range []struct{ name, rootKey, says string }{
		{"other region", "aws-kms://arn:aws:kms:us-east-1:111122223333:key/" + uuid, "the key is in us-east-1, but this provider calls eu-central-1"},
		{"multi-Region key elsewhere", "aws-kms://" + arnMulti, "Options.Replicas"},
		{"other partition", "aws-kms://arn:aws-cn:kms:cn-north-1:111122223333:key/" + uuid, "partition aws-cn"},
		{"partition against region", "aws-kms://arn:aws-us-gov:kms:eu-central-1:111122223333:key/" + uuid, "partition aws-us-gov"},
		{"alias ARN in other region", "aws-kms://arn:aws:kms:us-east-1:111122223333:alias/crm", "us-east-1"},
		{"key ID", "aws-kms://" + uuid, "whole ARN"},
		{"foreign", "local-kms://one", "aws-kms://"},
		{"empty", "", "aws-kms://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := p.GenerateDataKey(t.Context(), c.rootKey, ec)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
			require.ErrorContains(t, err, c.says)
			_, err = p.Unwrap(t.Context(), c.rootKey, []byte{1}, ec)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
			_, _, err = p.Rewrap(t.Context(), c.rootKey, []byte{1}, keyA, ec)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
			_, _, err = p.Rewrap(t.Context(), keyA, []byte{1}, c.rootKey, ec)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
			require.ErrorIs(t, p.Check(t.Context(), c.rootKey), kmsprovider.ErrKeyUnusable)
			_, err = p.Resolve(t.Context(), c.rootKey)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		})
	}
	t.Run("alias to open with", func(t *testing.T) {
		for _, alias := range []string{"aws-kms://alias/crm", "aws-kms://arn:aws:kms:eu-central-1:111122223333:alias/crm"} {
			_, err := p.Unwrap(t.Context(), alias, []byte{1}, ec)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
			require.ErrorContains(t, err, "write the key's own ARN")
			_, _, err = p.Rewrap(t.Context(), alias, []byte{1}, keyA, ec)
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		}
	})
	require.Zero(t, requests)

	// The control: a root key at home is called.
	require.Error(t, p.Check(t.Context(), keyA))
	require.Equal(t, 1, requests)
}

// Arguments that no key could be made or opened with never leave the process.
func TestBadArgumentsWithoutACall(t *testing.T) {
	requests := 0
	p := newOn(t, counting(&requests, always(400, apiError("NotFoundException", "must not be called"))), nil)
	for name, bad := range map[string]kmsprovider.EncryptionContext{
		"empty name":         {"": "x"},
		"name isn't UTF-8":   {"\xff": "x"},
		"value isn't UTF-8":  {"tenant": "acme\xff"},
		"one pair among two": {"a": "b", "c": "\xc3\x28"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.GenerateDataKey(t.Context(), keyA, bad)
			require.ErrorIs(t, err, kmsprovider.ErrInvalidCiphertext)
			_, err = p.Unwrap(t.Context(), keyA, []byte{1}, bad)
			require.ErrorIs(t, err, kmsprovider.ErrInvalidCiphertext)
			_, _, err = p.Rewrap(t.Context(), keyA, []byte{1}, keyB, bad)
			require.ErrorIs(t, err, kmsprovider.ErrInvalidCiphertext)
		})
	}
	for name, wrapped := range map[string][]byte{"nil": nil, "empty": {}, "6,145 bytes": make([]byte, 6145)} {
		t.Run(name, func(t *testing.T) {
			_, err := p.Unwrap(t.Context(), keyA, wrapped, ec)
			require.ErrorIs(t, err, kmsprovider.ErrInvalidCiphertext)
			_, _, err = p.Rewrap(t.Context(), keyA, wrapped, keyB, ec)
			require.ErrorIs(t, err, kmsprovider.ErrInvalidCiphertext)
		})
	}
	require.Zero(t, requests)
}
