package fieldcrypt

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A cell of text stays one when the program sets it anew, also after a null.
func TestSetKeepsTheFormOfTheCell(t *testing.T) {
	for name, change := range map[string]func(v *String) error{
		"Set":           func(v *String) error { v.Set("new"); return nil },
		"SetNull":       func(v *String) error { v.SetNull(); v.Set("new"); return nil },
		"UnmarshalJSON": func(v *String) error { return v.UnmarshalJSON([]byte(`"new"`)) },
		"JSON null": func(v *String) error {
			defer v.Set("new")
			return v.UnmarshalJSON([]byte("null"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := valueIn(t, "decrypted text")
			require.NoError(t, change(v))
			v.setOpened(envelopeOf('o'), false, testField, testOrigin)
			written, err := v.Value()
			require.NoError(t, err)
			require.Equal(t, textOf(t, envelopeOf('o')), written)
		})
	}
	t.Run("another cell", func(t *testing.T) {
		v := valueIn(t, "decrypted text")
		require.NoError(t, v.Scan(nil))
		require.Equal(t, String{}, *v, "nothing of the row before")
	})
}

// A null is zero, whatever its cell was.
func TestIsZero(t *testing.T) {
	v := valueIn(t, "decrypted text")
	require.False(t, v.IsZero())
	v.SetNull()
	require.True(t, v.IsZero())
	b, err := json.Marshal(struct {
		Email String `json:"email,omitzero"`
	}{*v})
	require.NoError(t, err)
	require.Equal(t, "{}", string(b))
}
