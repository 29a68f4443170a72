package fieldcrypt

import "context"

// Search is [Records.Search] for the module's fields, by their names as in
// "Contacts.email".
func (m *Maps) Search(what string) (*Search[map[string]any], error) {
	return m.searchOf(what, 0, 0)
}

// SearchFirst is [Records.SearchFirst] for the module.
func (m *Maps) SearchFirst(field string, characters int) (*Search[map[string]any], error) {
	return m.searchOf(field, characters, 0)
}

// SearchLast is [Records.SearchLast] for the module.
func (m *Maps) SearchLast(field string, characters int) (*Search[map[string]any], error) {
	return m.searchOf(field, 0, characters)
}

func (m *Maps) searchOf(what string, first, last int) (*Search[map[string]any], error) {
	s, err := m.of().search(what, first, last)
	if err != nil {
		return nil, err
	}
	return &Search[map[string]any]{s, access[map[string]any]{
		tenant: func(record *map[string]any) (string, bool, error) {
			if m.module.tenant == "" {
				return "", false, nil
			}
			own := *m
			own.tenant = nil
			its, err := own.tenantOf(*record)
			return its, true, err
		},
		content: func(record *map[string]any, field int) (string, bool) { return m.contentAt(*record, field) },
		decrypt: func(ctx context.Context, tenant string, records []map[string]any) error {
			return m.ForTenant(tenant).Decrypt(ctx, records...)
		},
	}}, nil
}

// contentAt returns the content of a field that has one place in a record.
func (m *Maps) contentAt(record map[string]any, field int) (text string, known bool) {
	var docs documents
	_ = m.visit(&docs, field, record, (*Document).fromDatabase, func(_ *pendingDocument, at slot) error {
		content := at.get()
		if content == nil {
			return nil
		}
		if v, err := m.module.fields[field].kind.take(content); err == nil {
			text, known = contentOf(v)
		}
		return nil
	})
	return text, known
}
