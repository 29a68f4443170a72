package failover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// Options tune a [Provider]. The zero value of each field means its default.
type Options struct {
	// Patience is how long a call waits for one provider before it asks the
	// next as well; less if the caller's deadline comes soon. A call that makes
	// a data key may then make two, of which one is dropped. A provider that had
	// less than half of it isn't said to have failed: where all callers'
	// deadlines are so short, a provider that hangs is asked first each time.
	// Default 500 ms.
	Patience time.Duration

	// Failures is after how many failures in a row a provider is asked last.
	// Default 3.
	Failures int

	// ProbeAfter is how long a provider that is asked last isn't asked first
	// again. Default 30 seconds.
	ProbeAfter time.Duration
}

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Patience < 0 || out.Failures < 0 || out.ProbeAfter < 0 {
		return out, errors.New("failover: Options.Patience, Failures and ProbeAfter must not be negative")
	}
	if out.Patience == 0 {
		out.Patience = 500 * time.Millisecond
	}
	if out.Failures == 0 {
		out.Failures = 3
	}
	if out.ProbeAfter == 0 {
		out.ProbeAfter = 30 * time.Second
	}
	return out, nil
}

// A Provider stands for several providers. It implements kmsprovider.Provider,
// Rewrapper, Wrapper, Checker and Resolver: the optional ones as far as its
// providers do. It is a kmsprovider.Group, and safe for concurrent use.
type Provider struct {
	opts Options

	mu        sync.Mutex // guards the endpoints; never held during a call
	endpoints []*endpoint
}

var (
	_ kmsprovider.Provider  = (*Provider)(nil)
	_ kmsprovider.Rewrapper = (*Provider)(nil)
	_ kmsprovider.Wrapper   = (*Provider)(nil)
	_ kmsprovider.Checker   = (*Provider)(nil)
	_ kmsprovider.Resolver  = (*Provider)(nil)
	_ kmsprovider.Group     = (*Provider)(nil)
)

// New returns a Provider that asks the given ones, in that order. All of them
// must know each root key under the same URI. opts may be nil. Nothing is called.
func New(providers []kmsprovider.Provider, opts *Options) (*Provider, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(providers) == 0 || slices.Contains(providers, nil) {
		return nil, errors.New("failover: New needs at least one provider, and none that is nil")
	}
	p := &Provider{opts: o}
	for _, provider := range providers {
		p.endpoints = append(p.endpoints, &endpoint{provider: provider})
	}
	return p, nil
}

// GenerateDataKey implements kmsprovider.Provider.
func (p *Provider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	uri, err := p.Resolve(ctx, rootKey)
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	ec = maps.Clone(ec)
	return call(ctx, p, task[kmsprovider.DataKey]{
		what: "generate a data key under " + uri,
		do: func(ctx context.Context, provider kmsprovider.Provider) (kmsprovider.DataKey, error) {
			dk, err := provider.GenerateDataKey(ctx, uri, ec)
			if err == nil {
				err = namedAs(uri, dk.RootKey)
			}
			if err != nil {
				dk.Wipe()
				return kmsprovider.DataKey{}, err
			}
			return dk, nil
		},
		drop: kmsprovider.DataKey.Wipe,
	})
}

// Unwrap implements kmsprovider.Provider.
func (p *Provider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	// A provider that is slow may go on reading after the caller has its answer.
	wrapped, ec = bytes.Clone(wrapped), maps.Clone(ec)
	return call(ctx, p, task[[]byte]{
		what: "unwrap a data key under " + rootKey,
		do: func(ctx context.Context, provider kmsprovider.Provider) ([]byte, error) {
			return provider.Unwrap(ctx, rootKey, wrapped, ec)
		},
		drop: func(plain []byte) { clear(plain) },
	})
}

// A wrapping is what Rewrap and Wrap return.
type wrapping struct {
	wrapped []byte
	rootKey string
}

// Rewrap implements kmsprovider.Rewrapper, with those providers that do.
func (p *Provider) Rewrap(ctx context.Context, fromRootKey string, wrapped []byte, toRootKey string, ec kmsprovider.EncryptionContext) (rewrapped []byte, rootKey string, err error) {
	uri, err := p.Resolve(ctx, toRootKey)
	if err != nil {
		return nil, "", err
	}
	wrapped, ec = bytes.Clone(wrapped), maps.Clone(ec)
	w, err := call(ctx, p, task[wrapping]{
		what: "rewrap a data key from " + fromRootKey + " to " + uri,
		do: func(ctx context.Context, provider kmsprovider.Provider) (w wrapping, err error) {
			r, ok := provider.(kmsprovider.Rewrapper)
			if !ok {
				return wrapping{}, lacks(provider, "rewrap")
			}
			w.wrapped, w.rootKey, err = r.Rewrap(ctx, fromRootKey, wrapped, uri, ec)
			return w.namedAs(uri, err)
		},
	})
	return w.wrapped, w.rootKey, err
}

// Wrap implements kmsprovider.Wrapper, with those providers that do.
func (p *Provider) Wrap(ctx context.Context, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) (wrapped []byte, canonical string, err error) {
	uri, err := p.Resolve(ctx, rootKey)
	if err != nil {
		return nil, "", err
	}
	plaintext, ec = bytes.Clone(plaintext), maps.Clone(ec)
	w, err := call(ctx, p, task[wrapping]{
		what: "wrap a data key under " + uri,
		do: func(ctx context.Context, provider kmsprovider.Provider) (w wrapping, err error) {
			wrapper, ok := provider.(kmsprovider.Wrapper)
			if !ok {
				return wrapping{}, lacks(provider, "wrap a data key that it didn't make")
			}
			w.wrapped, w.rootKey, err = wrapper.Wrap(ctx, uri, plaintext, ec)
			return w.namedAs(uri, err)
		},
		end: func() { clear(plaintext) },
	})
	return w.wrapped, w.rootKey, err
}

// Check implements kmsprovider.Checker, with those providers that do: one of
// them says that the root key can be used. See [Provider.CheckEach].
func (p *Provider) Check(ctx context.Context, rootKey string) error {
	_, err := call(ctx, p, task[struct{}]{
		what: "check " + rootKey,
		do: func(ctx context.Context, provider kmsprovider.Provider) (struct{}, error) {
			c, ok := provider.(kmsprovider.Checker)
			if !ok {
				return struct{}{}, lacks(provider, "check a root key")
			}
			return struct{}{}, c.Check(ctx, rootKey)
		},
	})
	return err
}

// CheckEach checks the root key with each provider that is a Checker, one after
// the other, and joins the errors, each with its provider's name. A replica that
// can't be used is best found out before it is needed. The result may have more
// than one class.
func (p *Provider) CheckEach(ctx context.Context, rootKey string) error {
	var errs []error
	for _, e := range p.endpoints {
		if c, ok := e.provider.(kmsprovider.Checker); ok {
			if err := c.Check(ctx, rootKey); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", e.name(), err))
			}
		}
	}
	return errors.Join(errs...)
}

// Resolve implements kmsprovider.Resolver by the first provider: an alias may
// name something else elsewhere. If that one is no Resolver, every name is
// canonical.
func (p *Provider) Resolve(ctx context.Context, rootKey string) (string, error) {
	if r, ok := p.endpoints[0].provider.(kmsprovider.Resolver); ok {
		return r.Resolve(ctx, rootKey)
	}
	return rootKey, nil
}

// Behind implements kmsprovider.Group: all providers, in the order they were given
// to [New]. All of them may be called for any root key.
func (p *Provider) Behind(string) []kmsprovider.Provider {
	all := make([]kmsprovider.Provider, 0, len(p.endpoints))
	for _, e := range p.endpoints {
		all = append(all, e.provider)
	}
	return all
}

// Format implements fmt.Formatter.
func (p *Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.describe()) }

// LogValue implements slog.LogValuer.
func (p *Provider) LogValue() slog.Value { return slog.StringValue(p.describe()) }

func (p *Provider) describe() string {
	if p == nil {
		return "failover.Provider(nil)"
	}
	var names []string
	for _, e := range p.endpoints {
		names = append(names, e.name())
	}
	return "failover.Provider(" + strings.Join(names, ", ") + ")"
}
