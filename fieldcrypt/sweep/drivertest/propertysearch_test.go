package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/normalise"
)

// A probe is a way to search for a sample's records.
type probe struct {
	what    string
	indexes []fieldcrypt.SchemaIndex // that answer
	exact   *drawnField              // that answers, where there is no index
}

// probes are all ways to search: by each index, by all of a field, and by the
// fields that are deterministic.
func (s *sample) probes() (all []probe) {
	for i, x := range s.indexes {
		all = append(all, probe{what: x.Column, indexes: s.indexes[i : i+1]})
		group := probe{what: s.labels(&x)}
		for _, other := range s.indexes {
			if s.labels(&other) == group.what && other.First == x.First && other.Last == x.Last {
				group.indexes = append(group.indexes, other)
			}
		}
		if group.indexes[0].Column == x.Column {
			all = append(all, group)
		}
	}
	for i := range s.fields {
		f := &s.fields[i]
		indexed := slices.ContainsFunc(s.indexes, func(x fieldcrypt.SchemaIndex) bool { return s.labels(&x) == s.label(f) })
		if f.Deterministic && !f.inside() && !indexed {
			all = append(all, probe{what: s.label(f), exact: f})
		}
	}
	return all
}

func (s *sample) labels(x *fieldcrypt.SchemaIndex) string {
	labels := make([]string, len(x.Of))
	for i, name := range x.Of {
		labels[i] = s.module.Name + "." + name
	}
	return strings.Join(labels, "+")
}

func (s *sample) field(name string) *drawnField {
	return &s.fields[slices.IndexFunc(s.fields, func(f drawnField) bool { return f.Name == name })]
}

// single is the content of a field that has one place; nil if it is null.
func single(rec *drawnRecord, f *drawnField) any {
	if all := contents(rec.members, f); len(all) > 0 {
		return all[0]
	}
	return nil
}

var (
	errNull = errors.New("a part is null")
	errPart = errors.New("not as long as the index's part")
)

// form is what an index makes of contents, one for each of its fields.
func form(x *fieldcrypt.SchemaIndex, parts []any) (string, error) {
	var forms []string
	for i, part := range parts {
		if part == nil {
			return "", errNull
		}
		n, err := normalise.Lookup(x.Normalise[i])
		if err != nil {
			return "", err
		}
		normal, err := n.Normalise(contentAsText(part))
		if b, ok := part.([]byte); ok && n.Name == normalise.None.Name && len(b) > 0 {
			normal, err = string(b), nil // which needn't be UTF-8
		}
		if err != nil {
			return "", err
		}
		runes := []rune(normal)
		switch {
		case x.First != 0:
			normal = string(runes[:min(x.First, len(runes))])
		case x.Last != 0:
			normal = string(runes[len(runes)-min(x.Last, len(runes)):])
		}
		forms = append(forms, normal)
	}
	return fmt.Sprintf("%q", forms), nil
}

func contentAsText(content any) string {
	switch c := content.(type) {
	case []byte:
		return string(c)
	case int64:
		return strconv.FormatInt(c, 10)
	}
	return fmt.Sprint(content)
}

// parts are the contents of the fields that a probe is for.
func (s *sample) parts(p *probe, rec *drawnRecord) []any {
	if p.exact != nil {
		return []any{single(rec, p.exact)}
	}
	var parts []any
	for _, name := range p.indexes[0].Of {
		parts = append(parts, single(rec, s.field(name)))
	}
	return parts
}

// wanted returns the rows that a query for parts has to find, or the error that
// it has to give.
func (s *sample) wanted(p *probe, tenant string, parts []any) (rows []int, err error) {
	asked := map[string]string{}
	for i := range p.indexes {
		x := &p.indexes[i]
		normal, bad := form(x, parts)
		if bad != nil {
			err = fieldcrypt.ErrNotIndexed
			continue
		}
		if n := x.First + x.Last; n != 0 {
			whole := *x
			whole.First, whole.Last = 0, 0
			if all, _ := form(&whole, parts); utf8.RuneCountInString(all) != utf8.RuneCountInString(normal) || runesIn(x, parts) != n {
				return nil, errPart
			}
		}
		asked[x.Column] = normal
	}
	if len(p.indexes) > 0 && len(asked) == 0 {
		return nil, err
	}
	for row := range s.records {
		rec := &s.records[row]
		theirs := s.parts(p, rec)
		match := p.exact != nil && theirs[0] != nil && same(theirs[0], parts[0])
		for i := range p.indexes {
			normal, bad := form(&p.indexes[i], theirs)
			want, is := asked[p.indexes[i].Column]
			match = match || is && bad == nil && normal == want
		}
		if match && rec.tenant == tenant {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// runesIn counts the characters of a normalised value.
func runesIn(x *fieldcrypt.SchemaIndex, parts []any) int {
	n, err := normalise.Lookup(x.Normalise[0])
	if err != nil {
		return -1
	}
	normal, err := n.Normalise(contentAsText(parts[0]))
	if err != nil {
		return -1
	}
	return utf8.RuneCountInString(normal)
}

// search looks for what some of the records have, in each way that there is.
func (t *trial) search(ctx context.Context) error {
	r := rand.New(rand.NewPCG(t.s.seed, 2))
	for _, p := range t.s.probes() {
		var by *fieldcrypt.Search[map[string]any]
		var err error
		switch {
		case p.exact == nil && p.indexes[0].First != 0:
			by, err = t.maps.SearchFirst(p.what, p.indexes[0].First)
		case p.exact == nil && p.indexes[0].Last != 0:
			by, err = t.maps.SearchLast(p.what, p.indexes[0].Last)
		default:
			by, err = t.maps.Search(p.what)
		}
		if err != nil {
			return err
		}
		for range min(4, len(t.s.records)) {
			rec := &t.s.records[r.IntN(len(t.s.records))]
			parts := t.s.parts(&p, rec)
			if p.exact == nil && p.indexes[0].First+p.indexes[0].Last != 0 && !oneIn(r, 4) {
				if normal, err := form(&p.indexes[0], parts); err == nil {
					parts = []any{unquote(normal)}
				}
			}
			if slices.Contains(nulls(parts), true) {
				continue // there is no way to ask for null
			}
			if err := t.ask(ctx, r, &p, by, rec.tenant, parts); err != nil {
				return fmt.Errorf("%s, index of %+v: %w", p.what, p.indexes, err)
			}
		}
	}
	return nil
}

func nulls(parts []any) []bool {
	out := make([]bool, len(parts))
	for i := range parts {
		out[i] = parts[i] == nil
	}
	return out
}

// unquote takes the only form out of what form returns.
func unquote(forms string) string {
	text, err := strconv.Unquote(forms[1 : len(forms)-1])
	if err != nil {
		panic(err)
	}
	return text
}

func (t *trial) ask(ctx context.Context, r *rand.Rand, p *probe, by *fieldcrypt.Search[map[string]any], tenant string, parts []any) error {
	values := make([]any, len(parts))
	for i, part := range parts {
		values[i] = pick(r, likes(part, false)...)
		if _, isJSON := values[i].(json.Number); isJSON && oneIn(r, 2) {
			values[i] = part
		}
	}
	value := any(values)
	if len(values) == 1 {
		value = values[0]
	}
	want, refused := t.s.wanted(p, tenant, parts)
	q, err := by.Query(ctx, tenant, value)
	if refused != nil {
		if err == nil || errors.Is(err, fieldcrypt.ErrNotIndexed) != errors.Is(refused, fieldcrypt.ErrNotIndexed) {
			return fmt.Errorf("a query for %.200q: the error is %w, and it has to be: %w", fmt.Sprint(parts), err, refused)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("a query for %.200q: %w", fmt.Sprint(parts), err)
	}
	where, args := "", []any{}
	if column := t.s.module.Tenant; column != "" {
		where, args = t.quoted(column)+t.bind(" = ?")+" AND ", []any{tenant}
	}
	raw, err := t.scan(ctx, " WHERE "+where+q.Where(t.Dialect, 1+len(args)), append(args, q.Args()...)...)
	if err != nil {
		return err
	}
	candidates := make([]map[string]any, len(raw))
	for i := range raw {
		candidates[i] = t.record(raw[i])
	}
	found, err := q.Open(ctx, candidates)
	if err != nil {
		return err
	}
	switch {
	case t.wrong.is(wrongFound) && len(found) > 0:
		found, t.wrong.applied = found[1:], true
	case t.wrong.is(wrongOpen) && len(found) < len(candidates):
		found, t.wrong.applied = candidates, true
	}
	var rows []int
	for _, record := range found {
		rows = append(rows, int(record["no"].(int64)))
	}
	if !slices.Equal(rows, want) {
		return fmt.Errorf("a query for %.200q found the rows %v of %d candidates, and %v have it", fmt.Sprint(parts), rows, len(candidates), want)
	}
	return nil
}
