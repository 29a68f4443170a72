package fieldcrypt

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"unsafe"
)

// Maps encrypts and decrypts records that are maps, by a module of a [Schema].
// Make one with [ForMaps]; a schema of another version needs another. It is
// safe for concurrent use, on different records. Calls of Maps that ForMaps
// didn't make return an error.
type Maps struct {
	handle
	module *modulePlan
}

// ForMaps compiles a module of the schema for records of type map[string]any,
// which may have any other members too.
//
// Encrypt takes the plain Go values at the fields' paths, of the types that
// [Plain] lists or of their likes (an int for an int64, a json.Number, a string
// for a date or a decimal), and puts values such as [String] in their places.
// These are what the database gets, and they refuse to be written before they
// are encrypted. What it finds there already as such a value it treats as
// [Records.Encrypt] does. Decrypt takes what the driver gives for a column, and
// puts such values there too.
//
// Where a path goes into a member, that member becomes a [Document]. All
// elements of an array at a path are one field: whoever can write to the
// database can exchange them within the record.
func ForMaps(c *Crypt, s *Schema, module string) (*Maps, error) {
	if !c.made() {
		return nil, errNoCrypt
	}
	if s == nil {
		return nil, errors.New("fieldcrypt: ForMaps: the schema is nil")
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	m := s.Module(module)
	if m == nil {
		return nil, fmt.Errorf("fieldcrypt: ForMaps: schema version %d has no module %.80q", s.Version, module)
	}
	p, err := compileModule(m)
	if err != nil {
		return nil, fmt.Errorf("fieldcrypt: ForMaps: %w", err)
	}
	h := handle{crypt: c, plan: &p.plan, migrating: c.counting(&p.plan)}
	if err := h.resolve(); err != nil {
		return nil, err
	}
	return &Maps{h, p}, nil
}

// ForTenant returns a handle for the records of one tenant, which shares all
// else with m. A module without a tenant member needs it.
func (m *Maps) ForTenant(tenant string) *Maps {
	if m == nil {
		return &Maps{}
	}
	of := *m
	of.tenant = &tenant
	return &of
}

// ColumnDefs is [Records.ColumnDefs] for the module. Fields inside documents
// have no columns of their own.
func (m *Maps) ColumnDefs(d Dialect) ([]ColumnDef, error) { return m.of().columns(d) }

// DDL is [Records.DDL] for the module.
func (m *Maps) DDL(d Dialect, table string) (string, error) { return m.of().ddl(d, table) }

func (m *Maps) of() *handle {
	if m == nil {
		return &handle{}
	}
	return &m.handle
}

// Encrypt is [Records.Encrypt] for maps: all or nothing.
func (m *Maps) Encrypt(ctx context.Context, records ...map[string]any) error {
	w, err := m.begin(ctx, "Encrypt")
	if err != nil {
		return err
	}
	defer w.end()
	var docs documents
	for row, record := range records {
		if record == nil {
			return m.isNil("Encrypt", row)
		}
		m.locate(w, record)
		first := len(w.sources)
		for i := range m.module.fields {
			if err := m.gatherPlain(w, &docs, i, row, record); err != nil {
				return err
			}
		}
		has := func(field int) bool { _, there := record[string(m.module.paths[field][0])]; return there }
		err := m.gatherIndexes(w, row, first, has, func(*indexed) (*BlindIndex, map[string]any) { return nil, record })
		if err != nil {
			return err
		}
	}
	if err := m.seal(ctx, w); err != nil {
		return err
	}
	docs.put(true)
	return nil
}

// Decrypt is [Records.Decrypt] for maps.
func (m *Maps) Decrypt(ctx context.Context, records ...map[string]any) error {
	w, docs, err := m.gatherSealed(ctx, "Decrypt", records)
	if err != nil {
		return err
	}
	defer w.end()
	err = m.open(ctx, w)
	docs.put(false)
	return err
}

// DecryptStrict is [Records.DecryptStrict] for maps.
func (m *Maps) DecryptStrict(ctx context.Context, records ...map[string]any) error {
	w, docs, err := m.gatherSealed(ctx, "DecryptStrict", records)
	if err != nil {
		return err
	}
	defer w.end()
	if err := m.openStrict(ctx, w); err != nil {
		return err
	}
	docs.put(false)
	return nil
}

func (m *Maps) begin(ctx context.Context, call string) (*work, error) {
	if m == nil || m.crypt == nil {
		return nil, fmt.Errorf("fieldcrypt: %s: Maps are made with ForMaps", call)
	}
	return m.beginWith(ctx, call, m.module.tenant != "", "Name the tenant's member in the schema")
}

// locate notes whose record it is and which. An error is for the first value
// that needs to know.
func (m *Maps) locate(w *work, record map[string]any) {
	w.nextRecord()
	at := &w.at
	at.known = true
	if at.tenant, at.err = m.tenantOf(record); at.err == nil {
		at.id, at.err = m.idOf(record)
	}
}

func (m *Maps) tenantOf(record map[string]any) (string, error) {
	if m.module.tenant == "" {
		return ofTenant("", m.tenant, false)
	}
	v := reflect.ValueOf(record[m.module.tenant])
	if !v.IsValid() {
		return ofTenant("", m.tenant, true)
	}
	if v.Kind() != reflect.String {
		return "", fmt.Errorf("its tenant (member %q) is a %s, it must be a string", m.module.tenant, v.Type())
	}
	return ofTenant(v.String(), m.tenant, true)
}

func (m *Maps) idOf(record map[string]any) (string, error) {
	parts := make([]string, len(m.module.ids))
	for i, name := range m.module.ids {
		text, err := idMember(record[name])
		if err != nil {
			return "", fmt.Errorf("its ID (member %q) %w", name, err)
		}
		parts[i] = text
	}
	return recordOf(parts)
}

// idMember returns an ID's text, as a struct field of its type has.
func idMember(id any) (string, error) {
	v := reflect.ValueOf(id)
	if !v.IsValid() {
		return "", errors.New("is missing: " + setIDFirst)
	}
	text := idText(v.Type())
	if text == nil {
		return "", fmt.Errorf("is a %s: it can be a string, an integer, or 16 bytes such as a UUID", v.Type())
	}
	held := reflect.New(v.Type())
	held.Elem().Set(v)
	if s := text(unsafe.Pointer(held.Pointer())); s != "" {
		return s, nil
	}
	return "", errors.New("is zero: " + setIDFirst)
}

const nothingThere = "there is nothing at its path %s, and the schema requires it"

const setIDFirst = "set it (or select it) first, or, if the database makes it on insert, declare the module unbound"

// gatherPlain notes what Encrypt has to do with one field of a record.
func (m *Maps) gatherPlain(w *work, docs *documents, i, row int, record map[string]any) error {
	f, found := &m.module.fields[i], false
	err := m.visit(docs, i, record, (*Document).forProgram, func(d *pendingDocument, at slot) error {
		found = true
		content := at.get()
		if content == nil {
			return nil
		}
		var value sensitive
		if d != nil && d.state == documentScanned { // it holds envelopes
			value = f.kind.scan(content, true)
		} else {
			var err error
			if value, err = f.kind.take(content); err != nil {
				return m.failed(row, f.label, err)
			}
		}
		return m.gatherValue(w, &job{value: value, field: f, row: row, slot: &at}, &f.name, nil)
	})
	switch {
	case errors.Is(err, errPath):
		return m.failed(row, f.label, fmt.Errorf("%w (path %s)", err, m.module.paths[i]))
	case err == nil && m.module.needed[i] && !found:
		return m.failed(row, f.label, fmt.Errorf(nothingThere+": set it, also to nil, or correct the path", m.module.paths[i]))
	}
	return err
}

func (m *Maps) gatherSealed(ctx context.Context, call string, records []map[string]any) (*work, *documents, error) {
	w, err := m.begin(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	docs := new(documents)
	for row, record := range records {
		if record == nil {
			w.end()
			return nil, nil, m.isNil(call, row)
		}
		m.locate(w, record)
		for i := range m.module.fields {
			m.gatherEnvelopes(w, docs, i, row, record)
		}
	}
	return w, docs, nil
}

// gatherEnvelopes notes what Decrypt has to open of one field of a record.
func (m *Maps) gatherEnvelopes(w *work, docs *documents, i, row int, record map[string]any) {
	f := &m.module.fields[i]
	err := m.visit(docs, i, record, (*Document).fromDatabase, func(d *pendingDocument, at slot) error {
		content := at.get()
		if content == nil || d != nil && d.state == documentPlain { // as the program set it
			return nil
		}
		j := &job{value: f.kind.scan(content, f.inside), field: f, row: row, slot: &at}
		m.gatherEnvelope(w, j, &f.name, nil, nil)
		return nil
	})
	if err != nil {
		err = fmt.Errorf("%w (path %s): %w", ErrNotEnvelope, m.module.paths[i], err)
		docs.drop(record, string(m.module.paths[i][0]), err)
		w.fail(&job{field: f, row: row}, err)
	}
}

// visit calls do for each place of a field in the record. Places inside a
// member are in a copy of it, which docs.put brings into the record.
func (m *Maps) visit(docs *documents, i int, record map[string]any, read func(*Document, any) error, do func(*pendingDocument, slot) error) error {
	p := m.module.paths[i]
	if len(p) == 1 {
		return p.visit(record, func(at slot) error { return do(nil, at) })
	}
	member := string(p[0])
	content, ok := record[member]
	if !ok || content == nil {
		return nil
	}
	d, err := docs.of(record, member, content, read)
	if err != nil {
		return err
	}
	return p[1:].visit(d.tree(), func(at slot) error { return do(d, at) })
}
