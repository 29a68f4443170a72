// Package residency keeps each tenant's data keys under a root key of the region
// that the tenant's data belongs to, and has only those key services called that
// may be called for it.
//
// A [Config] has two parts. Its regions say which root key seals, which further
// ones open, and which providers may be called for them:
//
//	router, err := residency.New(residency.Config{
//		Regions: []residency.Region{
//			{Name: "eu", RootKey: euKey, Call: []kmsprovider.Provider{frankfurt, dublin}, Within: []string{"eu-*"}},
//			{Name: "us", RootKey: usKey, Call: []kmsprovider.Provider{virginia}},
//			{Name: "acme", RootKey: acmeKey, Call: []kmsprovider.Provider{asAcme}},
//		},
//		Tenants: []residency.Rule{
//			{Tenant: "acme", Region: "acme"},
//			{Tenant: "globex", Region: "us", From: []string{"eu"}},
//			{Tenant: "us-*", Region: "us"},
//		},
//		Default: "eu",
//	})
//
// Its rules, or a function, say which tenant is at home in which region. The
// first rule that matches wins; a tenant that none matches has the default
// region, or is refused if there is none. [New] refuses a configuration with
// rules that no tenant gets to, with rules of which only their order decides, and
// with root keys that a provider can't call.
//
// The [Router] is both things that a program needs: the source of root keys for
// each scope, and the provider that dispatches by root key.
//
//	crypt, err := fieldcrypt.New(router, envelope.RootKeysByTenant(router.RootKeys), nil)
//
// # What is promised
//
// A root key that no region names is refused without a call. A provider whose
// location isn't within [Region.Within] is never called for the region's root
// keys, whatever fails. A tenant opens under its own region's root keys and,
// since it says so in so many words, those of the regions it moved from.
//
// # Moves
//
// A tenant that moves opens under the root key it had for as long as its rule says
// From. What it seals goes under the new region's root key from its next data key
// on: call Rotate of its scopes, and then Rewrap. Without From its data keys under
// the former root key leave memory within the key ring's CacheTTL.
//
// # A tenant's own root key
//
// A key in the tenant's own account is one more region, with a provider that has
// the credentials for it, such as a role to assume. What the tenant does to its
// key, or its key service to calls, concerns that tenant alone.
//
// # More than one provider
//
// Where a region has several, package failover decides which one is asked:
// replicas of a multi-Region key, with awskms.Options.Replicas.
package residency
