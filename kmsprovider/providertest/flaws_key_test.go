package providertest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

type (
	bg = context.Context
	ec = kmsprovider.EncryptionContext
	dk = kmsprovider.DataKey
)

func keyFlaws() []flaw {
	return []flaw{
		{"nil isn't empty", "round-trip", "nil, then empty", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if e != nil && len(e) == 0 {
					return nil, kmsprovider.ErrInvalidCiphertext
				}
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
		{"opens only its own", "round-trip", "by another provider", func(b *broken) {
			mine := map[string]bool{}
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				d, err := b.memory.GenerateDataKey(ctx, k, e)
				mine[string(d.Wrapped)] = true
				return d, err
			}
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if !mine[string(w)] {
					return nil, kmsprovider.ErrInvalidCiphertext
				}
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
		{"31 bytes", "data-key-form", "31 bytes", edits(func(d *dk) { d.Plaintext = d.Plaintext[:31] })},
		{"nothing wrapped", "data-key-form", "0 bytes", edits(func(d *dk) { d.Wrapped = nil })},
		{"wrapped too long", "data-key-form", "6145 bytes", edits(func(d *dk) { d.Wrapped = make([]byte, 6145) })},
		{"another spelling of the root key", "data-key-form", "canonical", edits(func(d *dk) { d.RootKey += "?" })},
		{"the same key twice", "data-keys-fresh", "1 different plaintexts", func(b *broken) {
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				plain := []byte("always the same 32 bytes, always")
				w, err := b.s.wrap(k, plain, e)
				return dk{Plaintext: plain, Wrapped: w, RootKey: k}, err
			}
		}},
		{"zeros", "data-keys-fresh", "one byte repeated", edits(func(d *dk) { clear(d.Plaintext) })},
		{"plain key in the wrapped one", "wrapped-hides-key", "raw bytes", edits(func(d *dk) { d.Wrapped = append(d.Wrapped, d.Plaintext...) })},

		{"ignores the root key", "root-key-wrong", "accepted", func(b *broken) {
			b.unwrap = func(ctx bg, _ string, w []byte, e ec) ([]byte, error) {
				if p, err := b.memory.Unwrap(ctx, "memory://one", w, e); err == nil {
					return p, nil
				}
				return b.memory.Unwrap(ctx, "memory://two", w, e)
			}
		}},
		{"the wrong root key is an outage", "root-key-wrong", "got the class", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				if err != nil {
					err = kmsprovider.ErrUnavailable
				}
				return p, err
			}
		}},
		{"falls back to another root key", "root-key-missing", "accepted", func(b *broken) {
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				if k == "memory://missing" {
					k = "memory://one"
				}
				return b.memory.GenerateDataKey(ctx, k, e)
			}
		}},
		{"trims the root key", "root-key-malformed", "accepted", rootKeys(strings.TrimSpace)},
		{"takes the scheme in any case", "root-key-malformed", "accepted", rootKeys(func(k string) string {
			return strings.Replace(k, "MEMORY://", "memory://", 1)
		})},
		{"takes a root key without scheme", "root-key-malformed", "accepted", rootKeys(func(k string) string {
			if k == "one" {
				k = "memory://one"
			}
			return k
		})},
		{"malformed is no class", "root-key-malformed", "exactly one class", func(b *broken) {
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				if !strings.HasPrefix(k, "memory://") {
					return dk{}, errors.New("not a memory URI")
				}
				return b.memory.GenerateDataKey(ctx, k, e)
			}
		}},
		{"gives the alias back", "root-key-alias", "canonical", func(b *broken) {
			b.generate = func(ctx bg, k string, e ec) (dk, error) {
				d, err := b.memory.GenerateDataKey(ctx, k, e)
				d.RootKey = k
				return d, err
			}
		}},
		{"resolves to another", "root-key-alias", "want", func(b *broken) {
			b.resolve = func(bg, string) (string, error) { return "memory://two", nil }
		}},
		{"changes a canonical URI", "resolver", "which is canonical", func(b *broken) {
			b.resolve = func(_ bg, k string) (string, error) { return k + "/", nil }
		}},
		{"calls for a canonical URI", "resolver", "which is canonical", func(b *broken) {
			b.resolve = func(ctx bg, k string) (string, error) { return k, b.memory.Check(ctx, k) }
		}},
		{"resolves anything", "resolver", "accepted", func(b *broken) {
			b.resolve = func(_ bg, k string) (string, error) { return k, nil }
		}},
		{"everything is in order", "checker", "accepted", func(b *broken) {
			b.check = func(bg, string) error { return nil }
		}},
		{"nothing is in order", "checker", "which is in order", func(b *broken) {
			b.check = func(bg, string) error { return kmsprovider.ErrKeyUnusable }
		}},
		{"looks only whether it exists", "checker", "disabled", func(b *broken) {
			b.check = func(ctx bg, k string) error {
				err := b.memory.Check(ctx, k)
				if err != nil && strings.Contains(err.Error(), "disabled") {
					err = nil
				}
				return err
			}
		}},
	}
}

// edits spoils each new data key.
func edits(edit func(*dk)) func(*broken) {
	return func(b *broken) {
		b.generate = func(ctx bg, k string, e ec) (dk, error) {
			d, err := b.memory.GenerateDataKey(ctx, k, e)
			if err == nil {
				edit(&d)
			}
			return d, err
		}
	}
}

// rootKeys changes each root key before use.
func rootKeys(edit func(string) string) func(*broken) {
	return func(b *broken) {
		b.generate = func(ctx bg, k string, e ec) (dk, error) { return b.memory.GenerateDataKey(ctx, edit(k), e) }
		b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) { return b.memory.Unwrap(ctx, edit(k), w, e) }
	}
}

func contextFlaws() []flaw {
	return []flaw{
		{"ignores the context", "context-changed", "accepted", contexts(func(ec) ec { return nil })},
		{"ignores all pairs but one", "context-changed", "accepted", contexts(func(e ec) ec {
			return ec{"fieldcrypt:tenant": e["fieldcrypt:tenant"]}
		})},
		{"ignores the names", "context-changed", "accepted", contexts(func(e ec) ec {
			out := ec{}
			for _, v := range e {
				out[v] = ""
			}
			return out
		})},
		{"ignores case", "context-changed", "accepted", contexts(func(e ec) ec {
			out := ec{}
			for k, v := range e {
				out[strings.ToLower(k)] = strings.ToLower(v)
			}
			return out
		})},
		{"ignores white space", "context-changed", "accepted", contexts(func(e ec) ec {
			out := ec{}
			for k, v := range e {
				out[k] = strings.TrimSpace(v)
			}
			return out
		})},
		{"joins without delimiters", "context-moved", "moved", contexts(func(e ec) ec { return ec{"all": string(joined(e))} })},
		{"joins with = and ,", "context-delimiters", "was unwrapped with", contexts(pasted("", "=", ","))},
		{"joins with NUL", "context-delimiters", "was unwrapped with", contexts(pasted("", "\x00", "\x00"))},
		{"pastes JSON", "context-delimiters", "was unwrapped with", contexts(pasted(`"`, ":", ","))},
		{"drops invisible characters", "context-delimiters", "was unwrapped with", contexts(func(e ec) ec {
			out := ec{}
			for k, v := range e {
				out[k] = strings.ReplaceAll(v, "\u200b", "")
			}
			return out
		})},
		{"replaces bad UTF-8", "context-invalid", "accepted", contexts(func(e ec) ec {
			out := ec{}
			for k, v := range e {
				out[strings.ToValidUTF8(k, "\ufffd")] = strings.ToValidUTF8(v, "\ufffd")
			}
			return out
		})},
		{"drops empty names", "context-invalid", "accepted", contexts(func(e ec) ec {
			out := maps.Clone(e)
			delete(out, "")
			return out
		})},
	}
}

// contexts changes each encryption context before use.
func contexts(edit func(ec) ec) func(*broken) {
	return func(b *broken) {
		b.generate = func(ctx bg, k string, e ec) (dk, error) { return b.memory.GenerateDataKey(ctx, k, edit(e)) }
		b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) { return b.memory.Unwrap(ctx, k, w, edit(e)) }
	}
}

// pasted joins a context with delimiters that aren't escaped.
func pasted(quote, eq, and string) func(ec) ec {
	return func(e ec) ec {
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(e)) {
			parts = append(parts, quote+k+quote+eq+quote+e[k]+quote)
		}
		return ec{"all": strings.Join(parts, and)}
	}
}

func wrappedFlaws() []flaw {
	// A byte that is stored and not authenticated.
	unauthenticated := func(b *broken) {
		edits(func(d *dk) { d.Wrapped = append(d.Wrapped, 0) })(b)
		b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
			return b.memory.Unwrap(ctx, k, w[:max(0, len(w)-1)], e)
		}
	}
	return []flaw{
		{"a byte isn't authenticated", "wrapped-tampered", "accepted", unauthenticated},
		{"a tampered key is an unusable root key", "wrapped-tampered", "got the class", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				p, err := b.memory.Unwrap(ctx, k, w, e)
				if errors.Is(err, kmsprovider.ErrInvalidCiphertext) {
					err = kmsprovider.ErrKeyUnusable
				}
				return p, err
			}
		}},
		{"reads as much as it needs", "wrapped-length", "accepted", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				return b.memory.Unwrap(ctx, k, w[:min(len(w), 64)], e)
			}
		}},
		{"takes a plain key for a wrapped one", "wrapped-length", "accepted", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if len(w) == kmsprovider.DataKeySize {
					return bytes.Clone(w), nil
				}
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
		{"too long is an outage", "wrapped-length", "got the class", func(b *broken) {
			b.unwrap = func(ctx bg, k string, w []byte, e ec) ([]byte, error) {
				if len(w) > maxWrapped {
					return nil, kmsprovider.ErrUnavailable
				}
				return b.memory.Unwrap(ctx, k, w, e)
			}
		}},
		{"returns what the service returns", "wrapped-not-a-data-key", "which are no data key: accepted", func(b *broken) {
			b.unwrap = func(_ bg, k string, w []byte, e ec) ([]byte, error) { return b.s.unwrap(k, w, e, false) }
		}},
	}
}
