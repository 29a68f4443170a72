package residency_test

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
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

// The suite runs over a router: in front of one provider, and of two of which
// the first is away.
func TestConformance(t *testing.T) {
	for name, two := range map[string]bool{"one provider": false, "two providers, the first away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits for most of the time
			conformance(t, two)
		})
	}
}

func conformance(t *testing.T, two bool) {
	t.Helper()
	home := fakekms.New(fakekms.Options{})
	t.Cleanup(home.Close)
	abroad := home.Region("eu-west-1")
	cfg := home.Config()
	cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIDADMINEXAMPLE0001", "an-example-secret-that-is-no-secret", "")
	admin := kms.NewFromConfig(cfg)
	const missing = "arn:aws:kms:eu-central-1:111122223333:key/mrk-00000000000000000000000000000000"
	replicas := map[string]string{missing: strings.Replace(missing, "eu-central-1", "eu-west-1", 1)}
	var keys []string
	newKey := func() string {
		arn := home.CreateKey(fakekms.KeyOptions{MultiRegion: true})
		replicas[arn] = home.ReplicateKey(arn, "eu-west-1")
		keys = append(keys, "aws-kms://"+arn)
		return "aws-kms://" + arn
	}
	arn := func(rootKey string) string { return strings.TrimPrefix(rootKey, "aws-kms://") }
	in := func(do func(*fakekms.Server, string)) func(testing.TB, string) {
		return func(_ testing.TB, rootKey string) {
			do(home, arn(rootKey))
			do(abroad, replicas[arn(rootKey)])
		}
	}
	both := func(f fakekms.Fault) func(testing.TB) func() {
		return func(testing.TB) func() {
			one, two := home.Inject(f), abroad.Inject(f)
			return func() { one(); two() }
		}
	}
	const soon = time.Second
	rootKey, other := newKey(), newKey()
	harness := providertest.Harness{
		New: func(t testing.TB) kmsprovider.Provider {
			o := awskms.Options{UnreachableAfter: soon / 2, ThrottledFor: soon}
			here, err := awskms.New(home.Config(), &o)
			require.NoError(t, err)
			call := []kmsprovider.Provider{here}
			if two {
				o.Replicas = replicas
				there, err := awskms.New(abroad.Config(), &o)
				require.NoError(t, err)
				call = append(call, there)
			}
			r, err := residency.New(residency.Config{
				Regions: []residency.Region{{
					Name: "eu", RootKey: keys[0], Open: append([]string{"aws-kms://" + missing}, keys[1:]...), Call: call, Within: []string{"eu-*"},
				}},
				Default:  "eu",
				Failover: &failover.Options{Patience: soon / 50},
			})
			require.NoError(t, err)
			return r
		},
		RootKey: rootKey, OtherRootKey: other, MissingRootKey: "aws-kms://" + missing,
		NewRootKey:       func(testing.TB) string { return newKey() },
		Disable:          in((*fakekms.Server).Disable),
		Enable:           in((*fakekms.Server).Enable),
		ScheduleDeletion: in(func(s *fakekms.Server, arn string) { s.ScheduleDeletion(arn, 7) }),
		Rotate:           func(_ testing.TB, rootKey string) { home.RotateKey(arn(rootKey)) },
		Unavailable:      both(fakekms.Fault{Error: "KMSInternalException"}),
		Throttle:         both(fakekms.Fault{Error: "ThrottlingException"}),
		Deny:             both(fakekms.Fault{Error: "AccessDeniedException"}),
		Hang:             both(fakekms.Fault{Break: fakekms.Hang}),
		Timeout:          soon,
		Wrap: func(t testing.TB, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) []byte {
			out, err := admin.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String(arn(rootKey)), Plaintext: plaintext, EncryptionContext: ec})
			require.NoError(t, err)
			return out.CiphertextBlob
		},
	}
	if two {
		home.Inject(fakekms.Fault{AccessKeyID: fakekms.DefaultAccessKeyID, Break: fakekms.Drop})
	}
	providertest.Run(t, harness)
}
