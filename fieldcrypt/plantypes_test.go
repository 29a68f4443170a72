package fieldcrypt

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Types without methods of their own, which a program may take for values.
type (
	definedString String
	definedTwice  definedString
	aliasString   = String
	holdsDefined  struct{ Inner struct{ Email definedString } }
)

func TestDefinedOverAValue(t *testing.T) {
	for name, compile := range map[string]func() (*plan, error){
		"untagged": planFor[struct {
			ID    int64  `fieldcrypt:"id"`
			Email String `fieldcrypt:"A.email"`
			Phone definedString
		}],
		"defined twice": planFor[struct {
			ID    int64  `fieldcrypt:"id"`
			Email String `fieldcrypt:"A.email"`
			Phone definedTwice
		}],
		"tagged": planFor[struct {
			ID    int64         `fieldcrypt:"id"`
			Phone definedString `fieldcrypt:"A.phone"`
		}],
		"tagged pointer": planFor[struct {
			ID    int64          `fieldcrypt:"id"`
			Phone *definedString `fieldcrypt:"A.phone"`
		}],
		"embedded": planFor[struct {
			ID    int64  `fieldcrypt:"id"`
			Email String `fieldcrypt:"A.email"`
			definedString
		}],
		"in a map": planFor[struct {
			ID    int64  `fieldcrypt:"id"`
			Email String `fieldcrypt:"A.email"`
			Phone map[string][]*definedString
		}],
		"nested": planFor[struct {
			ID    int64  `fieldcrypt:"id"`
			Email String `fieldcrypt:"A.email"`
			Phone *holdsDefined
		}],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile()
			require.ErrorContains(t, err, "can't hold a sensitive value: it is defined over a type of fieldcrypt")
		})
	}
	for name, compile := range map[string]func() (*plan, error){ // the controls
		"alias": planFor[struct {
			ID    int64       `fieldcrypt:"id"`
			Email aliasString `fieldcrypt:"A.email"`
		}],
		"left alone": planFor[struct {
			ID    int64         `fieldcrypt:"id"`
			Email String        `fieldcrypt:"A.email"`
			Phone definedString `fieldcrypt:"-"`
		}],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile()
			require.NoError(t, err)
		})
	}
}

// In sixteen layers of three fields there are 3^16 ways to the innermost type.
type (
	layer[T any] struct {
		A T
		B *T
		C []T
	}
	fourLayers[T any]    = layer[layer[layer[layer[T]]]]
	sixteenLayers[T any] = fourLayers[fourLayers[fourLayers[fourLayers[T]]]]

	unmarkedInnermost struct {
		Email String `fieldcrypt:"-"`
	}
	markedInnermost struct {
		Email String `fieldcrypt:"A.email"`
	}
)

func TestTypesWithManyWaysToOne(t *testing.T) {
	began := time.Now()
	none := map[reflect.Type]struct{}{}
	require.False(t, marks(reflect.TypeFor[sixteenLayers[unmarkedInnermost]](), none))
	require.Len(t, none, 17, "each type is looked into once")
	require.True(t, marks(reflect.TypeFor[sixteenLayers[markedInnermost]](), map[reflect.Type]struct{}{}))
	_, err := planFor[struct {
		ID     int64  `fieldcrypt:"id"`
		Email  String `fieldcrypt:"A.email"`
		Others sixteenLayers[unmarkedInnermost]
	}]()
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*time.Second)
}

// Types that lead to each other: what is found must not depend on where the
// search begins.
type (
	ringA struct{ Next *ringB }
	ringB struct {
		Back  *ringA
		Email string `fieldcrypt:"A.email"`
	}
	ringC struct{ Next *ringD }
	ringD struct{ Back *ringC }
)

func TestMarksInTypesThatHoldEachOther(t *testing.T) {
	for typ, want := range map[reflect.Type]bool{
		reflect.TypeFor[ringA](): true, reflect.TypeFor[ringB](): true, reflect.TypeFor[[]*ringA](): true,
		reflect.TypeFor[ringC](): false, reflect.TypeFor[ringD](): false, reflect.TypeFor[time.Time](): false, reflect.TypeFor[any](): false,
	} {
		require.Equal(t, want, marks(typ, map[reflect.Type]struct{}{}), typ)
	}
}

// Errors don't repeat all fields and tags of a type without a name.
func TestTypeNames(t *testing.T) {
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[String]():    "fieldcrypt.Value[string]",
		reflect.TypeFor[ringA]():     "fieldcrypt.ringA",
		reflect.TypeFor[[]*ringA]():  "[]*fieldcrypt.ringA",
		reflect.TypeFor[struct{}]():  "struct{}",
		reflect.TypeFor[func(int)](): "func(int)",
		reflect.TypeFor[*struct {
			ID int64 `fieldcrypt:"id"`
		}](): "*struct{ID}",
		reflect.TypeFor[map[string][2]struct{ A, B, C, D int }](): "map[string][2]struct{A, B, C, …}",
	} {
		require.Equal(t, want, typeName(typ))
	}
	_, err := planFor[struct {
		ID    int64 `fieldcrypt:"id" json:"id"`
		Email struct {
			Address string `json:"address"`
		} `fieldcrypt:"A.email" json:"email"`
	}]()
	require.EqualError(t, err, "fieldcrypt: struct{ID, Email}: field Email: type struct{Address} can't hold a sensitive value: use fieldcrypt.String or one of its neighbours")
}
