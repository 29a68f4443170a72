package fieldcrypt

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// An indexed is a blind index in a plan.
type indexed struct {
	address        // of the BlindIndex, in a struct
	goName  string // as the program writes it; in a map the member's name
	tagging indexTagging
	label   string // of what it is an index of, for errors
	column  string
	text    bool

	fields []int // in plan.fields
	class  int
	ring   *envelope.Index
}

var blindIndexType = reflect.TypeFor[BlindIndex]()

// indexField notes a blind index of a struct. What it is an index of may come
// later in the struct.
func (c *compiler) indexField(f reflect.StructField, tag tag, at address, goName string) error {
	if f.Type != blindIndexType {
		return c.fail(goName, "a blind index is a fieldcrypt.BlindIndex, not a %s", typeName(f.Type))
	}
	x := indexed{address: at, goName: goName, tagging: tag.index, column: tag.column, text: tag.text}
	if x.column == "" {
		x.column = snakeCase(f.Name)
	}
	c.shares = c.shares || len(x.hops) > 0
	c.indexes = append(c.indexes, x)
	return nil
}

// wholeIndexes finds the fields of all blind indexes.
func (c *compiler) wholeIndexes() error {
	for i := range c.indexes {
		x := &c.indexes[i]
		if err := c.wholeIndex(x); err != nil {
			return c.fail(x.goName, "%w", err)
		}
		for _, other := range c.indexes[:i] {
			if strings.EqualFold(other.column, x.column) {
				return c.fail(x.goName, "its column %q is that of the blind index %s: each has its own", x.column, other.goName)
			}
			if other.tagging == x.tagging {
				return c.fail(x.goName, "it is the same blind index as %s: remove one", other.goName)
			}
		}
	}
	return nil
}

func (c *compiler) wholeIndex(x *indexed) error {
	var module string
	var names []string
	for _, label := range strings.Split(x.tagging.of, "+") {
		i := c.fieldNamed(label)
		if i < 0 {
			return fmt.Errorf("a blind index of %s, which is no field here: there are %s", label, strings.Join(sortedKeys(c.names), ", "))
		}
		m := &c.fields[i]
		if err := m.indexable(); err != nil {
			return err
		}
		itsModule, name, _ := strings.Cut(label, ".")
		switch {
		case len(x.fields) == 0:
			module, x.class = itsModule, m.class
		case module != itsModule:
			return fmt.Errorf("a blind index of fields of two modules, %s and %s: its key belongs to one", module, itsModule)
		case c.classes[x.class] != c.classes[m.class]:
			return fmt.Errorf("a blind index of fields of two classes, %s and %s: its key belongs to one", c.classes[x.class], c.classes[m.class])
		}
		if !slices.Equal(x.hops, m.hops) {
			return fmt.Errorf("a blind index of %s, which is in another struct behind a pointer: put both into the same one", label)
		}
		names = append(names, name)
		x.fields = append(x.fields, i)
		m.indexed = true
	}
	if x.tagging.partitions != 0 && c.unbound {
		return fmt.Errorf("partitions: they are chosen by the record's ID, and the type is unbound")
	}
	x.label = x.tagging.of
	if x.tagging.shared != "" {
		of, name, _ := strings.Cut(x.tagging.shared, ".")
		module, names = of, []string{name}
	}
	field, err := envelope.NewField(module, strings.Join(names, "+"))
	if err != nil {
		return fmt.Errorf("the fields' names together: %w: give the index a name of its own with shared=", err)
	}
	x.ring, err = envelope.NewIndex(envelope.IndexSpec{
		Field: field, Name: x.tagging.name(), Version: uint32(max(1, x.tagging.version)),
		Bits: x.tagging.bits, Partitions: x.tagging.partitions,
	})
	return err
}

// fieldNamed returns the place in fields of one with a label, or -1.
func (p *plan) fieldNamed(label string) int {
	for i := range p.fields {
		if p.fields[i].label == label {
			return i
		}
	}
	return -1
}

// indexable refuses types whose equal values have several forms, and those of
// so few values that an index would tell them.
func (m *marked) indexable() error {
	switch m.typ() {
	case envelope.TypeFloat64, envelope.TypeTime, envelope.TypeJSON:
		return fmt.Errorf("a blind index of %s, a %s: equal values can have unequal forms. Index a string, an integer, a date or a decimal", m.label, strings.ToLower(m.typ().String()))
	case envelope.TypeBool:
		return fmt.Errorf("a blind index of %s, a bool: with two values, counting them tells them. Select by other fields, and compare after decrypting", m.label)
	}
	return nil
}

// typ is the type of the field's frames.
func (m *marked) typ() envelope.Type {
	if m.plain != nil {
		return m.plain.typ
	}
	return m.kind.typ
}

func (p *plan) hasIndex(column string) bool {
	return slices.ContainsFunc(p.indexes, func(x indexed) bool { return x.column == column })
}
