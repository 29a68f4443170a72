package kmsprovider

import "errors"

// The classes of failure. Every error of a provider matches exactly one of
// them with errors.Is, or is the caller's own context.Canceled or
// context.DeadlineExceeded.
var (
	// ErrUnavailable: the service can't be reached, didn't answer in time,
	// failed internally, or answered with something that makes no sense. It
	// has not said no: the same call may work later.
	ErrUnavailable = errors.New("key service unavailable")

	// ErrThrottled: the service asks for fewer calls.
	ErrThrottled = errors.New("key service throttled the call")

	// ErrDenied: the service refused the caller: missing permission, or
	// credentials it doesn't accept.
	ErrDenied = errors.New("key service denied the call")

	// ErrKeyUnusable: the root key is disabled, pending deletion, missing, of
	// the wrong kind, or not a key of this provider.
	ErrKeyUnusable = errors.New("root key can't be used")

	// ErrInvalidCiphertext: the wrapped key, the root key it was made under,
	// or the encryption context is not the one it was made with.
	ErrInvalidCiphertext = errors.New("wrapped key or its encryption context not accepted")
)
