package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A DoctorReport is what [KeyRing.Doctor] found, for people as text, for programs
// as JSON. It holds no secret.
type DoctorReport struct {
	Findings []kmsprovider.Finding `json:"findings"`
	Policies []DoctorPolicy        `json:"policies,omitempty"`
}

// A DoctorPolicy is the least policy that a provider's caller needs.
type DoctorPolicy struct {
	Provider string          `json:"provider"` // what the provider prints as
	Policy   json.RawMessage `json:"policy"`   // in the key service's own form: of IAM, for AWS
}

// Err returns nil if nothing failed, and else an error that names what did. Its
// chain has the errors of all that failed. Warnings are no failures.
func (r *DoctorReport) Err() error {
	if failed := r.with(kmsprovider.StatusFailed); len(failed) > 0 {
		return &doctorError{failed: failed, of: len(r.Findings)}
	}
	return nil
}

func (r *DoctorReport) with(status kmsprovider.Status) (some []kmsprovider.Finding) {
	for _, f := range r.Findings {
		if f.Status == status {
			some = append(some, f)
		}
	}
	return some
}

// A doctorError names what failed.
type doctorError struct {
	failed []kmsprovider.Finding
	of     int
}

// failuresShown bounds the text of an error; the report has all of them.
const failuresShown = 3

func (e *doctorError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "doctor: %d of %d checks failed", len(e.failed), e.of)
	separator := ": "
	for _, f := range e.failed[:min(len(e.failed), failuresShown)] {
		fmt.Fprintf(&b, "%s%s: %s: %s", separator, f.Subject, f.Check, f.Found)
		separator = "; "
	}
	if more := len(e.failed) - failuresShown; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

func (e *doctorError) Unwrap() []error {
	var causes []error
	for _, f := range e.failed {
		if f.Err != nil {
			causes = append(causes, f.Err)
		}
	}
	return causes
}

// String returns the report as text: what was looked at, and below it a line for
// each check with what was found, and one with what to do where that isn't
// nothing. Where something was denied, the least policies follow; else they are in
// Policies alone.
func (r *DoctorReport) String() string {
	var b strings.Builder
	warnings, fails := len(r.with(kmsprovider.StatusWarning)), len(r.with(kmsprovider.StatusFailed))
	fmt.Fprintf(&b, "doctor: %d checks, %s, %s", len(r.Findings), count(fails, "failed", "failed"), count(warnings, "warning", "warnings"))
	width := 0
	for _, f := range r.Findings {
		width = max(width, utf8.RuneCountInString(f.Check))
	}
	width = min(width, 40)
	subject, denied := "", false
	for i, f := range r.Findings {
		if f.Subject != subject || i == 0 {
			subject = f.Subject
			fmt.Fprintf(&b, "\n\n%s", subject)
		}
		b.WriteString("\n" + strings.TrimRight(fmt.Sprintf("  %-8s %-*s  %s", f.Status, width, f.Check, f.Found), " "))
		if f.Mend != "" {
			fmt.Fprintf(&b, "\n  %-8s %-*s  mend: %s", "", width, "", f.Mend)
		}
		denied = denied || errors.Is(f.Err, kmsprovider.ErrDenied)
	}
	if denied {
		for _, p := range r.Policies {
			fmt.Fprintf(&b, "\n\nleast policy for %s\n%s", p.Provider, p.Policy)
		}
	}
	return b.String()
}

func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func ok(subject, check, found string) kmsprovider.Finding {
	return tidy(kmsprovider.Finding{Subject: subject, Check: check, Status: kmsprovider.StatusOK, Found: found})
}

func warning(subject, check, found, mend string, err error) kmsprovider.Finding {
	return tidy(kmsprovider.Finding{Subject: subject, Check: check, Status: kmsprovider.StatusWarning, Found: found, Mend: mend, Err: err})
}

func failed(subject, check string, err error, mend string) kmsprovider.Finding {
	return tidy(kmsprovider.Finding{Subject: subject, Check: check, Status: kmsprovider.StatusFailed, Found: err.Error(), Mend: mend, Err: err})
}

// mendOf is what to do about a class of errors, whose text may say more.
func mendOf(err error) string {
	for _, c := range []struct {
		class error
		mend  string
	}{
		{kmsprovider.ErrDenied, "see that the credentials in use are the right ones, and have this permission"},
		{kmsprovider.ErrKeyUnusable, "put the root key right where it is kept, or name another one in the configuration"},
		{kmsprovider.ErrThrottled, "try again later; if it goes on, ask for a higher quota, or make fewer calls elsewhere"},
		{ErrStoreUnavailable, "see that the key store can be reached and used from here with the credentials that are in use"},
		{kmsprovider.ErrUnavailable, "see that the key service can be reached from here and answers, then try again"},
		{ErrNotAuthentic, "use the root key and the key store that the data keys were made with"},
		{kmsprovider.ErrInvalidCiphertext, "use the root key that the data key was wrapped under"},
	} {
		if errors.Is(err, c.class) {
			return c.mend
		}
	}
	return ""
}

// tidy makes a finding fit for a report, whoever made it.
func tidy(f kmsprovider.Finding) kmsprovider.Finding {
	f.Subject, f.Check, f.Found, f.Mend = oneLine(f.Subject), oneLine(f.Check), oneLine(f.Found), oneLine(f.Mend)
	switch f.Status {
	case kmsprovider.StatusOK, kmsprovider.StatusWarning:
	default: // what isn't known to be good isn't
		f.Status = kmsprovider.StatusFailed
	}
	switch {
	case errors.Is(f.Err, context.Canceled), errors.Is(f.Err, context.DeadlineExceeded):
		f.Mend = "give the context that Doctor is called with the time that it takes"
	case f.Status == kmsprovider.StatusFailed && f.Mend == "" && f.Err != nil:
		f.Mend = mendOf(f.Err)
	}
	return f
}

// maxText is the most bytes of a text in a report.
const maxText = 2000

// oneLine makes text from elsewhere fit for a line of a report.
func oneLine(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
