package envelope

import (
	"context"
	"fmt"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// RootKeys names the root keys that may be used for a scope. It is a
// [RootKeySource] that gives every scope the same keys.
type RootKeys struct {
	// Seal is the URI of the root key that wraps new data keys. A provider
	// that knows aliases takes one here. What is stored names the key behind
	// it: before an alias is moved to another key, list the one that it leaves
	// in Open, or what is stored can't be opened any more.
	Seal string

	// Open lists the URIs of further root keys whose data keys may be opened,
	// such as the one used before. Seal is always among them.
	Open []string
}

// RootKeys implements [RootKeySource].
func (k RootKeys) RootKeys(Scope) (RootKeys, error) { return k, nil }

// A RootKeySource says which root keys may be used for a scope. It is asked
// when a key is made or loaded, not for every message, and must be safe for
// concurrent use. What a database holds never chooses a root key.
type RootKeySource interface {
	RootKeys(Scope) (RootKeys, error)
}

// RootKeysFunc makes a function a [RootKeySource].
type RootKeysFunc func(Scope) (RootKeys, error)

// RootKeys implements [RootKeySource].
func (f RootKeysFunc) RootKeys(s Scope) (RootKeys, error) { return f(s) }

// rootKeysFor asks the configuration, and holds what it says to the format.
func (r *KeyRing) rootKeysFor(scope Scope) (RootKeys, error) {
	keys, err := r.roots.RootKeys(scope)
	if err != nil {
		return RootKeys{}, fmt.Errorf("root keys for %s: %w", scope, err)
	}
	if keys.Seal == "" {
		return RootKeys{}, fmt.Errorf("%w: the configuration names none for %s: set RootKeys.Seal", ErrRootKeyNotAllowed, scope)
	}
	return keys, nil
}

// checkRootKey refuses a root key that the configuration doesn't list for the
// scope. It calls the provider only to resolve an alias that the configuration
// itself names.
func (r *KeyRing) checkRootKey(ctx context.Context, scope Scope, uri string) error {
	keys, err := r.rootKeysFor(scope)
	if err != nil {
		return &scopeError{err}
	}
	if uri == keys.Seal || slices.Contains(keys.Open, uri) {
		return nil
	}
	sealing, err := r.resolve(ctx, keys.Seal)
	if err != nil {
		return err
	}
	if uri == sealing {
		return nil
	}
	return &scopeError{fmt.Errorf("%w: %q is not configured for %s; if data keys of this root key are yours to open, add it: RootKeys{Seal: %q, Open: %#v}",
		ErrRootKeyNotAllowed, shown(uri, maxURI), scope, keys.Seal, append(slices.Clone(keys.Open), shown(uri, maxURI)))}
}

// A scopeError is what the configuration says of a scope: no answer of the key
// service, which wasn't asked.
type scopeError struct{ err error }

func (e *scopeError) Error() string { return e.err.Error() }
func (e *scopeError) Unwrap() error { return e.err }

// resolve gives the canonical URI of a root key that the configuration names.
func (r *KeyRing) resolve(ctx context.Context, rootKey string) (string, error) {
	resolver, ok := r.provider.(kmsprovider.Resolver)
	if !ok {
		return rootKey, nil
	}
	return resolver.Resolve(ctx, rootKey)
}
