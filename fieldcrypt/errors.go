package fieldcrypt

import (
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

// errorsShown bounds the text of an error about a large page.
const errorsShown = 3

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
	separator := ": "
	for i, f := range e.Failures {
		if i == errorsShown {
			fmt.Fprintf(&b, "; and %d more", len(e.Failures)-i)
			break
		}
		fmt.Fprintf(&b, "%srow %d, %s: %v", separator, f.Row, f.Field, f.Err)
		separator = "; "
	}
	return b.String()
}

// Unwrap returns the causes.
func (e *DecryptError) Unwrap() []error {
	causes := make([]error, len(e.Failures))
	for i, f := range e.Failures {
		causes[i] = f.Err
	}
	return causes
}
