package failover_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/internal/tworegions"
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
	regions := tworegions.New(t)
	harness := regions.Harness(func(t testing.TB) kmsprovider.Provider {
		p, err := failover.New([]kmsprovider.Provider{regions.AtHome(t), regions.Replica(t)}, &failover.Options{Patience: tworegions.Soon / 50})
		require.NoError(t, err)
		return p
	})
	if away == "" {
		regions.Home.CreateAlias("alias/crm", tworegions.ARN(harness.RootKey)) // an alias is looked up in the primary's region
		harness.Alias = "aws-kms://alias/crm"
	} else {
		// For the providers, not for the suite's own hooks.
		regions.Home.Region(away).Inject(fakekms.Fault{AccessKeyID: fakekms.DefaultAccessKeyID, Break: fakekms.Drop})
	}
	providertest.Run(t, harness)
}
