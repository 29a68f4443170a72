// Package kmsprovider says what the library needs from a key management
// service: to make a data key under a root key that never leaves the service,
// and to unwrap it again.
//
// A [Provider] does those two things. What only some services can do is an
// interface of one method each: [Rewrapper], [Wrapper], [Checker], [Resolver].
// [Rewrap] moves a data key to another root key by the best of them. What the
// Doctor of a key ring asks is optional too: [Examiner], [Group],
// [RootKeyLister], [PolicyWriter].
//
// Sub-packages hold the providers: awskms (AWS KMS) and localkms (an embedded
// key file). Package residency routes each tenant to the root key of its region,
// and failover asks several providers of one root key. For tests there is
// fakekms, a server, and providertest, the conformance suite that every provider
// runs.
//
// A provider that stands for several others has all of these methods, since
// what can be done depends on the root key. Where the one behind a root key
// lacks an ability, the error matches [ErrKeyUnusable] and [errors.ErrUnsupported].
package kmsprovider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// DataKeySize is the length in bytes of every plain data key.
const DataKeySize = 32

// A Provider makes and unwraps data keys. Root keys are named by URI, such as
// "aws-kms://arn:aws:kms:eu-central-1:111122223333:key/…".
//
// Implementations are safe for concurrent use, keep no reference to the slices
// and maps they are given or return, and report failures as one of the classes
// of this package (see [ErrUnavailable] and its neighbours), or as the
// context's own error when the caller's context ended.
type Provider interface {
	// GenerateDataKey makes a new data key of [DataKeySize] random bytes and
	// wraps it under rootKey, bound to ec.
	GenerateDataKey(ctx context.Context, rootKey string, ec EncryptionContext) (DataKey, error)

	// Unwrap returns the plain data key that wrapped holds. It fails with
	// [ErrInvalidCiphertext] unless wrapped was made under rootKey with an
	// equal ec. The caller owns the result and wipes it after use.
	Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec EncryptionContext) ([]byte, error)
}

// A Rewrapper gives a wrapped data key a new wrapping under another root key,
// without the data key leaving the service.
type Rewrapper interface {
	// Rewrap returns the new wrapping and the canonical URI of the root key
	// that made it. The encryption context stays the same.
	Rewrap(ctx context.Context, fromRootKey string, wrapped []byte, toRootKey string, ec EncryptionContext) (rewrapped []byte, rootKey string, err error)
}

// A Wrapper wraps a data key that was made elsewhere: it is how data keys move
// from one key service to another.
type Wrapper interface {
	// Wrap returns the wrapping of plaintext, a data key of [DataKeySize] bytes,
	// under rootKey, bound to ec, and the canonical URI of that root key. It
	// fails with [ErrInvalidCiphertext] if plaintext has another length. The
	// caller owns plaintext and wipes it after use.
	Wrap(ctx context.Context, rootKey string, plaintext []byte, ec EncryptionContext) (wrapped []byte, canonical string, err error)
}

// A Checker tells whether a root key can be used: it exists, is enabled, and
// is a symmetric encryption key.
type Checker interface {
	Check(ctx context.Context, rootKey string) error
}

// A Resolver turns a name for a root key, such as an alias, into its canonical
// URI. It makes no call for a name that is canonical already.
type Resolver interface {
	Resolve(ctx context.Context, rootKey string) (string, error)
}

// A DataKey is a new data key in both its forms. It redacts itself wherever it
// is printed, logged or encoded, save in an unexported field of another struct:
// there fmt asks no methods and would print its bytes. Don't keep one there.
type DataKey struct {
	Plaintext []byte // DataKeySize bytes; the caller owns it and wipes it after use
	Wrapped   []byte // what may be stored
	RootKey   string // canonical URI of the root key that wrapped it, never an alias
}

// Wipe overwrites the plain data key with zeros.
func (k DataKey) Wipe() { clear(k.Plaintext) }

// Format implements fmt.Formatter: no verb prints the key.
func (k DataKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.redacted()) }

// LogValue implements slog.LogValuer.
func (k DataKey) LogValue() slog.Value { return slog.StringValue(k.redacted()) }

// MarshalText keeps the key out of JSON, XML and other text encodings.
func (k DataKey) MarshalText() ([]byte, error) { return []byte(k.redacted()), nil }

// GobEncode refuses: a data key is never serialised.
func (k DataKey) GobEncode() ([]byte, error) {
	return nil, errors.New("kmsprovider: a DataKey can't be encoded with gob")
}

// MarshalBinary refuses, for encodings such as CBOR and MessagePack, which would
// take the exported fields.
func (k DataKey) MarshalBinary() ([]byte, error) {
	return nil, errors.New("kmsprovider: a DataKey has no binary form")
}

func (k DataKey) redacted() string { return "DataKey(" + k.RootKey + ", [REDACTED])" }
