package fieldcrypt

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a generic struct embeds has a copy of each of its methods for each T, which
// packages that use it compile: hundreds for each record type.
func TestGenericStructsEmbedNothing(t *testing.T) {
	type record struct{}
	for _, typ := range []reflect.Type{reflect.TypeFor[Records[record]](), reflect.TypeFor[Search[record]](), reflect.TypeFor[Query[record]]()} {
		for i := range typ.NumField() {
			require.False(t, typ.Field(i).Anonymous, typ.Field(i).Name)
		}
	}
}
