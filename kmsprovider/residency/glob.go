package residency

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// A glob is a pattern in the grammar of path.Match. It is matched rune by rune,
// and exactly as that grammar says; and questions about all strings that match
// can be answered, which path.Match can't.
type glob struct {
	text   string
	prefix string // of all that match
	terms  []term
}

// A term matches one rune, or any number of them that aren't a slash.
type term struct {
	star    bool
	not     bool
	ranges  [][2]rune // none: any
	noSlash bool
}

func (t *term) matches(r rune) bool {
	if t.noSlash && r == '/' {
		return false
	}
	in := len(t.ranges) == 0
	for _, lohi := range t.ranges {
		in = in || lohi[0] <= r && r <= lohi[1]
	}
	return in != t.not
}

var errPattern = errors.New("not a pattern: see path.Match for how one is written")

func parseGlob(text string) (*glob, error) {
	g := &glob{text: text}
	if !utf8.ValidString(text) {
		return nil, errPattern
	}
	for in := []rune(text); len(in) > 0; {
		r := in[0]
		in = in[1:]
		switch r {
		case '*':
			g.terms = append(g.terms, term{star: true, noSlash: true})
		case '?':
			g.terms = append(g.terms, term{noSlash: true})
		case '[':
			t, rest, err := parseClass(in)
			if err != nil {
				return nil, err
			}
			g.terms, in = append(g.terms, t), rest
		case '\\':
			if len(in) == 0 {
				return nil, errPattern
			}
			r, in = in[0], in[1:]
			fallthrough
		default:
			g.terms = append(g.terms, term{ranges: [][2]rune{{r, r}}})
		}
	}
	for _, t := range g.terms {
		r, ok := t.one()
		if !ok {
			break
		}
		g.prefix += string(r)
	}
	return g, nil
}

// one returns the rune that the term matches, if it is one.
func (t *term) one() (rune, bool) {
	if len(t.ranges) != 1 || t.not || t.ranges[0][0] != t.ranges[0][1] {
		return 0, false
	}
	return t.ranges[0][0], true
}

// parseClass reads what follows a "[".
func parseClass(in []rune) (t term, rest []rune, err error) {
	if len(in) > 0 && in[0] == '^' {
		t.not, in = true, in[1:]
	}
	char := func() (r rune, ok bool) {
		if len(in) == 0 || in[0] == '-' || in[0] == ']' {
			return 0, false
		}
		if in[0] == '\\' {
			if in = in[1:]; len(in) == 0 {
				return 0, false
			}
		}
		r, in = in[0], in[1:]
		return r, len(in) > 0
	}
	for len(in) == 0 || in[0] != ']' || len(t.ranges) == 0 {
		lo, ok := char()
		hi := lo
		if ok && in[0] == '-' {
			in = in[1:]
			hi, ok = char()
		}
		if !ok {
			return term{}, nil, errPattern
		}
		t.ranges = append(t.ranges, [2]rune{lo, hi})
	}
	return t, in[1:], nil
}

// literal reports whether the glob matches its own text and nothing else.
func (g *glob) literal() bool {
	for _, r := range g.text {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			return false
		}
	}
	return true
}

// places says how far into a glob one may be after some runes: places[i] is 1 if
// the first i terms can have matched them. It is nil if nothing can follow.
type places []byte

func (g *glob) start() places {
	p := make(places, len(g.terms)+1)
	g.reach(p, 0)
	return p
}

// reach adds the i-th place, and those that come with it since a star may match
// nothing.
func (g *glob) reach(p places, i int) {
	for p[i] == 0 {
		p[i] = 1
		if i == len(g.terms) || !g.terms[i].star {
			return
		}
		i++
	}
}

func (g *glob) step(from places, r rune) places {
	var to places
	for i := range g.terms {
		if from == nil || from[i] == 0 || !g.terms[i].matches(r) {
			continue
		}
		if to == nil {
			to = make(places, len(from))
		}
		if g.terms[i].star {
			g.reach(to, i)
		} else {
			g.reach(to, i+1)
		}
	}
	return to
}

func (p places) matched() bool { return p != nil && p[len(p)-1] == 1 }

func (g *glob) match(s string) bool {
	if !strings.HasPrefix(s, g.prefix) {
		return false
	}
	p := g.start()
	for _, r := range s {
		p = g.step(p, r)
	}
	return p.matched()
}

// searchLimit bounds the work of a search for an example. What can't be
// settled within it is taken to have one.
const searchLimit = 4000

// example returns a string of one rune or more that all of the globs match and
// none of the others does. If ok is false, there is none. If example is empty,
// the search was given up.
func example(all, none []*glob) (found string, ok bool) {
	type node struct {
		at     []places
		parent int
		r      rune
	}
	globs := slices.Concat(all, none)
	first := node{parent: -1}
	for _, g := range globs {
		first.at = append(first.at, g.start())
	}
	runes := samples(globs)
	nodes, seen := []node{first}, map[string]bool{}
	for n := 0; n < len(nodes); n++ {
		if len(nodes) > searchLimit {
			return "", true
		}
		for _, r := range runes {
			next := node{parent: n, r: r}
			alive, matched := true, true
			var key []byte
			for i, g := range globs {
				p := g.step(nodes[n].at[i], r)
				next.at = append(next.at, p)
				key = append(append(key, p...), 2)
				if i < len(all) {
					alive = alive && p != nil
				}
				matched = matched && p.matched() == (i < len(all))
			}
			if !alive || seen[string(key)] {
				continue
			}
			seen[string(key)] = true
			nodes = append(nodes, next)
			if matched {
				var path []rune
				for i := len(nodes) - 1; nodes[i].parent >= 0; i = nodes[i].parent {
					path = append(path, nodes[i].r)
				}
				slices.Reverse(path)
				return string(path), true
			}
		}
	}
	return "", false
}

// samples returns one rune of each kind that the globs can tell apart, letters
// and digits where there is a choice.
func samples(globs []*glob) []rune {
	bounds := []rune{0, '/', '/' + 1, 0xD800, 0xE000, utf8.MaxRune + 1}
	for _, g := range globs {
		for _, t := range g.terms {
			for _, lohi := range t.ranges {
				bounds = append(bounds, lohi[0], lohi[1]+1)
			}
		}
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	var runes []rune
	for i, lo := range bounds[:len(bounds)-1] {
		r := lo
		for _, nice := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_." {
			if lo <= nice && nice < bounds[i+1] {
				r = nice
				break
			}
		}
		if utf8.ValidRune(r) {
			runes = append(runes, r)
		}
	}
	// Nice ones first, for examples that read well.
	slices.SortStableFunc(runes, func(a, b rune) int { return unprintable(a) - unprintable(b) })
	return runes
}

func unprintable(r rune) int {
	if r > ' ' && r < 0x7f {
		return 0
	}
	return 1
}
