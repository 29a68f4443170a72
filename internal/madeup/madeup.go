// Package madeup makes CRM contacts for tests, examples and benchmarks: no value belongs to a person. A
// seed gives the same contacts on every platform and with every version of Go,
// since nothing but math/rand/v2's PCG and integers is used.
//
// What repeats in real data does so here: last names and cities follow Zipf's
// law, and postal codes go with the city. E-mail addresses are at domains that
// RFC 2606 and RFC 6761 reserve, telephone numbers are from ranges kept for
// fiction where a country has one, and national IDs and IBANs have the form of
// one with check digits that are wrong on purpose.
package madeup

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
)

// A Contact is one made-up record.
type Contact struct {
	ID         int64  // 1, 2, 3 …
	Script     string // of its name: "Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Han", "Kana", "Hangul" or "Thai"
	FirstName  string
	LastName   string // Zipf, within its script
	Email      string // nearly unique
	Phone      string // international form, with spaces
	Country    string // of the phone number, ISO 3166-1 alpha-2
	NationalID string
	IBAN       string
	Birthday   string // 2006-01-02
	City       string // Zipf
	PostalCode string // of the city
	Notes      string // one to three sentences; a tenth of all contacts have none
}

// Contacts returns n contacts. Of two calls with one seed, the shorter is the
// start of the longer.
func Contacts(seed uint64, n int) iter.Seq[Contact] {
	return func(yield func(Contact) bool) {
		r := rand.New(rand.NewPCG(seed, 0x6d616465_7570)) //nolint:gosec // the same contacts for a seed is what it is for
		for i := range n {
			if !yield(contact(r, int64(i)+1)) {
				return
			}
		}
	}
}

func contact(r *rand.Rand, id int64) Contact {
	s := &scripts[scriptShares.draw(r)]
	c := Contact{ID: id, Script: s.name}
	c.FirstName = pick(r, s.first)
	c.LastName = s.lastName(lastNames.draw(r))
	c.Email = email(r, id)
	phone := &phones[r.IntN(len(phones))]
	c.Country, c.Phone = phone.country, fill(r, phone.pattern)
	c.NationalID = fill(r, pick(r, idPatterns))
	c.IBAN = iban(r)
	c.Birthday = fmt.Sprintf("%04d-%02d-%02d", 1930+r.IntN(78), 1+r.IntN(12), 1+r.IntN(28))
	city := cityRanks.draw(r)
	c.City = cityName(city)
	c.PostalCode = fmt.Sprintf("%05d", 1000+city*37+r.IntN(1+60/(1+city)))
	if r.IntN(10) > 0 {
		c.Notes = notes(r)
	}
	return c
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// fill puts a digit in place of each #, and a capital letter of each ?.
func fill(r *rand.Rand, pattern string) string {
	b := []byte(pattern)
	for i, c := range b {
		switch c {
		case '#':
			b[i] = byte('0' + r.IntN(10))
		case '?':
			b[i] = byte('A' + r.IntN(26))
		}
	}
	return string(b)
}

// email has the ID in most addresses, so that few are alike, and a spelling as
// people type it.
func email(r *rand.Rand, id int64) string {
	local := pick(r, mailWords) + "." + pick(r, mailWords)
	if r.IntN(50) > 0 {
		local += fmt.Sprint(id)
	}
	domain := pick(r, mailDomains)
	switch r.IntN(20) {
	case 0:
		return strings.ToUpper(local[:1]) + local[1:] + "@" + domain
	case 1:
		return local + "@" + strings.ToUpper(domain)
	}
	return local + "@" + domain
}

// iban has check digits that are wrong.
func iban(r *rand.Rand) string {
	for {
		text := pick(r, ibanCountries) + fill(r, "####################")
		if !validIBAN(text) {
			return text
		}
	}
}

// validIBAN is the check of ISO 7064 MOD 97-10.
func validIBAN(iban string) bool {
	rest := 0
	for _, c := range iban[4:] + iban[:4] {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	return rest == 1
}

func notes(r *rand.Rand) string {
	sentences := make([]string, 1+r.IntN(3))
	for i := range sentences {
		sentences[i] = fmt.Sprintf(pick(r, noteForms), pick(r, noteWords))
	}
	return strings.Join(sentences, " ")
}
