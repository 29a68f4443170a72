package residency_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/failover"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

// bare is a provider without abilities, which can't be compared.
type bare struct {
	kmsprovider.Provider
	_ map[string]string
}

// What is wrong with a configuration is found before anything is called.
func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	w.frankfurt.CreateAlias("alias/crm", strings.TrimPrefix(w.euOld, "aws-kms://"))
	and := func(p kmsprovider.Provider) []kmsprovider.Provider { return []kmsprovider.Provider{w.inFrankfurt, p} }
	region := func(edit func(*residency.Region)) func(*residency.Config) {
		return func(c *residency.Config) { edit(&c.Regions[0]) }
	}
	rules := func(rules ...residency.Rule) func(*residency.Config) {
		return func(c *residency.Config) { c.Tenants, c.Default = rules, "acme" }
	}
	rule := func(tenant, region string, from ...string) residency.Rule {
		return residency.Rule{Tenant: tenant, Region: region, From: from}
	}
	over := func(providers ...kmsprovider.Provider) kmsprovider.Provider {
		p, err := failover.New(providers, nil)
		require.NoError(t, err)
		return p
	}
	place := func(string) (residency.Home, error) { return residency.Home{Region: "eu"}, nil }
	for name, c := range map[string]struct {
		edit func(*residency.Config)
		says string
	}{
		"nothing":          {func(c *residency.Config) { *c = residency.Config{} }, "Config.Regions is empty"},
		"no rules":         {func(c *residency.Config) { c.Tenants = nil }, "no tenant has a home: set Config.Tenants, Default or Place"},
		"rules and Place":  {func(c *residency.Config) { c.Place = place }, "set it or them"},
		"Default, Place":   {func(c *residency.Config) { c.Tenants, c.Default, c.Place = nil, "eu", place }, "set it or them"},
		"no region":        {func(c *residency.Config) { c.Default = "mars" }, `Config.Default: there is no region "mars"`},
		"region of a rule": {rules(rule("a", "mars")), `rule 1 ("a"): there is no region "mars"`},
		"region moved from": {
			rules(rule("a", "us", "mars")),
			`rule 1 ("a"): there is no region "mars"`,
		},
		"moved from itself": {rules(rule("a", "us", "eu", "us")), `rule 1 ("a"): From lists the region "us" itself`},
		"a region unused":   {rules(rule("a", "us")), `the region "eu" is nobody's: no rule leads to it`},
		"rule for nobody":   {rules(rule("", "us")), "rule 1 has no Tenant"},
		"bad pattern":       {rules(rule("a[", "us")), `rule 1 ("a["): not a pattern`},
		"not UTF-8":         {rules(rule("\xff", "us")), `rule 1 ("\xff"): not a pattern`},

		"no name":    {region(func(r *residency.Region) { r.Name = "" }), `region 1 (""): it has no Name`},
		"same name":  {region(func(r *residency.Region) { r.Name = "us" }), `region 2 ("us"): another region has that Name`},
		"no URI":     {region(func(r *residency.Region) { r.RootKey = "" }), "1 to 512 bytes, not 0"},
		"no old URI": {region(func(r *residency.Region) { r.Open = []string{""} }), "1 to 512 bytes, not 0"},
		"long URI":   {region(func(r *residency.Region) { r.RootKey = "aws-kms://" + strings.Repeat("a", 503) }), "1 to 512 bytes, not 513"},
		"malformed":  {region(func(r *residency.Region) { r.RootKey += "/" }), "the key ID is neither a UUID"},
		"foreign":    {region(func(r *residency.Region) { r.RootKey = "local-kms://x/y" }), "is written aws-kms:// and the key's ARN"},
		"alias":      {region(func(r *residency.Region) { r.RootKey = "aws-kms://alias/crm" }), "it is an alias: write the URI that the provider's Resolve returns"},
		"old alias":  {region(func(r *residency.Region) { r.Open[0] = "aws-kms://alias/crm" }), "it is an alias"},
		"elsewhere":  {region(func(r *residency.Region) { r.RootKey = w.us }), "the key is in us-east-1, but this provider calls eu-central-1"},
		"no replica": {region(func(r *residency.Region) { r.RootKey, r.Open = w.euOld, nil }), "the key is in eu-central-1, but this provider calls eu-west-1"},
		"another's": {region(func(r *residency.Region) {
			r.Call, r.Within = and(w.inVirginia), nil
			r.Open = append(r.Open, w.us)
		}), `is listed already, in the region "eu"`},
		"twice": {region(func(r *residency.Region) { r.Open = append(r.Open, r.RootKey) }), `is listed already, in the region "eu"`},

		"no provider":    {region(func(r *residency.Region) { r.Call = nil }), "Call must list at least one provider"},
		"nil provider":   {region(func(r *residency.Region) { r.Call = and(nil) }), "none that is nil"},
		"none within":    {region(func(r *residency.Region) { r.Within = []string{"ap-*"} }), `no provider is within ["ap-*"]`},
		"bad Within":     {region(func(r *residency.Region) { r.Within = []string{"eu-["} }), `Within: "eu-[": not a pattern`},
		"empty Within":   {region(func(r *residency.Region) { r.Within = []string{""} }), `Within: "": not a pattern`},
		"nowhere":        {region(func(r *residency.Region) { r.Call = and(bare{Provider: w.inDublin}) }), "nobody says where the calls of provider 2 (residency_test.bare) go"},
		"At nowhere":     {region(func(r *residency.Region) { r.Call = and(residency.At("", w.inDublin)) }), "At needs a location and a provider"},
		"At no provider": {region(func(r *residency.Region) { r.Call = and(residency.At("eu-west-1", nil)) }), "At needs a location and a provider"},
		"At another":     {region(func(r *residency.Region) { r.Call = and(residency.At("eu-west-1", w.inVirginia)) }), `provider 2 is said to be at "eu-west-1", but its calls go to "us-east-1"`},
		"At in At": {region(func(r *residency.Region) {
			r.Call = and(residency.At("eu-west-1", residency.At("us-east-1", w.inVirginia)))
		}), "provider 2 is an At around another At"},
		"At in two At": {region(func(r *residency.Region) {
			r.Call = and(residency.At("eu-west-1", over(residency.At("eu-west-1", w.inVirginia))))
		}), `provider 2 is said to be at "eu-west-1", but its calls go to "us-east-1"`},
		"At for several":  {region(func(r *residency.Region) { r.Call = and(residency.At("eu-west-1", over(w.inDublin, w.inVirginia))) }), `provider 2 is said to be at "eu-west-1", but its calls go to "us-east-1"`},
		"several places":  {region(func(r *residency.Region) { r.Call = and(over(w.inDublin, w.inVirginia)) }), `the calls of provider 2 (*failover.Provider) go to several places, ["eu-west-1" "us-east-1"]`},
		"one unknown":     {region(func(r *residency.Region) { r.Call = and(over(w.inDublin, bare{Provider: w.inVirginia})) }), "nobody says where the calls of provider 2 (*failover.Provider) go"},
		"failover option": {func(c *residency.Config) { c.Failover = &failover.Options{Patience: -1} }, "must not be negative"},

		"shadowed by itself":   {rules(rule("a", "us"), rule("b", "eu"), rule("a", "eu")), `rule 3 ("a") is never reached: rule 1 ("a") before it takes all its tenants`},
		"shadowed by a glob":   {rules(rule("a*", "us"), rule("ab", "eu")), `rule 2 ("ab") is never reached: rule 1 ("a*")`},
		"glob under a glob":    {rules(rule("*a*", "us"), rule("b?a[xy]*", "eu")), `rule 2 ("b?a[xy]*") is never reached: rule 1 ("*a*")`},
		"the same glob":        {rules(rule("a?", "us"), rule("[^/][^/]", "eu"), rule("??", "eu")), `rule 3 ("??") is never reached: rule 2 ("[^/][^/]")`},
		"by two together":      {rules(rule("a[a-m]*", "us"), rule("a[n-z]*", "us"), rule("a[a-z]*", "eu")), `rule 3 ("a[a-z]*") is never reached: rule 1 ("a[a-m]*") and rule 2 ("a[n-z]*")`},
		"by names":             {rules(rule("aa", "us"), rule("ab", "us"), rule("a[ab]", "eu")), `rule 3 ("a[ab]") is never reached: rule 1 ("aa") and rule 2 ("ab")`},
		"overlap":              {rules(rule("us-*", "us"), rule("*-test", "eu")), `rule 1 ("us-*") and rule 2 ("*-test") overlap: a tenant like "us-test" is at home in "us" by the first, which wins, and in "eu" by the other`},
		"overlap in moves":     {rules(rule("us-*", "us", "eu"), rule("*-test", "us")), `overlap`},
		"the wider one first":  {rules(rule("a*", "us"), rule("ab*", "eu")), `rule 2 ("ab*") is never reached`},
		"overlap with a class": {rules(rule("[a-k]*", "us"), rule("[k-z]*", "eu")), `a tenant like "k"`},
	} {
		t.Run(name, func(t *testing.T) {
			config := w.config()
			c.edit(&config)
			r, err := residency.New(config)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "residency: ")
			require.Nil(t, r)
		})
	}
	require.Equal(t, [3]int{}, w.calls(), "nothing was called")
}

// A provider that stands for several is where all of them are.
func TestSeveralInOnePlace(t *testing.T) {
	w := newWorld(t)
	for want, location := range map[kmsprovider.Provider]string{w.inDublin: "eu-west-1", w.inVirginia: ""} {
		two, err := failover.New([]kmsprovider.Provider{want, want}, nil)
		require.NoError(t, err)
		c := w.config()
		c.Regions[0].Call = []kmsprovider.Provider{w.inFrankfurt, two}
		r, err := residency.New(c)
		require.NoError(t, err)
		if location == "" {
			require.Equal(t, []kmsprovider.Provider{w.inFrankfurt}, r.Behind(w.eu), "elsewhere, and so left out")
			continue
		}
		require.Equal(t, []kmsprovider.Provider{w.inFrankfurt, two}, r.Behind(w.eu))
		c.Regions[0].Call[1] = residency.At(location, two)
		_, err = residency.New(c)
		require.NoError(t, err)
	}
}

// All that is wrong is said at once.
func TestNewListsAllErrors(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Regions[0].RootKey = "aws-kms://alias/crm"
	c.Regions[1].Call = nil
	c.Tenants = append(c.Tenants, residency.Rule{Tenant: "us-x", Region: "mars"})
	_, err := residency.New(c)
	for _, says := range []string{`region 1 ("eu")`, `region 2 ("us")`, `rule 5 ("us-x") is never reached`, `there is no region "mars"`} {
		require.ErrorContains(t, err, says)
	}
}

func TestRulesThatAreInOrder(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		overlaps bool
		rules    []residency.Rule
		home     map[string]string
	}{
		"exceptions first": {false, []residency.Rule{
			{Tenant: "us-acme", Region: "eu"}, {Tenant: "us-a*", Region: "acme"}, {Tenant: "us-*", Region: "us"},
		}, map[string]string{"us-acme": "eu", "us-ab": "acme", "us-b": "us", "x": "eu"}},
		"an overlap that leads to one home": {false, []residency.Rule{
			{Tenant: "us-*", Region: "us"}, {Tenant: "*-us", Region: "us"}, {Tenant: "acme", Region: "acme"},
		}, map[string]string{"us-us": "us", "x-us": "us", "us-x": "us", "us-": "us", "acme": "acme", "us": "eu"}},
		"overlaps allowed": {true, []residency.Rule{
			{Tenant: "us-*", Region: "us"}, {Tenant: "*-acme", Region: "acme"},
		}, map[string]string{"us-acme": "us", "eu-acme": "acme"}},
		"literals between globs": {false, []residency.Rule{
			{Tenant: "a?", Region: "us"}, {Tenant: "abc", Region: "acme"}, {Tenant: "a*", Region: "eu"},
		}, map[string]string{"ab": "us", "abc": "acme", "abcd": "eu", "a": "eu"}},
		"a slash ends a star": {false, []residency.Rule{
			{Tenant: "us/*", Region: "us"}, {Tenant: "*", Region: "acme"},
		}, map[string]string{"us/a": "us", "us": "acme", "us/a/b": "eu"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := w.config()
			config.Tenants, config.Default, config.AllowOverlaps = c.rules, "eu", c.overlaps
			r, err := residency.New(config)
			require.NoError(t, err)
			for tenant, want := range c.home {
				got, err := r.Region(tenant)
				require.NoError(t, err)
				require.Equal(t, want, got, tenant)
			}
		})
	}
}

// Many rules are checked in bearable time.
func TestManyRules(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Tenants, c.Default = nil, "eu"
	for i := range 5000 {
		c.Tenants = append(c.Tenants, residency.Rule{Tenant: fmt.Sprintf("tenant-%d", i), Region: "us"})
	}
	for i := range 500 {
		c.Tenants = append(c.Tenants, residency.Rule{Tenant: fmt.Sprintf("group%03d-*", i), Region: "acme"})
	}
	start := time.Now()
	r, err := residency.New(c)
	require.NoError(t, err)
	require.Less(t, time.Since(start), 20*time.Second)
	for tenant, want := range map[string]string{"tenant-4999": "us", "group499-x": "acme", "tenant-5000": "eu"} {
		got, err := r.Region(tenant)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	c.Tenants = append(c.Tenants, residency.Rule{Tenant: "tenant-7", Region: "eu"}, residency.Rule{Tenant: "group123-y*", Region: "eu"})
	_, err = residency.New(c)
	require.ErrorContains(t, err, `rule 5501 ("tenant-7") is never reached: rule 8 ("tenant-7")`)
	require.ErrorContains(t, err, `rule 5502 ("group123-y*") is never reached: rule 5124 ("group123-*")`)
}

func TestPlace(t *testing.T) {
	w := newWorld(t)
	away := errors.New("the table of tenants is away")
	c := w.config()
	c.Tenants = nil
	c.Place = func(tenant string) (residency.Home, error) {
		switch tenant {
		case "acme":
			return residency.Home{Region: "acme"}, nil
		case "globex":
			return residency.Home{Region: "us", From: []string{"eu", "acme"}}, nil
		case "lost":
			return residency.Home{Region: "mars"}, nil
		case "moved":
			return residency.Home{Region: "eu", From: []string{"mars"}}, nil
		case "unlucky":
			return residency.Home{Region: "eu"}, away
		}
		return residency.Home{}, nil
	}
	r, err := residency.New(c)
	require.NoError(t, err)
	keys, err := r.RootKeys("globex")
	require.NoError(t, err)
	require.Equal(t, residency.RootKeys{Seal: w.us, Open: []string{w.eu, w.euOld, w.acme}}, keys)
	for tenant, want := range map[string]error{
		"unlucky": away, "lost": residency.ErrNoRegion, "moved": residency.ErrNoRegion, "unheard-of": residency.ErrNoRegion, "": residency.ErrNoRegion,
	} {
		keys, err := r.RootKeys(tenant)
		require.ErrorIs(t, err, want, tenant)
		require.ErrorContains(t, err, fmt.Sprintf("residency: tenant %q: ", tenant))
		require.Equal(t, residency.RootKeys{}, keys)
		region, err := r.Region(tenant)
		require.ErrorIs(t, err, want, tenant)
		require.Empty(t, region)
	}
}

// What is handed out and taken in is the caller's.
func TestConfigIsCopied(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	r, err := residency.New(c)
	require.NoError(t, err)
	want, err := r.RootKeys("globex")
	require.NoError(t, err)
	c.Regions[0].Open[0], c.Regions[0].Call[0], c.Regions[0].Within[0] = "x", nil, "us-*"
	c.Tenants[1].From[0] = "acme"
	c.Regions[0].RootKey, c.Tenants[1].Region = "x", "acme"
	got, err := r.RootKeys("globex")
	require.NoError(t, err)
	require.Equal(t, want, got)
	got.Open[0] = "x"
	r.URIs()[0] = "x"
	got, err = r.RootKeys("globex")
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, []string{w.eu, w.euOld, w.us, w.acme}, r.URIs())
	_, err = r.GenerateDataKey(t.Context(), w.eu, ec)
	require.NoError(t, err)
	require.Zero(t, w.virginia.Count())
}

// A tenant comes with a root key of its own, while the others work.
func TestReplace(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	full := w.config()
	c.Regions, c.Tenants = c.Regions[:2], c.Tenants[1:]
	r, err := residency.New(c)
	require.NoError(t, err)
	_, err = r.RootKeys("acme")
	require.ErrorIs(t, err, residency.ErrNoRegion)
	_, err = r.GenerateDataKey(t.Context(), w.acme, ec)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)

	broken := full
	broken.Default = "mars"
	require.ErrorContains(t, r.Replace(broken), "mars")
	_, err = r.RootKeys("acme")
	require.ErrorIs(t, err, residency.ErrNoRegion, "nothing has changed")

	require.NoError(t, r.Replace(full))
	keys, err := r.RootKeys("acme")
	require.NoError(t, err)
	dk, err := r.GenerateDataKey(t.Context(), keys.Seal, ec)
	require.NoError(t, err)
	require.Equal(t, w.acme, dk.RootKey)

	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			if r.Replace(full) != nil {
				t.Error("refused")
			}
		}
	}()
	for range 50 {
		_, err := r.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
		require.NoError(t, err)
	}
	<-done
}

// notCanonical resolves what it is given to something else.
type notCanonical struct{ kmsprovider.Provider }

func (notCanonical) Resolve(context.Context, string) (string, error) { return "other://x", nil }

func TestURIThatIsNotCanonical(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Regions[1].Call = []kmsprovider.Provider{notCanonical{w.inVirginia}}
	_, err := residency.New(c)
	require.ErrorContains(t, err, `it isn't canonical: write "other://x"`)
	require.Equal(t, [3]int{}, w.calls())
}
