// Package schemayaml reads a schema from YAML. It is a module of its own, for
// the sake of the YAML parser. The members are those of the JSON form
// (fieldcrypt/schema.json), and what is read is the same:
//
//	version: 1
//	modules:
//	  - name: Contacts
//	    id: [id]
//	    tenant: tenant
//	    fields:
//	      - {name: email, type: string, max: 320}
//	      - {name: birthday, type: date}
package schemayaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
)

// Limits of what is read.
const (
	MaxBytes = 4 << 20
	maxDepth = 32 // of maps and lists in each other; a schema needs 5
)

// Parse reads a schema and checks it as [fieldcrypt.ParseSchema] does. It is
// strict, since a field that is misread is one in the clear: these are errors,
// with the number of their line.
//
//   - Members that the schema doesn't have, or has twice.
//   - Values of another type: name: 12 is a number, and required: yes is a text;
//     YAML's yes, no, on and off aren't taken for true and false.
//   - Members without a value, and tags other than those of texts, decimal
//     integers, true and false, lists and maps.
//   - Anchors, aliases and merge keys: what is protected stands where it is read,
//     and no text unfolds to more than its length.
//   - No document or several, text that isn't UTF-8, and more than MaxBytes.
//
// It is safe for concurrent use.
func Parse(text []byte) (*fieldcrypt.Schema, error) {
	schema, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("schemayaml: read a schema: %w", err)
	}
	return schema, nil
}

func parse(text []byte) (*fieldcrypt.Schema, error) {
	switch {
	case len(text) > MaxBytes:
		return nil, fmt.Errorf("it is %d bytes, the limit is %d", len(text), MaxBytes)
	case !utf8.Valid(text):
		return nil, errors.New("it isn't UTF-8")
	}
	root, err := document(text)
	if err != nil {
		return nil, err
	}
	var c converter
	if err := c.write(root, 0); err != nil {
		return nil, err
	}
	schema, err := fieldcrypt.ParseSchema(c.json.Bytes())
	if err != nil {
		return nil, c.located(root, err)
	}
	return schema, nil
}

// document returns the root of the only document.
func document(text []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) || err == nil && len(doc.Content) != 1 {
		return nil, errors.New("it holds no document")
	} else if err != nil {
		return nil, err
	}
	if err := d.Decode(&more); err == nil {
		return nil, fmt.Errorf("line %d: a second document begins: a schema is one", more.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return doc.Content[0], nil
}

// A converter writes JSON and remembers from which lines.
type converter struct {
	json  bytes.Buffer
	lines []position
	keys  []key
}

// A position says from which line on the JSON is.
type position struct {
	offset int64
	line   int
}

type key struct {
	name string
	line int
}

func (c *converter) write(n *yaml.Node, depth int) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("line %d: %w", n.Line, fmt.Errorf(format, args...))
	}
	switch {
	case depth > maxDepth:
		return fail("maps and lists are more than %d deep in each other", maxDepth)
	case n.Anchor != "" || n.Kind == yaml.AliasNode:
		return fail("anchors and aliases aren't taken: write the value out")
	}
	c.lines = append(c.lines, position{int64(c.json.Len()), n.Line})
	switch {
	case n.Kind == yaml.MappingNode && n.ShortTag() == "!!map":
		return c.writeMap(n, depth)
	case n.Kind == yaml.SequenceNode && n.ShortTag() == "!!seq":
		c.json.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				c.json.WriteByte(',')
			}
			if err := c.write(item, depth+1); err != nil {
				return err
			}
		}
		c.json.WriteByte(']')
		return nil
	case n.Kind == yaml.ScalarNode:
		return c.writeScalar(n, fail)
	}
	return fail("the tag %.80q isn't taken", n.Tag)
}

func (c *converter) writeMap(n *yaml.Node, depth int) error {
	seen := map[string]int{}
	c.json.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" || k.Anchor != "" {
			return fmt.Errorf("line %d: a member's name must be a text, without anchor: merge keys and others aren't taken", k.Line)
		}
		if line, twice := seen[k.Value]; twice {
			return fmt.Errorf("line %d: the member %.80q comes twice, first in line %d", k.Line, k.Value, line)
		}
		seen[k.Value] = k.Line
		c.keys = append(c.keys, key{k.Value, k.Line})
		if i > 0 {
			c.json.WriteByte(',')
		}
		if err := c.writeText(k.Value); err != nil {
			return err
		}
		c.json.WriteByte(':')
		if err := c.write(n.Content[i+1], depth+1); err != nil {
			return err
		}
	}
	c.json.WriteByte('}')
	return nil
}

var decimal = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

func (c *converter) writeScalar(n *yaml.Node, fail func(format string, args ...any) error) error {
	switch tag := n.ShortTag(); {
	case tag == "!!str":
		return c.writeText(n.Value)
	case tag == "!!bool" && (n.Value == "true" || n.Value == "false"):
		c.json.WriteString(n.Value)
	case tag == "!!bool":
		return fail("%.80q: write true or false, or put a text in quotes", n.Value)
	case tag == "!!int" && decimal.MatchString(n.Value):
		c.json.WriteString(n.Value)
	case tag == "!!int":
		return fail("%.80q: write integers in decimal digits without leading zeros, or put a text in quotes", n.Value)
	case tag == "!!null":
		return fail("a member has no value: write one, or leave the member out")
	default:
		return fail("%.80q is read as %s: a schema has texts, integers, true and false; put a text in quotes", n.Value, strings.TrimLeft(tag, "!"))
	}
	return nil
}

func (c *converter) writeText(s string) error {
	text, err := json.Marshal(s)
	c.json.Write(text)
	return err
}

// located adds the line to an error of ParseSchema, as far as it can be told.
func (c *converter) located(root *yaml.Node, err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		// Offset is behind the value.
		i, _ := slices.BinarySearchFunc(c.lines, wrong.Offset, func(p position, offset int64) int {
			if p.offset < offset {
				return -1
			}
			return 1
		})
		return fmt.Errorf("line %d: %w", c.lines[max(0, i-1)].line, err)
	}
	for _, k := range c.keys {
		if strings.HasSuffix(err.Error(), fmt.Sprintf("unknown field %q", k.name)) {
			return fmt.Errorf("line %d: %w", k.line, err)
		}
	}
	if line := c.invalid(root, err); line > 0 {
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// invalid finds the module, and the field of it, that Validate refuses: the
// first ones without which it would have accepted the rest.
func (c *converter) invalid(root *yaml.Node, refused error) (line int) {
	var s fieldcrypt.Schema
	if json.Unmarshal(c.json.Bytes(), &s) != nil {
		return 0
	}
	modules := member(root, "modules")
	for i := range s.Modules {
		upTo := fieldcrypt.Schema{Version: s.Version, Modules: s.Modules[:i+1]}
		if err := upTo.Validate(); err == nil || err.Error() != refused.Error() || modules == nil || i >= len(modules.Content) {
			continue
		}
		fields := member(modules.Content[i], "fields")
		for j, f := range s.Modules[i].Fields {
			if fields != nil && j < len(fields.Content) && strings.Contains(refused.Error(), fmt.Sprintf("field %q: ", f.Name)) {
				line = fields.Content[j].Line // the last of that name, if it comes twice
			}
		}
		if line == 0 {
			line = modules.Content[i].Line
		}
		return line
	}
	return 0
}

func member(n *yaml.Node, name string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}
