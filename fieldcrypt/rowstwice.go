package fieldcrypt

import (
	"bytes"
	"encoding/json"
)

// twice reports whether an object in valid JSON has a member twice, which
// encoding/json reads as its last.
func twice(text []byte) bool {
	if bytes.IndexByte(text, ':') < 0 {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var objects []map[string]struct{} // of what is open; nil for an array
	name := false                     // whether the next token is a member's name
	for {
		token, err := d.Token()
		if err != nil {
			return false // the end
		}
		if delimiter, ok := token.(json.Delim); ok {
			switch delimiter {
			case '{':
				objects, name = append(objects, map[string]struct{}{}), true
				continue
			case '[':
				objects, name = append(objects, nil), false
				continue
			}
			objects = objects[:len(objects)-1]
		} else if name {
			key, _ := token.(string)
			seen := objects[len(objects)-1]
			if _, there := seen[key]; there {
				return true
			}
			seen[key] = struct{}{}
			name = false
			continue
		}
		name = len(objects) > 0 && objects[len(objects)-1] != nil
	}
}
