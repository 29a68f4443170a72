package residency_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

var ec = kmsprovider.EncryptionContext{"fieldcrypt:tenant": "acme"}

const (
	patience   = 500 * time.Millisecond // the default of package failover
	answerTime = 10 * time.Millisecond

	ownAccount = "999988887777"
	ownCaller  = "AKIDACMEEXAMPLE00001"
)

// A world is a fake AWS with three regions. The root key of the EU is in two of
// them, and has a replica in the third that is not to be called.
type world struct {
	frankfurt, dublin, virginia       *fakekms.Server
	inFrankfurt, inDublin, inVirginia kmsprovider.Provider
	asAcme                            kmsprovider.Provider // the credentials of the role in acme's account

	eu, euOld, us, acme string // root keys
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{frankfurt: fakekms.New(fakekms.Options{Region: "eu-central-1"})}
	t.Cleanup(w.frankfurt.Close)
	w.dublin, w.virginia = w.frankfurt.Region("eu-west-1"), w.frankfurt.Region("us-east-1")
	eu := w.frankfurt.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	inDublin, inVirginia := w.frankfurt.ReplicateKey(eu, "eu-west-1"), w.frankfurt.ReplicateKey(eu, "us-east-1")
	w.eu = "aws-kms://" + eu
	w.euOld = "aws-kms://" + w.frankfurt.CreateKey(fakekms.KeyOptions{})
	w.us = "aws-kms://" + w.virginia.CreateKey(fakekms.KeyOptions{})
	w.acme = "aws-kms://" + w.frankfurt.CreateKey(fakekms.KeyOptions{Account: ownAccount})
	for _, srv := range []*fakekms.Server{w.frankfurt, w.dublin, w.virginia} {
		srv.Inject(fakekms.Fault{Delay: answerTime})
	}
	provider := func(srv *fakekms.Server, caller string, replicas map[string]string) kmsprovider.Provider {
		cfg := srv.Config()
		if caller != "" {
			cfg.Credentials = credentials.NewStaticCredentialsProvider(caller, "an-example-secret-that-is-no-secret", "")
		}
		p, err := awskms.New(cfg, &awskms.Options{Replicas: replicas})
		require.NoError(t, err)
		return p
	}
	w.inFrankfurt = provider(w.frankfurt, "", nil)
	w.inDublin = provider(w.dublin, "", map[string]string{eu: inDublin})
	w.inVirginia = provider(w.virginia, "", map[string]string{eu: inVirginia})
	w.asAcme = provider(w.frankfurt, ownCaller, nil)
	return w
}

// config has tenants in two regions, one with a root key of its own, and one that
// has moved.
func (w *world) config() residency.Config {
	everywhere := []kmsprovider.Provider{w.inFrankfurt, w.inDublin, w.inVirginia}
	return residency.Config{
		Regions: []residency.Region{
			{Name: "eu", RootKey: w.eu, Open: []string{w.euOld}, Call: everywhere, Within: []string{"eu-*"}},
			{Name: "us", RootKey: w.us, Call: []kmsprovider.Provider{w.inVirginia}},
			{Name: "acme", RootKey: w.acme, Call: []kmsprovider.Provider{w.asAcme}},
		},
		Tenants: []residency.Rule{
			{Tenant: "acme", Region: "acme"},
			{Tenant: "globex", Region: "us", From: []string{"eu"}},
			{Tenant: "us-*", Region: "us"},
			{Tenant: "eu-*", Region: "eu"},
		},
	}
}

func (w *world) router(t testing.TB) *residency.Router {
	t.Helper()
	r, err := residency.New(w.config())
	require.NoError(t, err)
	return r
}

func (w *world) close() { w.frankfurt.Close() } // of all regions

// calls forgets and returns how often each region was called.
func (w *world) calls() (n [3]int) {
	for i, srv := range []*fakekms.Server{w.frankfurt, w.dublin, w.virginia} {
		n[i] = srv.Count()
		srv.ResetCalls()
	}
	return n
}
