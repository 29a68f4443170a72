package fieldcrypt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unsafe"
)

// An idForm says how a part of a record's ID is told from what a database has.
type idForm uint8

const (
	idOfText idForm = iota + 1
	idOfNumber
	idOf16Bytes
	idOfAny // of records that are maps, whose IDs have the type of what is in them
)

// idFormOf returns the form of an ID of type t, which idText takes.
func idFormOf(t reflect.Type) idForm {
	switch t.Kind() {
	case reflect.String:
		return idOfText
	case reflect.Array:
		return idOf16Bytes
	}
	return idOfNumber
}

// text returns the ID's text, as a record has it that was read from there.
func (f idForm) text(v any) (string, error) {
	switch f {
	case idOfText:
		switch v := v.(type) {
		case string:
			return v, nil
		case []byte:
			return string(v), nil
		}
	case idOfNumber:
		return numberText(v)
	case idOf16Bytes:
		return uuidText(v)
	case idOfAny:
		switch v := v.(type) {
		case []byte:
			return uuidText(v)
		case string, int64, uint64, [16]byte:
			return idMember(v)
		}
	}
	return "", fmt.Errorf("is a %T, which the record's ID can't be", v)
}

func numberText(v any) (string, error) {
	var text string
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64: // a column without a type
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatInt(int64(v), 10), nil
		}
	case string:
		text = v
	case []byte:
		text = string(v)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10), nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return strconv.FormatUint(n, 10), nil
	}
	return "", fmt.Errorf("is a %T that isn't an integer", v)
}

// uuidText takes 16 bytes, or the text form, in any case.
func uuidText(v any) (string, error) {
	var id [16]byte
	switch v := v.(type) {
	case [16]byte:
		id = v
	case []byte:
		if len(v) != len(id) {
			return uuidText(string(v))
		}
		id = [16]byte(v)
	case string:
		plain := strings.ReplaceAll(v, "-", "")
		if len(plain) != 2*len(id) || len(v) != len(plain) && len(v) != len(plain)+4 {
			return "", errors.New("isn't a UUID, of 16 bytes or in text form")
		}
		if _, err := hex.Decode(id[:], []byte(plain)); err != nil {
			return "", errors.New("isn't a UUID, of 16 bytes or in text form")
		}
	default:
		return "", fmt.Errorf("is a %T, and not a UUID", v)
	}
	return idOfUUID(unsafe.Pointer(&id)), nil
}

// A rowPlace is whose record a row is, and which.
type rowPlace struct {
	tenant, id string
	err        error
}

func (r *Rows) place(row *Row) (at rowPlace) {
	switch tenant := row.Tenant.(type) {
	case string:
		at.tenant, at.err = ofTenant(tenant, r.tenant, r.tenants != "")
	case []byte:
		at.tenant, at.err = ofTenant(string(tenant), r.tenant, r.tenants != "")
	case nil:
		at.tenant, at.err = ofTenant("", r.tenant, r.tenants != "")
	default:
		at.err = fmt.Errorf("its tenant (column %s) is a %T, it must be a string", r.tenants, tenant)
	}
	if at.err != nil || len(r.ids) == 0 {
		return at
	}
	if len(row.ID) != len(r.ids) {
		at.err = fmt.Errorf("its ID has %d parts, and the record's has %d", len(row.ID), len(r.ids))
		return at
	}
	parts := make([]string, len(r.ids))
	for i, id := range r.ids {
		text, err := id.form.text(row.ID[i])
		switch {
		case err != nil:
			at.err = fmt.Errorf("its ID (column %s) %w", id.column, err)
			return at
		case text == "" || text == "0" && id.form == idOfNumber:
			at.err = fmt.Errorf("its ID (column %s) is zero, which no record can be bound to", id.column)
			return at
		}
		parts[i] = text
	}
	at.id, at.err = recordOf(parts)
	return at
}
