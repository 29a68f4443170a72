package envelope

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// hexBytes are bytes that a vector writes as hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vector is a case of any kind; testdata/gen/README.md says which members
// belong to which.
type vector struct {
	Name, Kind, Error string
	Secret            hexBytes
	Purpose           Purpose
	Tenant, Class     string
	KeyID             hexBytes `json:"key_id"`
	Created           *int64
	NotAfter          int64 `json:"not_after"`
	Budget            uint64
	RecordTag         hexBytes `json:"record_tag"`
	Module, Field     string
	Record            *string
	Envelope          hexBytes
	Text              string
	Frame             hexBytes
	Type              Type
	Value             string

	Index        string
	IndexVersion uint32 `json:"index_version"`
	Bits         int
	Partition    int
	Normalised   hexBytes
	Tag          hexBytes
}

func (v *vector) scope() Scope { return Scope{Tenant: v.Tenant, Class: v.Class} }

func (v *vector) binding() (*Binding, error) {
	f, err := NewField(v.Module, v.Field)
	b := &Binding{Scope: v.scope(), Field: f, Unbound: v.Record == nil}
	if v.Record != nil {
		b.Record = *v.Record
	}
	return b, err
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	files, err := filepath.Glob("../testdata/vectors/*.json")
	require.NoError(t, err)
	var all []vector
	good, bad := 0, 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		var file struct {
			Format string
			Cases  []vector
		}
		require.NoError(t, json.Unmarshal(text, &file), name)
		require.Equal(t, "fieldcrypt/v1", file.Format, name)
		all = append(all, file.Cases...)
	}
	for i := range all {
		if all[i].Error == "" {
			good++
		} else {
			bad++
		}
	}
	require.GreaterOrEqual(t, good, 60, "vectors that open")
	require.GreaterOrEqual(t, bad, 80, "vectors that are refused")
	return all
}

// class is the finer class of an error, which callers don't see.
func class(err error) string {
	if err == nil {
		return ""
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.class
	}
	return "other: " + err.Error()
}

func TestScoreboardS24(t *testing.T) {
	all := readVectors(t)
	agreed, altered, noticed := 0, 0, 0
	for i := range all {
		v := &all[i]
		if err := checkVector(t.Context(), v); err != nil {
			t.Errorf("%s vector %q: %v", v.Kind, v.Name, err)
			continue
		}
		agreed++
		// The control: the same vector with another outcome is not agreed to.
		for _, outcome := range []string{"", "malformed", "bad-text", "key-mismatch", "not-authentic", "bad-frame"} {
			if other := *v; outcome != v.Error {
				altered++
				if other.Error = outcome; checkVector(t.Context(), &other) != nil {
					noticed++
				}
			}
		}
	}
	scoreboard.Row(t, "S24", agreed == len(all) && noticed == altered,
		fmt.Sprintf("%d of %d vectors", agreed, len(all)), "100 %",
		fmt.Sprintf("%d of %d noticed when their outcome was altered", noticed, altered))
}

func checkVector(ctx context.Context, v *vector) error {
	switch v.Kind {
	case "key":
		return checkKeyVector(v)
	case "text":
		return checkTextVector(v)
	case "field":
		return checkFieldVector(ctx, v)
	case "deterministic":
		return checkDeterministicVector(ctx, v)
	case "index":
		return differs("class", class(readIndexVector(v)), v.Error)
	}
	return fmt.Errorf("no reader for kind %q", v.Kind)
}

func differs(what, got, want string) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s: got %q, want %q", what, got, want)
}

func checkKeyVector(v *vector) error {
	return differs("class", class(readKeyVector(v)), v.Error)
}

func readKeyVector(v *vector) error {
	if err := checkKey(v.Secret, v.scope(), v.Purpose); err != nil {
		return err
	}
	if v.Created == nil {
		if id := deriveKeyID(v.Secret, v.scope(), v.Purpose); !bytes.Equal(id[:], v.KeyID) {
			return errKeyMismatch
		}
		return nil
	}
	rec := Record{
		KeyID: KeyID(v.KeyID), Scope: v.scope(), Purpose: v.Purpose, Budget: v.Budget,
		Created: time.Unix(*v.Created, 0), Tag: [32]byte(v.RecordTag),
	}
	if v.NotAfter != 0 {
		rec.NotAfter = time.Unix(v.NotAfter, 0)
	}
	return rec.verify(v.Secret)
}

func checkTextVector(v *vector) error {
	b, err := DecodeText(v.Text)
	if err := differs("class", class(err), v.Error); err != nil || v.Error != "" {
		return err
	}
	again, err := AppendText([]byte("before"), b)
	return errors.Join(err,
		differs("envelope", string(b), string(v.Envelope)),
		differs("text written again", string(again), "before"+v.Text))
}

// checkFieldVector reads one vector with the bare key, through a ring, and from
// its text, and writes it again.
func checkFieldVector(ctx context.Context, v *vector) error {
	frame, err := openVectorBare(v)
	if err := differs("class by key", class(err), v.Error); err != nil {
		return err
	}
	if err := checkVectorByRing(ctx, v, v.Envelope); err != nil {
		return err
	}
	if err := checkFieldText(v); err != nil || v.Error != "" {
		return err
	}
	text, err := AppendText(nil, v.Envelope)
	if err := errors.Join(err, differs("text", string(text), v.Text), differs("frame", string(frame), string(v.Frame))); err != nil {
		return err
	}
	typ, payload, err := ParseFrame(frame)
	if err != nil {
		return err
	}
	info, err := Inspect(v.Envelope)
	return errors.Join(err,
		differs("type", typ.String(), v.Type.String()),
		differs("value", vectorValue(typ, payload), v.Value),
		differs("frame size", strconv.Itoa(info.FrameSize), strconv.Itoa(len(frame))),
		differs("sizes", strconv.Itoa(info.FrameSize+info.OverheadSize), strconv.Itoa(len(v.Envelope))),
		rewriteVector(v))
}

// checkFieldText reads the text of any bytes, which FORMAT.md says under
// Errors: bad-text by the first three of them, else what their header is.
func checkFieldText(v *vector) error {
	number, want := version, "bad-text"
	if len(v.Envelope) > 1 {
		number = int(v.Envelope[1])
	}
	if len(v.Envelope) > 2 && number == version && v.Envelope[2] != byte(ModeStream) {
		_, err := parseHeader(v.Envelope)
		want = class(err)
	}
	b, err := DecodeText(v.Text)
	decoded := ""
	if want == "" {
		decoded = string(v.Envelope)
	}
	return errors.Join(
		differs("text", v.Text, fmt.Sprintf("fc%d.%s", number, base64.RawURLEncoding.EncodeToString(v.Envelope))),
		differs("class by text", class(err), want),
		differs("decoded text", string(b), decoded))
}

// openVectorBare opens with the secret alone, without a key ring.
func openVectorBare(v *vector) ([]byte, error) {
	b, err := v.binding()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(b.checkPlace(), b.Scope.validate()); err != nil {
		return nil, err
	}
	h, err := parseHeader(v.Envelope)
	if err != nil {
		return nil, err
	}
	if h.mode != ModeReference && h.mode != ModeInline {
		return nil, malformed("a field has no mode %s", h.mode)
	}
	k, err := newDataKey(bytes.Clone(v.Secret), b.Scope)
	if err != nil {
		return nil, err
	}
	if !k.is(h.keyID) {
		return nil, errKeyMismatch
	}
	return k.openFrame(nil, h.body, b.appendPlace(bytes.Clone(k.prefix)))
}

// oneSecret is a provider to which all wrapped bytes hold the same key.
type oneSecret []byte

func (s oneSecret) GenerateDataKey(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	return kmsprovider.DataKey{}, kmsprovider.ErrDenied
}

func (s oneSecret) Unwrap(context.Context, string, []byte, kmsprovider.EncryptionContext) ([]byte, error) {
	return bytes.Clone(s), nil
}

func checkVectorByRing(ctx context.Context, v *vector, envelope []byte) error {
	opts := &Options{}
	root := "made-up://root"
	if h, err := parseHeader(envelope); err == nil {
		switch h.mode {
		case ModeInline:
			root = string(h.rootKey)
		case ModeReference:
			store := NewMemoryStore()
			opts.Store = store
			rec := Record{
				KeyID: *h.keyID, Scope: v.scope(), Purpose: PurposeData,
				RootKey: root, Wrapped: []byte("any"), Created: time.Unix(1, 0),
			}
			if len(v.Secret) == kmsprovider.DataKeySize {
				rec.Tag = recordTag(v.Secret, v.scope(), PurposeData, rec.Created, rec.NotAfter, 0)
			}
			if err := store.Activate(ctx, rec, KeyID{}); err != nil {
				return err
			}
		}
	}
	ring, err := NewKeyRing(oneSecret(v.Secret), RootKeys{Seal: root}, opts)
	if err != nil {
		return err
	}
	defer ring.Close()
	b, err := v.binding()
	var out []byte
	if err == nil {
		out, err = ring.AppendOpen(ctx, []byte("before"), b, envelope)
		if !bytes.HasPrefix(out, []byte("before")) {
			return errors.New("AppendOpen lost what was in front")
		}
	}
	switch {
	case v.Error == "":
		return errors.Join(err, differs("frame by ring", string(out), "before"+string(v.Frame)))
	case v.Error == "malformed" && errors.Is(err, ErrModeNotAllowed):
		return differs("a mode refused as not allowed", fmt.Sprint(envelope[2] == 3 || envelope[2] == 4), "true")
	case v.Error == "malformed" && len(v.Secret) != kmsprovider.DataKeySize && errors.Is(err, kmsprovider.ErrUnavailable):
		return nil // a provider that answers with a key of a wrong length
	case v.Error == "malformed":
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownVersion) {
			return fmt.Errorf("by ring: %w, want a malformed one", err)
		}
	case !errors.Is(err, ErrNotAuthentic):
		return fmt.Errorf("by ring: got %w, want ErrNotAuthentic", err)
	}
	if err := differs("class by ring", class(err), v.Error); err != nil {
		return err
	}
	return differs("left behind dst", string(out), "before"[:min(len(out), 6)])
}

// rewriteVector writes the envelope again from nonce and frame.
func rewriteVector(v *vector) error {
	h, err := parseHeader(v.Envelope)
	if err != nil {
		return err
	}
	b, err := v.binding()
	if err != nil {
		return err
	}
	again := h.bytes()
	if strings.Contains(os.Getenv("GODEBUG"), "fips140=only") {
		// No nonce may be chosen there; that the body opens was seen above.
		return differs("header", string(append(again, h.body...)), string(v.Envelope))
	}
	k, err := newDataKey(bytes.Clone(v.Secret), b.Scope)
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(derive(v.Secret, "fieldcrypt/v1 aes-256-gcm"+string(b.Scope.canonical())))
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	nonce := h.body[:nonceSize]
	again = gcm.Seal(append(again, nonce...), nonce, v.Frame, b.appendPlace(bytes.Clone(k.prefix)))
	return differs("envelope written again", hex.EncodeToString(again), hex.EncodeToString(v.Envelope))
}

// vectorValue writes a payload as the vectors do.
func vectorValue(typ Type, p []byte) string {
	switch typ {
	case TypeBytes, TypeFloat64:
		return hex.EncodeToString(p)
	case TypeInt64:
		return strconv.FormatInt(DecodeInt64(p), 10)
	case TypeUint64:
		return strconv.FormatUint(DecodeUint64(p), 10)
	case TypeBool:
		return strconv.FormatBool(DecodeBool(p))
	case TypeTime:
		v := DecodeTime(p)
		_, offset := v.Zone()
		return fmt.Sprintf("%d.%09d %d", v.Unix(), v.Nanosecond(), offset)
	case TypeDate:
		year, month, day := DecodeDate(p)
		form := "%04d-%02d-%02d"
		if year < 0 || year > 9999 {
			form = "%+05d-%02d-%02d"
		}
		return fmt.Sprintf(form, year, month, day)
	}
	return string(p)
}
