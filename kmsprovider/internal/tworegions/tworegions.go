// Package tworegions runs the providers' conformance suite over two regions of
// one AWS KMS, for providers that are made of several.
package tworegions

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
)

// Soon is within what time the suite wants an answer.
var Soon = soon()

func soon() time.Duration {
	if scoreboard.UnderRace() { // which makes a busy machine slow
		return 4 * time.Second
	}
	return 2 * time.Second
}

const (
	abroad  = "eu-west-1"
	scheme  = "aws-kms://"
	missing = "arn:aws:kms:eu-central-1:111122223333:key/mrk-00000000000000000000000000000000"
)

// Missing is the URI of a root key that isn't there.
const Missing = scheme + missing

// Regions are eu-central-1 and eu-west-1, with keys that are in both.
type Regions struct {
	Home, Abroad *fakekms.Server
	RootKeys     []string // URIs, in the order they were made

	replicas map[string]string // by ARN
	admin    *kms.Client
}

// New starts both.
func New(t testing.TB) *Regions {
	t.Helper()
	home := fakekms.New(fakekms.Options{})
	t.Cleanup(home.Close)
	cfg := home.Config()
	cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIDADMINEXAMPLE0001", "an-example-secret-that-is-no-secret", "")
	return &Regions{
		Home: home, Abroad: home.Region(abroad), admin: kms.NewFromConfig(cfg),
		replicas: map[string]string{missing: strings.Replace(missing, "eu-central-1", abroad, 1)},
	}
}

// ARN is that of a root key at home.
func ARN(rootKey string) string { return strings.TrimPrefix(rootKey, scheme) }

// NewRootKey makes a key in both regions.
func (r *Regions) NewRootKey() string {
	arn := r.Home.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	r.replicas[arn] = r.Home.ReplicateKey(arn, abroad)
	r.RootKeys = append(r.RootKeys, scheme+arn)
	return scheme + arn
}

// AtHome returns a provider of the first region.
func (r *Regions) AtHome(t testing.TB) kmsprovider.Provider {
	t.Helper()
	return provider(t, r.Home, nil)
}

// Replica returns a provider of the second one, for the keys of the first.
func (r *Regions) Replica(t testing.TB) kmsprovider.Provider {
	t.Helper()
	return provider(t, r.Abroad, r.replicas)
}

func provider(t testing.TB, s *fakekms.Server, replicas map[string]string) kmsprovider.Provider {
	t.Helper()
	p, err := awskms.New(s.Config(), &awskms.Options{UnreachableAfter: Soon / 2, ThrottledFor: Soon, Replicas: replicas})
	require.NoError(t, err)
	return p
}

// Harness is what the suite needs for the providers that make returns, after two
// root keys have been made.
func (r *Regions) Harness(make func(t testing.TB) kmsprovider.Provider) providertest.Harness {
	in := func(do func(*fakekms.Server, string)) func(testing.TB, string) {
		return func(_ testing.TB, rootKey string) {
			do(r.Home, ARN(rootKey))
			do(r.Abroad, r.replicas[ARN(rootKey)])
		}
	}
	both := func(f fakekms.Fault) func(testing.TB) func() {
		return func(testing.TB) func() {
			one, two := r.Home.Inject(f), r.Abroad.Inject(f)
			return func() { one(); two() }
		}
	}
	rootKey, other := r.NewRootKey(), r.NewRootKey()
	return providertest.Harness{
		New:     make,
		RootKey: rootKey, OtherRootKey: other, MissingRootKey: Missing,
		NewRootKey:       func(testing.TB) string { return r.NewRootKey() },
		Disable:          in((*fakekms.Server).Disable),
		Enable:           in((*fakekms.Server).Enable),
		ScheduleDeletion: in(func(s *fakekms.Server, arn string) { s.ScheduleDeletion(arn, 7) }),
		Rotate:           func(_ testing.TB, rootKey string) { r.Home.RotateKey(ARN(rootKey)) },
		Unavailable:      both(fakekms.Fault{Error: "KMSInternalException"}),
		Throttle:         both(fakekms.Fault{Error: "ThrottlingException"}),
		Deny:             both(fakekms.Fault{Error: "AccessDeniedException"}),
		Hang:             both(fakekms.Fault{Break: fakekms.Hang}),
		Timeout:          Soon,
		Wrap: func(t testing.TB, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) []byte {
			out, err := r.admin.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String(ARN(rootKey)), Plaintext: plaintext, EncryptionContext: ec})
			require.NoError(t, err)
			return out.CiphertextBlob
		},
	}
}
