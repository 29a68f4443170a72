package fieldcrypt_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/fieldcrypttest"
)

// A program that shows a record in a form, and stores what comes back, would
// overwrite the value with what was shown in its place.
func TestEncryptRefusesTheMarker(t *testing.T) {
	type record struct {
		ID    int64             `fieldcrypt:"id"`
		Email fieldcrypt.String `fieldcrypt:"Contacts.email"`
		Photo fieldcrypt.Bytes  `fieldcrypt:"Contacts.photo"`
		Notes fieldcrypt.JSON   `fieldcrypt:"Contacts.notes"`
		Codes fieldcrypt.Fields `fieldcrypt:"Contacts.code.*"`
	}
	type plainRecord struct {
		ID    int64  `fieldcrypt:"id"`
		Email string `fieldcrypt:"Contacts.email"`
		Photo []byte `fieldcrypt:"Contacts.photo"`
	}
	crypt := fieldcrypttest.NewWithStore(t)
	r, plains := records[record](t, crypt).ForTenant("acme"), records[plainRecord](t, crypt).ForTenant("acme")
	shown := fmt.Sprint(fieldcrypt.Of("ada@example.org"))
	marshalled, err := json.Marshal(fieldcrypt.Of("ada@example.org"))
	require.NoError(t, err)
	for form, text := range map[string]string{"as it is": shown, "with spaces": " " + shown + "\t", "with a line break": shown + "\r\n"} {
		for name, change := range map[string]func(*record){
			"string":       func(v *record) { v.Email.Set(text) },
			"bytes":        func(v *record) { v.Photo.Set([]byte(text)) },
			"JSON":         func(v *record) { v.Notes.Set(json.RawMessage(" " + string(marshalled))) },
			"custom field": func(v *record) { v.Codes = fieldcrypt.Fields{"a": fieldcrypt.Of(text)} },
		} {
			t.Run(name+" "+form, func(t *testing.T) {
				v := record{ID: 1}
				change(&v)
				require.ErrorIs(t, r.Encrypt(t.Context(), &v), fieldcrypt.ErrRedacted)
			})
		}
		_, err := plains.EncryptColumns(t.Context(), &plainRecord{ID: 1, Email: text})
		require.ErrorIs(t, err, fieldcrypt.ErrRedacted)
		_, err = plains.EncryptColumns(t.Context(), &plainRecord{ID: 1, Photo: []byte(text)})
		require.ErrorIs(t, err, fieldcrypt.ErrRedacted)
	}
	// What only holds it is a value.
	for _, text := range []string{"see " + shown, "[REDACTED", "REDACTED", "[redacted]", "[REDACTED] [REDACTED]", "", " "} {
		v := record{ID: 1, Email: fieldcrypt.Of(text), Photo: fieldcrypt.Of([]byte(text)), Notes: fieldcrypt.Of(json.RawMessage(`["[REDACTED]"]`))}
		require.NoError(t, r.Encrypt(t.Context(), &v), text)
	}
}
