package providertest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func callFlaws() []flaw {
	// afterwards changes the error of every call.
	afterwards := func(edit func(error) error) func(*broken) {
		return func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				return p, edit(err)
			}
		}
	}
	return []flaw{
		{"ignores that the context ended", "context-ended", "accepted", func(b *broken) {
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				return b.memory.GenerateDataKey(context.WithoutCancel(ctx), k, e)
			}
		}},
		{"Check ignores that the context ended", "context-ended", "Check with a canceled context: accepted", func(b *broken) {
			b.check = func(ctx bg, k string) error { return b.memory.Check(context.WithoutCancel(ctx), k) }
		}},
		{"canceled is an outage", "context-ended", "got the class", afterwards(func(err error) error {
			if errors.Is(err, context.Canceled) {
				err = kmsprovider.ErrUnavailable
			}
			return err
		})},
		{"expired is an outage too", "context-ended", "exactly one class", afterwards(func(err error) error {
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("%w: %w", kmsprovider.ErrUnavailable, err)
			}
			return err
		})},
		{"returns the cause alone", "context-ended", "exactly one class", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if err := context.Cause(ctx); err != nil {
					return nil, err
				}
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
		{"comes back late", "context-ended", "no answer within", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if ctx.Err() != nil {
					time.Sleep(prompt + 500*time.Millisecond)
				}
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
		{"mixes up callers", "concurrent", "worker", func(b *broken) {
			var mu sync.Mutex
			var last ec
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				mu.Lock()
				last = maps.Clone(e)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				e = last
				mu.Unlock()
				return b.memory.GenerateDataKey(ctx, k, e)
			}
		}},
		{"drops the context while it waits", "context-ends-in-call", "got the class", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				return b.memory.Unwrap(context.WithoutCancel(ctx), k, w, e)
			}
		}},
		{"its own timeout looks like the caller's", "own-timeout", "got the class", afterwards(func(err error) error {
			if errors.Is(err, kmsprovider.ErrUnavailable) {
				err = context.DeadlineExceeded
			}
			return err
		})},
		{"never gives up", "own-timeout", "no answer within", func(b *broken) { b.timeout = time.Hour }},
		{"an outage is a denial", "unavailable", "got the class", afterwards(func(err error) error {
			if errors.Is(err, kmsprovider.ErrUnavailable) {
				err = kmsprovider.ErrDenied
			}
			return err
		})},
		{"never tries again", "unavailable", "after the service came back", func(b *broken) {
			var once error
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if once != nil {
					return nil, once
				}
				p, err := b.memory.Unwrap(ctx, k, w, e)
				once = err
				return p, err
			}
		}},
		{"throttling is an outage", "throttled", "got the class", afterwards(func(err error) error {
			if errors.Is(err, kmsprovider.ErrThrottled) {
				err = kmsprovider.ErrUnavailable
			}
			return err
		})},
		{"a denial is an outage", "denied", "got the class", afterwards(func(err error) error {
			if errors.Is(err, kmsprovider.ErrDenied) {
				err = kmsprovider.ErrUnavailable
			}
			return err
		})},
		{"a denial is two things", "denied", "exactly one class", afterwards(func(err error) error {
			if errors.Is(err, kmsprovider.ErrDenied) {
				err = errors.Join(err, kmsprovider.ErrKeyUnusable)
			}
			return err
		})},
	}
}

func errorFlaws() []flaw {
	// printing puts a plain key into the error of an Unwrap that fails.
	printing := func(how func([]byte) error) func(*broken) {
		return func(b *broken) {
			var plain []byte
			edits(func(d *dk) { plain = bytes.Clone(d.Plaintext) })(b)
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				if err != nil {
					err = fmt.Errorf("%w: %w", err, how(plain))
				}
				return p, err
			}
		}
	}
	return []flaw{
		{"no class", "errors-classed", "exactly one class", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				if err != nil {
					err = errors.New(err.Error())
				}
				return p, err
			}
		}},
		{"two classes", "errors-classed", "exactly one class", func(b *broken) {
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				d, err := b.memory.GenerateDataKey(ctx, k, e)
				if err != nil {
					err = errors.Join(err, kmsprovider.ErrUnavailable, kmsprovider.ErrDenied)
				}
				return d, err
			}
		}},
		{"hex", "errors-keep-secrets", "in hex", printing(func(p []byte) error { return fmt.Errorf("got %x", p) })},
		{"quoted", "errors-keep-secrets", "shows the plain data key", printing(func(p []byte) error { return fmt.Errorf("got %q", p) })},
		{"decimal", "errors-keep-secrets", "in decimal", printing(func(p []byte) error { return fmt.Errorf("got %v", p) })},
		{"base64 of a longer text", "errors-keep-secrets", "in base64", printing(func(p []byte) error {
			return errors.New(base64.StdEncoding.EncodeToString(append(bytes.Clone(p), "and more"...)))
		})},
		{"only with %#v", "errors-keep-secrets", "shows the plain data key", printing(func(p []byte) error { return keeper{p} })},
		{"a key beside the error", "errors-without-result", "beside its error", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				if err != nil {
					p = make([]byte, kmsprovider.DataKeySize)
				}
				return p, err
			}
		}},
		{"half a data key beside the error", "errors-without-result", "beside its error", func(b *broken) {
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				d, err := b.memory.GenerateDataKey(ctx, k, e)
				d.RootKey = k
				return d, err
			}
		}},
	}
}

// keeper is an error that keeps a secret from Error and not from fmt.
type keeper struct{ Secret []byte }

func (keeper) Error() string { return "no" }

func stateFlaws() []flaw {
	// caching goes on with what it has unwrapped before.
	caching := func(b *broken) {
		cache := map[string][]byte{}
		b.generate = func(ctx bg, k string, e ec) (dk, error) {
			d, err := b.memory.GenerateDataKey(ctx, k, e)
			if err == nil {
				cache[string(d.Wrapped)] = bytes.Clone(d.Plaintext)
			}
			return d, err
		}
		b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
			if p, ok := cache[string(w)]; ok {
				return bytes.Clone(p), nil
			}
			return b.memory.Unwrap(ctx, k, w, e)
		}
	}
	denies := func(b *broken) {
		b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
			p, err := b.memory.Unwrap(ctx, k, w, e)
			if err != nil {
				err = kmsprovider.ErrDenied
			}
			return p, err
		}
	}
	return []flaw{
		{"goes on from memory", "disabled", "Unwrap under a root key that is disabled: accepted", caching},
		{"disabled is a denial", "disabled", "got the class", denies},
		{"once disabled, always disabled", "disabled", "enabled again", func(b *broken) {
			off := map[string]bool{}
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				if off[k] {
					return dk{}, kmsprovider.ErrKeyUnusable
				}
				d, err := b.memory.GenerateDataKey(ctx, k, e)
				off[k] = err != nil
				return d, err
			}
		}},
		{"goes on from memory", "pending-deletion", "pending deletion: accepted", caching},
		{"pending deletion is a denial", "pending-deletion", "got the class", denies},
		{"opens only the newest", "rotated", "wrapped after 0 rotations", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				b.s.mu.Lock()
				newest := len(b.s.keys[k].versions)
				b.s.mu.Unlock()
				if int(binary.BigEndian.Uint32(w)) != newest {
					return nil, kmsprovider.ErrInvalidCiphertext
				}
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
		{"a new name for each rotation", "rotated", "called", func(b *broken) {
			edits(func(d *dk) {
				if v := binary.BigEndian.Uint32(d.Wrapped); v > 1 {
					d.RootKey = fmt.Sprintf("%s/%d", strings.TrimSuffix(d.RootKey, "/"), v)
				}
			})(b)
		}},
	}
}
