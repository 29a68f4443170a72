package failover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// An outageError says that no provider has answered. It has one class: that of
// the causes in its chain. The others' text is in its own.
type outageError struct {
	what   string
	text   []string
	causes []error
}

func (e *outageError) Error() string {
	return "failover: " + e.what + ": no provider answered: " + strings.Join(e.text, "; ")
}

func (e *outageError) Unwrap() []error { return e.causes }

// outage makes one error of those that the providers have returned: it is
// ErrThrottled if one of them throttled, and so was there, and else
// ErrUnavailable.
func outage(what string, errs []error) error {
	class := kmsprovider.ErrUnavailable
	for _, err := range errs {
		if errors.Is(err, kmsprovider.ErrThrottled) {
			class = kmsprovider.ErrThrottled
		}
	}
	e := &outageError{what: what}
	for _, err := range errs {
		e.text = append(e.text, err.Error())
		if errors.Is(err, class) {
			e.causes = append(e.causes, err)
		}
	}
	return e
}

// An endError is the end of the caller's context, before any answer.
func endError(what string, end error, errs []error) error {
	before := ""
	for _, err := range errs {
		before += "; before that: " + err.Error()
	}
	return fmt.Errorf("failover: %s: %w%s", what, end, before)
}

// ended returns how the context ended, or nil. A provider can notice a deadline
// before the context's own timer has fired.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

func isEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// A lackError says that a provider hasn't an optional ability.
type lackError struct{ text string }

func (e *lackError) Error() string { return e.text }

func (e *lackError) Unwrap() []error {
	return []error{kmsprovider.ErrKeyUnusable, errors.ErrUnsupported}
}

func lacks(provider kmsprovider.Provider, ability string) error {
	return &lackError{fmt.Sprintf("failover: a provider of the type %T can't %s", provider, ability)}
}

// namedAs refuses what a provider made under another name than its root key
// has: nobody could tell later which provider to ask for it.
func namedAs(uri, named string) error {
	if named == uri {
		return nil
	}
	return fmt.Errorf("failover: %w: a provider calls the root key %.600q by another name, %.600q: all of them must know it by one", kmsprovider.ErrKeyUnusable, uri, named)
}

func (w wrapping) namedAs(uri string, err error) (wrapping, error) {
	if err == nil {
		err = namedAs(uri, w.rootKey)
	}
	if err != nil {
		return wrapping{}, err
	}
	return w, nil
}
