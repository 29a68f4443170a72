package fieldcrypt

import (
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// locate finds out, once a record, whose it is and which.
func (h *handle) locate(at *place, record unsafe.Pointer) error {
	if at.known {
		return at.err
	}
	at.known = true
	at.tenant, at.err = h.tenantOf(record)
	if at.err == nil {
		at.id, at.err = h.plan.idOf(record)
	}
	return at.err
}

func (h *handle) tenantOf(record unsafe.Pointer) (string, error) {
	if h.plan.tenant == nil {
		return ofTenant("", h.tenant, false)
	}
	return ofTenant(readString(h.plan.tenant.in(record)), h.tenant, true)
}

// ofTenant compares the tenant that a record has, if it has one, with that of
// ForTenant, if there is one.
func ofTenant(its string, handles *string, has bool) (string, error) {
	switch {
	case !has && *handles == "":
		return "", errors.New("ForTenant was given an empty tenant")
	case !has:
		return *handles, nil
	case its == "":
		return "", errors.New("its tenant field is empty: set it (or select it) first")
	case handles != nil && its != *handles:
		return "", fmt.Errorf("it belongs to tenant %q, and the handle is for tenant %q", its, *handles)
	}
	return its, nil
}

// idOf returns the record's ID as text; "" for an unbound type.
func (p *plan) idOf(record unsafe.Pointer) (string, error) {
	if len(p.ids) == 1 {
		return p.ids[0].of(record)
	}
	parts := make([]string, len(p.ids))
	for i := range p.ids {
		var err error
		if parts[i], err = p.ids[i].of(record); err != nil {
			return "", err
		}
	}
	return recordOf(parts)
}

// recordOf joins the parts of a record's ID.
func recordOf(parts []string) (string, error) {
	switch len(parts) {
	case 0:
		return "", nil
	case 1:
		return parts[0], nil
	}
	return envelope.CompositeRecord(parts...)
}

func (part *idPart) of(record unsafe.Pointer) (string, error) {
	at := part.in(record)
	if at != nil {
		if id := part.text(at); id != "" {
			return id, nil
		}
	}
	return "", fmt.Errorf("its ID (field %s) is zero: set it (or select it) first, or, if the database makes it on insert, declare the type unbound with the field _ struct{} `fieldcrypt:\"unbound\"`", part.goName)
}

// originFor returns the record's origin for a class. Locate came before.
func (h *handle) originFor(at *place, class int) *origin {
	if at.origins[class] == nil {
		o := &origin{
			scope:   h.scope(at.tenant, class),
			record:  at.id,
			unbound: h.plan.unbound,
			crypt:   h.crypt.id,
		}
		if h.plan.loose[class] {
			o.record, o.unbound = "", true
		}
		at.origins[class] = o
	}
	return at.origins[class]
}

func (h *handle) scope(tenant string, class int) envelope.Scope {
	return envelope.Scope{Tenant: tenant, Class: h.plan.classes[class]}
}

// holds reports whether a value that was sealed for o belongs to the record
// and class, whichever Crypt sealed it.
func (h *handle) holds(at *place, class int, o *origin) bool {
	record, unbound := at.id, h.plan.unbound
	if h.plan.loose[class] {
		record, unbound = "", true
	}
	return o.scope.Tenant == at.tenant && o.scope.Class == h.plan.classes[class] &&
		o.record == record && o.unbound == unbound
}

// failed names the record of an error, where there can be several.
func (h *handle) failed(row int, label string, err error) error {
	return fmt.Errorf("fieldcrypt: %s of %s, record %d: %w", label, h.plan.typ, row, err)
}

// customName returns the field of a map's key.
func (p *plan) customName(m *marked, key string) (envelope.Field, error) {
	if err := checkCustomKey(key); err != nil {
		return envelope.Field{}, fmt.Errorf("map %s: %w", m.goName, err)
	}
	f, err := envelope.NewField(m.module, m.prefix+key)
	if err != nil {
		return f, fmt.Errorf("map %s: the key %.80q can't be a field's name: %w", m.goName, key, err)
	}
	if _, taken := p.names[f.String()]; taken {
		return envelope.Field{}, fmt.Errorf("map %s: the key %q makes the name of another field of this type, %s", m.goName, key, f)
	}
	return f, nil
}

// checkCustomKey refuses keys that JSON would have to escape, so that a key
// has one form wherever it is written, and keys that start with a colon, which
// the check of a SQLite column takes for the end of a key.
func checkCustomKey(key string) error {
	if key == "" {
		return errors.New("a custom field has an empty key")
	}
	if key[0] == ':' {
		return fmt.Errorf("the key %.80q starts with a colon", key)
	}
	if !utf8.ValidString(key) {
		return fmt.Errorf("the key %.80q is not UTF-8", key)
	}
	for _, c := range key {
		if c < ' ' || c == 0x7f || c == '"' || c == '\\' {
			return fmt.Errorf("the key %.80q has a control character, a quote or a backslash in it", key)
		}
	}
	return nil
}
