package fakekms_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

func TestDataKeyRoundTrip(t *testing.T) {
	for name, start := range transports {
		t.Run(name, func(t *testing.T) {
			srv := start(t)
			arn := srv.CreateKey(fakekms.KeyOptions{})
			c := client(srv)
			ec := map[string]string{"tenant": "acme"}
			made, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256, EncryptionContext: ec})
			require.NoError(t, err)
			require.Equal(t, arn, *made.KeyId)
			require.Len(t, made.Plaintext, 32)
			require.Len(t, made.CiphertextBlob, 184)
			for _, keyID := range []*string{&arn, nil} {
				got, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: keyID, CiphertextBlob: made.CiphertextBlob, EncryptionContext: ec})
				require.NoError(t, err)
				require.Equal(t, made.Plaintext, got.Plaintext)
				require.Equal(t, arn, *got.KeyId)
			}
		})
	}
}
