package envelope

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func textSample(n int) []byte {
	head := append([]byte{magic, version, byte(ModeReference)}, bytes.Repeat([]byte{0xfb}, 32)...)
	return append(head, bytes.Repeat([]byte{0xff}, nonceSize+tagSize+n)...)
}

func TestTextForm(t *testing.T) {
	for n := 1; n < 50; n++ {
		env := textSample(n)
		text, err := AppendText(before(), env)
		require.NoError(t, err)
		after, ok := strings.CutPrefix(string(text), "beforefc1.")
		require.True(t, ok)
		require.NotContains(t, after, "=")
		require.Len(t, text, len("before")+TextLen(len(env)))
		back, err := DecodeText("fc1." + after)
		require.NoError(t, err)
		require.Equal(t, env, back)
	}
}

// One envelope has one text: no other character at any place gives the same
// bytes, and the looser decoders of the standard library show that some would.
func TestOneEnvelopeHasOneText(t *testing.T) {
	loose := 0
	for n := 1; n <= 3; n++ {
		env := textSample(n)
		text, err := AppendText(nil, env)
		require.NoError(t, err)
		try := func(other string) {
			if other == string(text) {
				return
			}
			if b, err := DecodeText(other); err == nil && bytes.Equal(b, env) {
				t.Fatalf("%q is a second text", other)
			}
			b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(other, textPrefix))
			if err == nil && bytes.Equal(b, env) {
				loose++
			}
		}
		for i := range text {
			for c := range 256 {
				try(string(text[:i]) + string([]byte{byte(c)}) + string(text[i+1:]))
				try(string(text[:i]) + string([]byte{byte(c)}) + string(text[i:]))
			}
		}
		for c := range 256 {
			try(string(text) + string([]byte{byte(c)}))
		}
	}
	require.NotZero(t, loose, "the control: second texts that a looser decoder takes")
}

func TestTextRefused(t *testing.T) {
	sample, err := AppendText(nil, textSample(1))
	require.NoError(t, err)
	good := string(sample)
	body := strings.TrimPrefix(good, textPrefix)
	stream := append([]byte{magic, version, byte(ModeStream)}, make([]byte, 36)...)
	encode := func(b []byte) string { return textPrefix + base64.RawURLEncoding.EncodeToString(b) }
	for name, text := range map[string]string{
		"empty":                     "",
		"prefix alone":              "fc1.",
		"no prefix":                 body,
		"no dot":                    "fc1" + body,
		"upper case":                "FC1." + body,
		"version 2":                 "fc2." + body,
		"version with a zero":       "fc01." + body,
		"no version":                "fc." + body,
		"prefix of an index":        "fi1." + body,
		"space in front":            " " + good,
		"space behind":              good + " ",
		"line feed behind":          good + "\n",
		"carriage return":           good[:20] + "\r" + good[20:],
		"line break":                good[:20] + "\r\n" + good[20:],
		"zero behind":               good + "\x00",
		"padding":                   good + "=",
		"two padding":               good + "==",
		"standard alphabet, slash":  strings.ReplaceAll(good, "_", "/"),
		"standard alphabet, plus":   strings.ReplaceAll(good, "-", "+"),
		"one character short":       good[:len(good)-1],
		"three characters more":     good + "AAA",
		"not ASCII":                 good[:20] + "ä" + good[20:],
		"two texts":                 good + good,
		"stream":                    encode(stream),
		"two bytes":                 encode([]byte{magic, version}),
		"version byte 0":            encode(append([]byte{magic, 0}, textSample(1)[2:]...)),
		"version byte 2":            encode(append([]byte{magic, 2}, textSample(1)[2:]...)),
		"version byte 2, no magic":  encode(append([]byte{0xfd, 2}, textSample(1)[2:]...)),
		"stream without magic":      encode(append([]byte{0xfd}, stream[1:]...)),
		"stream cut short":          encode(stream[:3]),
		"cut short, and padding":    encode(textSample(1)[:34]) + "==",
		"longer than any envelope":  textPrefix + strings.Repeat("A", textEncoding.EncodedLen(MaxInlineOverhead+MaxFrame)+1),
		"text form of a text form":  encode([]byte(good)),
		"envelope in its bare form": string(textSample(1)),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := DecodeText(text)
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, "bad-text", class(err))
			require.Nil(t, b)
			require.LessOrEqual(t, len(err.Error()), 200, "an error holds no input")
		})
	}
	for name, env := range map[string][]byte{
		"nothing":   nil,
		"stream":    stream,
		"cut short": textSample(1)[:60],
		"no magic":  []byte(good),
	} {
		t.Run("written: "+name, func(t *testing.T) {
			out, err := AppendText(before(), env)
			require.ErrorIs(t, err, ErrMalformed)
			require.Equal(t, "before", string(out))
		})
	}
}

// What the checks of the text let pass is refused as its bytes are.
func TestTextOfABadHeader(t *testing.T) {
	good := textSample(1)
	inline := append([]byte{magic, version, byte(ModeInline)}, make([]byte, 32)...)
	inline = append(inline, 0, 1, 'k', 0, 1, 'w')
	inline = append(inline, make([]byte, nonceSize+1+tagSize)...)
	with := func(b []byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], v)
		return b
	}
	for name, env := range map[string][]byte{
		"other magic":                       with(good, 0, 0xfd),
		"mode 0":                            with(good, 2, 0),
		"mode 5":                            with(good, 2, 5),
		"three bytes":                       good[:3],
		"cut in the key ID":                 good[:34],
		"cut in the nonce":                  good[:40],
		"no ciphertext":                     textSample(0),
		"deterministic, no ciphertext":      with(good[:51], 2, byte(ModeDeterministic)),
		"inline, URI past the input":        with(inline, fixedHeader, 1, 0),
		"inline, URI over the limit":        with(inline, fixedHeader, 2, 1),
		"inline, URI empty":                 with(inline, fixedHeader, 0, 0),
		"inline, URI not UTF-8":             with(inline, fixedHeader+2, 0xff),
		"inline, wrapped key past the end":  with(inline, fixedHeader+3, 1, 0),
		"inline, wrapped key over the cap":  with(inline, fixedHeader+3, 0x18, 1),
		"inline, wrapped key empty":         with(inline, fixedHeader+3, 0, 0),
		"inline, nothing after the headers": inline[:fixedHeader+6],
	} {
		t.Run(name, func(t *testing.T) {
			_, want := parseHeader(env)
			require.Error(t, want)
			b, err := DecodeText(textPrefix + base64.RawURLEncoding.EncodeToString(env))
			require.Equal(t, want, err)
			require.Equal(t, "malformed", class(err))
			require.Nil(t, b)
		})
	}
	_, err := DecodeText(textPrefix + base64.RawURLEncoding.EncodeToString(inline))
	require.NoError(t, err, "the control: what they were made of")
}

// A text that contradicts itself is no text form, and can still be told from
// garbage.
func TestTextOfAnotherVersion(t *testing.T) {
	for _, v := range []byte{0, 2, 255} {
		env := textSample(1)
		env[1] = v
		_, err := DecodeText(textPrefix + base64.RawURLEncoding.EncodeToString(env))
		require.Equal(t, "bad-text", class(err))
		require.ErrorIs(t, err, ErrMalformed)
		require.ErrorIs(t, err, ErrUnknownVersion)
	}
}

// The text form of a version to come is told apart from text that only looks
// like one, of which nothing is told.
func TestTextOfAVersionToCome(t *testing.T) {
	text := func(number string, version byte) string {
		return "fc" + number + "." + base64.RawURLEncoding.EncodeToString(append([]byte{magic, version}, textSample(1)[2:]...))
	}
	for number, version := range map[string]byte{"2": 2, "10": 10, "255": 255} {
		b, err := DecodeText(text(number, version))
		require.ErrorIs(t, err, ErrUnknownVersion)
		require.Nil(t, b)
		require.EqualError(t, err, "unknown format version: an envelope of version "+number+", and this release reads version 1: a newer release is needed")
	}
	for name, other := range map[string]string{
		"a number that isn't the envelope's": text("2", 3),
		"version 0":                          text("0", 0),
		"256":                                text("256", 0),
		"a leading zero":                     text("02", 2),
		"a sign":                             text("+2", 2),
		"a name":                             "fc2.ada@example.com",
		"a name in the alphabet":             "fc2." + strings.Repeat("ada", 40),
		"the magic alone":                    "fc2._AI",
		"a line break":                       text("2", 2) + "\n",
		"no start":                           strings.TrimPrefix(text("2", 2), "fc"),
		"the start twice":                    "fc" + text("2", 2),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeText(other)
			require.ErrorIs(t, err, ErrMalformed)
			require.NotErrorIs(t, err, ErrUnknownVersion)
			require.NotContains(t, err.Error(), "version 2")
		})
	}
}
