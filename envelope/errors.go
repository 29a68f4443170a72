package envelope

import (
	"errors"
	"fmt"
)

// Errors whose cause is public: it can be read off the bytes, the names or the
// configuration without any key. Errors of the key provider (see package
// kmsprovider) and of the caller's context pass through unchanged.
var (
	// ErrMalformed: the bytes are not an envelope, its text form, or a frame,
	// or a name or size is outside the format's limits.
	ErrMalformed = errors.New("malformed")

	// ErrUnknownVersion: an envelope of a format version that this release
	// doesn't read.
	ErrUnknownVersion = errors.New("unknown format version")

	// ErrModeNotAllowed: an envelope of a mode that the configuration doesn't
	// accept here.
	ErrModeNotAllowed = errors.New("envelope mode not allowed")

	// ErrRootKeyNotAllowed: an envelope or key record that names a root key
	// which the configuration doesn't list for its tenant and class. No call
	// was made with it.
	ErrRootKeyNotAllowed = errors.New("root key not allowed for this scope")

	// ErrKeyNotFound: the key store has no such data key for this scope.
	ErrKeyNotFound = errors.New("data key not found")

	// ErrStoreUnavailable: the key store can't be reached, or failed.
	ErrStoreUnavailable = errors.New("key store unavailable")

	// ErrKeyDestroyed: the data key was destroyed on purpose; what it sealed
	// can't be read again.
	ErrKeyDestroyed = errors.New("data key destroyed")

	// ErrNotAuthentic: the bytes were not sealed for this binding by a holder
	// of the key. It is deliberately one error: it doesn't say which check
	// failed.
	ErrNotAuthentic = errors.New("not authentic: wrong tenant, class, module, field, record or key, or altered bytes")

	// ErrClosed: the key ring was closed.
	ErrClosed = errors.New("key ring is closed")
)

// failure is the finer class of a malformed or unauthentic input. Callers
// can't tell two failures behind one sentinel apart; the vectors' tests do.
type failure struct {
	class  string // as in the vectors: malformed, bad-text, key-mismatch, not-authentic, bad-frame
	is     error
	detail string
	cause  error // beside detail; its text is made when somebody reads it, since most of what is refused is counted only
}

func (f *failure) Error() string {
	text := f.is.Error()
	if f.detail != "" {
		text += ": " + f.detail
	}
	if f.cause != nil {
		text += ": " + f.cause.Error()
	}
	return text
}

func (f *failure) Unwrap() error { return f.is }

func malformed(format string, args ...any) error {
	return &failure{class: "malformed", is: ErrMalformed, detail: fmt.Sprintf(format, args...)}
}

// An otherVersion says what is known of an envelope that this release can't
// read.
type otherVersion uint8

func (v otherVersion) Error() string {
	advice := ""
	if v > version {
		advice = ": a newer release is needed"
	}
	return fmt.Sprintf("an envelope of version %d, and this release reads version %d%s", uint8(v), version, advice)
}

func badText(detail string) error {
	return &failure{class: "bad-text", is: ErrMalformed, detail: detail}
}

// What is found wrong once the key is known says nothing more than
// ErrNotAuthentic does.
var (
	errKeyMismatch error = &failure{class: "key-mismatch", is: ErrNotAuthentic}
	errBadTag      error = &failure{class: "not-authentic", is: ErrNotAuthentic}
	errBadFrame    error = &failure{class: "bad-frame", is: ErrNotAuthentic}
)
