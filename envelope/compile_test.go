package envelope

import (
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A package that sees the type of a generic struct compiles all its methods. So a
// KeyRing has none but small ones of the standard library: others would cost seconds in
// each package that imports this one.
func TestKeyRingHidesGenericStructs(t *testing.T) {
	require.Len(t, genericStructs(reflect.TypeFor[struct{ c []*atomic.Pointer[int] }](), nil), 1, "control")
	for _, name := range genericStructs(reflect.TypeFor[KeyRing](), nil) {
		require.False(t, strings.HasPrefix(name, "github.com/"), name)
	}
}

// genericStructs names those that a type leads to.
func genericStructs(in reflect.Type, seen map[reflect.Type]bool) (names []string) {
	if seen == nil {
		seen = map[reflect.Type]bool{}
	}
	if seen[in] {
		return nil
	}
	seen[in] = true
	switch in.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Chan:
		names = genericStructs(in.Elem(), seen)
	case reflect.Struct:
		if strings.Contains(in.Name(), "[") {
			names = append(names, in.PkgPath()+"."+in.Name())
		}
		for i := range in.NumField() {
			names = append(names, genericStructs(in.Field(i).Type, seen)...)
		}
	}
	return names
}
