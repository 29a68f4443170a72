package normalise

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// The committed expectations: a line has the normaliser, the value and the
// result, which is an error's name after a "!". They never change; lines may be
// added.
func TestExpectations(t *testing.T) {
	text, err := os.ReadFile("testdata/expectations.tsv")
	require.NoError(t, err)
	failures := map[string]error{"!empty": ErrEmpty, "!invalid": ErrInvalid}
	good, bad := 0, 0
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, "\t")
		require.Len(t, parts, 3, "line %d", i+1)
		n, err := Lookup(parts[0])
		require.NoError(t, err, "line %d", i+1)
		value, want := unescape(t, parts[1]), unescape(t, parts[2])
		t.Run(fmt.Sprintf("line %d", i+1), func(t *testing.T) {
			got, err := n.Normalise(value)
			if failure := failures[want]; failure != nil {
				bad++
				require.ErrorIs(t, err, failure)
				require.Empty(t, got)
				require.Contains(t, err.Error(), "normalise: "+n.Name+": ")
				return
			}
			good++
			require.NoError(t, err)
			require.Equal(t, want, got)
			again, err := n.Normalise(got)
			require.NoError(t, err)
			require.Equal(t, got, again)
		})
	}
	require.Greater(t, good, 100)
	require.Greater(t, bad, 40)
}

// unescape reads \u{…}, for what an editor doesn't show.
func unescape(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `\u{`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		hex, rest, closed := strings.Cut(after, "}")
		require.True(t, closed)
		var r rune
		_, err := fmt.Sscanf(hex, "%x", &r)
		require.NoError(t, err)
		b.WriteRune(r)
		s = rest
	}
}

func TestRefusedByAll(t *testing.T) {
	for _, n := range All() {
		for _, c := range []struct {
			name, value string
			want        error
		}{
			{"empty", "", ErrEmpty},
			{"not UTF-8", "secret\xffvalue@example.org", ErrInvalid},
			{"a surrogate", "secret\xed\xa0\x80@example.org", ErrInvalid},
			{"cut short", "secret@example.org\xe3\x81", ErrInvalid},
			{"overlong", "secret\xc0\x80@example.org", ErrInvalid},
			{"too long", strings.Repeat("1", MaxInput) + "1", ErrTooLong},
		} {
			t.Run(n.Name+"/"+c.name, func(t *testing.T) {
				got, err := n.Normalise(c.value)
				require.ErrorIs(t, err, c.want)
				require.Empty(t, got)
				require.NotContains(t, err.Error(), "secret")
				for _, other := range []error{ErrEmpty, ErrInvalid, ErrTooLong} {
					require.Equal(t, errors.Is(c.want, other), errors.Is(err, other))
				}
			})
		}
	}
}

func TestLongestInputs(t *testing.T) {
	for _, piece := range []string{"1", "ﷺ", "\u0301", "a\u0301", "İ", "각", "\U0001D160", "か\u3099", " a"} {
		text := strings.Repeat(piece, MaxInput/len(piece))
		for _, n := range All() {
			got, err := n.Normalise(text)
			if errors.Is(err, ErrInvalid) || errors.Is(err, ErrEmpty) {
				continue // no e-mail address, no digit
			}
			require.NoError(t, err, "%s %q", n.Name, piece)
			require.LessOrEqual(t, len(got), MaxGrowth*len(text)+64)
			if len(got) <= MaxInput {
				again, err := n.Normalise(got)
				require.NoError(t, err)
				require.Equal(t, got, again)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range []Normaliser{Email, Name, Digits, Trim, None} {
		found, err := Lookup(n.Name)
		require.NoError(t, err)
		require.Equal(t, n.Name, found.Name)
		require.NotNil(t, found.Normalise)
		require.False(t, seen[n.Name])
		seen[n.Name] = true
	}
	require.Len(t, All(), len(seen))

	for name, says := range map[string]string{
		"":             "none has the name \"\", there are email.v1, name.v1, digits.v1, trim.v1, none.v1",
		"email":        "email.v1",
		"email.v2":     "email.v1",
		"Email.v1":     "email.v1",
		"phone.v1":     "made by package phone",
		"phone.v1-de":  "made by package phone",
		"name.v1\n":    "name.v1",
		"digits.v1.v1": "digits.v1",
	} {
		n, err := Lookup(name)
		require.ErrorContains(t, err, says, name)
		require.Nil(t, n.Normalise)
	}
}

// Both names of a normaliser mean the same function.
func TestVariablesAreThoseOfAll(t *testing.T) {
	for _, n := range []Normaliser{Email, Name, Digits, Trim, None} {
		found, err := Lookup(n.Name)
		require.NoError(t, err)
		for _, text := range []string{"Ada@Example.org", " ９ ", "ｶﾞ"} {
			a, errA := n.Normalise(text)
			b, errB := found.Normalise(text)
			require.Equal(t, a, b)
			require.Equal(t, errA == nil, errB == nil)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct{ value, says string }{
		{"   ", "normalise: email.v1: nothing of the value is left: store NULL in the index"},
		{"Ada Secret <ada@example.org>", "give the address alone"},
		{"secret", "it has no \"@\""},
		{"@secret.example", "no local part before the \"@\""},
		{"ada@secret..example", "the domain, or a label of it, is empty"},
		{"ada@", "the domain, or a label of it, is empty"},
		{"ada@secret.example,bob@example.org.", "give one address alone"},
		{"ada@secret,example", "a character that no domain has"},
		{"ada@" + strings.Repeat("secret", 11) + ".example", "a label of the domain has more than 63 bytes"},
		{"ada@" + strings.Repeat("日本", 20) + "secretsecret.example", "a label of the domain has more than 63 bytes"},
		{"ada@" + strings.Repeat("日本", 5000) + "secret.example", "a label of the domain has more than 63 bytes"},
		{"ada@[secret]x", "the address literal after the \"@\" isn't one"},
		{"ada@é.xn--secrÿt", "has no form in Punycode"},
	} {
		_, err := Email.Normalise(c.value)
		require.ErrorContains(t, err, c.says)
		require.NotContains(t, strings.ToLower(err.Error()), "secret")
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{
		"Ada@Example.org", "a@bücher.example", "がｶﾞ", "ẞß", "İ", "\u0345\u0301", "①２", "a\u200db", "Ꭰꭰ", "ﷺ", "\u1e99", "x\u0338@\u0338.y",
		strings.Repeat("\u0323\u0301", 40), "\u1100\u1161\u11a8", "\u0378\u0301", "a@[::1]", "a@xn--a.ß", "わ゙", "´", "\ufe12",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range All() {
			once, err := n.Normalise(s)
			if err != nil {
				if once != "" || !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrTooLong) {
					t.Fatalf("%s: %q, %v", n.Name, once, err)
				}
				if utf8.ValidString(s) && len(s) <= MaxInput && n.Name != "email.v1" && !errors.Is(err, ErrEmpty) {
					t.Fatalf("%s refuses text: %v", n.Name, err)
				}
				continue
			}
			if !utf8.ValidString(once) || once == "" || len(once) > MaxGrowth*len(s)+64 {
				t.Fatalf("%s(%+q) = %+q", n.Name, s, once)
			}
			if len(once) > MaxInput {
				continue
			}
			if again, err := n.Normalise(once); err != nil || again != once {
				t.Fatalf("%s(%+q) = %+q, and again %+q, %v", n.Name, s, once, again, err)
			}
		}
	})
}
