package fakekms_test

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

var acme = map[string]string{"tenant": "acme", "class": "crm"}

// dataKey makes a data key and requires that it works.
func dataKey(t *testing.T, c *kms.Client, keyID string, ec map[string]string) *kms.GenerateDataKeyOutput {
	t.Helper()
	made, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &keyID, KeySpec: types.DataKeySpecAes256, EncryptionContext: ec})
	require.NoError(t, err)
	return made
}

func decrypt(t *testing.T, c *kms.Client, keyID string, blob []byte, ec map[string]string) ([]byte, error) {
	t.Helper()
	out, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: optional(keyID), CiphertextBlob: blob, EncryptionContext: ec})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func TestDataKeyRoundTrip(t *testing.T) {
	for name, start := range transports {
		t.Run(name, func(t *testing.T) {
			srv := start(t)
			arn := srv.CreateKey(fakekms.KeyOptions{})
			c := client(srv)
			made := dataKey(t, c, arn, acme)
			require.Equal(t, arn, *made.KeyId)
			require.Len(t, made.Plaintext, 32)
			require.Len(t, made.CiphertextBlob, 184, "as long as those of AWS")
			require.False(t, bytes.Contains(made.CiphertextBlob, made.Plaintext))
			for _, keyID := range []string{arn, ""} {
				got, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: optional(keyID), CiphertextBlob: made.CiphertextBlob, EncryptionContext: acme})
				require.NoError(t, err)
				require.Equal(t, made.Plaintext, got.Plaintext)
				require.Equal(t, arn, *got.KeyId)
				require.Equal(t, made.KeyMaterialId, got.KeyMaterialId)
			}
			require.NotEqual(t, made.Plaintext, dataKey(t, c, arn, acme).Plaintext)
		})
	}
}

func TestDataKeySizes(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	for name, test := range map[string]struct {
		spec types.DataKeySpec
		size *int32
		want int // 0: refused
	}{
		"AES_256":       {spec: types.DataKeySpecAes256, want: 32},
		"AES_128":       {spec: types.DataKeySpecAes128, want: 16},
		"1 byte":        {size: aws.Int32(1), want: 1},
		"1024 bytes":    {size: aws.Int32(1024), want: 1024},
		"no size":       {},
		"two sizes":     {spec: types.DataKeySpecAes256, size: aws.Int32(32)},
		"unknown spec":  {spec: "AES_512"},
		"0 bytes":       {size: aws.Int32(0)},
		"minus 1 bytes": {size: aws.Int32(-1)},
		"1025 bytes":    {size: aws.Int32(1025)},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: test.spec, NumberOfBytes: test.size})
			if test.want == 0 {
				requireCode(t, err, "ValidationException")
				return
			}
			require.NoError(t, err)
			require.Len(t, out.Plaintext, test.want)
			require.Len(t, out.CiphertextBlob, test.want+152)
		})
	}

	out, err := c.GenerateDataKeyWithoutPlaintext(t.Context(), &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
	require.NoError(t, err)
	key, err := decrypt(t, c, arn, out.CiphertextBlob, nil)
	require.NoError(t, err)
	require.Len(t, key, 32)
	require.NotEqual(t, make([]byte, 32), key, "wiped too early")
}

func TestContextIsBoundCanonically(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	type context = map[string]string
	for name, test := range map[string]struct {
		sealed, opened context
		ok             bool
	}{
		"same":            {context{"a": "b", "c": "d"}, context{"c": "d", "a": "b"}, true},
		"none and empty":  {nil, context{}, true},
		"empty value":     {context{"a": ""}, context{"a": ""}, true},
		"letter moved":    {context{"a": "bc"}, context{"ab": "c"}, false},
		"swapped":         {context{"a": "b"}, context{"b": "a"}, false},
		"pair moved":      {context{"a": "b", "c": "d"}, context{"a": "bcd"}, false},
		"values swapped":  {context{"a": "b", "c": "d"}, context{"a": "d", "c": "b"}, false},
		"missing":         {context{"a": "b"}, nil, false},
		"pair missing":    {context{"a": "b", "c": "d"}, context{"a": "b"}, false},
		"pair added":      {context{"a": "b"}, context{"a": "b", "c": ""}, false},
		"other case":      {context{"a": "b"}, context{"a": "B"}, false},
		"other name case": {context{"a": "b"}, context{"A": "b"}, false},
		"empty for none":  {nil, context{"a": ""}, false},
		"length as text":  {context{"a": "b\x00\x00\x00\x01c\x00\x00\x00\x01d"}, context{"a": "b", "c": "d"}, false},
		"other unicode":   {context{"a": "\u00e9"}, context{"a": "e\u0301"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			made := dataKey(t, c, arn, test.sealed)
			got, err := decrypt(t, c, arn, made.CiphertextBlob, test.opened)
			if !test.ok {
				requireCode(t, err, "InvalidCiphertextException")
				return
			}
			require.NoError(t, err)
			require.Equal(t, made.Plaintext, got)
		})
	}
}

func TestDamagedCiphertextIsRefused(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	blob := dataKey(t, c, arn, nil).CiphertextBlob
	for i := range blob {
		bad := bytes.Clone(blob)
		bad[i] ^= 0x10
		_, err := decrypt(t, c, arn, bad, nil)
		requireCode(t, err, "InvalidCiphertextException")
		_, err = decrypt(t, c, arn, blob[:i], nil)
		if i == 0 {
			requireCode(t, err, "ValidationException")
		} else {
			requireCode(t, err, "InvalidCiphertextException")
		}
	}
	_, err := decrypt(t, c, arn, append(bytes.Clone(blob), 0), nil)
	requireCode(t, err, "InvalidCiphertextException")
	_, err = decrypt(t, c, arn, make([]byte, 6144), nil)
	requireCode(t, err, "InvalidCiphertextException")
	_, err = decrypt(t, c, arn, make([]byte, 6145), nil)
	requireCode(t, err, "ValidationException")
	got, err := decrypt(t, c, arn, blob, nil) // the control
	require.NoError(t, err)
	require.Len(t, got, 32)
}

func TestEncryptLimits(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	for _, size := range []int{1, 4096} {
		text := bytes.Repeat([]byte("x"), size)
		out, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: text, EncryptionContext: acme})
		require.NoError(t, err)
		require.Equal(t, arn, *out.KeyId)
		got, err := decrypt(t, c, arn, out.CiphertextBlob, acme)
		require.NoError(t, err)
		require.Equal(t, text, got)
	}
	for _, size := range []int{0, 4097} {
		_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: make([]byte, size)})
		requireCode(t, err, "ValidationException")
	}
	_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x"), EncryptionContext: map[string]string{"a": string(make([]byte, 8192))}})
	requireCode(t, err, "ValidationException")
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x"), EncryptionContext: map[string]string{"": "a"}})
	requireCode(t, err, "ValidationException")
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x"), EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
	requireCode(t, err, "InvalidKeyUsageException")
	_, err = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte("x"), Recipient: &types.RecipientInfo{}})
	requireCode(t, err, "UnsupportedOperationException")
}

func TestReEncrypt(t *testing.T) {
	srv := pipe(t)
	from, to := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	c := client(srv)
	made := dataKey(t, c, from, acme)
	globex := map[string]string{"tenant": "globex"}

	out, err := c.ReEncrypt(t.Context(), &kms.ReEncryptInput{
		CiphertextBlob: made.CiphertextBlob, SourceKeyId: &from, DestinationKeyId: &to,
		SourceEncryptionContext: acme, DestinationEncryptionContext: globex,
	})
	require.NoError(t, err)
	require.Equal(t, from, *out.SourceKeyId)
	require.Equal(t, to, *out.KeyId)
	got, err := decrypt(t, c, to, out.CiphertextBlob, globex)
	require.NoError(t, err)
	require.Equal(t, made.Plaintext, got)
	_, err = decrypt(t, c, to, out.CiphertextBlob, acme)
	requireCode(t, err, "InvalidCiphertextException")

	missing := "arn:aws:kms:eu-central-1:111122223333:key/none"
	for name, test := range map[string]struct {
		from, to string
		ec       map[string]string
		code     string
	}{
		"wrong source":      {to, to, acme, "IncorrectKeyException"},
		"missing source":    {missing, to, acme, "NotFoundException"},
		"missing target":    {from, missing, acme, "NotFoundException"},
		"no target":         {from, "", acme, "ValidationException"},
		"wrong context":     {from, to, globex, "InvalidCiphertextException"},
		"malformed ARN":     {from, "arn:aws:kms:x", acme, "InvalidArnException"},
		"another region's":  {from, "arn:aws:kms:us-east-1:111122223333:key/none", acme, "NotFoundException"},
		"another account's": {from, "arn:aws:kms:eu-central-1:444455556666:key/none", acme, "AccessDeniedException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ReEncrypt(t.Context(), &kms.ReEncryptInput{
				CiphertextBlob: made.CiphertextBlob, SourceKeyId: &test.from, DestinationKeyId: &test.to,
				SourceEncryptionContext: test.ec, DestinationEncryptionContext: test.ec,
			})
			requireCode(t, err, test.code)
		})
	}
}

func TestDryRunDoesNothing(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	blob := dataKey(t, c, arn, acme).CiphertextBlob
	calls := func(ec map[string]string) []error {
		_, generate := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256, DryRun: aws.Bool(true)})
		_, encrypt := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x"), DryRun: aws.Bool(true)})
		_, decrypt := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: ec, DryRun: aws.Bool(true)})
		return []error{decrypt, generate, encrypt}
	}
	for _, err := range calls(acme) {
		requireCode(t, err, "DryRunOperationException")
	}
	requireCode(t, calls(nil)[0], "InvalidCiphertextException")
	srv.Disable(arn)
	for _, err := range calls(acme) {
		requireCode(t, err, "DisabledException")
	}
}
