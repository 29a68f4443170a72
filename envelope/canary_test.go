package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// forms are the texts in which any printer or encoder could show a secret.
func forms(secret []byte) []string {
	all := []string{string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret))}
	for shift := range 3 { // where it starts within base64's groups of three
		enc := base64.StdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		url := base64.URLEncoding.EncodeToString(append(make([]byte, shift), secret...))
		all = append(all, enc[4:len(enc)-4], url[4:len(url)-4])
	}
	for _, format := range formats {
		if strings.Contains(format, "T") {
			continue
		}
		for _, v := range []any{secret, string(secret)} {
			out := fmt.Sprintf(format, v)
			if strings.Contains(out, "%!") { // not a verb for bytes
				continue
			}
			if i := strings.IndexAny(out, "[{"); i >= 0 {
				out = out[i+1:]
			}
			out = strings.Trim(out, "[]{}\"` ")
			if len(out) > 12 {
				all = append(all, out)
			}
		}
	}
	return all
}

// formats is every verb with every flag.
var formats = formatsOf("vTtbcdoOqxXUeEfFgGsZ")

// misused are formats that fmt answers, for what is no pointer or no error, by
// printing the value without asking its methods. No type with a field can keep
// the field out of these; go vet refuses them, and so does go test.
var misused = formatsOf("pw")

func formatsOf(verbs string) (all []string) {
	for _, verb := range verbs {
		for _, flag := range []string{"", "+", "#", " ", "-", "0", "+#", "# "} {
			all = append(all, "%"+flag+string(verb))
		}
	}
	return all
}

// printed is everything that a value can be made to show of itself.
func printed(v any) (outs []string) {
	for _, format := range formats {
		outs = append(outs, fmt.Sprintf(format, v))
	}
	var buf bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&buf, nil)), slog.New(slog.NewJSONHandler(&buf, nil))} {
		log.Info("message", "value", v, slog.Group("group", "value", v))
	}
	for _, encode := range []func(v any) error{
		json.NewEncoder(&buf).Encode, xml.NewEncoder(&buf).Encode, gob.NewEncoder(&buf).Encode,
	} {
		if err := encode(v); err != nil {
			outs = append(outs, err.Error())
		}
	}
	func() {
		defer func() { outs = append(outs, fmt.Sprint(recover())) }()
		panic(v)
	}()
	return append(outs, buf.String())
}

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
	var shapes []string
	for _, secret := range [][]byte{[]byte(canary), dataSecret[:13], gcmKey} {
		shapes = append(shapes, forms(secret)...)
	}
	slices.Sort(shapes)
	shapes = slices.Compact(shapes)
	count := func(outs []string) (found, of int) {
		for _, out := range outs {
			if slices.ContainsFunc(shapes, func(shape string) bool { return strings.Contains(out, shape) }) {
				found++
			}
		}
		return found, len(outs)
	}
	seen := func(v any) (found, of int) { return count(printed(v)) }
	total, outs, misuses := 0, 0, 0
	for name, v := range values {
		for _, format := range misused {
			n, _ := count([]string{fmt.Sprintf(format, v)})
			misuses += n
		}
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
