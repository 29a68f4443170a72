package primitives

import (
	"reflect"
	"regexp"
)

// Wipe overwrites the expanded AES key schedule inside a cipher of crypto/aes
// or crypto/cipher, which offer no way to do so. The first 32 bytes of an
// AES-256 schedule are the key itself. Only structs of these two packages are
// touched, so that a change of the standard library can make this do nothing,
// and never do harm; a test notices. The cipher must not be in use.
func Wipe(c any) {
	wipe(reflect.ValueOf(c))
}

func wipe(v reflect.Value) {
	if v.Kind() == reflect.Struct && v.NumField() > 0 { // gcmWithRandomNonce{*gcm.GCM}
		v = v.Field(0)
	}
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
		return
	}
	switch fipsPackage(v.Type().Elem()) {
	case "aes", "aes/gcm":
		reflect.NewAt(v.Type().Elem(), v.UnsafePointer()).Elem().SetZero()
	}
}

// fipsPackage names the package of the standard library's FIPS 140-3 module that
// a type is of, or is empty. Programs that are built with GOFIPS140, for the
// certified module among others, have the module's version in the path.
func fipsPackage(t reflect.Type) string {
	found := inFIPSModule.FindStringSubmatch(t.PkgPath())
	if found == nil {
		return ""
	}
	return found[1]
}

var inFIPSModule = regexp.MustCompile(`^crypto/internal/fips140/(?:v[0-9][^/]*/)?(.+)$`)

// wipeStack overwrites the part of the stack that functions called before it, by
// the same caller, have used: the standard library's leave keys there.
//
//go:noinline
func wipeStack() {
	var used [4 << 10]byte
	overwrite(used[:])
}

//go:noinline
func overwrite(b []byte) { clear(b) }
