package primitives

import "reflect"

// Wipe overwrites the expanded AES key schedule inside a cipher of crypto/aes
// or crypto/cipher, which offer no way to do so. The first 32 bytes of an
// AES-256 schedule are the key itself. Only structs of these two packages are
// touched, so that a change of the standard library can make this do nothing,
// and never do harm; a test notices. The cipher must not be in use.
func Wipe(c any) {
	v := reflect.ValueOf(c)
	if v.Kind() == reflect.Struct && v.NumField() > 0 { // gcmWithRandomNonce{*gcm.GCM}
		v = v.Field(0)
	}
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
		return
	}
	switch v.Type().Elem().PkgPath() {
	case "crypto/internal/fips140/aes", "crypto/internal/fips140/aes/gcm":
		reflect.NewAt(v.Type().Elem(), v.UnsafePointer()).Elem().SetZero()
	}
}
