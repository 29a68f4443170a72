package drivertest

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

type valuer = driver.Valuer

// walk calls do for each place to which steps lead from a tree. It is written
// without a look at the library's own paths.
func walk(tree any, steps []string, do func(content any, put func(any)) error) error {
	if len(steps) == 0 || tree == nil {
		return nil
	}
	step, rest := steps[0], steps[1:]
	at := func(content any, put func(any)) error {
		if len(rest) == 0 {
			return do(content, put)
		}
		return walk(content, rest, do)
	}
	switch t := tree.(type) {
	case map[string]any:
		if content, there := t[step]; there {
			return at(content, func(v any) { t[step] = v })
		}
		return nil
	case []any:
		if step != allOf {
			return fmt.Errorf("an array where the member %s is expected", step)
		}
		for i := range t {
			if err := at(t[i], func(v any) { t[i] = v }); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("a %T where %s is expected", tree, step)
}

// contents are a field's in a record, in the order of its places.
func contents(members map[string]any, f *drawnField) (all []any) {
	_ = walk(members, f.steps, func(content any, _ func(any)) error { all = append(all, content); return nil })
	return all
}

func cloneTree(tree any) any {
	switch t := tree.(type) {
	case map[string]any:
		out := make(map[string]any, len(t))
		for name, member := range t {
			out[name] = cloneTree(member)
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i := range t {
			out[i] = cloneTree(t[i])
		}
		return out
	}
	return tree
}

// given is the record as a program gives it to Encrypt.
func (s *sample) given(rec *drawnRecord) map[string]any {
	r := rec.generator()
	out := cloneTree(rec.members).(map[string]any)
	texts := map[string]bool{} // documents that can be given as text
	for _, doc := range s.documents() {
		texts[doc] = out[doc] != nil && oneIn(r, 3)
	}
	for i := range s.fields {
		f := &s.fields[i]
		_ = walk(out, f.steps, func(content any, put func(any)) error {
			switch {
			case content == nil:
				return nil
			case !texts[f.steps[0]] || !f.inside():
				put(given(r, content, f.inside()))
				return nil
			}
			forms := likes(content, true)
			number, isNumber := content.(float64)
			if len(forms) == 0 || isNumber && math.IsInf(number, 0) {
				texts[f.steps[0]] = false
				put(boxed(content))
				return nil
			}
			put(forms[0])
			return nil
		})
	}
	for _, doc := range s.documents() {
		switch {
		case texts[doc]:
			text, err := json.Marshal(out[doc])
			if err != nil {
				panic(err)
			}
			out[doc] = pick(r, any(text), any(string(text)), any(json.RawMessage(text)))
		case out[doc] != nil && oneIn(r, 3):
			made, err := fieldcrypt.DocumentOf(out[doc])
			if err != nil {
				panic(err)
			}
			out[doc] = made
		}
	}
	return out
}

// compare holds a decrypted record to what was drawn.
func (s *sample) compare(rec *drawnRecord, read map[string]any) error {
	trees := map[string]any{}
	for _, doc := range s.documents() {
		held, ok := read[doc].(fieldcrypt.Document)
		switch {
		case read[doc] == nil && rec.members[doc] == nil:
			continue
		case !ok || rec.members[doc] == nil:
			return fmt.Errorf("the document %s is a %T", doc, read[doc])
		}
		tree, err := held.Tree()
		if err != nil {
			return fmt.Errorf("the document %s: %w", doc, err)
		}
		trees[doc] = tree
	}
	for i := range s.fields {
		f := &s.fields[i]
		from := read
		if f.inside() {
			from = trees
		}
		want, is := contents(rec.members, f), contents(from, f)
		if !f.inside() && len(want) == 0 { // a member that was missing is a NULL
			want = []any{nil}
		}
		if len(want) != len(is) {
			return fmt.Errorf("field %q has %d values, there were %d", f.Name, len(is), len(want))
		}
		for n := range want {
			content, err := opened(is[n])
			if err != nil {
				return fmt.Errorf("field %q, value %d: %w", f.Name, n, err)
			}
			if !same(want[n], content) {
				return fmt.Errorf("field %q, value %d: it is %.200q, it was %.200q", f.Name, n, fmt.Sprint(content), fmt.Sprint(want[n]))
			}
		}
	}
	for doc, tree := range trees {
		if was, is := s.rest(doc, rec.members[doc]), s.rest(doc, tree); was != is {
			return fmt.Errorf("the rest of the document %s is %s, it was %s", doc, is, was)
		}
	}
	return nil
}

// rest is a document without what is sensitive.
func (s *sample) rest(doc string, tree any) string {
	members := map[string]any{doc: cloneTree(tree)}
	for i := range s.fields {
		if f := &s.fields[i]; f.inside() && f.steps[0] == doc {
			_ = walk(members, f.steps, func(_ any, put func(any)) error { put(nil); return nil })
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
