// Package normalise brings values into the one form in which a blind index
// hashes and compares them, so that "Ada@Example.org " finds "ada@example.org".
//
// A [Normaliser] is chosen by what a field holds: [Email], [Name], [Digits],
// [Trim], [None], and [Phone numbers] in a module of their own. Its name, such
// as "email.v1", is part of the key of the index. What it does to a value is
// therefore permanent: a change is a new version under a new name, and a new
// index.
//
// # What keeps it permanent
//
// Unicode grows, and the tables in golang.org/x/text grow with it: they depend
// on the version of that module and on that of Go. Unicode promises that a
// string of characters that were assigned in one version has the same NFKC
// form and the same case folding in all later ones (Unicode Character Encoding
// Stability Policies). So the normalisers treat as text only what was assigned
// in Unicode 15.0. Any later character is copied as it is, and nothing is
// composed or reordered across it. Decimal digits, white space, kana,
// characters to leave out and characters to exchange are lists in this package. Tests
// compare the results for every character with a pinned hash, and those of a
// committed table one by one.
//
// # What it isn't
//
// Normalising is no validation, and what comes out is no value to store or to
// show: it is for the index only. It doesn't make a value harder to guess. A
// normaliser's result is as sensitive as the value.
//
// All of this package is safe for concurrent use.
//
// [Phone numbers]: https://pkg.go.dev/github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/phone
package normalise

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Errors of normalisers. Their texts never hold the value.
var (
	// ErrEmpty: nothing of the value is left after normalising, so that it
	// would be found by every other value like it. Store NULL in the index.
	ErrEmpty = errors.New("nothing of the value is left")
	// ErrInvalid: the value isn't UTF-8, or not of the kind that the
	// normaliser is for, such as text without an "@" to Email. Store NULL in the
	// index, or choose a normaliser that takes any text.
	ErrInvalid = errors.New("the value isn't of that kind")
	// ErrTooLong: the value is longer than MaxInput.
	ErrTooLong = errors.New("the value is too long")
)

// Limits, in bytes. No normaliser returns more than MaxGrowth times what it was
// given, and 64.
const (
	MaxInput  = 64 << 10
	MaxGrowth = 11 // U+FDFA, of 3 bytes, is 33 bytes in NFKC
)

// A Normaliser is a function with a permanent name.
type Normaliser struct {
	// Name says what it does and in which version, such as "email.v1". It is
	// part of the key of an index: under another name, nothing is found.
	Name string

	// Normalise returns the form of a value that equal values share. Normalised
	// once more, that form stays as it is. Its errors are one of ErrEmpty,
	// ErrInvalid and ErrTooLong, and never hold the value.
	Normalise func(string) (string, error)
}

// The normalisers of this package.
var (
	// Email, "email.v1", is for one e-mail address.
	//
	//   - White space at both ends is left out, and the text brought to NFKC, so
	//     that full-width forms equal ASCII. The characters that Name leaves out
	//     are left out, in the domain save the two joiners.
	//   - The last "@" parts local part and domain; neither may be empty.
	//   - The local part is case-folded (full folding: "ß" equals "ss"). To mail
	//     servers it may matter (RFC 5321, section 2.4); in practice it doesn't.
	//   - The domain is case-folded, save that "ß" and "ς" stay what they are, as
	//     in UTS #46 without transitional processing. "。" is a dot. One dot at the
	//     end is left out. A label that isn't ASCII becomes "xn--" and its Punycode
	//     (RFC 3492), so that both spellings of such a domain are equal; a label
	//     that is ASCII, "xn--" or not, is lower-cased and no more.
	//   - Dots, "+" and what follows it count: to which mailbox they lead is the
	//     mail server's affair.
	//   - ErrInvalid: no "@"; white space, control characters, "<" or ">" inside,
	//     as in "Ada <ada@example.org>"; "@", "," or ";" in a local part that doesn't
	//     begin with a quotation mark; a domain with an empty label, a label of more
	//     than 63 bytes in ASCII, or ASCII besides letters, digits, "-", "_" and ".",
	//     save for an address literal in brackets.
	Email = Normaliser{"email.v1", email}

	// Name, "name.v1", is for names of people, companies and places, in any
	// script.
	//
	//   - NFKC, which folds width too: half-width katakana, full-width Latin.
	//   - Full case folding, without regard to language: "ẞ", "ß" and "ss" are
	//     equal, so are "Σ", "σ" and "ς"; the Turkish "ı" and "i" aren't.
	//   - Hiragana becomes katakana. Small kana stay small, "ー" stays.
	//   - White space is one space between words, and none at the ends.
	//   - Apostrophes ‘ ’ ʼ become '. Hyphens and dashes ‐ ‒ – − become -.
	//   - Left out: soft hyphen, zero-width characters, joiners, marks and
	//     controls of direction, variation selectors (葛󠄀 is 葛), byte-order marks.
	//   - Kept: diacritics ("Müller" is neither "Muller" nor "Mueller"), Arabic
	//     and Hebrew points, punctuation, digits as they are written, the order of
	//     words. Simplified and traditional Han differ, and so do 斉 and 齊.
	Name = Normaliser{"name.v1", name}

	// Digits, "digits.v1", keeps the decimal digits of any script, as ASCII, and
	// drops all else, letters too: for numbers that people group as they like.
	// "AB 12" and "12" are equal to it. It isn't for telephone numbers, whose
	// international prefix it doesn't know.
	Digits = Normaliser{"digits.v1", digits}

	// Trim, "trim.v1", leaves out white space at both ends. Case and all else
	// count.
	Trim = Normaliser{"trim.v1", trim}

	// None, "none.v1", keeps the value as it is.
	None = Normaliser{"none.v1", none}
)

// All returns the normalisers of this package.
func All() []Normaliser {
	return []Normaliser{
		{"email.v1", email},
		{"name.v1", name},
		{"digits.v1", digits},
		{"trim.v1", trim},
		{"none.v1", none},
	}
}

// Lookup returns the normaliser of a name, as a schema has it. It knows those of
// this package.
func Lookup(name string) (Normaliser, error) {
	all := All()
	names := make([]string, len(all))
	for i, n := range all {
		if n.Name == name {
			return n, nil
		}
		names[i] = n.Name
	}
	hint := ""
	if strings.HasPrefix(name, "phone.") {
		hint = "; those of telephone numbers are made by package phone"
	}
	return Normaliser{}, fmt.Errorf("normalise: look up a normaliser: none has the name %.80q, there are %s%s", name, strings.Join(names, ", "), hint)
}

// check holds all normalisers to the same limits.
func check(name, value string) error {
	if len(value) > MaxInput {
		return fmt.Errorf("normalise: %s: %w: %d bytes, the limit is %d", name, ErrTooLong, len(value), MaxInput)
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("normalise: %s: %w: it isn't UTF-8", name, ErrInvalid)
	}
	return nil
}

// result refuses what is empty.
func result(name, normalised string) (string, error) {
	if normalised == "" {
		return "", fmt.Errorf("normalise: %s: %w: store NULL in the index", name, ErrEmpty)
	}
	return normalised, nil
}

func trim(value string) (string, error) {
	if err := check("trim.v1", value); err != nil {
		return "", err
	}
	return result("trim.v1", strings.TrimFunc(value, isSpace))
}

func none(value string) (string, error) {
	if err := check("none.v1", value); err != nil {
		return "", err
	}
	return result("none.v1", value)
}
