package fakekms_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// transports are the two ways to reach a server.
var transports = map[string]func(testing.TB) *fakekms.Server{
	"socket": fakekms.Start,
	"pipe":   pipe,
}

func pipe(t testing.TB) *fakekms.Server {
	t.Helper()
	srv := fakekms.New(fakekms.Options{})
	t.Cleanup(srv.Close)
	return srv
}

// client returns an SDK client that tries each call once.
func client(srv *fakekms.Server) *kms.Client { return clientOf(srv.Config()) }

func clientOf(cfg aws.Config) *kms.Client {
	return kms.NewFromConfig(cfg, func(o *kms.Options) { o.Retryer = aws.NopRetryer{} })
}

// codeOf returns the code of a KMS error, and "" for any other error.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func requireCode(t *testing.T, err error, code string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, codeOf(err), "%v", err)
}
