package fieldcrypt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A Schema says at run time what struct tags say in a program: which fields of
// which modules are sensitive, and how. [ForMaps] compiles a module of it. Its
// JSON form is described by schema.json, beside this file.
type Schema struct {
	// Version is greater in each schema that follows another. It is for the
	// program's own use and for [Schema.Diff].
	Version int64    `json:"version"`
	Modules []Module `json:"modules"`
}

// A Module is a record type of a [Schema].
type Module struct {
	// Name is permanent: what was sealed under another can't be opened.
	Name string `json:"name"`

	// ID names the members that are the record's ID, in their order. There
	// are none if Unbound is set, which is what it is in a struct's tag:
	// whoever can write to the database can then exchange a field's envelopes
	// between a tenant's records.
	ID      []string `json:"id,omitempty"`
	Unbound bool     `json:"unbound,omitempty"`

	// Tenant names the member with the tenant. Without one, use ForTenant.
	Tenant string `json:"tenant,omitempty"`

	// Class is the retention class of fields that name none. Default "default".
	Class string `json:"class,omitempty"`

	Fields []SchemaField `json:"fields"`

	// Indexes are the module's blind indexes.
	Indexes []SchemaIndex `json:"indexes,omitempty"`
}

// A SchemaField is a sensitive field of a [Module].
type SchemaField struct {
	// Name is permanent, as the module's is.
	Name string `json:"name"`

	// Type is one of string, bytes, int64, uint64, float64, bool, time, date,
	// decimal and json.
	Type string `json:"type"`

	// Path says where in a record the value is. Default: the member of the
	// field's name. See [ForMaps] for nested ones.
	Path string `json:"path,omitempty"`

	// Required refuses to encrypt a record that has no such member, not even
	// a nil: a path that is misspelt would leave the value in the clear. A sweep
	// that encrypts reports such a document, save one that is NULL.
	Required bool `json:"required,omitempty"`

	// These are what they are in a struct's tag.
	Text   bool   `json:"text,omitempty"`
	Class  string `json:"class,omitempty"`
	Pad    int    `json:"pad,omitempty"`
	Max    int    `json:"max,omitempty"`
	Column string `json:"column,omitempty"`

	Deterministic bool `json:"deterministic,omitempty"`

	// As is the permanent name under which the field's envelopes are sealed, as
	// Module.field, where that isn't the module's and the field's: after a module
	// or field got another name, and for deterministic fields of two modules
	// whose columns are to be joined.
	As string `json:"as,omitempty"`

	// Buckets are the sizes of a padding that has several, ascending, as in a
	// tag's pad=16/64/256. Pad is for one alone.
	Buckets []int `json:"buckets,omitempty"`

	// MigratingUntil puts the field into migrating mode: what is in the database
	// in plaintext is taken for its value up to the end of this day, by UTC
	// (YYYY-MM-DD), and only envelopes are written. Until then, whoever can write
	// to the database can plant a value there.
	MigratingUntil string `json:"migrating_until,omitempty"`
}

// A SchemaIndex is a blind index of a [Module]: what a [BlindIndex] and its tag
// are in a struct.
type SchemaIndex struct {
	// Column is the index's column, and the member of the record with its tag.
	Column string `json:"column"`

	// Of names the fields, and Normalise their normalisers, one for each.
	Of        []string `json:"of"`
	Normalise []string `json:"normalise"`

	// These are what they are in a struct's tag.
	Bits       int    `json:"bits"`
	Partitions int    `json:"partitions,omitempty"`
	First      int    `json:"first,omitempty"`
	Last       int    `json:"last,omitempty"`
	Version    int    `json:"version,omitempty"`
	Shared     string `json:"shared,omitempty"` // Module.field
	Text       bool   `json:"text,omitempty"`
}

// maxSchema bounds the JSON of a schema.
const maxSchema = 16 << 20

// ParseSchema reads the JSON form of a schema and checks it. It is strict:
// members that it doesn't know are errors, since a misspelt one would leave a
// field in the clear.
func ParseSchema(text []byte) (*Schema, error) {
	fail := func(err error) (*Schema, error) { return nil, fmt.Errorf("fieldcrypt: read a schema: %w", err) }
	if len(text) > maxSchema {
		return fail(fmt.Errorf("it is %d bytes, the limit is %d", len(text), maxSchema))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var s Schema
	if err := d.Decode(&s); err != nil {
		return fail(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fail(errors.New("there is more behind it"))
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &s, nil
}

// Validate checks the schema as [ForMaps] would, for all modules.
func (s *Schema) Validate() error {
	if s.Version < 1 {
		return fmt.Errorf("fieldcrypt: schema: its version is %d, it must be 1 or greater", s.Version)
	}
	names := map[string]struct{}{}
	for i := range s.Modules {
		m := &s.Modules[i]
		if _, twice := names[m.Name]; twice {
			return fmt.Errorf("fieldcrypt: schema version %d: the module %q comes twice", s.Version, m.Name)
		}
		names[m.Name] = struct{}{}
		if _, err := compileModule(m); err != nil {
			return fmt.Errorf("fieldcrypt: schema version %d: %w", s.Version, err)
		}
	}
	return nil
}

// Module returns the module of a name, or nil.
func (s *Schema) Module(name string) *Module {
	if i := slices.IndexFunc(s.Modules, func(m Module) bool { return m.Name == name }); i >= 0 {
		return &s.Modules[i]
	}
	return nil
}

// kindNames are the types of a SchemaField.
var kindNames = func() map[string]*kind {
	m := map[string]*kind{}
	for _, k := range kinds {
		m[strings.ToLower(k.typ.String())] = k
	}
	return m
}()

// A modulePlan is a module, checked and compiled.
type modulePlan struct {
	plan
	ids    []string
	tenant string
	paths  []path // of plan.fields, in their order
	needed []bool // which of them are required
}

func compileModule(m *Module) (*modulePlan, error) {
	fail := func(format string, args ...any) (*modulePlan, error) {
		return nil, fmt.Errorf("module %q: %w", m.Name, fmt.Errorf(format, args...))
	}
	p := &modulePlan{plan: plan{typ: m.Name, names: map[string]struct{}{}, unbound: m.Unbound, shares: true}, ids: m.ID, tenant: m.Tenant}
	c := compiler{plan: &p.plan, defaultClass: m.classOrDefault()}
	if err := checkTagName("module", m.Name); err != nil {
		return fail("%w", err)
	}
	switch {
	case len(m.Fields) == 0:
		return fail("it has no fields")
	case len(m.ID) == 0 && !m.Unbound:
		return fail("no member is the record's ID: name it in id, or, if the database makes the ID on insert, set unbound")
	case len(m.ID) > 0 && m.Unbound:
		return fail("it is unbound and names an ID: remove one of them")
	}
	plain := map[string]string{} // the members that can't be sensitive, and what they are
	for _, id := range m.ID {
		if plain[id] != "" || id == "" {
			return fail("the member %q of the ID is empty or comes twice", id)
		}
		plain[id] = "the ID"
	}
	if plain[m.Tenant] != "" {
		return fail("the member %q is the ID and the tenant", m.Tenant)
	}
	plain[m.Tenant] = "the tenant"
	for i := range m.Fields {
		f := &m.Fields[i]
		if err := p.field(&c, m.Name, f, plain); err != nil {
			return fail("field %q: %w", f.Name, err)
		}
	}
	for i := range m.Indexes {
		x := &m.Indexes[i]
		if err := p.index(m.Name, x, plain); err != nil {
			return fail("index %q: %w", x.Column, err)
		}
	}
	p.owner = m.Tenant
	if err := c.wholeIndexes(); err != nil {
		return fail("%w", err)
	}
	return p, nil
}

func (p *modulePlan) index(module string, x *SchemaIndex, plain map[string]string) error {
	labels := make([]string, len(x.Of))
	for i, name := range x.Of {
		labels[i] = module + "." + name
		for f := range p.fields {
			if p.fields[f].label == labels[i] && slices.Contains(p.paths[f], allElements) {
				return fmt.Errorf("field %q has many values, at %s: an index is of one", name, p.paths[f])
			}
		}
	}
	// As with fields, the tag's own parser decides.
	t := tag{mark: markIndex, text: x.Text, column: x.Column, index: indexTagging{
		of: strings.Join(labels, "+"), normalise: strings.Join(x.Normalise, "+"), bits: x.Bits, partitions: x.Partitions,
		first: x.First, last: x.Last, version: x.Version, shared: x.Shared,
	}}
	if parsed, err := parseTag(t.String(), false); err != nil {
		return err
	} else if parsed != t {
		return errors.New("its options aren't in the form of a tag's")
	}
	if x.Column == "" {
		return errors.New("it has no column: that is where the record has its tag")
	}
	if role := plain[x.Column]; role != "" {
		return fmt.Errorf("its column is where %s is", role)
	}
	for i, other := range p.paths {
		if string(other[0]) == x.Column {
			return fmt.Errorf("its column is where field %q is", p.fields[i].goName)
		}
	}
	p.indexes = append(p.indexes, indexed{goName: x.Column, tagging: t.index, column: x.Column, text: x.Text})
	return nil
}

func (p *modulePlan) field(c *compiler, module string, f *SchemaField, plain map[string]string) error {
	k := kindNames[f.Type]
	if k == nil {
		return fmt.Errorf("unknown type %q: there are %s", f.Type, strings.Join(sortedKeys(kindNames), ", "))
	}
	pad, err := f.padding()
	if err != nil {
		return err
	}
	var migrates migration
	if f.MigratingUntil != "" {
		if migrates, err = parseMigration("migrating_until", f.MigratingUntil); err != nil {
			return err
		}
	}
	// The options are held to what they are in a tag by the tag's own parser.
	t := tag{mark: markField, module: module, name: f.Name, text: f.Text, class: f.Class, pad: pad, max: f.Max, column: f.Column, deterministic: f.Deterministic, migrating: migrates.set(), migration: migrates}
	if strings.HasSuffix(f.Name, "*") {
		return errors.New("a schema names each field: \"*\" is for struct tags")
	}
	if parsed, err := parseTag(t.String(), false); err != nil {
		return err
	} else if parsed != t {
		return errors.New("its options aren't in the form of a tag's")
	}
	if k.size >= 0 && f.Max != 0 {
		return fmt.Errorf("max: a %s always takes %d bytes", f.Type, k.size)
	}
	if err := (&marked{kind: k, pad: pad, deterministic: f.Deterministic}).checkDeterministic(); err != nil {
		return err
	}
	where, err := parsePath(f.place())
	if err != nil {
		return err
	}
	if role := plain[string(where[0])]; role != "" && len(where) == 1 {
		return fmt.Errorf("its value is where %s is: that is part of what envelopes are bound to, and stays readable", role)
	}
	for i, other := range p.paths {
		if where.meets(other) {
			return fmt.Errorf("its path %s leads to what belongs to field %q, or into it", where, p.fields[i].goName)
		}
	}
	m := marked{module: module, goName: f.Name, kind: k, class: c.classOf(f.Class, f.Deterministic), deterministic: f.Deterministic, text: f.Text, pad: pad, max: f.Max, column: f.Column, migration: migrates}
	m.label = module + "." + f.Name
	if _, twice := c.names[m.label]; twice {
		return errors.New("another field has that name")
	}
	c.names[m.label] = struct{}{}
	if m.name, err = f.sealedAs(module); err != nil {
		return err
	}
	for i := range p.fields {
		if p.fields[i].name == m.name {
			return fmt.Errorf("its envelopes would be sealed as %s, as those of field %q are: whoever can write to the database could exchange them", m.name, p.fields[i].goName)
		}
	}
	switch {
	case len(where) > 1 && f.Column != "":
		return errors.New("column: it is inside a document, whose column holds it")
	case len(where) > 1:
		m.inside, m.text = true, true // JSON has no bytes
	case f.Column == "":
		m.column = string(where[0])
	}
	p.fields, p.paths, p.needed = append(p.fields, m), append(p.paths, where), append(p.needed, f.Required)
	return nil
}

// sealedAs is the name that the field's envelopes are bound to.
func (f *SchemaField) sealedAs(module string) (envelope.Field, error) {
	if f.As == "" {
		return envelope.NewField(module, f.Name)
	}
	if err := checkLabel(f.As); err != nil {
		return envelope.Field{}, fmt.Errorf("as: %w", err)
	}
	module, name, _ := strings.Cut(f.As, ".")
	return envelope.NewField(module, name)
}

// place is the path of the field's value. A name with dots is one member, unless
// a path says otherwise.
func (f *SchemaField) place() string {
	switch {
	case f.Path != "":
		return f.Path
	case strings.Contains(f.Name, "."):
		return `"` + f.Name + `"`
	}
	return f.Name
}

// classOrDefault is the class of the module's fields that name none.
func (m *Module) classOrDefault() string {
	if m.Class == "" {
		return envelope.DefaultClass
	}
	return m.Class
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
