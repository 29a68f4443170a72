//go:build localstack

// These tests run against LocalStack, which is somebody else's idea of AWS KMS:
//
//	FIELDCRYPT_TEST_KMS_ENDPOINT=http://127.0.0.1:4566 go test -tags localstack ./kmsprovider/awskms
package awskms_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

const replicaRegion = "eu-west-1"

// A localStack administers keys with the plain SDK and makes providers.
type localStack struct {
	t        testing.TB
	endpoint string
	admin    *kms.Client
	abroad   *kms.Client // in replicaRegion
}

func openLocalStack(t testing.TB) localStack {
	t.Helper()
	endpoint := os.Getenv("FIELDCRYPT_TEST_KMS_ENDPOINT")
	if endpoint == "" {
		t.Fatal("these tests need LocalStack: set FIELDCRYPT_TEST_KMS_ENDPOINT to where it runs, such as http://127.0.0.1:4566")
	}
	ls := localStack{t: t, endpoint: endpoint}
	ls.admin, ls.abroad = ls.client(region), ls.client(replicaRegion)
	return ls
}

func (ls localStack) config(region string) aws.Config {
	cfg := configFor(nil)
	cfg.HTTPClient, cfg.Region = nil, region
	return cfg
}

func (ls localStack) client(region string) *kms.Client {
	return kms.NewFromConfig(ls.config(region), func(o *kms.Options) { o.BaseEndpoint = aws.String(ls.endpoint) })
}

func (ls localStack) provider(region string, opts awskms.Options) *awskms.Provider {
	ls.t.Helper()
	opts.Endpoint = ls.endpoint
	p, err := awskms.New(ls.config(region), &opts)
	require.NoError(ls.t, err)
	return p
}

func (ls localStack) createKey(in kms.CreateKeyInput) (arn string) {
	ls.t.Helper()
	out, err := ls.admin.CreateKey(ls.t.Context(), &in)
	require.NoError(ls.t, err, "create a key in LocalStack at %s", ls.endpoint)
	return aws.ToString(out.KeyMetadata.Arn)
}

func (ls localStack) alias(arn string) string {
	ls.t.Helper()
	name := fmt.Sprintf("alias/fieldcrypt-test-%d", time.Now().UnixNano())
	_, err := ls.admin.CreateAlias(ls.t.Context(), &kms.CreateAliasInput{AliasName: aws.String(name), TargetKeyId: aws.String(arn)})
	require.NoError(ls.t, err)
	return name
}

func (ls localStack) rotate(rootKey string) {
	ls.t.Helper()
	_, err := ls.admin.RotateKeyOnDemand(ls.t.Context(), &kms.RotateKeyOnDemandInput{KeyId: arnOf(rootKey)})
	require.NoError(ls.t, err)
}

// replicate makes a multi-Region key and its replica.
func (ls localStack) replicate() (primary, replica string) {
	ls.t.Helper()
	primary = ls.createKey(kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	_, err := ls.admin.ReplicateKey(ls.t.Context(), &kms.ReplicateKeyInput{KeyId: aws.String(primary), ReplicaRegion: aws.String(replicaRegion)})
	require.NoError(ls.t, err)
	return primary, strings.Replace(primary, region, replicaRegion, 1)
}

func arnOf(rootKey string) *string { return aws.String(strings.TrimPrefix(rootKey, "aws-kms://")) }

func TestLocalStackConformance(t *testing.T) {
	ls := openLocalStack(t)
	in := func(t testing.TB) localStack { ls := ls; ls.t = t; return ls }
	rootKey := ls.createKey(kms.CreateKeyInput{})
	providertest.Run(t, providertest.Harness{
		New:            func(t testing.TB) kmsprovider.Provider { return in(t).provider(region, awskms.Options{}) },
		RootKey:        "aws-kms://" + rootKey,
		OtherRootKey:   "aws-kms://" + ls.createKey(kms.CreateKeyInput{}),
		MissingRootKey: "aws-kms://" + rootKey[:strings.LastIndex(rootKey, "/")] + "/00000000-0000-4000-8000-000000000000",
		Alias:          "aws-kms://" + ls.alias(rootKey),
		NewRootKey:     func(t testing.TB) string { return "aws-kms://" + in(t).createKey(kms.CreateKeyInput{}) },
		Disable: func(t testing.TB, rootKey string) {
			_, err := ls.admin.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: arnOf(rootKey)})
			require.NoError(t, err)
		},
		Enable: func(t testing.TB, rootKey string) {
			_, err := ls.admin.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: arnOf(rootKey)})
			require.NoError(t, err)
		},
		ScheduleDeletion: func(t testing.TB, rootKey string) {
			_, err := ls.admin.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: arnOf(rootKey), PendingWindowInDays: aws.Int32(7)})
			require.NoError(t, err)
		},
		Rotate: func(t testing.TB, rootKey string) { in(t).rotate(rootKey) },
		Replica: func(t testing.TB) providertest.Replica {
			ls := in(t)
			primary, replica := ls.replicate()
			return providertest.Replica{
				Primary:    ls.provider(region, awskms.Options{}),
				Replica:    ls.provider(replicaRegion, awskms.Options{Replicas: map[string]string{primary: replica}}),
				PrimaryKey: "aws-kms://" + primary, ReplicaKey: "aws-kms://" + primary,
				Rotate: func(t testing.TB) { in(t).rotate(primary) },
			}
		},
		Wrap: func(t testing.TB, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) []byte {
			out, err := ls.admin.Encrypt(t.Context(), &kms.EncryptInput{KeyId: arnOf(rootKey), Plaintext: plaintext, EncryptionContext: ec})
			require.NoError(t, err)
			return out.CiphertextBlob
		},
		Known: []providertest.Defect{providertest.ContextJoinedWithoutDelimiters, providertest.ReplicasNotRotated},
	})
}

func TestLocalStackKinds(t *testing.T) {
	ls := openLocalStack(t)
	p := ls.provider(region, awskms.Options{})
	for name, in := range map[string]kms.CreateKeyInput{
		"signing key":               {KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify},
		"HMAC key":                  {KeySpec: types.KeySpecHmac256, KeyUsage: types.KeyUsageTypeGenerateVerifyMac},
		"asymmetric encryption key": {KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeEncryptDecrypt},
	} {
		t.Run(name, func(t *testing.T) {
			err := p.Check(t.Context(), "aws-kms://"+ls.createKey(in))
			require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
			require.ErrorContains(t, err, "SYMMETRIC_DEFAULT")
		})
	}
}

func TestLocalStackStates(t *testing.T) {
	ls := openLocalStack(t)
	p := ls.provider(region, awskms.Options{})
	arn := ls.createKey(kms.CreateKeyInput{})
	dk, err := p.GenerateDataKey(t.Context(), "aws-kms://"+arn, ec)
	require.NoError(t, err)

	_, err = ls.admin.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: aws.String(arn)})
	require.NoError(t, err)
	require.ErrorContains(t, p.Check(t.Context(), dk.RootKey), "disabled")
	_, err = p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	require.ErrorContains(t, err, "DisabledException")
	require.NotEmpty(t, awskms.RequestID(err))

	_, err = ls.admin.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: aws.String(arn), PendingWindowInDays: aws.Int32(7)})
	require.NoError(t, err)
	require.ErrorContains(t, p.Check(t.Context(), dk.RootKey), "pending deletion")
	_, err = p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	require.ErrorContains(t, err, "KMSInvalidStateException")

	_, err = ls.admin.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionInput{KeyId: aws.String(arn)})
	require.NoError(t, err)
	_, err = ls.admin.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: aws.String(arn)})
	require.NoError(t, err)
	plain, err := p.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, dk.Plaintext, plain)
}

func TestLocalStackRotation(t *testing.T) {
	ls := openLocalStack(t)
	p := ls.provider(region, awskms.Options{})
	rootKey := "aws-kms://" + ls.createKey(kms.CreateKeyInput{})
	var made []kmsprovider.DataKey
	for range 4 {
		dk, err := p.GenerateDataKey(t.Context(), rootKey, ec)
		require.NoError(t, err)
		made = append(made, dk)
		ls.rotate(rootKey)
	}
	for i, dk := range made {
		plain, err := p.Unwrap(t.Context(), rootKey, dk.Wrapped, ec)
		require.NoError(t, err, "wrapped after %d of 4 rotations", i)
		require.Equal(t, dk.Plaintext, plain)
	}
}

func TestLocalStackReplica(t *testing.T) {
	ls := openLocalStack(t)
	primary, replica := ls.replicate()
	here := ls.provider(region, awskms.Options{})
	there := ls.provider(replicaRegion, awskms.Options{Replicas: map[string]string{primary: replica}})

	dk, err := here.GenerateDataKey(t.Context(), "aws-kms://"+primary, ec)
	require.NoError(t, err)
	plain, err := there.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, dk.Plaintext, plain)

	dk, err = there.GenerateDataKey(t.Context(), "aws-kms://"+primary, ec)
	require.NoError(t, err)
	require.Equal(t, "aws-kms://"+primary, dk.RootKey)
	plain, err = here.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, dk.Plaintext, plain)

	require.NoError(t, there.Check(t.Context(), "aws-kms://"+primary))
	_, err = ls.provider(replicaRegion, awskms.Options{}).Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable, "without Options.Replicas the key is in another region")
}

func TestLocalStackAlias(t *testing.T) {
	ls := openLocalStack(t)
	one, two := ls.createKey(kms.CreateKeyInput{}), ls.createKey(kms.CreateKeyInput{})
	alias := ls.alias(one)
	aliasARN := one[:strings.LastIndex(one, ":")+1] + alias
	p := ls.provider(region, awskms.Options{})
	for _, rootKey := range []string{"aws-kms://" + alias, "aws-kms://" + aliasARN} {
		dk, err := p.GenerateDataKey(t.Context(), rootKey, ec)
		require.NoError(t, err)
		require.Equal(t, "aws-kms://"+one, dk.RootKey)
		_, err = p.Unwrap(t.Context(), rootKey, dk.Wrapped, ec)
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
		rewrapped, uri, err := p.Rewrap(t.Context(), "aws-kms://"+one, dk.Wrapped, rootKey, ec)
		require.NoError(t, err)
		require.Equal(t, "aws-kms://"+one, uri)
		plain, err := p.Unwrap(t.Context(), uri, rewrapped, ec)
		require.NoError(t, err)
		require.Equal(t, dk.Plaintext, plain)
	}
	// LocalStack keeps the target as it is given, and later finds no key by an ARN.
	_, err := ls.admin.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: aws.String(alias), TargetKeyId: aws.String(two[strings.LastIndex(two, "/")+1:])})
	require.NoError(t, err)
	uri, err := p.Resolve(t.Context(), "aws-kms://"+alias)
	require.NoError(t, err)
	require.Equal(t, "aws-kms://"+one, uri, "pinned for the provider's life")
	uri, err = ls.provider(region, awskms.Options{}).Resolve(t.Context(), "aws-kms://"+alias)
	require.NoError(t, err)
	require.Equal(t, "aws-kms://"+two, uri)

	_, err = p.GenerateDataKey(t.Context(), "aws-kms://alias/no-such-alias", ec)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	require.ErrorContains(t, err, "alias/no-such-alias")
}
