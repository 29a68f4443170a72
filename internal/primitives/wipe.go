package primitives

import (
	"reflect"
	"regexp"
	"runtime"
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

// leaveNothing is called before functions of the standard library that leave keys
// behind, and what it returns, by the same caller, after them: it overwrites the
// part of the stack that they have used, and what a signal has saved meanwhile of
// the registers.
func leaveNothing() (wipe func()) {
	runtime.LockOSThread() // the signal stack is a thread's
	wipeStack()            // makes room, so that the stack doesn't move, and leave a copy, while there is a secret on it
	return func() {
		wipeStack()
		wipeRegisters()
		wipeSignalStack()
		runtime.UnlockOSThread()
	}
}

// wipeStack overwrites the part of the stack that functions called before it, by
// the same caller, have used.
//
//go:noinline
func wipeStack() {
	var used [4 << 10]byte
	overwrite(used[:])
}

//go:noinline
func overwrite(b []byte) { clear(b) }

// wipeRegisters overwrites the registers that copying bytes leaves them in.
//
//go:noinline
func wipeRegisters() {
	var from, to [256]byte // as much as is copied through all of them
	move(to[:], from[:])
}

//go:noinline
func move(dst, src []byte) { copy(dst, src) }
