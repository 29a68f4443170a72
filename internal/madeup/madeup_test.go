package madeup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func hashOf(seed uint64, n int) string {
	h := sha256.New()
	for c := range Contacts(seed, n) {
		fmt.Fprintf(h, "%+v\n", c)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Pinned: what a seed gives never changes, so that a figure measured with it
// can be measured again.
func TestPinned(t *testing.T) {
	require.Equal(t, "13f767d8a21cbe9c64b6230d90f99c3473f4ee2abfbff166759c748ac280883e", hashOf(1, 1000))
	require.NotEqual(t, hashOf(1, 1000), hashOf(2, 1000), "control: another seed")
	require.NotEqual(t, hashOf(1, 1000), hashOf(1, 999), "control: another number")
}

func TestShorterIsTheStartOfLonger(t *testing.T) {
	var long []Contact
	for c := range Contacts(7, 200) {
		if long = append(long, c); len(long) == 100 {
			break
		}
	}
	require.Equal(t, slices.Collect(Contacts(7, 100)), long)
	require.Empty(t, slices.Collect(Contacts(7, 0)))
}

func TestContacts(t *testing.T) {
	const n = 100_000
	lasts, cities, emails, countries, ofScript, postal := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	reserved := regexp.MustCompile(`(?i)@(example\.(com|org|net)|[^.@ ]+\.example)$`)
	form := regexp.MustCompile(`^\+[0-9]{1,3}( [0-9]+)+$`)
	id := int64(0)
	for c := range Contacts(1, n) {
		id++
		if c.ID != id || !reserved.MatchString(c.Email) || !form.MatchString(c.Phone) || !utf8.ValidString(fmt.Sprint(c)) {
			t.Fatalf("contact %d: %+v", id, c)
		}
		for _, required := range []string{c.FirstName, c.LastName, c.NationalID, c.IBAN, c.Birthday, c.City, c.PostalCode} {
			if required == "" || strings.TrimSpace(required) != required {
				t.Fatalf("contact %d: %+v", id, c)
			}
		}
		if validIBAN(c.IBAN) {
			t.Fatalf("contact %d has an IBAN that could be someone's: %s", id, c.IBAN)
		}
		lasts[c.LastName]++
		cities[c.City]++
		emails[c.Email]++
		countries[c.Country]++
		ofScript[c.Script]++
		postal[c.PostalCode]++
	}
	require.EqualValues(t, n, id)
	require.Len(t, countries, 20)
	require.Len(t, ofScript, 10)
	require.True(t, validIBAN("GB82WEST12345698765432"), "control: the standard's own example")

	// Skewed: the most frequent value against the mean. Not so: e-mail addresses.
	require.Greater(t, top(cities), 100*n/len(cities), "cities")
	require.Greater(t, top(lasts), 20*n/len(lasts), "last names")
	require.Greater(t, len(lasts), 5000)
	require.Greater(t, len(cities), 2500)
	require.Greater(t, len(emails), n*97/100)
	require.Less(t, top(countries), n/20*11/10, "countries are uniform")
	require.Greater(t, len(postal), 2000)
}

// Names are in the script that they say.
func TestScripts(t *testing.T) {
	tables := map[string]*unicode.RangeTable{
		"Latin": unicode.Latin, "Cyrillic": unicode.Cyrillic, "Greek": unicode.Greek, "Arabic": unicode.Arabic, "Hebrew": unicode.Hebrew,
		"Devanagari": unicode.Devanagari, "Han": unicode.Han, "Hangul": unicode.Hangul, "Thai": unicode.Thai,
	}
	for i := range scripts {
		s := &scripts[i]
		seen := map[string]bool{}
		for rank := range len(lastNames.upTo) {
			name := s.lastName(rank)
			require.False(t, seen[name], "%s: rank %d, %s", s.name, rank, name)
			seen[name] = true
			require.True(t, strings.ContainsFunc(name, func(r rune) bool {
				if s.name == "Kana" {
					return unicode.In(r, unicode.Hiragana, unicode.Katakana)
				}
				return unicode.Is(tables[s.name], r)
			}), "%s: %s", s.name, name)
		}
	}
	cities := map[string]bool{}
	for rank := range len(cityRanks.upTo) {
		require.False(t, cities[cityName(rank)], cityName(rank))
		cities[cityName(rank)] = true
	}
}

func TestZipf(t *testing.T) {
	d := zipf(3, 0)
	require.Equal(t, []uint64{1 << 40, 1<<40 + 1<<39, 1<<40 + 1<<39 + (1<<40)/3}, d.upTo)
	require.Equal(t, []uint64{(1 << 40) / 4}, zipf(1, 3).upTo)
}

func top(counts map[string]int) (most int) {
	for _, n := range counts {
		most = max(most, n)
	}
	return most
}
