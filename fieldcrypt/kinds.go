package fieldcrypt

import (
	"encoding/json"
	"reflect"
	"time"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A kind is what a plan knows of one type of sensitive value. It stands for
// the type parameter of Value where the code isn't generic.
type kind struct {
	typ  envelope.Type
	size int // bytes of payload of a type of fixed size, else -1

	at     func(unsafe.Pointer) sensitive
	clone  func(sensitive) sensitive
	assign func(dst, src sensitive)

	// Map entries have no address: each visits copies, put writes one back, and
	// stateOf tells what the map holds by now.
	each    func(m unsafe.Pointer, visit func(key string, v sensitive) error) error
	put     func(m unsafe.Pointer, key string, v sensitive)
	stateOf func(m unsafe.Pointer, key string) state
	mapOf   func(m unsafe.Pointer) unsafe.Pointer // equal for variables that hold the same map

	// Of records that are maps: take makes a value of what a program put there,
	// scan of what a column or, inside, a document held, and box gives it back.
	take func(content any) (sensitive, error)
	scan func(content any, inside bool) sensitive
	box  func(sensitive) any
}

func kindOf[T Plain](typ envelope.Type, size int) (reflect.Type, *kind) {
	return reflect.TypeFor[Value[T]](), &kind{
		typ:    typ,
		size:   size,
		at:     func(p unsafe.Pointer) sensitive { return (*Value[T])(p) },
		clone:  func(v sensitive) sensitive { c := *v.(*Value[T]); return &c },
		assign: func(dst, src sensitive) { *dst.(*Value[T]) = *src.(*Value[T]) },
		each: func(m unsafe.Pointer, visit func(string, sensitive) error) error {
			for key, v := range *(*map[string]Value[T])(m) {
				if err := visit(key, &v); err != nil {
					return err
				}
			}
			return nil
		},
		put: func(m unsafe.Pointer, key string, v sensitive) {
			(*(*map[string]Value[T])(m))[key] = *v.(*Value[T])
		},
		stateOf: func(m unsafe.Pointer, key string) state { return (*(*map[string]Value[T])(m))[key].state },
		mapOf: func(m unsafe.Pointer) unsafe.Pointer {
			return reflect.ValueOf(*(*map[string]Value[T])(m)).UnsafePointer()
		},
		take: take[T],
		scan: func(content any, inside bool) sensitive {
			if v, ok := content.(Value[T]); ok {
				return &v
			}
			v := new(Value[T])
			_ = v.Scan(content) // what it refuses makes it unavailable
			if inside {
				v.scannedInside(content)
			}
			return v
		},
		box: func(v sensitive) any { return *v.(*Value[T]) },
	}
}

// kinds lists the types of Value by their reflect.Type. It is never written
// to.
var kinds = func() map[reflect.Type]*kind {
	m := map[reflect.Type]*kind{}
	add := func(t reflect.Type, k *kind) { m[t] = k }
	add(kindOf[string](envelope.TypeString, -1))
	add(kindOf[[]byte](envelope.TypeBytes, -1))
	add(kindOf[int64](envelope.TypeInt64, 8))
	add(kindOf[uint64](envelope.TypeUint64, 8))
	add(kindOf[float64](envelope.TypeFloat64, 8))
	add(kindOf[bool](envelope.TypeBool, 1))
	add(kindOf[time.Time](envelope.TypeTime, 16))
	add(kindOf[CivilDate](envelope.TypeDate, 6))
	add(kindOf[DecimalString](envelope.TypeDecimal, -1))
	add(kindOf[json.RawMessage](envelope.TypeJSON, -1))
	return m
}()
