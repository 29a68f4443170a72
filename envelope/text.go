package envelope

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

const (
	textStart  = "fc"             // of every version
	textPrefix = textStart + "1." // the version and a dot
)

var textEncoding = base64.RawURLEncoding.Strict()

// TextLen returns the length in bytes of the text form of an envelope of n
// bytes.
func TextLen(n int) int { return len(textPrefix) + textEncoding.EncodedLen(n) }

// AppendText appends the text form of an envelope: "fc1." and base64url
// without padding (RFC 4648, section 5). Streams have none.
func AppendText(dst, envelope []byte) ([]byte, error) {
	h, err := parseHeader(envelope)
	if err != nil {
		return dst, err
	}
	if h.mode == ModeStream {
		return dst, badText("a stream has no text form")
	}
	return textEncoding.AppendEncode(append(dst, textPrefix...), envelope), nil
}

// DecodeText returns the envelope of a text form. It is strict, so that one
// envelope has one text: any byte outside the alphabet, padding, and unused
// bits that are not zero are errors, and so is whatever [Inspect] refuses. All
// of them are [ErrMalformed]. The text form of a version to come is
// [ErrUnknownVersion]; an envelope whose version isn't the one that its text
// begins with is both.
func DecodeText(text string) ([]byte, error) {
	body, ok := strings.CutPrefix(text, textPrefix)
	if !ok {
		if v := versionOfText(text); v != 0 {
			return nil, &failure{class: "bad-text", is: ErrUnknownVersion, cause: v}
		}
		return nil, badText("the text form of an envelope starts with " + textPrefix)
	}
	b, err := decodeBody(body)
	if err != nil {
		return nil, err
	}
	switch {
	case len(b) < 3:
		return nil, badText("too short for a header")
	case b[1] != version:
		return nil, errTextVersion
	case Mode(b[2]) == ModeStream:
		return nil, badText("a stream has no text form")
	}
	if _, err := parseHeader(b); err != nil {
		return nil, err
	}
	return b, nil
}

// errTextVersion matches both: a text that contradicts itself is malformed, and
// may hold what another release reads.
var errTextVersion error = &failure{
	class: "bad-text", is: fmt.Errorf("%w: %w", ErrMalformed, ErrUnknownVersion),
	detail: fmt.Sprintf("the text form says version %d and its envelope another", version),
}

func decodeBody(body string) ([]byte, error) {
	if len(body) > textEncoding.EncodedLen(MaxInlineOverhead+MaxFrame) {
		return nil, badText("longer than any envelope")
	}
	if strings.ContainsAny(body, "\r\n") { // Go's decoder skips these
		return nil, badText("a line break inside the text form of an envelope")
	}
	b, err := textEncoding.DecodeString(body)
	if err != nil {
		return nil, badText("not base64url without padding")
	}
	return b, nil
}

// versionOfText returns the version of an envelope's text form where it isn't
// 1, and 0 for any other text. The number before the dot isn't enough, which
// plaintext can have too: it must be the envelope's own.
func versionOfText(text string) otherVersion {
	rest, starts := strings.CutPrefix(text, textStart)
	number, body, dotted := strings.Cut(rest, ".")
	v, err := strconv.ParseUint(number, 10, 8)
	if !starts || !dotted || err != nil || v == version || strconv.Itoa(int(v)) != number {
		return 0
	}
	if b, err := decodeBody(body); err != nil || len(b) < fixedHeader || b[0] != magic || b[1] != byte(v) {
		return 0
	}
	return otherVersion(v)
}
