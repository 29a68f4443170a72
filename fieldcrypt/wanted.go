package fieldcrypt

import "unsafe"

// A wantedSet is the values that a query looks for: plaintext. They are behind a
// pointer without a type, as a Value's content is, because fmt calls no methods of
// what is in unexported fields, and would print a map's keys there.
type wantedSet struct {
	held unsafe.Pointer // *map[string]struct{}
}

// add notes a value; false if it was noted before.
func (s *wantedSet) add(value string) bool {
	if s.held == nil {
		s.held = unsafe.Pointer(&map[string]struct{}{})
	}
	values := *(*map[string]struct{})(s.held)
	_, twice := values[value]
	values[value] = struct{}{}
	return !twice
}

func (s *wantedSet) has(value string) bool {
	if s.held == nil {
		return false
	}
	_, ok := (*(*map[string]struct{})(s.held))[value]
	return ok
}
