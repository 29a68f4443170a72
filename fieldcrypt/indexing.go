package fieldcrypt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/normalise"
)

// A source is a value of an indexed field, as Encrypt met it.
type source struct {
	field *marked
	value sensitive // nil in a type of plain fields
	frame []byte    // of a value that Encrypt seals
	open  int       // of a value that Encrypt opens: its cell in work.open; else -1
}

// An indexing is a blind index that Encrypt makes.
type indexing struct {
	of     int // in plan.indexes
	row    int
	target *BlindIndex    // in a struct
	member map[string]any // of Maps: the record
	scope  envelope.Scope
	record string
	from   []source // empty: the index is null
	made   BlindIndex
}

// gatherIndexes notes the blind indexes of a record whose values were gathered.
// Its indexed values are w.sources from one on. A record that is a map may have some
// of its members only, as for an UPDATE of these: has says which fields it has, and
// is nil for a struct, which has all.
func (h *handle) gatherIndexes(w *work, row, first int, has func(field int) bool, target func(*indexed) (*BlindIndex, map[string]any)) error {
	for i := range h.plan.indexes {
		x := &h.plan.indexes[i]
		index, member := target(x)
		if index == nil && member == nil {
			continue // behind a pointer that is nil, as its fields are
		}
		if has != nil {
			there := 0
			for _, f := range x.fields {
				if has(f) {
					there++
				}
			}
			switch {
			case there == 0:
				continue // the index of what isn't written stays as it is
			case there < len(x.fields):
				return h.failed(row, x.goName, fmt.Errorf("the record has some of the index's fields (%s) and not all: set them all, also to nil, or leave all out", x.label))
			}
		}
		job := indexing{of: i, row: row, target: index, member: member}
		for _, f := range x.fields {
			for _, s := range w.sources[first:] {
				if s.field == &h.plan.fields[f] {
					job.from = append(job.from, s)
					break
				}
			}
		}
		if len(job.from) < len(x.fields) { // a part is null
			job.from = nil
		} else {
			job.scope, job.record = h.scope(w.at.tenant, x.class), w.at.id
		}
		w.indexes = append(w.indexes, job)
	}
	return nil
}

// makeIndexes makes the tags of what was gathered. It changes no record.
func (h *handle) makeIndexes(ctx context.Context, w *work) error {
	if len(w.indexes) == 0 {
		return nil
	}
	if err := h.warmIndexes(ctx, w); err != nil {
		return err
	}
	for i := range w.indexes {
		if err := h.makeIndex(ctx, w, &w.indexes[i]); err != nil {
			return h.failed(w.indexes[i].row, h.plan.indexes[w.indexes[i].of].goName, err)
		}
	}
	return nil
}

// loadsAtOnce bounds how many scopes' keys one call asks for in parallel.
const loadsAtOnce = 16

// warmIndexes fetches the index keys of several scopes in parallel. One needs no
// help, and no map.
func (h *handle) warmIndexes(ctx context.Context, w *work) error {
	var scopes map[envelope.Scope]int
	first := -1
	for i := range w.indexes {
		switch j := &w.indexes[i]; {
		case len(j.from) == 0:
		case first < 0:
			first = i
		case scopes != nil:
			scopes[j.scope] = i
		case j.scope != w.indexes[first].scope:
			scopes = map[envelope.Scope]int{w.indexes[first].scope: first, j.scope: i}
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loadsAtOnce)
	for scope, i := range scopes {
		g.Go(func() error {
			j := &w.indexes[i]
			_, err := h.crypt.ring.AppendTag(ctx, nil, h.plan.indexes[j.of].ring, scope, j.record, nil)
			if err != nil {
				return h.failed(j.row, h.plan.indexes[j.of].goName, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (h *handle) makeIndex(ctx context.Context, w *work, j *indexing) error {
	x := &h.plan.indexes[j.of]
	if len(j.from) == 0 {
		j.made = BlindIndex{state: indexNull, made: true}
		return nil
	}
	texts := make([]string, len(j.from))
	for i, s := range j.from {
		text, known, err := s.text(w)
		if err != nil {
			return err
		}
		if !known { // what couldn't be opened keeps the index that was read with it
			j.made = j.present(x)
			return nil
		}
		texts[i] = text
	}
	normalised, err := h.normalised(j.of, texts)
	if err != nil {
		j.made = BlindIndex{state: indexNull, err: err, made: true}
		return nil //nolint:nilerr // the index says so, and the record can be written
	}
	tag, err := h.crypt.ring.AppendTag(ctx, nil, x.ring, j.scope, j.record, normalised)
	clear(normalised)
	if err != nil {
		return err
	}
	if x.text {
		tag = x.ring.AppendText(nil, tag)
	}
	j.made = BlindIndex{state: indexTag, tag: &tag, text: x.text, made: true}
	return nil
}

// present returns the index that the record has.
func (j *indexing) present(x *indexed) BlindIndex {
	var now BlindIndex
	if j.target != nil {
		now = *j.target
	} else if content, there := j.member[x.column]; there {
		if index, ok := content.(BlindIndex); ok {
			now = index
		} else {
			_ = now.Scan(content) // what it refuses can't be written
		}
	}
	if now.made { // of what the record held before
		return BlindIndex{}
	}
	return now
}

func (j *indexing) apply(x *indexed) {
	if j.target != nil {
		*j.target = j.made
	} else {
		j.member[x.column] = j.made
	}
}

// text returns a value's content as an index takes it. It is not known of a
// value that couldn't be opened.
func (s *source) text(w *work) (text string, known bool, err error) {
	if s.frame != nil {
		text, err = contentText(s.frame)
		return text, true, err
	}
	if s.open >= 0 {
		text, err = contentText(w.open.cells[s.open].Frame)
		return text, true, err
	}
	text, known = contentOf(s.value)
	return text, known, nil
}

// contentText returns the content of a frame as text: what its type's String
// gives, and bytes as they are.
func contentText(frame []byte) (string, error) {
	t, payload, err := envelope.ParseFrame(frame)
	if err != nil {
		return "", err
	}
	switch t {
	case envelope.TypeString, envelope.TypeBytes, envelope.TypeDecimal:
		return string(payload), nil
	case envelope.TypeInt64:
		return strconv.FormatInt(envelope.DecodeInt64(payload), 10), nil
	case envelope.TypeUint64:
		return strconv.FormatUint(envelope.DecodeUint64(payload), 10), nil
	case envelope.TypeBool: // of a deterministic field
		return strconv.FormatBool(envelope.DecodeBool(payload)), nil
	case envelope.TypeDate:
		var d CivilDate
		d.Year, d.Month, d.Day = envelope.DecodeDate(payload)
		return d.String(), nil
	}
	return "", fmt.Errorf("a %s can't be indexed", t)
}

// ErrNotIndexed says that a value has no normalised form, so that a blind index
// has no tag of it, and nothing can be looked up by it.
var ErrNotIndexed = errors.New("fieldcrypt: the value has no form that the blind index's normaliser gives it")

// normalised returns the bytes that an index has the tags of: of one text for
// each of its fields.
func (h *handle) normalised(index int, texts []string) ([]byte, error) {
	x := &h.plan.indexes[index]
	var out []byte
	for i, text := range texts {
		n := h.normalisers[index][i]
		normal, err := n.Normalise(text)
		if n.Name == unnormalised && len(text) <= normalise.MaxInput {
			normal, err = text, nil // bytes needn't be UTF-8
		}
		if err != nil || normal == "" || !utf8.ValidString(normal) && n.Name != unnormalised {
			return nil, fmt.Errorf("%w (%s): %w", ErrNotIndexed, n.Name, classOfNormaliser(err))
		}
		if len(texts) == 1 {
			return []byte(x.tagging.part(normal)), nil
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(normal)))
		out = append(out, normal...)
	}
	return out, nil
}

// classOfNormaliser keeps the class of a normaliser's error and not its text,
// which may show the value: who wrote the normaliser isn't known.
func classOfNormaliser(err error) error {
	for _, class := range []error{normalise.ErrInvalid, normalise.ErrTooLong} {
		if errors.Is(err, class) {
			return class
		}
	}
	return normalise.ErrEmpty
}

// unnormalised is the normaliser that leaves values, of bytes too, as they are.
const unnormalised = "none.v1"

// part returns the characters of a normalised value that the index is of.
func (x *indexTagging) part(normal string) string {
	switch {
	case x.first != 0:
		end := 0
		for range x.first {
			if end == len(normal) {
				break
			}
			_, size := utf8.DecodeRuneInString(normal[end:])
			end += size
		}
		return normal[:end]
	case x.last != 0:
		start := len(normal)
		for range x.last {
			if start == 0 {
				break
			}
			_, size := utf8.DecodeLastRuneInString(normal[:start])
			start -= size
		}
		return normal[start:]
	}
	return normal
}

// resolve finds the normalisers of the plan's indexes.
func (h *handle) resolve() error {
	if err := h.checkModes(); err != nil {
		return err
	}
	h.normalisers = make([][]Normaliser, len(h.plan.indexes))
	for i := range h.plan.indexes {
		x := &h.plan.indexes[i]
		for _, name := range strings.Split(x.tagging.normalise, "+") {
			n, ok := h.crypt.normalisers[name]
			if !ok {
				return fmt.Errorf("fieldcrypt: %s: blind index %s: unknown normaliser %q: there are %s; add your own to Options.Normalisers", h.plan.typ, x.goName, name, strings.Join(sortedKeys(h.crypt.normalisers), ", "))
			}
			h.normalisers[i] = append(h.normalisers[i], n)
		}
	}
	return nil
}

// normalisersWith returns the library's normalisers and a program's own, by name.
func normalisersWith(own []Normaliser) (map[string]Normaliser, error) {
	all := map[string]Normaliser{}
	for _, n := range normalise.All() {
		all[n.Name] = n
	}
	for _, n := range own {
		if err := checkTagName("normaliser", n.Name); err != nil {
			return nil, fmt.Errorf("Options.Normalisers: %w", err)
		}
		if n.Normalise == nil {
			return nil, fmt.Errorf("Options.Normalisers: %s has no function", n.Name)
		}
		if _, taken := all[n.Name]; taken {
			return nil, fmt.Errorf("Options.Normalisers: the name %s is taken: a normaliser that does something else has another name or version", n.Name)
		}
		all[n.Name] = n
	}
	return all, nil
}
