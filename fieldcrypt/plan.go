package fieldcrypt

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A plan is what the tags of a record type say, checked and compiled once. It
// isn't written to afterwards.
type plan struct {
	typ     string // the record type, for errors
	fields  []marked
	custom  []marked // maps, whose values are fields
	indexes []indexed
	plains  bool // the marked fields are of plain Go types
	shares  bool // two places of records can hold the same value: through pointers, or in one map
	ids     []idPart
	unbound bool
	tenant  *address // nil when the type has no tenant field
	owner   string   // the tenant's column, "" when there is no tenant field
	classes []string // what marked.class counts in
	loose   []bool   // of classes: those of deterministic fields, which are bound to no record

	names map[string]struct{} // of fields, as "Module.field"
}

// A marked is a sensitive field, or a map of them, in a plan.
type marked struct {
	address
	name   envelope.Field // zero for a map
	module string         // for a map
	prefix string         // for a map: what comes before the key, with its dot
	label  string         // name as text; for a map with "*" at the end
	goName string         // as the program writes it, for columns and errors
	kind   *kind          // nil in a type of plain fields
	plain  *plain         // nil in a type of values
	isJSON bool           // a Fields map, which has a column
	class  int
	text   bool
	pad    padding
	max    int // 0 when the tag names none
	column string
	inside bool // a Document, and so without a column

	indexed       bool // a blind index is of it
	deterministic bool // sealed so that equal values have equal envelopes
	migration     migration
}

// An idPart is one field of the record's ID.
type idPart struct {
	address
	goName string
	text   func(unsafe.Pointer) string
	form   idForm // how a database holds it
}

func planFor[T any]() (*plan, error) { return compile(reflect.TypeFor[T]()) }

// compile checks everything that can be checked without a record.
func compile(t reflect.Type) (*plan, error) {
	if t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct {
		return nil, fmt.Errorf("fieldcrypt: For[%s]: give it the struct type, For[%s]", typeName(t), typeName(t.Elem()))
	}
	if t.Kind() != reflect.Struct || kinds[t] != nil {
		return nil, fmt.Errorf("fieldcrypt: For[%s]: a record type is a struct with marked fields", typeName(t))
	}
	c := compiler{plan: &plan{typ: typeName(t), names: map[string]struct{}{}}, defaultClass: envelope.DefaultClass}
	if err := c.typeMark(t); err != nil {
		return nil, err
	}
	if err := c.structure(t, address{}, "", true, []reflect.Type{t}); err != nil {
		return nil, err
	}
	return c.plan, c.whole()
}

type compiler struct {
	*plan
	defaultClass string
	typeMarked   bool
	values       string // the first field of type Value, for an error
	plainFields  string // the first marked field of a plain type
}

func (c *compiler) fail(goName, format string, args ...any) error {
	return fmt.Errorf("fieldcrypt: %s: field %s: %w", c.typ, goName, fmt.Errorf(format, args...))
}

// typeMark reads the blank fields of the type itself before its other fields,
// which need the class that they may name.
func (c *compiler) typeMark(t reflect.Type) error {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name != "_" {
			continue
		}
		tag, err := lookupTag(f)
		if err != nil {
			return c.fail("_", "%w", err)
		}
		if tag.mark == markNone {
			continue
		}
		if c.typeMarked {
			return c.fail("_", "a second blank field with a fieldcrypt tag: say it in one")
		}
		c.typeMarked = true
		c.unbound = tag.unbound
		if tag.class != "" {
			c.defaultClass = tag.class
		}
	}
	return nil
}

// structure compiles the fields of a struct at an address. Own says that it is
// the record itself or embedded in it, so that it may hold the record's ID and
// tenant. Outer lists the types around it, itself last.
func (c *compiler) structure(t reflect.Type, at address, path string, own bool, outer []reflect.Type) error {
	for i := range t.NumField() {
		f := t.Field(i)
		goName := path + f.Name
		if f.Name == "_" {
			if len(outer) == 1 {
				continue // typeMark read it
			}
			if tag, err := lookupTag(f); err != nil || tag.mark != markNone {
				return c.fail(goName, "a mark about the type stands in a nested struct: put it on the record type")
			}
			continue
		}
		tag, err := lookupTag(f)
		if err != nil {
			return c.fail(goName, "%w", err)
		}
		here := at.plus(f.Offset)
		switch tag.mark {
		case markIgnore:
			continue
		case markNone:
			err = c.unmarked(f, here, goName, own, outer)
		default:
			if !f.IsExported() {
				return c.fail(goName, "it is marked, but not exported: export it")
			}
			switch tag.mark {
			case markID:
				err = c.idField(f, here, goName, own)
			case markTenant:
				err = c.tenantField(f, here, goName, own)
			case markIndex:
				err = c.indexField(f, tag, here, goName)
			default:
				err = c.sensitiveField(f, tag, here, goName)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) idField(f reflect.StructField, at address, goName string, own bool) error {
	if !own {
		return c.fail(goName, "a nested struct with an ID is a record of its own: mark the outer field `fieldcrypt:\"-\"` and encrypt it with For of its type, or embed it without a pointer if the ID is this record's")
	}
	part := idPart{address: at, goName: goName}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		part.address, t = at.behind(), t.Elem()
	}
	part.form = idFormOf(t)
	switch part.text = idText(t); {
	case part.text == nil:
		return c.fail(goName, "an ID of type %s isn't supported: it can be a string, an integer, 16 bytes such as a UUID, or a pointer to one", typeName(f.Type))
	case c.unbound:
		return c.fail(goName, "the type says \"unbound\" and marks an ID: remove one of them")
	}
	c.ids = append(c.ids, part)
	return nil
}

// idText returns what gives an ID's text, or nil.
func idText(t reflect.Type) func(unsafe.Pointer) string {
	switch t.Kind() {
	case reflect.String:
		return readString
	case reflect.Int:
		return idOfInt[int]
	case reflect.Int8:
		return idOfInt[int8]
	case reflect.Int16:
		return idOfInt[int16]
	case reflect.Int32:
		return idOfInt[int32]
	case reflect.Int64:
		return idOfInt[int64]
	case reflect.Uint:
		return idOfUint[uint]
	case reflect.Uint8:
		return idOfUint[uint8]
	case reflect.Uint16:
		return idOfUint[uint16]
	case reflect.Uint32:
		return idOfUint[uint32]
	case reflect.Uint64:
		return idOfUint[uint64]
	case reflect.Array:
		if t.Len() == 16 && t.Elem().Kind() == reflect.Uint8 {
			return idOfUUID
		}
	}
	return nil
}

func (c *compiler) tenantField(f reflect.StructField, at address, goName string, own bool) error {
	switch {
	case !own:
		return c.fail(goName, "a nested struct with a tenant is a record of its own: mark the outer field `fieldcrypt:\"-\"` and encrypt it with For of its type, or embed it without a pointer if the tenant is this record's")
	case f.Type.Kind() != reflect.String:
		return c.fail(goName, "a tenant of type %s isn't supported: it must be a string", typeName(f.Type))
	case c.tenant != nil:
		return c.fail(goName, "a second tenant: a record belongs to one")
	}
	c.tenant, c.owner = &at, snakeCase(f.Name)
	return nil
}

func (c *compiler) sensitiveField(f reflect.StructField, tag tag, at address, goName string) error {
	m := marked{
		address: at, module: tag.module, prefix: tag.name, goName: goName,
		text: tag.text, pad: tag.pad, max: tag.max, column: tag.column, deterministic: tag.deterministic, migration: tag.migration,
	}
	m.class = c.classOf(tag.class, tag.deterministic)
	if tag.mark == markCustom {
		return c.customMap(f, m)
	}

	t := f.Type
	if t.Kind() == reflect.Pointer && kinds[t.Elem()] != nil {
		m.address, t = at.behind(), t.Elem()
	}
	m.kind, m.plain = kinds[t], plainOf(t)
	switch {
	case m.kind != nil:
		if c.values == "" {
			c.values = goName
		}
	case m.plain != nil:
		if c.plainFields == "" {
			c.plainFields = goName
		}
		c.plains = true
	case definedLikeValue(t) != nil:
		return c.definedLike(goName, definedLikeValue(t))
	case isMap(t):
		return c.fail(goName, "a map's tag ends in \".*\": write \"%s.%s.*\", and each key is a field's name after it", tag.module, tag.name)
	default:
		return c.fail(goName, "type %s can't hold a sensitive value: use fieldcrypt.String or one of its neighbours", typeName(f.Type))
	}
	if m.kind != nil && m.kind.size >= 0 && m.max != 0 {
		return c.fail(goName, "option max: a %s always takes %d bytes", m.kind.typ, m.kind.size)
	}
	if err := m.checkDeterministic(); err != nil {
		return c.fail(goName, "%w", err)
	}
	var err error
	if m.name, err = envelope.NewField(tag.module, tag.name); err != nil {
		return c.fail(goName, "%w", err)
	}
	m.label = m.name.String()
	if _, twice := c.names[m.label]; twice {
		return c.fail(goName, "the name %q is taken by another field of this type: every field needs its own", m.label)
	}
	c.names[m.label] = struct{}{}
	c.shares = c.shares || len(m.hops) > 0
	if m.column == "" {
		m.column = snakeCase(f.Name)
	}
	c.fields = append(c.fields, m)
	return nil
}

func (c *compiler) customMap(f reflect.StructField, m marked) error {
	t := f.Type
	if !isMap(t) {
		return c.fail(m.goName, "a tag that ends in \".*\" is for a map[string]fieldcrypt.String or the like, not for %s", typeName(t))
	}
	if t.Key() != reflect.TypeFor[string]() || kinds[t.Elem()] == nil {
		return c.fail(m.goName, "a map of custom fields has string keys and values such as fieldcrypt.String, not %s", typeName(t))
	}
	m.kind = kinds[t.Elem()]
	m.isJSON = t == reflect.TypeFor[Fields]()
	m.label = m.module + "." + m.prefix + "*"
	m.column = snakeCase(f.Name)
	if m.isJSON {
		m.text = true // JSON has no bytes
	}
	if m.kind.size >= 0 && m.max != 0 {
		return c.fail(m.goName, "option max: a %s always takes %d bytes", m.kind.typ, m.kind.size)
	}
	for _, other := range c.custom {
		if other.module == m.module && (strings.HasPrefix(other.prefix, m.prefix) || strings.HasPrefix(m.prefix, other.prefix)) {
			return c.fail(m.goName, "its keys could give the same names as those of %s: use prefixes of which neither begins the other", other.goName)
		}
	}
	if c.values == "" {
		c.values = m.goName
	}
	c.custom = append(c.custom, m)
	c.shares = true
	return nil
}

func (c *compiler) classOf(name string, deterministic bool) int {
	if name == "" {
		name = c.defaultClass
	}
	for i := range c.classes {
		if c.classes[i] == name && c.loose[i] == deterministic {
			return i
		}
	}
	c.classes, c.loose = append(c.classes, name), append(c.loose, deterministic)
	return len(c.classes) - 1
}

// unmarked looks inside a field without a tag: a nested struct's fields belong
// to the record, and what could hide a marked field from Encrypt is an error.
func (c *compiler) unmarked(f reflect.StructField, at address, goName string, own bool, outer []reflect.Type) error {
	t := f.Type
	if like := definedLikeValue(t); like != nil {
		return c.definedLike(goName, like)
	}
	if element(t) == blindIndexType {
		return c.fail(goName, "a %s without a tag: say what it is an index of, `fieldcrypt:\"index=Module.field,normalise=email.v1,bits=24\"`, or `fieldcrypt:\"-\"` to leave it alone", typeName(t))
	}
	if holdsValue(t) {
		return c.fail(goName, "a %s without a tag: give it its permanent name, `fieldcrypt:\"Module.field\"`, or `fieldcrypt:\"-\"` to leave it alone", typeName(t))
	}
	if !marks(t, map[reflect.Type]struct{}{}) {
		return nil
	}
	pointer := t.Kind() == reflect.Pointer
	if pointer {
		at, t = at.behind(), t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return c.fail(goName, "marked fields inside a %s aren't reached: encrypt its elements with For of their type, and mark this field `fieldcrypt:\"-\"`", typeName(f.Type))
	}
	if !f.IsExported() && (!f.Anonymous || pointer) {
		return c.fail(goName, "marked fields inside a field that isn't exported: export it, or mark it `fieldcrypt:\"-\"`")
	}
	if slices.Contains(outer, t) {
		return c.fail(goName, "%s holds itself: mark this field `fieldcrypt:\"-\"` and encrypt what it points to as a record of its own", typeName(t))
	}
	return c.structure(t, at, goName+".", own && f.Anonymous && !pointer, append(slices.Clip(outer), t))
}

func (c *compiler) definedLike(goName string, t reflect.Type) error {
	return c.fail(goName, "type %s can't hold a sensitive value: it is defined over a type of fieldcrypt and has none of its methods: use that type, such as fieldcrypt.String, or an alias", typeName(t))
}

// whole checks what only the whole type shows.
func (c *compiler) whole() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("fieldcrypt: %s: %w", c.typ, fmt.Errorf(format, args...))
	}
	switch {
	case len(c.fields)+len(c.custom) == 0:
		return fail("no field is marked: mark the sensitive ones, as in `fieldcrypt:\"Contacts.email\"`")
	case c.values != "" && c.plainFields != "":
		return fail("fields %s and %s: a type's marked fields are all fieldcrypt values, or all plain strings and bytes", c.values, c.plainFields)
	case len(c.ids) == 0 && !c.unbound:
		return fail("no field is marked as the record's ID: mark it `fieldcrypt:\"id\"`, or, if the database makes the ID on insert, add the field _ struct{} `fieldcrypt:\"unbound\"`")
	}
	return c.wholeIndexes()
}
