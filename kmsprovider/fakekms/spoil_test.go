package fakekms_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// TestBrokenAnswers shows what the SDK client makes of each Break: an error,
// or a result without sense that its caller has to notice.
func TestBrokenAnswers(t *testing.T) {
	type result struct {
		err           bool
		keyID         string
		key, envelope int // lengths
	}
	for name, start := range transports {
		t.Run(name, func(t *testing.T) {
			srv := start(t)
			arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
			fine := result{keyID: "right", key: 32, envelope: 184}
			for fault, want := range map[fakekms.Break]result{
				fakekms.Drop:           {err: true},
				fakekms.Truncate:       {err: true},
				fakekms.BadJSON:        {err: true},
				fakekms.EmptyBody:      {keyID: "none"},
				fakekms.NoFields:       {keyID: "none"},
				fakekms.WrongTypes:     {err: true},
				fakekms.BadBase64:      {err: true},
				fakekms.Oversized:      {keyID: "right", key: 4 << 20, envelope: 4 << 20},
				fakekms.ShortKey:       {keyID: "right", key: 31, envelope: 184},
				fakekms.LongKey:        {keyID: "right", key: 33, envelope: 184},
				fakekms.NoKey:          {keyID: "right", envelope: 184},
				fakekms.OtherKey:       fine,
				fakekms.NoCiphertext:   {keyID: "right", key: 32},
				fakekms.LongCiphertext: {keyID: "right", key: 32, envelope: 6145},
				fakekms.OtherKeyID:     {keyID: "wrong", key: 32, envelope: 184},
				fakekms.NoKeyID:        {keyID: "none", key: 32, envelope: 184},
			} {
				t.Run(string(fault), func(t *testing.T) {
					srv.ResetCalls()
					remove := srv.Inject(fakekms.Fault{Break: fault})
					out, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256, EncryptionContext: acme})
					remove()
					remove() // once more does no harm
					require.Equal(t, 1, srv.Count(), "neither the SDK nor the HTTP client has tried again")
					require.Equal(t, string(fault), srv.Calls()[0].Err)
					require.Equal(t, want.err, err != nil, "%v", err)
					if err == nil {
						keyID := map[string]string{arn: "right", "": "none"}[aws.ToString(out.KeyId)]
						if keyID == "" {
							keyID = "wrong"
						}
						require.Equal(t, want, result{keyID: keyID, key: len(out.Plaintext), envelope: len(out.CiphertextBlob)})
						if fault == fakekms.OtherKey {
							key, err := decrypt(t, c, arn, out.CiphertextBlob, acme)
							require.NoError(t, err)
							require.NotEqual(t, key, out.Plaintext)
						}
					}
					dataKey(t, c, arn, acme) // the control, and the connection is of use again
				})
			}
		})
	}
}

func TestBrokenDescription(t *testing.T) {
	srv := pipe(t)
	arn, c := srv.CreateKey(fakekms.KeyOptions{}), client(srv)
	describe := func(b fakekms.Break) (string, error) {
		defer srv.Inject(fakekms.Fault{Break: b})()
		out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
		if err != nil || out.KeyMetadata == nil {
			return "", err
		}
		return aws.ToString(out.KeyMetadata.Arn), nil
	}
	got, err := describe(fakekms.OtherKeyID)
	require.NoError(t, err)
	require.Regexp(t, "^arn:aws:kms:eu-central-1:111122223333:key/", got)
	require.NotEqual(t, arn, got)
	got, err = describe(fakekms.NoKeyID)
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = describe(fakekms.WrongTypes)
	require.Error(t, err)
	got, err = describe(fakekms.ShortKey) // nothing to break
	require.NoError(t, err)
	require.Equal(t, arn, got)
}
