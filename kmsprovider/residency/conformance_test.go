package residency_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/internal/tworegions"
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
	regions := tworegions.New(t)
	harness := regions.Harness(func(t testing.TB) kmsprovider.Provider {
		call := []kmsprovider.Provider{regions.AtHome(t)}
		if two {
			call = append(call, regions.Replica(t))
		}
		r, err := residency.New(residency.Config{
			Regions: []residency.Region{{
				Name: "eu", RootKey: regions.RootKeys[0], Open: append([]string{tworegions.Missing}, regions.RootKeys[1:]...), Call: call, Within: []string{"eu-*"},
			}},
			Default:  "eu",
			Failover: &failover.Options{Patience: tworegions.Soon / 50},
		})
		require.NoError(t, err)
		return r
	})
	if two {
		regions.Home.Inject(fakekms.Fault{AccessKeyID: fakekms.DefaultAccessKeyID, Break: fakekms.Drop})
	}
	providertest.Run(t, harness)
}
