// Package phone normalises telephone numbers for blind indexes: the spellings
// "+49 (0)30 901820", "0049 30 90-18-20" and "030 901820" become "+4930901820"
// (ITU-T E.164). It is a module of its own, for the sake of the numbering plans
// that it brings along.
//
// [International] takes numbers with their country's calling code. [New] makes a
// normaliser for numbers that may be without, as they are dialled in one
// country. The country is part of its name, such as "phone.v1-de", and so of
// the index's key, since it changes results.
//
// # How permanent it is
//
// The numbering plans are those of Google's libphonenumber, as
// github.com/nyaruka/phonenumbers has them, and countries change theirs: a
// newer version of that module may take a number that was refused, refuse one
// that was taken, or read a national prefix otherwise. The name can't change
// with each release. So:
//
//   - Whether a range of numbers is in use, which changes most often, isn't
//     looked at. A number is taken if it has a length that its country's numbers
//     can have.
//   - A number with "+" and the calling code is nearly always its digits. Store
//     numbers in that form where you can, and use International.
//   - A test of this package compares the results for numbers of more than 20
//     countries with a committed table. A release in which one changes says so
//     in its changelog.
//   - After a country's change, rows of its numbers are found again once their
//     index is written anew. A search with the new version misses them until
//     then; it returns no wrong row, since a reader compares normalised values.
package phone

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"

	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/normalise"
)

// ErrRegion says that a region isn't one whose numbering plan is known.
var ErrRegion = errors.New("unknown region")

// MaxInput is the longest text, in bytes, that is taken for a number.
const MaxInput = 250

// nowhere is libphonenumber's region of numbers that must have a calling code.
const nowhere = "ZZ"

// International is "phone.v1". It takes numbers that begin with "+" and a
// country's calling code, or with "tel:+"; digits may be of any script, and
// spaces, dots, hyphens, slashes and brackets between
// them don't count. An extension ("ext. 5") is dropped: the whole company is
// found by its number.
//
// Its errors, which never hold the number, are normalise.ErrEmpty for white
// space only and normalise.ErrInvalid for the rest: what has no calling code,
// too few digits or too many for its country, is no number, isn't UTF-8, or is
// longer than MaxInput. It is safe for concurrent use.
var International = normaliser("phone.v1", nowhere)

// New returns the normaliser for numbers as they are dialled in a region, which
// is two capital letters (ISO 3166-1 alpha-2), such as "DE". It is named
// "phone.v1-" and the region in lower case. Besides what International takes,
// and with the same result, it takes numbers without a calling code, with the
// region's national prefix or its prefix for international calls. Its error is
// ErrRegion.
func New(region string) (normalise.Normaliser, error) {
	// What the library knows besides are regions that aren't countries: "001".
	if len(region) != 2 || region == nowhere || !phonenumbers.GetSupportedRegions()[region] {
		return normalise.Normaliser{}, fmt.Errorf("phone: new normaliser: %w %.80q: it is two capital letters of ISO 3166-1, such as \"DE\"; for numbers with their calling code use International", ErrRegion, region)
	}
	return normaliser("phone.v1-"+strings.ToLower(region), region), nil
}

// Lookup returns the normaliser of a name that International or New gives, as a
// schema has it.
func Lookup(name string) (normalise.Normaliser, error) {
	if name == "phone.v1" {
		return International, nil
	}
	region, found := strings.CutPrefix(name, "phone.v1-")
	if !found || region != strings.ToLower(region) {
		return normalise.Normaliser{}, fmt.Errorf("phone: look up a normaliser: none has the name %.80q, there are \"phone.v1\" and, with a region in small letters, \"phone.v1-de\" and so on", name)
	}
	return New(strings.ToUpper(region))
}

func normaliser(name, region string) normalise.Normaliser {
	return normalise.Normaliser{Name: name, Normalise: func(value string) (string, error) {
		number, why := e164(value, region)
		if why != nil {
			return "", fmt.Errorf("phone: %s: %w", name, why)
		}
		return number, nil
	}}
}

// e164 returns the number, or why there is none, without the value.
func e164(value, region string) (string, error) {
	switch {
	case len(value) > MaxInput:
		return "", fmt.Errorf("%w: %d bytes, the limit is %d", normalise.ErrInvalid, len(value), MaxInput)
	case !utf8.ValidString(value):
		return "", fmt.Errorf("%w: it isn't UTF-8", normalise.ErrInvalid)
	case strings.TrimSpace(value) == "":
		return "", fmt.Errorf("%w: store NULL in the index", normalise.ErrEmpty)
	}
	number, err := phonenumbers.Parse(asciiDigits(value), region)
	switch {
	case errors.Is(err, phonenumbers.ErrInvalidCountryCode) && region == nowhere:
		return "", fmt.Errorf("%w: it doesn't begin with \"+\" and a country's calling code; numbers without one need a normaliser of New", normalise.ErrInvalid)
	case err != nil:
		return "", fmt.Errorf("%w: it can't be read as a telephone number", normalise.ErrInvalid)
	}
	switch phonenumbers.IsPossibleNumberWithReason(number) {
	case phonenumbers.IS_POSSIBLE:
		return stable(number)
	case phonenumbers.IS_POSSIBLE_LOCAL_ONLY:
		return "", fmt.Errorf("%w: it has no area code", normalise.ErrInvalid)
	case phonenumbers.TOO_SHORT:
		return "", fmt.Errorf("%w: it has too few digits for its country", normalise.ErrInvalid)
	case phonenumbers.TOO_LONG:
		return "", fmt.Errorf("%w: it has too many digits for its country", normalise.ErrInvalid)
	}
	return "", fmt.Errorf("%w: its country has no numbers of that length", normalise.ErrInvalid)
}

// stable refuses numbers that read as another once they are written in E.164:
// a national prefix is taken off behind a calling code too, so that one zero
// after another would go.
func stable(number *phonenumbers.PhoneNumber) (string, error) {
	text := phonenumbers.Format(number, phonenumbers.E164)
	again, err := phonenumbers.Parse(text, nowhere)
	if err != nil || phonenumbers.Format(again, phonenumbers.E164) != text {
		return "", fmt.Errorf("%w: it begins with more national prefixes than a number has", normalise.ErrInvalid)
	}
	return text, nil
}

// asciiDigits makes ASCII digits of those of all scripts; libphonenumber knows
// some.
func asciiDigits(value string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			if digit, err := normalise.Digits.Normalise(string(r)); err == nil {
				return rune(digit[0])
			}
		}
		return r
	}, value)
}
