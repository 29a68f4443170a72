package normalise

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// everyRune calls f with each character of the repertoire, save those for
// private use.
func everyRune(f func(r rune)) (n int) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.Is(assigned, r) && !unicode.In(r, unicode.Cs, unicode.Co) {
			f(r)
			n++
		}
	}
	return n
}

// Pinned: what each normaliser makes of each character, alone and between
// letters. These never change. Should a new version of Go or of x/text change
// one, then don't pin the new hash but keep the old result: an index that holds
// the old one would miss silently.
var pinned = map[string]string{
	"email.v1":  "0b93d51b364079a433ed1c89e1bd749a8f34823de91884fa36ad9b681e2abade",
	"name.v1":   "4b6a9a99404c885518b38b810eaca94136871ff7bec44e098b8471da28a3d0ee",
	"digits.v1": "ec31b0bb667c00aff4cbcb17833bc043553944f1e08ccd27a8464ddb2197dba0",
	"trim.v1":   "bedf850420f6c70fea11e33252ebf589611f189cea4c40f8918a5a4454188c12",
	"none.v1":   "36e833c08ef16afff2d039bb51b07dd16193418cda78607660e303b0a51c531d",
}

func TestEveryCharacterIsPinned(t *testing.T) {
	require.NotNil(t, assigned, "x/text knows Unicode 15.0 no more")
	for _, n := range All() {
		t.Run(n.Name, func(t *testing.T) {
			require.Equal(t, pinned[n.Name], hashOf(t, n.Normalise))
		})
	}
	t.Run("control: another case folding is noticed", func(t *testing.T) {
		require.NotEqual(t, pinned["name.v1"], hashOf(t, func(s string) (string, error) {
			folded, err := name(s)
			return strings.ReplaceAll(folded, "ss", "ß"), err
		}))
	})
}

// hashOf hashes a normaliser's results, and checks what holds for all of them.
func hashOf(t *testing.T, normalise func(string) (string, error)) string {
	h := sha256.New()
	characters := everyRune(func(r rune) {
		for _, text := range []string{string(r), "か" + string(r) + "1@y" + string(r) + "z.B"} {
			write(t, h, normalise, text)
		}
	})
	require.Greater(t, characters, 140_000)
	return hex.EncodeToString(h.Sum(nil))
}

func write(t *testing.T, h hash.Hash, normalise func(string) (string, error), text string) {
	once, err := normalise(text)
	switch {
	case errors.Is(err, ErrEmpty):
		_, _ = io.WriteString(h, "E\x00")
	case errors.Is(err, ErrInvalid):
		_, _ = io.WriteString(h, "I\x00")
	case err != nil:
		require.NoError(t, err)
	default:
		again, err := normalise(once)
		if err != nil || again != once || len(once) > MaxGrowth*len(text)+64 {
			require.NoError(t, err, "%+q", text)
			require.Equal(t, once, again, "%+q", text)
			require.LessOrEqual(t, len(once), MaxGrowth*len(text)+64, "%+q", text)
		}
		fmt.Fprintf(h, "%s\x00", once)
	}
}

// Width folding is part of NFKC: folding it before changes nothing.
func TestWidth(t *testing.T) {
	folds, different := 0, 0
	everyRune(func(r rune) {
		folded := width.Fold.String(string(r))
		if folded == string(r) {
			return
		}
		folds++
		a, errA := name("x" + string(r))
		b, errB := name("x" + folded)
		if a != b || errA != nil || errB != nil {
			different++
		}
	})
	require.Greater(t, folds, 200)
	require.Zero(t, different)
}

// Domains are mapped as UTS #46 maps them, where it allows the character and
// what comes out is a domain; but for ẞ, on which its own
// versions disagree, and forms of ς, which NFKC makes ς.
func TestDomainsAsUTS46(t *testing.T) {
	uts46 := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.CheckHyphens(false), idna.CheckJoiners(false), idna.BidiRule())
	allowed, different := 0, ""
	everyRune(func(r rune) {
		theirs, err := uts46.ToASCII("x" + string(r) + "y.example")
		if err != nil || strings.ContainsFunc(theirs, func(r rune) bool { return !isLDH(r) && r != '.' }) || strings.Contains(theirs, "xn--x ") {
			return
		}
		allowed++
		if ours, err := email("a@x" + string(r) + "y.example"); err != nil || ours != "a@"+theirs {
			different += string(r)
		}
	})
	require.Greater(t, allowed, 100_000)
	require.Equal(t, "ϲẞ𝛓𝜍𝝇𝞁𝞻", different)
}

// A character that a later version assigns is copied, and nothing is composed
// across it, whatever tables this program was built with.
func TestLaterCharacters(t *testing.T) {
	later := []rune{0x0378, 0x1C89, 0x2FFFC, 0x10D50, 0x105D2, 0xA7CB, 0x1E5D0, 0x0897}
	for _, r := range later {
		require.False(t, unicode.Is(assigned, r), "%U", r)
		s, err := name("É" + string(r) + "\u0301Ê\u0323\u0301")
		require.NoError(t, err)
		require.Equal(t, "é"+string(r)+"\u0301"+norm.NFKC.String("ê\u0323\u0301"), s)
		again, err := name(s)
		require.NoError(t, err)
		require.Equal(t, s, again)
	}
}
