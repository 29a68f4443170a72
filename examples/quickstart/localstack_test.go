//go:build localstack

package main

import (
	"crypto/rand"
	"os"
	"testing"

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
	alias := "alias/quickstart-" + rand.Text()
	_, err = client.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: key.KeyMetadata.KeyId})
	require.NoError(t, err)
	out := quickstart(t, "-kms", "aws", "-key", alias, "-endpoint", endpoint)
	requireTour(t, out)
	require.Contains(t, out, "aws-kms://"+alias)
}
