package envelope

// RootKeysByTenant makes a function of the tenant a [RootKeySource]: all classes
// of a tenant have the same root keys. The function returns RootKeys, or a type
// of the same form, as RootKeys of a residency.Router does.
func RootKeysByTenant[K ~struct {
	Seal string
	Open []string
}](rootKeys func(tenant string) (K, error)) RootKeySource {
	return RootKeysFunc(func(s Scope) (RootKeys, error) {
		keys, err := rootKeys(s.Tenant)
		return RootKeys(keys), err
	})
}
