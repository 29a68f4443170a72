//go:build localstack

package main

import (
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"
)

func TestTourOnLocalStack(t *testing.T) {
	endpoint := os.Getenv("FIELDCRYPT_TEST_KMS_ENDPOINT")
	require.NotEmpty(t, endpoint, "FIELDCRYPT_TEST_KMS_ENDPOINT names a LocalStack that runs; make test starts one")
	useTestCredentials(t)
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	client := kms.NewFromConfig(cfg, func(o *kms.Options) { o.BaseEndpoint = &endpoint })
	key, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
	require.NoError(t, err)
	requireTour(t, quickstart(t, "-kms", "aws", "-key", aws.ToString(key.KeyMetadata.Arn), "-endpoint", endpoint))
}
