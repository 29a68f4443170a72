//go:build localstack

// These tests run against LocalStack:
//
//	FIELDCRYPT_TEST_KMS_ENDPOINT=http://127.0.0.1:4566 go test -tags localstack ./envelope
package envelope_test

import (
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
)

const (
	homeRegion   = "eu-central-1"
	abroadRegion = "eu-west-1"
)

func awsConfig(region string) aws.Config {
	return aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider("AKIATESTTESTTESTTEST", "test-secret-test-secret", ""),
	}
}

func localStackEndpoint(t *testing.T) string {
	t.Helper()
	endpoint := os.Getenv("FIELDCRYPT_TEST_KMS_ENDPOINT")
	require.NotEmpty(t, endpoint, "set FIELDCRYPT_TEST_KMS_ENDPOINT to where LocalStack runs, such as http://127.0.0.1:4566")
	return endpoint
}

func localStackAdmin(t *testing.T) *kms.Client {
	t.Helper()
	endpoint := localStackEndpoint(t)
	return kms.NewFromConfig(awsConfig(homeRegion), func(o *kms.Options) { o.BaseEndpoint = &endpoint })
}

func createKey(t *testing.T, admin *kms.Client, in kms.CreateKeyInput) (arn string) {
	t.Helper()
	out, err := admin.CreateKey(t.Context(), &in)
	require.NoError(t, err)
	return aws.ToString(out.KeyMetadata.Arn)
}

// localStackRing is what a process of a service has: a ring with nothing in
// memory.
func localStackRing(t *testing.T, region, arn string, opts awskms.Options) *envelope.KeyRing {
	t.Helper()
	return localStackRingWith(t, region, envelope.RootKeys{Seal: "aws-kms://" + arn}, opts, nil)
}

func localStackRingWith(t *testing.T, region string, roots envelope.RootKeys, opts awskms.Options, store envelope.KeyStore) *envelope.KeyRing {
	t.Helper()
	opts.Endpoint = localStackEndpoint(t)
	provider, err := awskms.New(awsConfig(region), &opts)
	require.NoError(t, err)
	ring, err := envelope.NewKeyRing(provider, roots, &envelope.Options{Store: store})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ring.Close()) })
	return ring
}

var iban = &envelope.Binding{
	Scope:  envelope.Scope{Tenant: "acme", Class: "billing"},
	Field:  envelope.MustField("Accounts", "iban"),
	Record: "42",
}

const ibanText = "DE00 0000 0000 0000 0000 00"

func sealIBAN(t *testing.T, ring *envelope.KeyRing) []byte {
	t.Helper()
	sealed, err := ring.Seal(t.Context(), iban, envelope.AppendString(nil, ibanText))
	require.NoError(t, err)
	return sealed
}

func requireIBAN(t *testing.T, ring *envelope.KeyRing, sealed []byte) {
	t.Helper()
	frame, err := ring.Open(t.Context(), iban, sealed)
	require.NoError(t, err)
	require.Equal(t, envelope.AppendString(nil, ibanText), frame)
}

// TestLocalStackTwoProcesses seals here and opens in a process of its own,
// which is this test binary started again.
func TestLocalStackTwoProcesses(t *testing.T) {
	const envelopeVar, keyVar = "FIELDCRYPT_TEST_ENVELOPE", "FIELDCRYPT_TEST_KEY"
	if text := os.Getenv(envelopeVar); text != "" {
		sealed, err := hex.DecodeString(text)
		require.NoError(t, err)
		requireIBAN(t, localStackRing(t, homeRegion, os.Getenv(keyVar), awskms.Options{}), sealed)
		return
	}
	admin := localStackAdmin(t)
	arn := createKey(t, admin, kms.CreateKeyInput{})
	sealed := sealIBAN(t, localStackRing(t, homeRegion, arn, awskms.Options{}))
	child := func(arn string) (string, error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLocalStackTwoProcesses$", "-test.v")
		cmd.Env = append(os.Environ(), envelopeVar+"="+hex.EncodeToString(sealed), keyVar+"="+arn)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := child(arn)
	require.NoError(t, err, out)

	out, err = child(createKey(t, admin, kms.CreateKeyInput{}))
	require.Error(t, err, "the control: a process that is configured with another root key")
	require.Contains(t, out, "root key not allowed for this scope")
}

func TestLocalStackRootKeyStates(t *testing.T) {
	admin := localStackAdmin(t)
	arn := createKey(t, admin, kms.CreateKeyInput{})
	fresh := func() *envelope.KeyRing { return localStackRing(t, homeRegion, arn, awskms.Options{}) }
	warm := fresh()
	sealed := sealIBAN(t, warm)

	_, err := admin.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &arn})
	require.NoError(t, err)
	_, err = fresh().Open(t.Context(), iban, sealed)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	_, err = fresh().Seal(t.Context(), iban, envelope.AppendString(nil, ibanText))
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	requireIBAN(t, warm, sealed) // in memory, until its time there is over

	_, err = admin.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &arn})
	require.NoError(t, err)
	requireIBAN(t, fresh(), sealed)

	_, err = admin.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &arn, PendingWindowInDays: aws.Int32(7)})
	require.NoError(t, err)
	_, err = fresh().Open(t.Context(), iban, sealed)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	require.NotContains(t, err.Error(), ibanText)
}

func TestLocalStackRotationOnDemand(t *testing.T) {
	admin := localStackAdmin(t)
	arn := createKey(t, admin, kms.CreateKeyInput{})
	fresh := func() *envelope.KeyRing { return localStackRing(t, homeRegion, arn, awskms.Options{}) }
	before := sealIBAN(t, fresh())
	_, err := admin.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &arn})
	require.NoError(t, err)
	after := sealIBAN(t, fresh())
	requireIBAN(t, fresh(), before)
	requireIBAN(t, fresh(), after)
}

func TestLocalStackMultiRegionKey(t *testing.T) {
	admin := localStackAdmin(t)
	primary := createKey(t, admin, kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	_, err := admin.ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: &primary, ReplicaRegion: aws.String(abroadRegion)})
	require.NoError(t, err)
	replica := strings.Replace(primary, homeRegion, abroadRegion, 1)

	home := localStackRing(t, homeRegion, primary, awskms.Options{})
	abroad := localStackRing(t, abroadRegion, primary, awskms.Options{Replicas: map[string]string{primary: replica}})
	requireIBAN(t, abroad, sealIBAN(t, home))
	requireIBAN(t, home, sealIBAN(t, abroad))
}

// The root key of a key store is changed, and the old one deleted.
func TestLocalStackRewrap(t *testing.T) {
	admin := localStackAdmin(t)
	first, second := createKey(t, admin, kms.CreateKeyInput{}), createKey(t, admin, kms.CreateKeyInput{})
	from, to := "aws-kms://"+first, "aws-kms://"+second
	store := envelope.NewMemoryStore()
	ring := func(roots envelope.RootKeys) *envelope.KeyRing {
		return localStackRingWith(t, homeRegion, roots, awskms.Options{}, store)
	}
	sealed := sealIBAN(t, ring(envelope.RootKeys{Seal: from}))

	report, err := ring(envelope.RootKeys{Seal: to, Open: []string{from}}).Rewrap(t.Context(), envelope.Filter{RootKey: from}, to, nil)
	require.NoError(t, err)
	require.Equal(t, envelope.RewrapReport{To: to, Rewrapped: 1, Left: map[string]int{}}, report)
	_, err = admin.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &first, PendingWindowInDays: aws.Int32(7)})
	require.NoError(t, err)
	requireIBAN(t, ring(envelope.RootKeys{Seal: to}), sealed)
}
