package providertest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func wrapFlaws() []flaw {
	// wrapping replaces Wrap by what is made of it and its arguments.
	wrapping := func(f func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error)) func(*broken) {
		return func(b *broken) {
			b.wrap = func(ctx bg, k string, plain []byte, e ec) ([]byte, string, error) { return f(b, ctx, k, plain, e) }
		}
	}
	return []flaw{
		{"wraps another data key", "wrap", "another data key", wrapping(func(b *broken, ctx bg, k string, _ []byte, e ec) ([]byte, string, error) {
			d, err := b.memory.GenerateDataKey(ctx, k, e)
			return d.Wrapped, d.RootKey, err
		})},
		{"forgets the context", "wrap", "after a Wrap", wrapping(func(b *broken, ctx bg, k string, plain []byte, _ ec) ([]byte, string, error) {
			return b.memory.Wrap(ctx, k, plain, nil)
		})},
		{"wraps under one root key always", "wrap", "after a Wrap", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			w, _, err := b.memory.Wrap(ctx, "memory://one", plain, e)
			return w, k, err
		})},
		{"names another root key", "wrap", "names the root key", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			w, _, err := b.memory.Wrap(ctx, k, plain, e)
			return w, k + "/", err
		})},
		{"names the alias", "wrap", "want the canonical URI", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			w, _, err := b.memory.Wrap(ctx, k, plain, e)
			return w, k, err
		})},
		{"wraps nothing", "wrap", "gave 0 bytes", wrapping(func(_ *broken, _ bg, k string, _ []byte, _ ec) ([]byte, string, error) {
			return nil, k, nil
		})},
		{"doesn't wrap", "wrap", "holds the plain key", wrapping(func(_ *broken, _ bg, k string, plain []byte, _ ec) ([]byte, string, error) {
			return bytes.Clone(plain), k, nil
		})},
		{"wraps the same in the same way", "wrap", "are the same", func(b *broken) {
			made := map[string][]byte{}
			wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
				if w := made[k+string(plain)]; w != nil {
					return bytes.Clone(w), k, nil
				}
				w, uri, err := b.memory.Wrap(ctx, k, plain, e)
				made[k+string(plain)] = bytes.Clone(w)
				return w, uri, err
			})(b)
		}},
		{"takes any length", "wrap-refuses", "of nil: accepted", wrapping(func(b *broken, _ bg, k string, plain []byte, e ec) ([]byte, string, error) {
			w, err := b.s.wrap(k, plain, e)
			return w, k, err
		})},
		{"takes what is too long", "wrap-refuses", "of 33 bytes: accepted", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			return b.memory.Wrap(ctx, k, plain[:min(len(plain), kmsprovider.DataKeySize)], e)
		})},
		{"a wrong length is an outage", "wrap-refuses", "got the class", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			w, uri, err := b.memory.Wrap(ctx, k, plain, e)
			if errors.Is(err, kmsprovider.ErrInvalidCiphertext) {
				err = kmsprovider.ErrUnavailable
			}
			return w, uri, err
		})},
		{"takes a foreign root key", "wrap-refuses", "accepted", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			if k == "no-such-kms://x" {
				k = "memory://one"
			}
			return b.memory.Wrap(ctx, k, plain, e)
		})},
		{"names the root key beside the error", "wrap-refuses", "beside its error", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			w, _, err := b.memory.Wrap(ctx, k, plain, e)
			return w, k, err
		})},
		{"shows the data key in the error", "wrap-refuses", "shows the plain data key", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			w, uri, err := b.memory.Wrap(ctx, k, plain, e)
			if err != nil {
				err = fmt.Errorf("wrap %x: %w", plain, err)
			}
			return w, uri, err
		})},
		{"wipes what isn't its own", "wrap-keeps-nothing", "the caller's to wipe", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			defer clear(plain)
			return b.memory.Wrap(ctx, k, plain, e)
		})},
		{"appends to the data key", "wrap-keeps-nothing", "wrote behind", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			_ = append(plain, 1, 2, 3)
			return b.memory.Wrap(ctx, k, plain, e)
		})},
		{"adds to the context", "wrap-keeps-nothing", "changed the encryption context", wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
			defer func() { e["service"] = "mine" }()
			return b.memory.Wrap(ctx, k, plain, e)
		})},
		{"keeps the data key", "wrap-keeps-nothing", "used the data key's buffer", func(b *broken) {
			kept := map[string][]byte{}
			wrapping(func(b *broken, ctx bg, k string, plain []byte, e ec) ([]byte, string, error) {
				w, uri, err := b.memory.Wrap(ctx, k, plain, e)
				kept[string(w)] = plain
				return w, uri, err
			})(b)
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if plain := kept[string(w)]; plain != nil {
					return bytes.Clone(plain), nil
				}
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
	}
}
