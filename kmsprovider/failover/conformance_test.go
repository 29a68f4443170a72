package failover_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

// The suite runs with both regions there, and with either of them away all the
// time.
func TestConformance(t *testing.T) {
	for name, away := range map[string]string{"both there": "", "primary away": "eu-central-1", "replica away": "eu-west-1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits for most of the time
			conformance(t, away)
		})
	}
}

func conformance(t *testing.T, away string) {
	t.Helper()
	home := fakekms.New(fakekms.Options{})
	t.Cleanup(home.Close)
	abroad := home.Region("eu-west-1")
	cfg := home.Config()
	cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIDADMINEXAMPLE0001", "an-example-secret-that-is-no-secret", "")
	admin := kms.NewFromConfig(cfg)
	replicas := map[string]string{
		"arn:aws:kms:eu-central-1:111122223333:key/mrk-00000000000000000000000000000000": "arn:aws:kms:eu-west-1:111122223333:key/mrk-00000000000000000000000000000000",
	}
	newKey := func() string {
		arn := home.CreateKey(fakekms.KeyOptions{MultiRegion: true})
		replicas[arn] = home.ReplicateKey(arn, "eu-west-1")
		return "aws-kms://" + arn
	}
	arn := func(rootKey string) string { return strings.TrimPrefix(rootKey, "aws-kms://") }
	const soon = time.Second
	both := func(f fakekms.Fault) func(testing.TB) func() {
		return func(testing.TB) func() {
			one, two := home.Inject(f), abroad.Inject(f)
			return func() { one(); two() }
		}
	}
	rootKey, other := newKey(), newKey()
	harness := providertest.Harness{
		New: func(t testing.TB) kmsprovider.Provider {
			o := awskms.Options{UnreachableAfter: soon / 2, ThrottledFor: soon}
			here, err := awskms.New(home.Config(), &o)
			require.NoError(t, err)
			o.Replicas = replicas
			there, err := awskms.New(abroad.Config(), &o)
			require.NoError(t, err)
			p, err := failover.New([]kmsprovider.Provider{here, there}, &failover.Options{Patience: soon / 50})
			require.NoError(t, err)
			return p
		},
		RootKey: rootKey, OtherRootKey: other,
		MissingRootKey: "aws-kms://arn:aws:kms:eu-central-1:111122223333:key/mrk-00000000000000000000000000000000",
		NewRootKey:     func(testing.TB) string { return newKey() },
		Disable: func(_ testing.TB, rootKey string) {
			home.Disable(arn(rootKey))
			abroad.Disable(replicas[arn(rootKey)])
		},
		Enable: func(_ testing.TB, rootKey string) {
			home.Enable(arn(rootKey))
			abroad.Enable(replicas[arn(rootKey)])
		},
		ScheduleDeletion: func(_ testing.TB, rootKey string) {
			home.ScheduleDeletion(arn(rootKey), 7)
			abroad.ScheduleDeletion(replicas[arn(rootKey)], 7)
		},
		Rotate:      func(_ testing.TB, rootKey string) { home.RotateKey(arn(rootKey)) },
		Unavailable: both(fakekms.Fault{Error: "KMSInternalException"}),
		Throttle:    both(fakekms.Fault{Error: "ThrottlingException"}),
		Deny:        both(fakekms.Fault{Error: "AccessDeniedException"}),
		Hang:        both(fakekms.Fault{Break: fakekms.Hang}),
		Timeout:     soon,
		Wrap: func(t testing.TB, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) []byte {
			out, err := admin.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String(arn(rootKey)), Plaintext: plaintext, EncryptionContext: ec})
			require.NoError(t, err)
			return out.CiphertextBlob
		},
	}
	if away == "" {
		home.CreateAlias("alias/crm", arn(rootKey)) // an alias is looked up in the primary's region
		harness.Alias = "aws-kms://alias/crm"
	} else {
		// For the providers, not for the suite's own hooks.
		home.Region(away).Inject(fakekms.Fault{AccessKeyID: fakekms.DefaultAccessKeyID, Break: fakekms.Drop})
	}
	providertest.Run(t, harness)
}
