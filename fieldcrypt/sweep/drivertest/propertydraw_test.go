package drivertest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// A sample is a module of a schema, and records of it: all that a case of the
// property test needs, drawn from a seed.
type sample struct {
	seed    uint64
	module  fieldcrypt.Module // without its fields and indexes
	fields  []drawnField
	indexes []fieldcrypt.SchemaIndex
	tenant  string // of ForTenant, where the module has no member for it
	records []drawnRecord
}

type drawnField struct {
	fieldcrypt.SchemaField
	steps []string // its path, with allOf for the elements of an array
	limit int      // most bytes of a content
	pool  []any    // contents that several records have
}

// allOf is the step to all elements of an array.
const allOf = "[*]"

// A drawnRecord has the contents of fields in their places, each of the type
// that its field gives.
type drawnRecord struct {
	members map[string]any
	tenant  string
	seed    uint64 // of the forms in which the program gives the contents
}

var (
	propertyTenants = []string{"acme", "globex-gmbh", "北京", "t/4:Ü"}
	propertyClasses = []string{"", "crm", "billing/eu"}
	kindsOfFields   = []string{"string", "bytes", "int64", "uint64", "float64", "bool", "time", "date", "decimal", "json"}
	reservedNames   = []string{"order", "group", "select", "user", "table", "index", "from", "primary"}
)

func drawSample(seed uint64, records int) *sample {
	r := rand.New(rand.NewPCG(seed, 0x6669656c64)) // "field"
	s := &sample{seed: seed, module: fieldcrypt.Module{Name: pick(r, "Contacts", "Kontakte-Ä", "m", "Akten/2024", "Лиды"), Class: pick(r, propertyClasses...)}}
	if s.module.Unbound = oneIn(r, 4); !s.module.Unbound {
		for i := range pick(r, 1, 1, 1, 2, 3) {
			s.module.ID = append(s.module.ID, fmt.Sprintf("%s%d", pick(r, idNumber, idText, idUUID), i))
		}
	}
	if oneIn(r, 5) {
		s.tenant = pick(r, propertyTenants...)
	} else {
		s.module.Tenant = "tenant"
	}
	for i := range 1 + r.IntN(8) {
		s.fields = append(s.fields, drawField(r, i))
	}
	s.drawIndexes(r)
	for i := range records {
		s.records = append(s.records, s.drawRecord(r, i))
	}
	return s
}

// The names of the members of an ID begin with what is in them.
const (
	idNumber = "number"
	idText   = "text"
	idUUID   = "uuid"
)

func drawField(r *rand.Rand, i int) drawnField {
	f := drawnField{SchemaField: fieldcrypt.SchemaField{Name: fmt.Sprintf("%s%d", pick(r, "email", "größe", "x-", "a.b.c", "Имя", "n/a:"), i), Type: pick(r, kindsOfFields...)}}
	switch r.IntN(6) {
	case 0, 1: // inside a document
		doc := fmt.Sprintf("doc%d", r.IntN(2))
		leaf, list := fmt.Sprintf("leaf%d", i), fmt.Sprintf("list%d", i)
		f.steps = [][]string{
			{doc, leaf},
			{doc, "deep", "er", leaf},
			{doc, "list", allOf, leaf},
			{doc, list, allOf},
			{doc, list, allOf, allOf},
			{doc, list, allOf, "to", leaf},
			{doc, fmt.Sprintf("name %d. with [dots]", i), leaf},
		}[r.IntN(7)]
		f.Path = pathOf(f.steps)
	case 2:
		f.steps = []string{fmt.Sprintf("member %d. of it", i)}
		f.Path, f.Column = pathOf(f.steps), fmt.Sprintf("column%d", i)
	case 3:
		f.steps = []string{reservedNames[i]}
		f.Path = f.steps[0]
	case 4:
		f.steps = []string{fmt.Sprintf("Member_%d", i)}
		f.Path = f.steps[0]
	default:
		f.steps, f.Column = []string{f.Name}, fmt.Sprintf("c%d", i)
	}
	f.Class, f.Text = pick(r, propertyClasses...), oneIn(r, 2)
	// What several fields are in can be left out for the sake of another.
	f.Required = oneIn(r, 6) && (!f.inside() || f.steps[1] != "list" && f.steps[1] != "deep")
	if oneIn(r, 5) {
		f.MigratingUntil = pick(r, "2999-12-31", "9999-12-31")
	}
	f.limit = math.MaxInt32
	if slices.Contains([]string{"string", "bytes", "decimal", "json"}, f.Type) {
		f.Max = pick(r, 0, 1, 2, 7, 32, 100, 320, 1000, 4000, 20_000)
		f.limit = 1 << 20
		if f.Max != 0 {
			f.limit = f.Max
		}
	}
	f.Deterministic = oneIn(r, 3) && !slices.Contains([]string{"float64", "time", "json"}, f.Type)
	switch {
	case f.Deterministic:
	case oneIn(r, 3):
		f.Pad = pick(r, 2, 16, 255, 4096)
	case oneIn(r, 2):
		f.Buckets = pick(r, []int{16}, []int{8, 64}, []int{2, 3, 5, 1000, 65_536}, []int{16, 32, 64, 128, 256, 512, 1024, 2048})
	}
	for range 1 + r.IntN(4) {
		f.pool = append(f.pool, drawContent(r, f.Type, f.limit))
	}
	return f
}

// pathOf writes steps as a schema has them.
func pathOf(steps []string) string {
	var b strings.Builder
	for i, step := range steps {
		if i > 0 && step != allOf {
			b.WriteByte('.')
		}
		if step != allOf && strings.ContainsAny(step, ". ") {
			step = `"` + step + `"`
		}
		b.WriteString(step)
	}
	return b.String()
}

func (f *drawnField) inside() bool { return len(f.steps) > 1 }
func (f *drawnField) many() bool   { return slices.Contains(f.steps, allOf) }

func (f *drawnField) column() string {
	if f.Column != "" {
		return f.Column
	}
	return f.steps[0]
}

// class is the class that the field's envelopes are of.
func (s *sample) class(f *drawnField) string {
	for _, class := range []string{f.Class, s.module.Class} {
		if class != "" {
			return class
		}
	}
	return "default"
}

func (s *sample) label(f *drawnField) string { return s.module.Name + "." + f.Name }

func (s *sample) drawIndexes(r *rand.Rand) {
	var can []*drawnField
	for i := range s.fields {
		if f := &s.fields[i]; !f.many() && !slices.Contains([]string{"float64", "time", "json", "bool"}, f.Type) {
			can = append(can, f)
		}
	}
	if len(can) == 0 {
		return
	}
	for i := range r.IntN(5) {
		f := pick(r, can...)
		x := fieldcrypt.SchemaIndex{Column: fmt.Sprintf("Tag_%d", i), Bits: pick(r, 1, 3, 7, 8, 12, 16, 24, 64, 255, 256, 1+r.IntN(256)), Version: i + 1, Text: oneIn(r, 2)}
		x.Of, x.Normalise = []string{f.Name}, []string{drawNormaliser(r, f)}
		if !s.module.Unbound && oneIn(r, 3) {
			x.Partitions = pick(r, 1, 2, 5, 255)
		}
		switch {
		case oneIn(r, 3):
			for _, other := range can {
				if other != f && s.class(other) == s.class(f) && len(x.Of) < 3 && oneIn(r, 2) {
					x.Of, x.Normalise = append(x.Of, other.Name), append(x.Normalise, drawNormaliser(r, other))
				}
			}
		case f.Type == "string" && oneIn(r, 3):
			x.First = pick(r, 1, 2, 3, 8)
		case f.Type == "string" && oneIn(r, 2):
			x.Last = pick(r, 1, 2, 4)
		}
		if oneIn(r, 4) {
			x.Shared = fmt.Sprintf("People.shared%d", i)
		}
		s.indexes = append(s.indexes, x)
	}
}

func drawNormaliser(r *rand.Rand, f *drawnField) string {
	if f.Type == "string" {
		return pick(r, "email.v1", "name.v1", "digits.v1", "trim.v1", "none.v1")
	}
	return pick(r, "none.v1", "none.v1", "trim.v1", "digits.v1")
}

// schema is what the sample's module says.
func (s *sample) schema() *fieldcrypt.Schema {
	m := s.module
	if len(s.indexes) > 0 {
		m.Indexes = s.indexes
	}
	for i := range s.fields {
		m.Fields = append(m.Fields, s.fields[i].SchemaField)
	}
	return &fieldcrypt.Schema{Version: 1, Modules: []fieldcrypt.Module{m}}
}

func (s *sample) drawRecord(r *rand.Rand, row int) drawnRecord {
	rec := drawnRecord{members: map[string]any{"note": "open text"}, tenant: s.tenant, seed: r.Uint64()}
	for _, id := range s.module.ID {
		rec.members[id] = drawID(r, id, row)
	}
	if s.module.Tenant != "" {
		rec.tenant = propertyTenants[r.IntN(1+row%len(propertyTenants))]
		rec.members[s.module.Tenant] = rec.tenant
	}
	for _, doc := range s.documents() {
		if needed := s.needs(doc); !needed && oneIn(r, 8) {
			rec.members[doc] = nil
		} else if needed || !oneIn(r, 8) {
			rec.members[doc] = map[string]any{"rest": map[string]any{"n": 7, "text": "open <text> é", "list": []any{true, nil, "x"}}}
		}
	}
	for i := range s.fields {
		f := &s.fields[i]
		if _, there := rec.members[f.steps[0]]; there || !f.inside() {
			f.place(r, rec.members, f.steps)
		}
	}
	// A record that has one of the fields of an index has all of them.
	for _, x := range s.indexes {
		for i := range s.fields {
			f := &s.fields[i]
			if _, there := rec.members[f.steps[0]]; !there && len(x.Of) > 1 && slices.Contains(x.Of, f.Name) {
				rec.members[f.steps[0]] = nil
			}
		}
	}
	return rec
}

// drawID draws a part of an ID that no other record of the sample has.
func drawID(r *rand.Rand, name string, row int) any {
	switch strings.TrimRight(name, "0123456789") {
	case idNumber:
		return pick(r, int64(row)+1, -int64(row)-1, math.MaxInt64-int64(row), math.MinInt64+int64(row), 1<<53+int64(row))
	case idText:
		return fmt.Sprintf(pick(r, "contact-%d", "кот %d x", "A/b:%d", "é%dÉ"), row)
	}
	var id [16]byte
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	id[0] = byte(row + 1)
	return id
}

// documents are the members that are documents.
func (s *sample) documents() (names []string) {
	for i := range s.fields {
		if f := &s.fields[i]; f.inside() && !slices.Contains(names, f.steps[0]) {
			names = append(names, f.steps[0])
		}
	}
	return names
}

// needs reports whether a field in the document is required.
func (s *sample) needs(doc string) bool {
	return slices.ContainsFunc(s.fields, func(f drawnField) bool { return f.Required && f.inside() && f.steps[0] == doc })
}

// place puts contents to where steps lead to from members, or leaves them out.
func (f *drawnField) place(r *rand.Rand, members map[string]any, steps []string) {
	name, rest := steps[0], steps[1:]
	now, there := members[name]
	switch {
	case !there && !f.Required && oneIn(r, 9), there && now == nil:
	case !there && !f.Required && oneIn(r, 8):
		members[name] = nil
	case len(rest) == 0:
		members[name] = f.content(r)
	case rest[0] == allOf:
		list, _ := now.([]any)
		members[name] = f.list(r, list, rest[1:])
	default:
		inner, ok := now.(map[string]any)
		if !ok {
			inner = map[string]any{}
			members[name] = inner
		}
		f.place(r, inner, rest)
	}
}

// list puts contents into the elements of an array.
func (f *drawnField) list(r *rand.Rand, list []any, rest []string) []any {
	if list == nil {
		least := 0
		if f.Required {
			least = 1
		}
		list = make([]any, least+r.IntN(4))
	}
	for i := range list {
		switch {
		case len(rest) == 0:
			list[i] = f.content(r)
		case rest[0] == allOf:
			inner, _ := list[i].([]any)
			list[i] = f.list(r, inner, rest[1:])
		default:
			inner, ok := list[i].(map[string]any)
			if !ok {
				inner = map[string]any{}
				list[i] = inner
			}
			f.place(r, inner, rest)
		}
	}
	return list
}

func (f *drawnField) content(r *rand.Rand) any {
	switch {
	case oneIn(r, 12):
		return nil
	case oneIn(r, 3):
		return drawContent(r, f.Type, f.limit)
	case oneIn(r, 4):
		return variant(r, pick(r, f.pool...), f.limit)
	}
	return pick(r, f.pool...)
}
