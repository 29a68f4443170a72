package fieldcrypt

import (
	"fmt"
	"reflect"
	"strings"
)

// What a plan's compiler asks about types.

func isMap(t reflect.Type) bool { return t.Kind() == reflect.Map }

// element returns what pointers, slices, arrays and maps lead to.
func element(t reflect.Type) reflect.Type {
	for {
		if kinds[t] != nil {
			return t
		}
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			t = t.Elem()
		default:
			return t
		}
	}
}

// holdsValue reports a Value, a pointer to one, or a slice, array or map of
// them.
func holdsValue(t reflect.Type) bool { return kinds[element(t)] != nil }

// definedLikeValue returns the type in t that a program defined as a Value, as
// in type Email fieldcrypt.String; else nil. Methods aren't inherited that way:
// nothing would keep it from being printed, or written as it is.
func definedLikeValue(t reflect.Type) reflect.Type {
	t = element(t)
	if t.Kind() != reflect.Struct || kinds[t] != nil {
		return nil
	}
	for value := range kinds {
		if t.ConvertibleTo(value) { // of structs: the underlying types are the same
			return t
		}
	}
	return nil
}

// marks reports whether a fieldcrypt tag, or a Value, is anywhere inside t. Seen
// has the types that were looked into, where none was found: looking again
// from each type that leads there would take time without bound.
func marks(t reflect.Type, seen map[reflect.Type]struct{}) bool {
	t = element(t)
	if kinds[t] != nil || definedLikeValue(t) != nil {
		return true
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	if _, known := seen[t]; known {
		return false
	}
	seen[t] = struct{}{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, err := lookupTag(f)
		if err != nil || tag.mark != markNone && tag.mark != markIgnore {
			return true
		}
		if tag.mark == markNone && marks(f.Type, seen) {
			return true
		}
	}
	return false
}

// fieldsNamed is how many of its fields an anonymous struct is known by.
const fieldsNamed = 3

// typeName is how errors write a type. Go's own form of an anonymous struct
// has all of its fields and their tags in it.
func typeName(t reflect.Type) string {
	if t.Name() != "" {
		return t.String()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + typeName(t.Elem())
	case reflect.Slice:
		return "[]" + typeName(t.Elem())
	case reflect.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), typeName(t.Elem()))
	case reflect.Map:
		return "map[" + typeName(t.Key()) + "]" + typeName(t.Elem())
	case reflect.Struct:
	default:
		return t.String()
	}
	var names []string
	for i := range t.NumField() {
		if i == fieldsNamed {
			names = append(names, "…")
			break
		}
		names = append(names, t.Field(i).Name)
	}
	return "struct{" + strings.Join(names, ", ") + "}"
}
