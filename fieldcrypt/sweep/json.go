package sweep

import (
	"bytes"
	"encoding/json"
	"reflect"
)

// sameJSON compares two documents as PostgreSQL's jsonb does.
func sameJSON(a, b any) bool {
	read := func(v any) (any, bool) {
		var tree any
		d := json.NewDecoder(bytes.NewReader([]byte(textOf(v))))
		d.UseNumber()
		err := d.Decode(&tree)
		return tree, err == nil
	}
	one, ok := read(a)
	other, ok2 := read(b)
	return ok && ok2 && reflect.DeepEqual(one, other)
}
