package awskms_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	smithy "github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
)

// AWS answers a wrong signature with the headers that it was made of: the session
// token, or the Authorization header, is among them.
func TestAnswersWithCredentialsAreNotTold(t *testing.T) {
	const token = "IQoJb3JpZ2luX2VjEXAMPLETOKEN"
	for code, message := range map[string]string{
		"InvalidSignatureException": "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for this request should have been\n'POST\n/\n\nhost:kms.eu-central-1.amazonaws.com\nx-amz-security-token:TOKEN\n\nhost;x-amz-security-token'",
		"SignatureDoesNotMatch":     "The Canonical String for this request should have been 'POST / X-Amz-Security-Token:TOKEN'",
		"IncompleteSignature":       "'AKID' not a valid key=value pair (missing equal-sign) in Authorization header: 'AUTHORIZATION'.",
	} {
		t.Run(code, func(t *testing.T) {
			cfg := configFor(func(r *http.Request) (*http.Response, error) {
				require.Equal(t, token, r.Header.Get("X-Amz-Security-Token"))
				told := strings.NewReplacer("TOKEN", token, "AUTHORIZATION", r.Header.Get("Authorization")).Replace(message)
				return answer(r, 403, apiError(code, told)), nil
			})
			cfg.Credentials = credentials.NewStaticCredentialsProvider(accessKeyID, secretKey, token)
			p, err := awskms.New(cfg, nil)
			require.NoError(t, err)
			_, err = p.GenerateDataKey(t.Context(), keyA, ec)
			require.ErrorIs(t, err, kmsprovider.ErrDenied)
			require.ErrorContains(t, err, code)
			api, ok := errors.AsType[smithy.APIError](err)
			require.True(t, ok)
			require.Equal(t, code, api.ErrorCode())
			require.NotEmpty(t, awskms.RequestID(err))
			for _, text := range []string{fmt.Sprintf("%v %+v %#v", err, err, err), api.Error(), api.ErrorMessage()} {
				noSecrets(t, text)
				require.NotContains(t, text, token)
			}
		})
	}
}
