package awskms_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

func TestConformance(t *testing.T) {
	srv := fakekms.New(fakekms.Options{})
	t.Cleanup(srv.Close)
	abroad := srv.Region("us-east-1")
	admin := kms.NewFromConfig(srv.Config())
	const soon = time.Second // a loaded machine answers in it too

	provider := func(t testing.TB, srv *fakekms.Server, opts awskms.Options) *awskms.Provider {
		opts.UnreachableAfter, opts.ThrottledFor = soon, soon
		p, err := awskms.New(srv.Config(), &opts)
		require.NoError(t, err)
		return p
	}
	arn := func(rootKey string) string { return strings.TrimPrefix(rootKey, "aws-kms://") }
	fault := func(f fakekms.Fault) func(testing.TB) func() {
		return func(testing.TB) func() { return srv.Inject(f) }
	}
	rootKey := srv.CreateKey(fakekms.KeyOptions{})
	srv.CreateAlias("alias/crm", rootKey)

	harness := providertest.Harness{
		New:              func(t testing.TB) kmsprovider.Provider { return provider(t, srv, awskms.Options{}) },
		RootKey:          "aws-kms://" + rootKey,
		OtherRootKey:     "aws-kms://" + srv.CreateKey(fakekms.KeyOptions{}),
		MissingRootKey:   "aws-kms://arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-4000-8000-000000000000",
		Alias:            "aws-kms://alias/crm",
		NewRootKey:       func(testing.TB) string { return "aws-kms://" + srv.CreateKey(fakekms.KeyOptions{}) },
		Disable:          func(_ testing.TB, rootKey string) { srv.Disable(arn(rootKey)) },
		Enable:           func(_ testing.TB, rootKey string) { srv.Enable(arn(rootKey)) },
		ScheduleDeletion: func(_ testing.TB, rootKey string) { srv.ScheduleDeletion(arn(rootKey), 7) },
		Rotate:           func(_ testing.TB, rootKey string) { srv.RotateKey(arn(rootKey)) },
		Replica: func(t testing.TB) providertest.Replica {
			primary := srv.CreateKey(fakekms.KeyOptions{MultiRegion: true})
			replica := srv.ReplicateKey(primary, "us-east-1")
			return providertest.Replica{
				Primary:    provider(t, srv, awskms.Options{}),
				Replica:    provider(t, abroad, awskms.Options{Replicas: map[string]string{primary: replica}}),
				PrimaryKey: "aws-kms://" + primary, ReplicaKey: "aws-kms://" + primary,
				Rotate: func(testing.TB) { srv.RotateKey(primary) },
			}
		},
		Unavailable: fault(fakekms.Fault{Error: "KMSInternalException"}),
		Throttle:    fault(fakekms.Fault{Error: "ThrottlingException"}),
		Deny:        fault(fakekms.Fault{Error: "AccessDeniedException"}),
		Hang:        fault(fakekms.Fault{Break: fakekms.Hang}),
		Timeout:     soon,
		Wrap: func(t testing.TB, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) []byte {
			out, err := admin.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String(arn(rootKey)), Plaintext: plaintext, EncryptionContext: ec})
			require.NoError(t, err)
			return out.CiphertextBlob
		},
	}
	t.Run("5xx", func(t *testing.T) { providertest.Run(t, harness) })
	t.Run("dropped connections", func(t *testing.T) {
		harness.Unavailable = fault(fakekms.Fault{Break: fakekms.Drop})
		providertest.Run(t, harness)
	})
}
