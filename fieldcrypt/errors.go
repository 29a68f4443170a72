package fieldcrypt

import (
	"errors"
	"fmt"
	"strings"
)

// A DecryptError lists the values that Decrypt couldn't open. Every other
// value of the call was opened, and the ones listed keep their envelopes: the
// program can go on with what it has. errors.Is and errors.As look at every
// cause.
type DecryptError struct {
	Type     string    // of the records, as in "crm.Contact"
	Failures []Failure // in the order of the rows; never empty
}

// A Failure is one value that couldn't be opened.
type Failure struct {
	Row   int    // index of the record among those given to the call
	Field string // as in "Contacts.email"
	Err   error
}

// causesShown bounds the text of an error about a large page.
const causesShown = 3

// Error shows one value for each cause, and how many have it too: an outage is
// one line, however large the page. Failures has them all.
func (e *DecryptError) Error() string {
	var b strings.Builder
	b.WriteString("fieldcrypt: ")
	if len(e.Failures) == 1 {
		b.WriteString("a value")
	} else {
		fmt.Fprintf(&b, "%d values", len(e.Failures))
	}
	if e.Type != "" {
		b.WriteString(" of " + e.Type)
	}
	b.WriteString(" couldn't be decrypted")
	causes, left := e.causes()
	separator := ": "
	for _, c := range causes {
		fmt.Fprintf(&b, "%srow %d, %s: %v", separator, c.first.Row, c.first.Field, c.first.Err)
		if c.values > 1 {
			fmt.Fprintf(&b, " (the same for %d values, rows: %d)", c.values, len(c.rows))
		}
		separator = "; "
	}
	if left > 0 {
		fmt.Fprintf(&b, "; and %d more", left)
	}
	return b.String()
}

// A cause is what some failures have in common.
type cause struct {
	first  *Failure
	values int
	rows   map[int]struct{}
}

// causes returns the first few causes, and the number of failures with others.
func (e *DecryptError) causes() (causes []*cause, left int) {
	known := map[string]*cause{}
	for i := range e.Failures {
		f := &e.Failures[i]
		text := fmt.Sprint(f.Err)
		if inner := errors.Unwrap(f.Err); inner != nil {
			text = inner.Error() // f.Err says the value's place around it
		}
		c := known[text]
		if c == nil {
			if len(causes) == causesShown {
				left++
				continue
			}
			c = &cause{first: f, rows: map[int]struct{}{}}
			known[text] = c
			causes = append(causes, c)
		}
		c.values++
		c.rows[f.Row] = struct{}{}
	}
	return causes, left
}

// Unwrap returns the causes.
func (e *DecryptError) Unwrap() []error {
	causes := make([]error, len(e.Failures))
	for i, f := range e.Failures {
		causes[i] = f.Err
	}
	return causes
}
