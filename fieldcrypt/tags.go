package fieldcrypt

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

const tagKey = "fieldcrypt"

// A mark is what a tag makes of its struct field.
type mark uint8

const (
	markNone   mark = iota // no tag
	markIgnore             // "-"
	markID                 // "id"
	markTenant             // "tenant"
	markType               // "unbound" and "class=…" on a blank field: about the whole type
	markField              // "Module.field": a sensitive field
	markCustom             // "Module.prefix.*": a map of sensitive fields
	markIndex              // "index=Module.field": a blind index
)

// A tag is a parsed `fieldcrypt:"…"` struct tag.
type tag struct {
	mark    mark
	module  string
	name    string // of a custom mark: the prefix with its dot, or ""
	unbound bool

	text   bool
	class  string // "" when the tag names none
	pad    padding
	max    int    // bytes of payload; 0 when the tag names none
	column string // "" when the tag names none

	deterministic bool
	index         indexTagging
	migrating     bool
	migration     migration // of until
}

// maxMax is the largest limit of a value. A padded frame of the longest payload
// still fits a frame.
const maxMax = envelope.MaxFrame - maxPad - 1

// lookupTag parses the tag of a struct field. What looks like an attempt at a
// tag, but isn't one to package reflect, is an error: a field whose mark got
// lost would be stored in the clear. So is a second one, of which reflect sees
// only the first.
func lookupTag(f reflect.StructField) (tag, error) {
	if len(f.Tag) > maxStructTag {
		return tag{}, fmt.Errorf("the struct tag is %d bytes, the limit is %d", len(f.Tag), maxStructTag)
	}
	raw := strings.ToLower(string(f.Tag))
	text, ok := f.Tag.Lookup(tagKey)
	if !ok {
		if strings.Contains(raw, tagKey) {
			return tag{}, fmt.Errorf("%q is in the struct tag, but not as a well-formed tag: write it as `%s:\"…\"`, in lower case, without spaces around the colon, and with a space before the next; if it isn't meant as one, add `%s:\"-\"`", tagKey, tagKey, tagKey)
		}
		if key := misspelt(raw); key != "" {
			return tag{}, fmt.Errorf("the struct tag has the key %q: is it meant to be %q? If it isn't, add `%s:\"-\"`", key, tagKey, tagKey)
		}
		return tag{}, nil
	}
	squeezed := strings.Join(strings.Fields(raw), "")
	if strings.Count(squeezed, tagKey+`:"`) > 1 {
		return tag{}, fmt.Errorf("the struct tag has %q twice: a field has one", tagKey)
	}
	return parseTag(text, f.Name == "_")
}

// misspelt returns a key of a struct tag that is up to two letters away from
// tagKey, or "".
func misspelt(tags string) string {
	for before, after, ok := strings.Cut(tags, `:"`); ok; before, after, ok = strings.Cut(after, `:"`) {
		key := before[strings.LastIndexFunc(before, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == ',' || r == ';' })+1:]
		if fromTagKey(key) <= 2 {
			return key
		}
	}
	return ""
}

// fromTagKey returns how many letters are to be added, left out, exchanged or
// swapped with their neighbours to make tagKey of a key, or at least 3.
func fromTagKey(key string) int {
	var rows [len(tagKey) + 3][len(tagKey) + 1]int
	if len(key) >= len(rows) || len(key) < len(tagKey)-2 {
		return 3
	}
	for i := range len(key) + 1 {
		for j := range len(tagKey) + 1 {
			if i == 0 || j == 0 {
				rows[i][j] = i + j
				continue
			}
			other := 1
			if key[i-1] == tagKey[j-1] {
				other = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+other) //nolint:gosec // the rows are as long as the words, and one
			if i > 1 && j > 1 && key[i-1] == tagKey[j-2] && key[i-2] == tagKey[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1) //nolint:gosec // as above
			}
		}
	}
	return rows[len(key)][len(tagKey)]
}

// Both are more than the longest needs.
const (
	maxTag       = 2048
	maxStructTag = 2 * maxTag // with those of others
)

// parseTag is strict: an option that it doesn't know, says nothing, or comes
// twice is an error. Blank says that the tag stands on a blank field.
func parseTag(text string, blank bool) (tag, error) {
	if len(text) > maxTag {
		return tag{}, fmt.Errorf("the tag is %d bytes, the limit is %d", len(text), maxTag)
	}
	if !utf8.ValidString(text) {
		return tag{}, errors.New("the tag isn't UTF-8")
	}
	parts := strings.Split(text, ",")
	t := tag{}
	if blank {
		t.mark = markType
		if parts[0] == "unbound" {
			t.unbound = true
			parts = parts[1:]
		}
		if len(parts) == 0 {
			return t, nil
		}
		if !strings.HasPrefix(parts[0], "class=") {
			return tag{}, fmt.Errorf("tag %q on a blank field: it can be \"unbound\", \"class=…\" or \"unbound,class=…\"", text)
		}
	} else {
		if err := t.parseMark(parts[0]); err != nil {
			return tag{}, fmt.Errorf("tag %q: %w", text, err)
		}
		parts = parts[1:]
	}
	for _, option := range parts {
		if err := t.parseOption(option); err != nil {
			return tag{}, fmt.Errorf("tag %q: %w", text, err)
		}
	}
	if t.mark == markIndex {
		if err := t.index.whole(); err != nil {
			return tag{}, fmt.Errorf("tag %q: %w", text, err)
		}
	}
	if err := t.checkMigrating(); err != nil {
		return tag{}, fmt.Errorf("tag %q: %w", text, err)
	}
	return t, nil
}

func (t *tag) parseMark(word string) error {
	switch word {
	case "-":
		t.mark = markIgnore
		return nil
	case "id":
		t.mark = markID
		return nil
	case "tenant":
		t.mark = markTenant
		return nil
	case "unbound":
		return errors.New("\"unbound\" is about the whole type: put it on a blank field, `_ struct{}`")
	case "":
		return errors.New("it names no field: write \"Module.field\", \"id\", \"tenant\" or \"-\"")
	}
	if of, ok := strings.CutPrefix(word, "index="); ok {
		t.mark = markIndex
		return t.index.parseFields(of)
	}
	module, name, ok := strings.Cut(word, ".")
	if !ok {
		return fmt.Errorf("%q is neither \"id\", \"tenant\" nor \"-\", and as a field's name it lacks its module: write \"Module.field\"", word)
	}
	t.mark, t.module, t.name = markField, module, name
	if prefix, ok := strings.CutSuffix(name, "*"); ok {
		if prefix != "" && !strings.HasSuffix(prefix, ".") {
			return errors.New("\"*\" stands alone after a dot: write \"Module.custom.*\"")
		}
		t.mark, t.name = markCustom, prefix
		name = prefix + "x"
	}
	return checkLabel(module + "." + name)
}

func (t *tag) parseOption(option string) error {
	name, value, valued := strings.Cut(option, "=")
	if t.mark == markIndex && valued && name != "column" {
		return t.index.parseOption(name, value)
	}
	switch {
	case name == "text" && !valued, name == "deterministic" && !valued, name == "class" && valued, name == "pad" && valued, name == "max" && valued, name == "column" && valued, name == "migrating" && !valued, name == "until" && valued:
	case option == "":
		return errors.New("an empty option: there is a comma too many")
	case name == "text" || name == "deterministic" || name == "migrating":
		return fmt.Errorf("option %q takes no value", name)
	case name == "class" || name == "pad" || name == "max" || name == "column" || name == "until":
		return fmt.Errorf("option %q needs a value: write %q", name, name+"=…")
	default:
		return fmt.Errorf("unknown option %q: there are text, class=, pad=, max=, column=, deterministic, migrating and until=", option)
	}
	if t.mark == markIndex && name != "text" && name != "column" {
		return fmt.Errorf("option %q doesn't belong on a blind index: %s", name, indexOptions)
	}
	if t.mark != markIndex && t.mark != markField && t.mark != markCustom && (t.mark != markType || name != "class") {
		return fmt.Errorf("option %q doesn't belong here: it is for sensitive fields", name)
	}
	if t.mark == markCustom && name == "column" {
		return errors.New("option \"column\" doesn't belong on a map: its values are fields without columns of their own")
	}
	again := fmt.Errorf("option %q comes twice", name)
	switch name {
	case "deterministic":
		if t.deterministic {
			return again
		}
		if t.mark == markCustom {
			return errors.New("option \"deterministic\" doesn't belong on a map: a field that is looked up has a column of its own")
		}
		t.deterministic = true
	case "text":
		if t.text {
			return again
		}
		t.text = true
	case "class":
		if t.class != "" {
			return again
		}
		t.class = value
		return checkTagName("class", value)
	case "pad":
		if !t.pad.none() {
			return again
		}
		var err error
		t.pad, err = parsePadding(value)
		return err
	case "max":
		if t.max != 0 {
			return again
		}
		return parseSize(&t.max, name, value, 1, maxMax)
	case "column":
		if t.column != "" {
			return again
		}
		t.column = value
		return checkIdentifier("column", value)
	case "migrating":
		if t.migrating {
			return again
		}
		t.migrating = true
	case "until":
		if t.migration.set() {
			return again
		}
		var err error
		t.migration, err = parseMigration("option until", value)
		return err
	}
	return nil
}

// parseSize reads a decimal number without sign or leading zeros.
func parseSize(to *int, name, value string, least, most int) error {
	n, err := strconv.Atoi(value)
	if err != nil || strconv.Itoa(n) != value || n < least || n > most {
		return fmt.Errorf("option %s=%s: it must be a whole number of bytes, %d to %d", name, value, least, most)
	}
	*to = n
	return nil
}

// checkTagName holds the names in tags to characters that can't be mistaken
// for syntax or for one another's spacing. They are permanent.
func checkTagName(what, s string) error {
	if s == "" {
		return fmt.Errorf("the %s has no name", what)
	}
	if len(s) > 255 {
		return fmt.Errorf("the %s's name is %d bytes, the limit is 255", what, len(s))
	}
	for _, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_-./:", c) {
			return fmt.Errorf("the %s's name has %q in it: use letters, digits, '_', '-', '.', '/' and ':'", what, c)
		}
	}
	if strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		return fmt.Errorf("the %s's name %q has an empty part beside a dot", what, s)
	}
	return nil
}

// String writes the tag as parseTag reads it.
func (t tag) String() string {
	var parts []string
	switch t.mark {
	case markIgnore:
		parts = append(parts, "-")
	case markID:
		parts = append(parts, "id")
	case markTenant:
		parts = append(parts, "tenant")
	case markField:
		parts = append(parts, t.module+"."+t.name)
	case markCustom:
		parts = append(parts, t.module+"."+t.name+"*")
	case markIndex:
		parts = append(parts, t.index.options()...)
	}
	if t.unbound {
		parts = append(parts, "unbound")
	}
	if t.text {
		parts = append(parts, "text")
	}
	if t.class != "" {
		parts = append(parts, "class="+t.class)
	}
	if !t.pad.none() {
		parts = append(parts, "pad="+t.pad.String())
	}
	if t.max != 0 {
		parts = append(parts, "max="+strconv.Itoa(t.max))
	}
	if t.column != "" {
		parts = append(parts, "column="+t.column)
	}
	if t.deterministic {
		parts = append(parts, "deterministic")
	}
	if t.migrating {
		parts = append(parts, "migrating")
	}
	if t.migration.set() {
		parts = append(parts, "until="+t.migration.until.String())
	}
	return strings.Join(parts, ",")
}
