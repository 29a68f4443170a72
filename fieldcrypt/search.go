package fieldcrypt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A Search finds records of type T by a value of a field that has a blind index
// or is deterministic. Make one at start-up, with [Records.Search] or its
// neighbours, and a [Query] from it for each value that is looked for:
//
//	byEmail, err := contacts.Search("Contacts.email")
//
//	q, err := byEmail.Query(ctx, "acme", "ada@example.com")
//	rows, err := db.QueryContext(ctx, `SELECT … FROM contacts WHERE tenant = $1 AND `+q.Where(fieldcrypt.Postgres, 2),
//		append([]any{"acme"}, q.Args()...)...)
//	// scan the rows into candidates
//	found, err := q.Open(ctx, candidates)
//
// A tag only nominates rows: unequal values share tags, and whoever can write to
// the database can exchange them. So the last line is a must: Open decrypts, and
// drops what doesn't have the value. It is safe for concurrent use.
type Search[T any] struct {
	search *search
	access access[T]
}

// An access is what a Search asks of records.
type access[T any] struct {
	tenant  func(*T) (its string, named bool, err error)
	content func(record *T, field int) (text string, known bool)
	decrypt func(ctx context.Context, tenant string, records []T) error
}

type search struct {
	handle
	what    string
	indexes []int   // in plan.indexes; they are of the same fields
	exact   *marked // a deterministic field; then there are no indexes
	fields  []int   // in plan.fields
}

// Search returns a search for whole values of a field, as in "Contacts.email", or
// of several that have a blind index together, as in
// "Contacts.last_name+Contacts.born". Of several blind indexes of the field, as
// while one takes the place of another, it asks all: a row is found by any of
// them. To ask one, give the name of its column.
//
// A deterministic field without an index is asked by its envelopes; one that is
// inside a document has no column for that, and is an error.
func (r *Records[T]) Search(what string) (*Search[T], error) {
	return searchOf(r, what, 0, 0)
}

// SearchFirst returns a search for the first so many characters of a field, which
// has a blind index with first= that many.
func (r *Records[T]) SearchFirst(field string, characters int) (*Search[T], error) {
	return searchOf(r, field, characters, 0)
}

// SearchLast returns a search for the last so many characters of a field, which
// has a blind index with last= that many.
func (r *Records[T]) SearchLast(field string, characters int) (*Search[T], error) {
	return searchOf(r, field, 0, characters)
}

func searchOf[T any](r *Records[T], what string, first, last int) (*Search[T], error) {
	h := r.of()
	s, err := h.search(what, first, last)
	if err != nil {
		return nil, err
	}
	return &Search[T]{s, access[T]{
		tenant: func(record *T) (string, bool, error) {
			if h.plan.tenant == nil {
				return "", false, nil
			}
			own := *h
			own.tenant = nil
			its, err := own.tenantOf(unsafe.Pointer(record))
			return its, true, err
		},
		content: func(record *T, field int) (string, bool) {
			m := &h.plan.fields[field]
			at := m.in(unsafe.Pointer(record))
			switch {
			case at == nil:
				return "", false
			case m.plain != nil:
				frame, null := m.plain.frame(at)
				return indexText(frame, null)
			}
			return contentOf(m.kind.at(at))
		},
		decrypt: func(ctx context.Context, tenant string, records []T) error {
			return r.ForTenant(tenant).DecryptAll(ctx, records)
		},
	}}, nil
}

func contentOf(v sensitive) (string, bool) {
	if now := v.current(); now != statePlain && now != stateOpened {
		return "", false
	}
	frame, err := v.appendFrame(nil)
	return indexText(frame, err != nil)
}

func indexText(frame []byte, none bool) (string, bool) {
	if none {
		return "", false
	}
	text, err := contentText(frame)
	clear(frame)
	return text, err == nil
}

// search finds what can answer.
func (h *handle) search(what string, first, last int) (*search, error) {
	if h.crypt == nil {
		return nil, errors.New("fieldcrypt: Search: Records are made with For")
	}
	s := &search{handle: *h, what: what}
	fail := func(format string, args ...any) (*search, error) {
		return nil, fmt.Errorf("fieldcrypt: search of %s by %.80q: %w", h.plan.typ, what, fmt.Errorf(format, args...))
	}
	var others []string // how else it can be searched
	for i := range h.plan.indexes {
		x := &h.plan.indexes[i]
		if x.tagging.of != what && x.column != what {
			continue
		}
		if x.tagging.first != first || x.tagging.last != last {
			others = append(others, x.tagging.kind())
			continue
		}
		if x.column == what { // it alone
			s.indexes, s.fields = []int{i}, x.fields
			return s, nil
		}
		s.indexes, s.fields = append(s.indexes, i), x.fields
	}
	if len(s.indexes) > 0 {
		return s, nil
	}
	field := h.plan.fieldNamed(what)
	switch {
	case field >= 0 && h.plan.fields[field].inside && h.plan.fields[field].deterministic:
		return fail("the field is inside a document, and so has no column that could be asked for its envelopes: add a blind index of it, or give it a column")
	case field >= 0 && h.plan.fields[field].deterministic && first == 0 && last == 0:
		s.exact, s.fields = &h.plan.fields[field], []int{field}
		if err := checkIdentifier("column", s.exact.column); err != nil { // it goes into SQL
			return fail("%w: name it with the option column=", err)
		}
		return s, nil
	case len(others) > 0:
		return fail("its blind indexes are of %s: search by these, or add an index of another part", strings.Join(others, ", of "))
	case field >= 0:
		return fail("the field has no blind index and isn't deterministic: add a BlindIndex with the tag `fieldcrypt:\"index=%s,normalise=…,bits=…\"` and fill it with a sweep", what)
	}
	return fail("that is neither a field, fields with + between them, nor a blind index's column; indexes there are of %s", h.plan.indexNames())
}

func (p *plan) indexNames() string {
	if len(p.indexes) == 0 {
		return "no field"
	}
	names := make([]string, len(p.indexes))
	for i := range p.indexes {
		names[i] = p.indexes[i].tagging.of + " (" + p.indexes[i].column + ")"
	}
	return strings.Join(names, ", ")
}

// kind says which part of a value an index is of.
func (x *indexTagging) kind() string {
	switch {
	case x.first != 0:
		return "the first " + strconv.Itoa(x.first) + " characters"
	case x.last != 0:
		return "the last " + strconv.Itoa(x.last) + " characters"
	}
	return "whole values"
}

// MaxValues is how many values a Query looks for at most.
const MaxValues = 1000

// Query returns what to ask the database for a tenant's records with one of the
// values, which are of the field's type or, for fields of other types, text that
// reads as one. For several fields, each value is a []any with one for each. The
// normaliser makes of it what it makes of stored values; a value that it makes
// nothing of is ErrNotIndexed. It may call the key service and the key store.
func (s *Search[T]) Query(ctx context.Context, tenant string, values ...any) (*Query[T], error) {
	if s == nil || s.search == nil {
		return nil, errors.New("fieldcrypt: Query: a Search is made with Search of Records or Maps")
	}
	q, err := s.search.query(ctx, tenant, values)
	if err != nil {
		return nil, fmt.Errorf("fieldcrypt: search of %s by %s: %w", s.search.plan.typ, s.search.what, err)
	}
	return &Query[T]{q, s.access}, nil
}

func (s *search) query(ctx context.Context, tenant string, values []any) (*query, error) {
	switch {
	case ctx == nil:
		return nil, errNoContext
	case tenant == "":
		return nil, errors.New("the tenant is empty: whose records?")
	case s.tenant != nil && *s.tenant != tenant:
		return nil, fmt.Errorf("the tenant is %q, and the handle is for tenant %q", tenant, *s.tenant)
	case len(values) == 0:
		return nil, errors.New("no value to search for")
	case len(values) > MaxValues:
		return nil, fmt.Errorf("%d values to search for, the limit is %d: make several queries", len(values), MaxValues)
	}
	q := &query{search: s, tenant: tenant, columns: make([]queryColumn, max(1, len(s.indexes)))}
	for i, value := range values {
		frames, err := s.frames(value)
		if err == nil && s.exact != nil {
			err = q.addExact(ctx, frames[0])
		} else if err == nil {
			err = q.addTags(ctx, frames)
		}
		for _, frame := range frames {
			clear(frame)
		}
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i, err)
		}
	}
	return q, nil
}

// frames makes the frames of a value, one for each field.
func (s *search) frames(value any) ([][]byte, error) {
	parts := []any{value}
	if len(s.fields) > 1 {
		list, ok := value.([]any)
		if !ok || len(list) != len(s.fields) {
			return nil, fmt.Errorf("a value of %d fields is a []any with one for each, in their order", len(s.fields))
		}
		parts = list
	}
	frames := make([][]byte, len(parts))
	for i, part := range parts {
		m := &s.plan.fields[s.fields[i]]
		v, err := m.kindOf().take(part)
		if err != nil {
			return frames, fmt.Errorf("%s is a %s, and the value a %T that can't be one", m.label, strings.ToLower(m.typ().String()), part)
		}
		if frames[i], err = v.appendFrame(nil); err != nil {
			return frames, fmt.Errorf("%s: %w", m.label, err)
		}
	}
	return frames, nil
}

// A Query is what to ask the database for, made by [Search.Query]. It is safe for
// concurrent use.
type Query[T any] struct {
	query  *query
	access access[T]
}

type query struct {
	search  *search
	tenant  string
	columns []queryColumn
}

// A queryColumn is one of the columns that a row can be nominated by.
type queryColumn struct {
	args   []any
	wanted wantedSet // normalised values, or the texts of deterministic ones
}

func (q *query) addTags(ctx context.Context, frames [][]byte) error {
	texts := make([]string, len(frames))
	for i, frame := range frames {
		text, err := contentText(frame)
		if err != nil {
			return err
		}
		texts[i] = text
	}
	var unfit error
	asked := false
	for i, index := range q.search.indexes {
		x := &q.search.plan.indexes[index]
		if err := q.search.fits(index, texts[0]); err != nil {
			return err
		}
		normalised, err := q.search.normalised(index, texts)
		if err != nil {
			unfit = err
			continue // another version of the index may know what to make of it
		}
		tags, err := q.search.crypt.ring.QueryTags(ctx, x.ring, q.search.scope(q.tenant, x.class), normalised)
		if err != nil {
			return err
		}
		asked = true
		c := &q.columns[i]
		if !c.wanted.add(string(normalised)) {
			continue
		}
		for _, tag := range tags {
			if x.text {
				c.args = append(c.args, string(x.ring.AppendText(nil, tag)))
			} else {
				c.args = append(c.args, tag)
			}
		}
	}
	if asked {
		return nil
	}
	return unfit
}

func (q *query) addExact(ctx context.Context, frame []byte) error {
	m := q.search.exact
	b := &envelope.Binding{Scope: q.search.scope(q.tenant, m.class), Field: m.name, Unbound: true}
	envelopes, err := q.search.crypt.ring.QueryDeterministic(ctx, b, frame)
	if err != nil {
		return err
	}
	text, err := contentText(frame)
	if err != nil {
		return err
	}
	if !q.columns[0].wanted.add(text) {
		return nil
	}
	for _, env := range envelopes {
		if !m.text {
			q.columns[0].args = append(q.columns[0].args, env)
			continue
		}
		text, err := envelope.AppendText(nil, env)
		if err != nil {
			return err
		}
		q.columns[0].args = append(q.columns[0].args, string(text))
	}
	return nil
}

// fits refuses a part of a value that is longer or shorter than those that an
// index has: it would find nothing, or not everything.
func (h *handle) fits(index int, text string) error {
	x := &h.plan.indexes[index].tagging
	want := x.first + x.last
	if want == 0 {
		return nil
	}
	normal, err := h.normalisers[index][0].Normalise(text)
	if err != nil {
		return nil //nolint:nilerr // normalised says so
	}
	if n := utf8.RuneCountInString(normal); n != want {
		return fmt.Errorf("the blind index %s has %s, and the value has %d: search for %d, and compare the rest after decrypting", h.plan.indexes[index].goName, x.kind(), n, want)
	}
	return nil
}

func (q *query) where(d Dialect, first int) string {
	if d != Postgres && d != MariaDB && d != SQLite {
		return "(unknown " + d.String() + ": there are fieldcrypt.Postgres, MariaDB and SQLite)" // which no database takes
	}
	var parts []string
	for i := range q.columns {
		c := &q.columns[i]
		if len(c.args) == 0 {
			continue
		}
		marks := make([]string, len(c.args))
		for m := range marks {
			marks[m] = "?"
			if d == Postgres {
				marks[m] = "$" + strconv.Itoa(first)
				first++
			}
		}
		parts = append(parts, d.quote(q.search.column(i))+" IN ("+strings.Join(marks, ", ")+")")
	}
	if len(parts) == 0 {
		return "(1 = 0)" // no row can have it
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

func (s *search) column(i int) string {
	if s.exact != nil {
		return s.exact.column
	}
	return s.plan.indexes[s.indexes[i]].column
}

func (q *query) args() []any {
	var args []any
	for i := range q.columns {
		args = append(args, q.columns[i].args...)
	}
	return args
}

// matches compares the contents of a record's fields with the query's values.
func (q *query) matches(texts []string) bool {
	if q.search.exact != nil {
		return q.columns[0].wanted.has(texts[0])
	}
	for i, index := range q.search.indexes {
		normalised, err := q.search.normalised(index, texts)
		if err != nil {
			continue
		}
		ok := q.columns[i].wanted.has(string(normalised))
		clear(normalised)
		if ok {
			return true
		}
	}
	return false
}

// Where returns the condition that nominates the rows, in parentheses, with
// placeholders: in PostgreSQL $n from the given number on, else question marks.
// Put the tenant's column beside it.
func (q *Query[T]) Where(d Dialect, first int) string {
	if q == nil || q.query == nil {
		return "(a Query is made with Query of a Search)" // which no database takes
	}
	return q.query.where(d, first)
}

// Args returns the arguments of Where's placeholders.
func (q *Query[T]) Args() []any {
	if q == nil || q.query == nil {
		return nil
	}
	return q.query.args()
}

// Format implements [fmt.Formatter]: it shows nothing of the values.
func (q Query[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "fieldcrypt.Query") }

// Matches reports whether a record that was decrypted has one of the query's
// values, and belongs to its tenant.
func (q *Query[T]) Matches(record *T) bool {
	if q == nil || q.query == nil || record == nil {
		return false
	}
	if ours, err := q.ours(record); err != nil || !ours {
		return false
	}
	fields := q.query.search.fields
	texts := make([]string, len(fields))
	for i, field := range fields {
		var known bool
		if texts[i], known = q.access.content(record, field); !known {
			return false
		}
	}
	return q.query.matches(texts)
}

// ours reports whether a record belongs to the query's tenant.
func (q *Query[T]) ours(record *T) (bool, error) {
	its, named, err := q.access.tenant(record)
	return err == nil && (!named || its == q.query.tenant), err
}

// Open decrypts the rows that the database returned and returns those that have
// one of the query's values. Rows of other tenants are dropped unopened; one whose
// tenant can't be read, since the column wasn't selected, ends the call. An error
// that is a [*DecryptError] comes beside what was found: it lists the values of
// these rows that couldn't be opened, and the rows of which nobody can tell
// whether they belong to the result, by their place among the candidates. It
// works on copies; maps, and what pointers lead to, are decrypted where they are.
func (q *Query[T]) Open(ctx context.Context, candidates []T) ([]T, error) {
	if q == nil || q.query == nil {
		return nil, errors.New("fieldcrypt: Open: a Query is made with Query of a Search")
	}
	s := q.query.search
	var rows []int
	var found []T
	for i := range candidates {
		ours, err := q.ours(&candidates[i])
		if err != nil {
			return nil, fmt.Errorf("fieldcrypt: search of %s by %s: row %d: %w", s.plan.typ, s.what, i, err)
		}
		if ours {
			rows, found = append(rows, i), append(found, candidates[i])
		}
	}
	err := q.access.decrypt(ctx, q.query.tenant, found)
	failed, partly := errors.AsType[*DecryptError](err)
	if err != nil && !partly {
		return nil, err
	}
	searched := make([]string, len(s.fields))
	for i, field := range s.fields {
		searched[i] = s.plan.fields[field].label
	}
	keep := make([]bool, len(found))
	kept := found[:0:0]
	for i := range found {
		if keep[i] = q.Matches(&found[i]); keep[i] {
			kept = append(kept, found[i])
		}
	}
	if !partly {
		return kept, nil
	}
	var failures []Failure
	for _, f := range failed.Failures {
		if keep[f.Row] || slices.Contains(searched, f.Field) {
			f.Row = rows[f.Row]
			failures = append(failures, f)
		}
	}
	if len(failures) == 0 {
		return kept, nil
	}
	return kept, &DecryptError{failed.Type, failures}
}
