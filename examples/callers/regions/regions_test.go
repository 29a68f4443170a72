package regions_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/internal/check"
	"github.com/fieldcrypt/fieldcrypt-go/examples/callers/regions"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

// A company is the service on a fake AWS with three regions.
type company struct {
	*regions.Service
	frankfurt, dublin, virginia *fakekms.Server
	keys                        regions.Keys
	start                       func() *regions.Service // a new process, which knows no data key
}

func newCompany(t *testing.T) *company {
	t.Helper()
	c := &company{frankfurt: fakekms.New(fakekms.Options{Region: "eu-central-1"})}
	t.Cleanup(c.frankfurt.Close)
	c.dublin, c.virginia = c.frankfurt.Region("eu-west-1"), c.frankfurt.Region("us-east-1")
	c.keys.EU = c.frankfurt.CreateKey(fakekms.KeyOptions{MultiRegion: true})
	c.keys.EUReplica = c.frankfurt.ReplicateKey(c.keys.EU, "eu-west-1")
	c.keys.US = c.virginia.CreateKey(fakekms.KeyOptions{})
	c.keys.Acme = c.frankfurt.CreateKey(fakekms.KeyOptions{Account: "999988887777"})

	router, err := regions.Route(func(region string) aws.Config { return c.frankfurt.Region(region).Config() }, c.keys)
	require.NoError(t, err)
	require.NoError(t, router.CheckAll(t.Context()))
	db := map[string]*sql.DB{}
	for _, region := range []string{"eu", "us", "acme"} {
		db[region], _ = check.SQLite(t)
	}
	c.start = func() *regions.Service {
		s, err := regions.NewService(router, db)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
	c.Service = c.start()
	require.NoError(t, c.Migrate(t.Context(), fieldcrypt.SQLite))
	for i, tenant := range []string{"eu-initech", "us-hooli", "acme", "eu-umbrella"} {
		require.NoError(t, c.Save(t.Context(), contact(i, tenant)))
	}
	return c
}

func contact(i int, tenant string) *regions.Contact {
	return &regions.Contact{ID: fmt.Sprint(i), Tenant: tenant, Email: fieldcrypt.Of(tenant + "@example.com")}
}

// read returns the tenants whose contacts a new process can read, and how many
// it can't.
func (c *company) read(t *testing.T) (tenants []string, left int) {
	t.Helper()
	left, err := c.start().Each(t.Context(), func(contact *regions.Contact) error {
		email, err := contact.Email.Plain()
		require.Equal(t, contact.Tenant+"@example.com", email)
		tenants = append(tenants, contact.Tenant)
		return err
	})
	require.NoError(t, err)
	return tenants, left
}

func TestEachTenantInItsRegion(t *testing.T) {
	c := newCompany(t)
	require.Equal(t, 3, c.frankfurt.Count("GenerateDataKey"))
	require.Equal(t, 1, c.virginia.Count("GenerateDataKey"))
	tenants, left := c.read(t)
	require.ElementsMatch(t, []string{"eu-initech", "eu-umbrella", "us-hooli", "acme"}, tenants)
	require.Zero(t, left)
	require.ErrorIs(t, c.Save(t.Context(), contact(9, "de-nobody")), residency.ErrNoRegion)
}

// Frankfurt is away: Dublin has the replica, acme's key has none, and Virginia
// is asked for nothing that isn't its own.
func TestRegionAway(t *testing.T) {
	c := newCompany(t)
	c.frankfurt.Inject(fakekms.Fault{Break: fakekms.Drop})
	c.virginia.ResetCalls()
	tenants, left := c.read(t)
	require.ElementsMatch(t, []string{"eu-initech", "eu-umbrella", "us-hooli"}, tenants)
	require.Equal(t, 1, left)
	require.Equal(t, 1, c.virginia.Count())
	require.NotZero(t, c.dublin.Count("Decrypt"))
}

// acme takes its root key away.
func TestRevokedRootKey(t *testing.T) {
	c := newCompany(t)
	allow := c.frankfurt.Deny(c.keys.Acme)
	tenants, left := c.read(t)
	require.ElementsMatch(t, []string{"eu-initech", "eu-umbrella", "us-hooli"}, tenants)
	require.Equal(t, 1, left)
	allow()
	tenants, _ = c.read(t)
	require.Contains(t, tenants, "acme")
}
