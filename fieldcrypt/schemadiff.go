package fieldcrypt

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// An Effect is what a change of schema means for what is stored.
type Effect uint8

const (
	// Safe says that what is stored opens as before.
	Safe Effect = iota + 1
	// NeedsSweep says that rows have to be written anew, before the change or after it.
	NeedsSweep
	// Refused says that what is stored could not be opened. Add another field instead.
	Refused
)

func (e Effect) String() string {
	switch e {
	case Safe:
		return "safe"
	case NeedsSweep:
		return "needs a sweep"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("effect %d", uint8(e))
}

// A SchemaChange is one difference between two schemas.
type SchemaChange struct {
	Module string
	Field  string // "" for what concerns the module
	What   string
	Effect Effect
	Do     string // what it asks for; "" for nothing
}

func (c SchemaChange) String() string {
	place := c.Module
	if c.Field != "" {
		place += "." + c.Field
	}
	text := fmt.Sprintf("%s: %s: %s", place, c.What, c.Effect)
	if c.Do != "" {
		text += ": " + c.Do
	}
	return strings.TrimPrefix(text, ": ")
}

// Diff tells what it means for stored data that next takes the schema's place,
// in the order of next's modules and fields, those that are gone last.
func (s *Schema) Diff(next *Schema) []SchemaChange {
	var d differences
	if next.Version <= s.Version {
		d.add(fmt.Sprintf("version %d follows version %d", next.Version, s.Version), Refused, "give each schema a greater version than the one before")
	}
	for i := range next.Modules {
		m := &next.Modules[i]
		d.module, d.field = m.Name, ""
		if old := s.Module(m.Name); old != nil {
			d.modules(old, m)
		} else {
			d.add("the module is new", Safe, "")
		}
	}
	for i := range s.Modules {
		if m := &s.Modules[i]; next.Module(m.Name) == nil {
			d.module, d.field = m.Name, ""
			d.add("the module is gone", NeedsSweep, "decrypt its fields, or destroy them, before: later nobody knows where they are")
		}
	}
	return d.list
}

type differences struct {
	module, field string
	list          []SchemaChange
}

func (d *differences) add(what string, e Effect, do string) {
	d.list = append(d.list, SchemaChange{d.module, d.field, what, e, do})
}

const (
	rebind    = "rebind its rows: open them under the old schema and seal them under the new one"
	bothTimes = "until then the services that have the new schema can't open what the others write"
)

func (d *differences) modules(old, next *Module) {
	if !slices.Equal(old.ID, next.ID) || old.Unbound != next.Unbound {
		d.add(fmt.Sprintf("the ID is %s, was %s", idOf(next), idOf(old)), NeedsSweep, rebind+"; "+bothTimes)
	}
	if old.Tenant != next.Tenant {
		d.add(fmt.Sprintf("the tenant is in %q, was in %q", next.Tenant, old.Tenant), Safe, "the values there must be the same")
	}
	fields := map[string]*SchemaField{}
	for i := range old.Fields {
		fields[old.Fields[i].Name] = &old.Fields[i]
	}
	for i := range next.Fields {
		f := &next.Fields[i]
		d.field = f.Name
		was := fields[f.Name]
		if was == nil {
			do := "encrypt what is there in the clear; a column that is new needs nothing"
			if f.MigratingUntil == "" {
				d.add("the field is new", NeedsSweep, do)
			} else {
				d.add("the field is new, and takes plaintext until "+f.MigratingUntil, NeedsSweep, do)
			}
			continue
		}
		delete(fields, f.Name)
		d.fields(was, f, classOf(old, was), classOf(next, f))
	}
	d.indexes(old, next)
	for i := range old.Fields {
		if f := &old.Fields[i]; fields[f.Name] != nil {
			d.field = f.Name
			d.add("the field is gone", NeedsSweep, "decrypt it before; if it was renamed, keep its name: names are permanent, and only path and column may change")
		}
	}
}

func (d *differences) fields(old, next *SchemaField, oldClass, nextClass string) {
	if old.Type != next.Type {
		d.add(fmt.Sprintf("the type is %s, was %s", next.Type, old.Type), Refused, "a value opens as the type that it was sealed as: add a field of another name")
	}
	if old.Deterministic != next.Deterministic {
		d.add("it is sealed in another way (deterministic)", Refused, "what is stored could not be opened: add a field of another name, and move the values")
	}
	was, err := old.sealedAs(d.module)
	is, err2 := next.sealedAs(d.module)
	if err == nil && err2 == nil && was != is {
		d.add(fmt.Sprintf("envelopes are sealed as %s, were as %s", is, was), NeedsSweep, rebind+"; "+bothTimes)
	}
	if oldClass != nextClass {
		d.add(fmt.Sprintf("the class is %s, was %s", nextClass, oldClass), NeedsSweep, rebind+"; "+bothTimes)
	}
	if old.place() != next.place() || old.Column != next.Column {
		d.add(fmt.Sprintf("it is at %s, was at %s", next.place(), old.place()), Safe, "what is stored must be there too, as it is")
	}
	if old.Text != next.Text {
		d.add("the form in the column is another", Safe, "change the column's type first; both forms open")
	}
	if is, was := paddingOf(next), paddingOf(old); is != was {
		d.add(fmt.Sprintf("the padding is %s, was %s", is, was), Safe, "widen the column first; what is stored shows its length as before until a sweep re-encrypts it")
	}
	switch {
	case next.Max == old.Max:
	case next.Max > old.Max && old.Max != 0 || next.Max == 0:
		d.add(fmt.Sprintf("at most %s, was %s", bytesOf(next.Max), bytesOf(old.Max)), Safe, "widen the column first")
	default:
		d.add(fmt.Sprintf("at most %s, was %s", bytesOf(next.Max), bytesOf(old.Max)), Safe, "longer values that are stored open, and can't be set anew")
	}
	d.migrations(old.MigratingUntil, next.MigratingUntil)
	if next.Required && !old.Required {
		d.add("it is required", Safe, "records without it can't be encrypted")
	}
}

// indexes tells of blind indexes, which are known by their columns.
func (d *differences) indexes(old, next *Module) {
	d.field = ""
	byColumn := map[string]*SchemaIndex{}
	for i := range old.Indexes {
		byColumn[old.Indexes[i].Column] = &old.Indexes[i]
	}
	for i := range next.Indexes {
		x := &next.Indexes[i]
		was := byColumn[x.Column]
		delete(byColumn, x.Column)
		switch {
		case was == nil:
			d.add(fmt.Sprintf("the blind index %s is new", x.Column), NeedsSweep, "reindex, and search by it alone once that is proved complete")
		case !reflect.DeepEqual(was, x):
			d.add(fmt.Sprintf("the blind index %s is another one", x.Column), Refused, "searches would miss what is stored: add an index with a column and version of its own, reindex, then drop this one")
		}
	}
	for i := range old.Indexes {
		if x := &old.Indexes[i]; byColumn[x.Column] != nil {
			d.add(fmt.Sprintf("the blind index %s is gone", x.Column), Safe, "drop its column, which still tells what is equal")
		}
	}
}

func idOf(m *Module) string {
	if m.Unbound {
		return "unbound"
	}
	return strings.Join(m.ID, ", ")
}

func classOf(m *Module, f *SchemaField) string {
	if f.Class == "" {
		return m.classOrDefault()
	}
	return f.Class
}

func bytesOf(most int) string {
	if most == 0 {
		return "the Crypt's limit"
	}
	return fmt.Sprintf("%d bytes", most)
}
