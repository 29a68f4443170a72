package kmsprovider_test

import (
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// TestScoreboardS16 prints a data key in every way and place. What surrounds it
// in an unexported field is counted apart: fmt calls no methods of what is
// there, and prints the bytes of any slice.
func TestScoreboardS16(t *testing.T) {
	sum := sha256.Sum256([]byte("a data key"))
	secret := sum[:]
	dk := kmsprovider.DataKey{Plaintext: secret, Wrapped: []byte("wrapped"), RootKey: "made-up://root"}
	type exported struct{ Key kmsprovider.DataKey }
	type unexported struct{ key kmsprovider.DataKey }
	values := map[string]any{
		"value": dk, "pointer": &dk, "slice": []kmsprovider.DataKey{dk}, "slice of pointers": []*kmsprovider.DataKey{&dk}, "array": [1]kmsprovider.DataKey{dk},
		"map": map[string]kmsprovider.DataKey{"k": dk}, "any": []any{dk, &dk}, "struct": exported{dk}, "pointer to struct": &exported{dk}, "struct of struct": struct{ Inner exported }{exported{dk}},
		"error": fmt.Errorf("made-up failure with %v", dk), "joined errors": errors.Join(fmt.Errorf("with %+v", dk), fmt.Errorf("with %#v", &dk)),
		"encryption context": kmsprovider.EncryptionContext{"tenant": "acme"},
	}
	canary := scoreboard.NewCanary(secret, secret[:13], secret[19:])
	total, outs, misuses := 0, 0, 0
	for name, v := range values {
		n, _ := canary.In(scoreboard.Misprinted(v))
		misuses += n
		found, of := canary.In(scoreboard.Printed(v))
		if total, outs = total+found, outs+of; found > 0 {
			t.Errorf("%s shows the key in %d of %d texts", name, found, of)
		}
	}
	hidden, _ := canary.In(scoreboard.Printed(unexported{dk}))
	control, of := canary.In(scoreboard.Printed(struct{ Plaintext, Wrapped []byte }{secret, dk.Wrapped}))
	// What finds another key would find anything.
	other := sha256.Sum256(secret)
	none, _ := canary.In(scoreboard.Printed(other[:]))
	require.Zero(t, none)
	scoreboard.Row(t, "S16", total == 0 && control > of/2,
		fmt.Sprintf("kmsprovider.DataKey: %d of %d texts in %d places (apart: %d by %%p and %%w, which vet refuses; %d of a caller's unexported field)", total, outs, len(values), misuses, hidden), "0",
		fmt.Sprintf("a struct that doesn't redact itself: %d of %d", control, of))

	dk.Wipe()
	require.Equal(t, make([]byte, 32), secret)
}

// CBOR, MessagePack and the like encode exported fields, unless there is this.
func TestDataKeyHasNoBinaryForm(t *testing.T) {
	for _, v := range []any{kmsprovider.DataKey{Plaintext: []byte("a data key")}, &kmsprovider.DataKey{}} {
		m, ok := v.(encoding.BinaryMarshaler)
		require.True(t, ok)
		b, err := m.MarshalBinary()
		require.Error(t, err)
		require.Empty(t, b)
	}
}
