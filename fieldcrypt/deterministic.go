package fieldcrypt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// A deterministic field's equal values have equal envelopes, within a tenant and
// class: they are AES-SIV's (RFC 5297), bound to no record. That makes UNIQUE
// columns, upserts and joins possible, and shows which records are equal to
// anybody with a copy of the database. It needs a key store.

func (m *marked) checkDeterministic() error {
	if !m.deterministic {
		return nil
	}
	switch m.typ() {
	case envelope.TypeFloat64, envelope.TypeTime, envelope.TypeJSON:
		return fmt.Errorf("option deterministic: a %s has several forms of equal values, which wouldn't have equal envelopes", strings.ToLower(m.typ().String()))
	}
	if !m.pad.none() {
		return errors.New("option deterministic: it can't be padded (option pad)")
	}
	return nil
}

// checkModes refuses what the Crypt's key ring can't do.
func (h *handle) checkModes() error {
	if h.crypt.ring.Mode() == envelope.ModeReference {
		return nil
	}
	for i := range h.plan.fields {
		if m := &h.plan.fields[i]; m.deterministic {
			return fmt.Errorf("fieldcrypt: %s: field %s is deterministic, and there is no key store: all processes must share its key, so set Options.Envelope.Store", h.plan.typ, m.goName)
		}
	}
	for i := range h.plan.indexes {
		return fmt.Errorf("fieldcrypt: %s: field %s is a blind index, and there is no key store: all processes must share its key, so set Options.Envelope.Store", h.plan.typ, h.plan.indexes[i].goName)
	}
	return nil
}
