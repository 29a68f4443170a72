package normalise

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"
)

// assigned is the repertoire that NFKC and case folding are applied to, for
// ever: see the package's comment.
var assigned = rangetable.Assigned("15.0.0")

// inText applies f to each longest part of s that has no character from
// outside of assigned.
func inText(s string, f func(string) string) string {
	from := strings.IndexFunc(s, isLater)
	if from < 0 {
		return f(s)
	}
	var b strings.Builder
	for ; from >= 0; from = strings.IndexFunc(s, isLater) {
		b.WriteString(f(s[:from]))
		_, size := utf8.DecodeRuneInString(s[from:])
		b.WriteString(s[from : from+size])
		s = s[from+size:]
	}
	b.WriteString(f(s))
	return b.String()
}

func isLater(r rune) bool { return r >= utf8.RuneSelf && !unicode.Is(assigned, r) }

func nfkc(s string) string { return inText(s, norm.NFKC.String) }

// foldCase is Unicode's full case folding (The Unicode Standard, section 3.13,
// toCasefold). A Caser may hold state, so each call has its own. Cherokee is
// kept from it and folded here: its Caser makes small letters of capitals and
// capitals of small letters, where Unicode makes capitals of both.
func foldCase(s string) string {
	fold := cases.Fold()
	return inText(s, func(text string) string {
		var b strings.Builder
		for from := strings.IndexFunc(text, isCherokee); from >= 0; from = strings.IndexFunc(text, isCherokee) {
			b.WriteString(fold.String(text[:from]))
			r, size := utf8.DecodeRuneInString(text[from:])
			b.WriteRune(foldCherokee(r))
			text = text[from+size:]
		}
		b.WriteString(fold.String(text))
		return b.String()
	})
}

func isCherokee(r rune) bool {
	return r >= 0x13A0 && r <= 0x13FD || r >= 0xAB70 && r <= 0xABBF
}

func foldCherokee(r rune) rune {
	switch {
	case r >= 0xAB70:
		return r - 0xAB70 + 0x13A0
	case r >= 0x13F8:
		return r - 8
	}
	return r
}

// maxRounds is more than any text needs: folding and composing can make way
// for each other a few times.
const maxRounds = 8

// caseless returns the NFKC form of the folded text, with each of its
// characters exchanged as change says, or left out where that is negative. The
// steps are repeated until they change nothing, so that a second call changes
// nothing either; ok is false for a text that doesn't settle, of which none is
// known.
func caseless(s string, change func(rune) rune) (folded string, ok bool) {
	for range maxRounds {
		next := strings.Map(change, nfkc(foldCase(nfkc(strings.Map(change, s)))))
		if next == s {
			return s, true
		}
		s = next
	}
	return "", false
}

// isSpace is Unicode's property White_Space, written down to stay as it is.
func isSpace(r rune) bool {
	switch {
	case r >= '\t' && r <= '\r', r == ' ', r == 0x85, r == 0xA0:
		return true
	case r == 0x1680, r >= 0x2000 && r <= 0x200A, r == 0x2028, r == 0x2029, r == 0x202F, r == 0x205F, r == 0x3000:
		return true
	}
	return false
}

// isIgnorable tells characters that don't show, and that copying and pasting
// brings along: of Unicode's Default_Ignorable_Code_Point those that stand for
// no letter of their own.
func isIgnorable(r rune) bool {
	switch {
	case r < 0xAD:
		return false
	case r == 0xAD, r == 0x034F, r == 0x061C, r >= 0x180B && r <= 0x180F:
		return true
	case r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2060 && r <= 0x206F:
		return true
	case r >= 0xFE00 && r <= 0xFE0F, r == 0xFEFF, r >= 0x1BCA0 && r <= 0x1BCA3, r >= 0x1D173 && r <= 0x1D17A:
		return true
	case r == 0xE0001, r >= 0xE0020 && r <= 0xE007F, r >= 0xE0100 && r <= 0xE01EF:
		return true
	}
	return false
}
