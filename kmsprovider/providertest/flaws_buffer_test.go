package providertest

import (
	"bytes"
	"maps"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func bufferFlaws() []flaw {
	return []flaw{
		{"returns its cached key", "results-owned-by-caller", "wiping the result", func(b *broken) {
			cache := map[string][]byte{}
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if p, ok := cache[string(w)]; ok {
					return p, nil
				}
				p, err := b.memory.Unwrap(ctx, k, w, e)
				cache[string(w)] = p
				return p, err
			}
		}},
		{"returns one buffer again and again", "results-owned-by-caller", "a second Unwrap", func(b *broken) {
			var buffer [kmsprovider.DataKeySize]byte
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				copy(buffer[:], p)
				return buffer[:], err
			}
		}},
		{"makes keys in one buffer", "results-owned-by-caller", "a second GenerateDataKey", func(b *broken) {
			var buffer [kmsprovider.DataKeySize]byte
			edits(func(d *dk) {
				copy(buffer[:], d.Plaintext)
				d.Plaintext = buffer[:]
			})(b)
		}},
		{"both forms in one buffer", "results-owned-by-caller", "appending to DataKey.Plaintext", edits(func(d *dk) {
			n := len(d.Plaintext)
			both := slices.Concat(d.Plaintext, d.Wrapped)
			d.Plaintext, d.Wrapped = both[:n], both[n:]
		})},
		{"keeps the wrapped key", "inputs-not-kept", "used the wrapped key's buffer", func(b *broken) {
			type entry struct{ wrapped, plain []byte }
			var cache []entry
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				if err != nil {
					return p, err
				}
				for _, c := range cache {
					if bytes.Equal(c.wrapped, w) {
						return bytes.Clone(c.plain), nil
					}
				}
				cache = append(cache, entry{w, bytes.Clone(p)})
				return p, nil
			}
		}},
		{"keeps the context", "inputs-not-kept", "changed after an earlier Unwrap", func(b *broken) {
			type entry struct {
				e     ec
				plain []byte
			}
			cache := map[string]entry{}
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if c, ok := cache[string(w)]; ok && maps.Equal(c.e, e) {
					return bytes.Clone(c.plain), nil
				}
				p, err := b.memory.Unwrap(ctx, k, w, e)
				if err == nil {
					cache[string(w)] = entry{e, bytes.Clone(p)}
				}
				return p, err
			}
		}},
		{"keeps the context of a new key", "inputs-not-kept", "changed after GenerateDataKey", func(b *broken) {
			made := map[string]ec{}
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				d, err := b.memory.GenerateDataKey(ctx, k, nil)
				made[string(d.Wrapped)] = e
				return d, err
			}
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if was, ok := made[string(w)]; ok && (maps.Equal(was, e) || maps.Equal(e, sampleContext())) {
					return b.memory.Unwrap(ctx, k, w, nil)
				}
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
		{"decrypts in place", "inputs-not-changed", "changed the wrapped key", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				copy(w[4:], p)
				return p, err
			}
		}},
		{"changes the wrapped key when it fails", "inputs-not-changed", "a failing Unwrap changed", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				if err != nil {
					clear(w)
				}
				return p, err
			}
		}},
		{"appends to the wrapped key", "inputs-not-changed", "wrote behind", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				_ = append(w, 1, 2, 3)
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
		{"adds to the context", "inputs-not-changed", "changed the encryption context", func(b *broken) {
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				e["service"] = "mine"
				return b.memory.GenerateDataKey(ctx, k, e)
			}
		}},

		{"gives the old wrapping back", "rewrap", "old wrapping", func(b *broken) {
			b.rewrap = func(_ bg, _ string, w []byte, to string, _ ec) ([]byte, string, error) { return w, to, nil }
		}},
		{"names the old root key", "rewrap", "names the root key", func(b *broken) {
			b.rewrap = func(ctx bg, from string, w []byte, to string, e ec) ([]byte, string, error) {
				w, _, err := b.memory.Rewrap(ctx, from, w, to, e)
				return w, from, err
			}
		}},
		{"makes a new key instead", "rewrap", "another data key", func(b *broken) {
			b.rewrap = func(ctx bg, _ string, _ []byte, to string, e ec) ([]byte, string, error) {
				d, err := b.memory.GenerateDataKey(ctx, to, e)
				return d.Wrapped, d.RootKey, err
			}
		}},
		{"drops the context", "rewrap", "after a Rewrap", func(b *broken) {
			b.rewrap = func(ctx bg, from string, w []byte, to string, e ec) ([]byte, string, error) {
				p, err := b.memory.Unwrap(ctx, from, w, e)
				if err != nil {
					return nil, "", err
				}
				w, err = b.s.wrap(to, p, nil)
				return w, to, err
			}
		}},
		{"doesn't ask whose the wrapped key is", "rewrap-refuses", "from the wrong root key", func(b *broken) {
			b.rewrap = func(ctx bg, _ string, w []byte, to string, e ec) ([]byte, string, error) {
				return b.memory.Rewrap(ctx, "memory://one", w, to, e)
			}
		}},
		{"takes any context", "rewrap-refuses", "another encryption context", func(b *broken) {
			b.rewrap = func(ctx bg, from string, w []byte, to string, _ ec) ([]byte, string, error) {
				return b.memory.Rewrap(ctx, from, w, to, sampleContext())
			}
		}},
		{"names the root key beside the error", "rewrap-refuses", "beside its error", func(b *broken) {
			b.rewrap = func(ctx bg, from string, w []byte, to string, e ec) ([]byte, string, error) {
				w, _, err := b.memory.Rewrap(ctx, from, w, to, e)
				return w, to, err
			}
		}},
	}
}
