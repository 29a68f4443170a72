package fieldcrypt

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// A path leads from a record to values in it: through members by their names,
// and through all elements of arrays.
//
//	email                    a member of the record
//	address.postal_code      a member of a member
//	tags[*].note             a member of each element of an array
//	"a name with. dots"      a member whose name has other characters
type path []step

// A step is to a member by its name or, without a name, to all elements.
type step string

const allElements step = ""

// maxSteps bounds how deep a path goes.
const maxSteps = 16

func parsePath(text string) (path, error) {
	fail := func(why string) (path, error) {
		return nil, fmt.Errorf("path %.80q: %s: it is members with dots between them, as in address.postal_code, and [*] for the elements of an array, as in tags[*].note", text, why)
	}
	var p path
	for rest := text; ; {
		name, behind, err := cutName(rest)
		if err != nil {
			return fail(err.Error())
		}
		p = append(p, step(name))
		for {
			after, ok := strings.CutPrefix(behind, "[*]")
			if !ok {
				break
			}
			behind, p = after, append(p, allElements)
		}
		if len(p) > maxSteps {
			return fail(fmt.Sprintf("it is more than %d steps", maxSteps))
		}
		if behind == "" {
			return p, nil
		}
		var ok bool
		if rest, ok = strings.CutPrefix(behind, "."); !ok {
			return fail("there is something between a member and the next dot")
		}
	}
}

// cutName cuts a member's name, which may be in quotes, off the front.
func cutName(text string) (name, rest string, err error) {
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		if name, rest, ok = strings.Cut(quoted, `"`); !ok {
			return "", "", errors.New("a quote isn't closed")
		}
	} else {
		end := strings.IndexAny(text, `.[]"*`)
		if end < 0 {
			end = len(text)
		}
		name, rest = text[:end], text[end:]
	}
	switch {
	case name == "":
		return "", "", errors.New("a member has no name")
	case !utf8.ValidString(name):
		return "", "", errors.New("it isn't UTF-8")
	}
	return name, rest, nil
}

func (p path) String() string {
	var b strings.Builder
	for i, s := range p {
		switch {
		case s == allElements:
			b.WriteString("[*]")
			continue
		case i > 0:
			b.WriteByte('.')
		}
		if strings.ContainsAny(string(s), ".[]*") {
			b.WriteString(`"` + string(s) + `"`)
		} else {
			b.WriteString(string(s))
		}
	}
	return b.String()
}

// meets reports whether one path leads to where the other does, or through it.
func (p path) meets(other path) bool {
	n := min(len(p), len(other))
	return slices.Equal(p[:n], other[:n])
}

// A slot is a place in a record of maps that a path leads to: the member of a
// map, or the element of an array.
type slot struct {
	members  map[string]any
	name     string
	elements []any
	index    int
}

func (s *slot) get() any {
	if s.members != nil {
		return s.members[s.name]
	}
	return s.elements[s.index]
}

func (s *slot) put(v any) {
	if s.members != nil {
		s.members[s.name] = v
	} else {
		s.elements[s.index] = v
	}
}

// identity tells whether two records hold one and the same map.
func (s *slot) identity() identity {
	if s.members != nil {
		return identity{in: reflect.ValueOf(s.members).UnsafePointer(), key: s.name}
	}
	return identity{in: unsafe.Pointer(&s.elements[s.index])}
}

// errPath: a record isn't in the shape that a path is for, so that a value
// would be left as it is.
var errPath = errors.New("the record doesn't have the shape that the path is for")

// visit calls do for each place that the path leads to in v, a record or what a
// part of the path has led to. A member that isn't there, and a nil on the way,
// lead nowhere.
func (p path) visit(v any, do func(slot) error) error {
	if v == nil {
		return nil
	}
	if p[0] == allElements {
		array, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%w: %T where an array ([]any) is expected", errPath, v)
		}
		for i := range array {
			if err := p.arrive(slot{elements: array, index: i}, do); err != nil {
				return err
			}
		}
		return nil
	}
	members, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%w: %T where the member %.80q (of a map[string]any) is expected", errPath, v, string(p[0]))
	}
	if _, ok := members[string(p[0])]; !ok {
		return nil
	}
	return p.arrive(slot{members: members, name: string(p[0])}, do)
}

// arrive is at a place of the path's first step.
func (p path) arrive(at slot, do func(slot) error) error {
	if len(p) == 1 {
		return do(at)
	}
	return p[1:].visit(at.get(), do)
}
