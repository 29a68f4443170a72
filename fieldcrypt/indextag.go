package fieldcrypt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// An indexTagging is what a tag says of a blind index. It is comparable, as tag
// is.
type indexTagging struct {
	of         string // the labels of its fields, with + between them
	normalise  string // the names of their normalisers, with + between them
	bits       int
	partitions int // 0: none
	first      int // characters; 0: all of them
	last       int
	version    int    // 0 stands for 1
	shared     string // the field whose index it is, if that isn't its own
}

const (
	indexOptions = "there are normalise=, bits=, partitions=, first=, last=, version=, shared=, text and column="

	maxIndexBits  = 256
	maxPartitions = 255
	maxPart       = 255 // characters of first and last
	maxVersion    = 1<<31 - 1
	maxCompound   = 8 // fields
)

func (x *indexTagging) parseFields(of string) error {
	labels := strings.Split(of, "+")
	if len(labels) > maxCompound {
		return fmt.Errorf("a blind index of %d fields: there can be %d", len(labels), maxCompound)
	}
	seen := map[string]struct{}{}
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return fmt.Errorf("index=%.80s: %w", of, err)
		}
		if _, twice := seen[label]; twice {
			return fmt.Errorf("index=%.80s: the field %s comes twice", of, label)
		}
		seen[label] = struct{}{}
	}
	x.of = of
	return nil
}

// checkLabel checks a field's name as "Module.field".
func checkLabel(label string) error {
	module, name, ok := strings.Cut(label, ".")
	if !ok {
		return fmt.Errorf("%.80q isn't a field's name: write \"Module.field\"", label)
	}
	if err := checkTagName("module", module); err != nil {
		return err
	}
	if err := checkTagName("field", name); err != nil {
		return err
	}
	_, err := envelope.NewField(module, name)
	return err
}

func (x *indexTagging) parseOption(name, value string) error {
	number := func(to *int, what string, most int) error {
		n, err := strconv.Atoi(value)
		if err != nil || strconv.Itoa(n) != value || n < 1 || n > most {
			return fmt.Errorf("option %s=%.20s: it must be a whole number of %s, 1 to %d", name, value, what, most)
		}
		if *to != 0 {
			return fmt.Errorf("option %q comes twice", name)
		}
		*to = n
		return nil
	}
	text := func(to *string) error {
		if *to != "" {
			return fmt.Errorf("option %q comes twice", name)
		}
		*to = value
		return nil
	}
	switch name {
	case "normalise":
		for _, each := range strings.Split(value, "+") {
			if err := checkTagName("normaliser", each); err != nil {
				return err
			}
		}
		return text(&x.normalise)
	case "shared":
		if err := checkLabel(value); err != nil {
			return fmt.Errorf("option shared: %w", err)
		}
		return text(&x.shared)
	case "bits":
		return number(&x.bits, "bits", maxIndexBits)
	case "partitions":
		return number(&x.partitions, "partitions", maxPartitions)
	case "first":
		return number(&x.first, "characters", maxPart)
	case "last":
		return number(&x.last, "characters", maxPart)
	case "version":
		return number(&x.version, "versions", maxVersion)
	}
	return fmt.Errorf("unknown option %q of a blind index: %s", name, indexOptions)
}

// whole checks what no single option shows.
func (x *indexTagging) whole() error {
	fields, normalisers := strings.Count(x.of, "+")+1, strings.Count(x.normalise, "+")+1
	switch {
	case x.normalise == "":
		return errors.New("a blind index says how values are made equal: write normalise=email.v1, or normalise=none.v1 for values as they are")
	case fields != normalisers:
		return fmt.Errorf("a blind index of %d fields has %d normalisers: write one for each, with + between them", fields, normalisers)
	case x.bits == 0:
		return errors.New("a blind index says how many bits its tags have: write bits=, and see package indexplan for how many")
	case x.first != 0 && x.last != 0:
		return errors.New("first and last exclude each other: make two indexes")
	case fields > 1 && (x.first != 0 || x.last != 0):
		return errors.New("first and last are for an index of one field")
	}
	return nil
}

// options writes them as they are read.
func (x *indexTagging) options() []string {
	parts := []string{"index=" + x.of}
	text := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	number := func(name string, value int) {
		if value != 0 {
			parts = append(parts, name+"="+strconv.Itoa(value))
		}
	}
	text("normalise", x.normalise)
	number("bits", x.bits)
	number("partitions", x.partitions)
	number("first", x.first)
	number("last", x.last)
	number("version", x.version)
	text("shared", x.shared)
	return parts
}

// name is the name of the index in its key. It says all that decides which
// values are equal, so that a change of it is another index and no silent miss.
func (x *indexTagging) name() string {
	switch {
	case x.first != 0:
		return x.normalise + "/first=" + strconv.Itoa(x.first)
	case x.last != 0:
		return x.normalise + "/last=" + strconv.Itoa(x.last)
	}
	return x.normalise
}
