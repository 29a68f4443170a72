package envelope

import (
	"encoding/base64"
	"errors"
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
// bits that are not zero are errors. The text form of a version to come is
// [ErrUnknownVersion], all else [ErrMalformed].
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
	h, err := parseHeader(b)
	if err != nil {
		if errors.Is(err, ErrUnknownVersion) {
			return nil, badText("the envelope inside isn't of the version before the dot")
		}
		if f, ok := errors.AsType[*failure](err); ok {
			f.class = "bad-text" // the same error, since a column may have many
		}
		return nil, err
	}
	if h.mode == ModeStream {
		return nil, badText("a stream has no text form")
	}
	return b, nil
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
