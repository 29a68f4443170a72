package kmsprovider

import (
	"context"
	"errors"
	"fmt"
)

// Rewrap gives a wrapped data key a new wrapping under another root key, which
// may be one of another key service if p stands for both. Where p can, this
// happens inside the service; else the data key is unwrapped and wrapped again,
// is in this process's memory meanwhile, and is wiped.
//
// It returns what [Rewrapper] does. If p can do neither, the error matches
// [ErrKeyUnusable] and [errors.ErrUnsupported].
func Rewrap(ctx context.Context, p Provider, fromRootKey string, wrapped []byte, toRootKey string, ec EncryptionContext) (rewrapped []byte, rootKey string, err error) {
	if r, ok := p.(Rewrapper); ok {
		rewrapped, rootKey, err = r.Rewrap(ctx, fromRootKey, wrapped, toRootKey, ec)
		if !errors.Is(err, errors.ErrUnsupported) {
			return rewrapped, rootKey, err
		}
	}
	w, ok := p.(Wrapper)
	if !ok {
		return nil, "", fmt.Errorf("rewrap a data key from %.600q to %.600q: %w: %w: the provider %T can't wrap a data key that it didn't make", fromRootKey, toRootKey, ErrKeyUnusable, errors.ErrUnsupported, p)
	}
	plain, err := p.Unwrap(ctx, fromRootKey, wrapped, ec)
	if err != nil {
		return nil, "", err
	}
	defer clear(plain)
	return w.Wrap(ctx, toRootKey, plain, ec)
}
