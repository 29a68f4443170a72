package envelope

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// TestScoreboardS16 prints every exported type that holds a plaintext or a key
// in every way, and what goes wrong with them. The control has the same bytes
// in a struct that doesn't redact itself.
func TestScoreboardS16(t *testing.T) {
	const canary = "Canary-2718281828-value"
	p := &plainProvider{}
	store := NewMemoryStore()
	opts := &Options{Store: store}
	r := plainRing(t, p, opts)
	b := place("acme")
	frame := AppendString(nil, canary)
	env, err := r.Seal(t.Context(), b, frame)
	require.NoError(t, err)
	inline, err := plainRing(t, p, nil).Seal(t.Context(), b, frame)
	require.NoError(t, err)
	rec, err := store.Active(t.Context(), b.Scope, PurposeData)
	require.NoError(t, err)
	info, err := Inspect(inline)
	require.NoError(t, err)
	held, ok := r.sealing.GetIfPresent(b.Scope.withDefault())
	require.True(t, ok)
	dataSecret, err := p.Unwrap(t.Context(), rec.RootKey, rec.Wrapped, encryptionContext(rec.Scope, PurposeData))
	require.NoError(t, err)
	gcmKey := derive(dataSecret, "fieldcrypt/v1 aes-256-gcm"+string(rec.Scope.canonical()))
	cell := Cell{Binding: *b, Frame: frame, Envelope: env, Err: errors.New("made-up failure")}

	var failures []error
	_, err = r.Seal(t.Context(), b, append(frame, 0xff))
	failures = append(failures, err)
	_, err = r.Seal(t.Context(), place(""), frame)
	failures = append(failures, err)
	_, err = r.Open(t.Context(), b, []byte(canary))
	failures = append(failures, err)
	_, err = r.Open(t.Context(), place("globex"), env)
	failures = append(failures, err)
	_, err = DecodeText(canary)
	failures = append(failures, err)
	_, err = AppendDecimal(nil, canary)
	failures = append(failures, err)
	_, err = PadFrame(frame, 1)
	failures = append(failures, err)
	_, _, err = ParseFrame(append(frame, 0xff))
	failures = append(failures, err)

	values := map[string]any{
		"Cell": cell, "*Cell": &cell, "[]Cell": []Cell{cell}, "map of Cell": map[string]Cell{"a": cell},
		"struct with a Cell": struct{ Cell Cell }{cell}, "any": []any{cell, &cell},
		"*KeyRing": r, "struct with a KeyRing": struct{ Ring *KeyRing }{r},
		"Options": *opts, "*Options": opts, "MemoryStore": store, "Record": rec, "*Record": &rec, "Info": info,
		"KeyID": rec.KeyID, "Scope": b.Scope, "Field": b.Field, "Binding": *b, "*Binding": b, "Stats": r.Stats(),
		"RootKeys": RootKeys{Seal: plainRoot}, "data key": held,
	}
	for i, err := range failures {
		require.Error(t, err, i)
		values[fmt.Sprint("error ", i)] = err
	}
	r.running.Wait() // what reads the ring without its methods would race with a flight's last moments
	secrets := scoreboard.NewCanary([]byte(canary), dataSecret[:13], gcmKey)
	seen := func(v any) (found, of int) { return secrets.In(scoreboard.Printed(v)) }
	total, outs, misuses := 0, 0, 0
	for name, v := range values {
		n, _ := secrets.In(scoreboard.Misprinted(v))
		misuses += n
		found, n := seen(v)
		if total, outs = total+found, outs+n; found > 0 {
			t.Errorf("%s shows a secret in %d of %d texts", name, found, n)
		}
	}
	type open struct {
		Frame []byte
		Text  string
	}
	control, of := seen(open{frame, canary})
	keys, _ := seen(open{gcmKey, string(dataSecret)})
	// A digest is not a secret's form: what finds it would find anything.
	digest := sha256.Sum256(gcmKey)
	none, _ := seen(open{digest[:], "x"})
	require.Zero(t, none)
	scoreboard.Row(t, "S16", total == 0 && control > of/2 && keys > of/2,
		fmt.Sprintf("envelope: %d of %d texts of %d values (apart: %d by %%p and %%w, which vet refuses)", total, outs, len(values), misuses), "0",
		fmt.Sprintf("a struct that doesn't redact itself: plaintext in %d of %d, keys in %d", control, of, keys))
}
