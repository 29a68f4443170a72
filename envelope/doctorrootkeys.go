package envelope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// The checks of a root key, as the report names them.
const (
	checkState    = "state"
	checkGenerate = "generate a data key"
	checkUnwrap   = "unwrap a data key"
	checkRewrap   = "rewrap a data key"
)

// calls reports whether a provider may be called for the root key.
func (k *configured) calls(p kmsprovider.Provider) bool {
	return slices.ContainsFunc(k.behind, func(q kmsprovider.Provider) bool { return same(p, q) })
}

// A trial is a root key being tried with one provider.
type trial struct {
	d       *doctor
	key     *configured
	p       kmsprovider.Provider
	subject string
	found   []kmsprovider.Finding
}

// A sample is a wrapped data key, and perhaps what it holds.
type sample struct {
	rootKey string
	wrapped []byte
	ec      kmsprovider.EncryptionContext
	plain   []byte
}

func (d *doctor) rootKey(ctx context.Context, k *configured, p kmsprovider.Provider) []kmsprovider.Finding {
	t := trial{d: d, key: k, p: p, subject: "root key " + k.uri}
	if len(k.behind) > 1 {
		t.subject += " by " + printedName(p)
	}
	switch {
	case !t.state(ctx):
	case k.seals:
		t.seals(ctx)
	default:
		t.opens(ctx)
	}
	return t.found
}

func (t *trial) ok(check, found string) { t.found = append(t.found, ok(t.subject, check, found)) }

func (t *trial) failed(check string, err error) {
	t.found = append(t.found, failed(t.subject, check, err, mendOf(err)))
}

func (t *trial) warning(check string, err error, mend string) {
	t.found = append(t.found, warning(t.subject, check, err.Error(), mend, err))
}

// state asks for the root key's state, and reports whether there is a use in
// trying it.
func (t *trial) state(ctx context.Context) bool {
	c, can := t.p.(kmsprovider.Checker)
	if !can {
		return true
	}
	_, err := attempt(ctx, t.d.timeout, kmsprovider.ErrUnavailable, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.Check(ctx, t.key.uri)
	}, nil)
	switch {
	case err == nil:
		t.ok(checkState, "it is there and can be used")
	case errors.Is(err, errors.ErrUnsupported):
	case errors.Is(err, kmsprovider.ErrDenied):
		t.warning(checkState, err, "sealing and opening may do without this permission; give it, so that a root key that can't be used is told from one that is denied")
	default:
		t.failed(checkState, err)
		return false
	}
	return true
}

func (t *trial) seals(ctx context.Context) {
	s, err := t.generate(ctx)
	if err != nil {
		t.failed(checkGenerate, err)
		return
	}
	defer clear(s.plain)
	found := fmt.Sprintf("it is %d bytes long, wrapped", len(s.wrapped))
	if s.rootKey != t.key.uri {
		found = "the root key is " + s.rootKey
	}
	t.ok(checkGenerate, found)
	t.unwrap(ctx, s)
	t.rewrap(ctx, s, t.key.uri)
}

func (t *trial) opens(ctx context.Context) {
	if t.misnamed(ctx) {
		return
	}
	s, from := t.stored(ctx), "one that the key store has"
	if s == nil {
		made, err := t.generate(ctx)
		switch {
		case errors.Is(err, kmsprovider.ErrDenied):
			// Which is right: it need not be permitted.
			t.warning(checkUnwrap, errors.New("not tried: there is nothing at hand that was wrapped under it"),
				"if data depends on it, open some of that; if none does, take the root key out of the configuration")
			return
		case err != nil:
			t.failed(checkUnwrap, fmt.Errorf("making one to try it with: %w", err))
			return
		}
		s, from = made, ""
		defer clear(s.plain)
	}
	if !t.unwrap(ctx, s) {
		return
	}
	if from != "" {
		t.found[len(t.found)-1].Found = from
	}
	if t.d.calls(t.key.to, t.p) {
		t.rewrap(ctx, s, t.key.to)
	}
}

// calls reports whether a provider may be called for a root key of the
// configuration.
func (d *doctor) calls(uri string, p kmsprovider.Provider) bool {
	return slices.ContainsFunc(d.keys, func(k *configured) bool { return k.uri == uri && k.calls(p) })
}

// misnamed finds fault with an alias to open with: what is stored names none.
func (t *trial) misnamed(ctx context.Context) bool {
	r, can := t.p.(kmsprovider.Resolver)
	if !can {
		return false
	}
	canonical, err := attempt(ctx, t.d.timeout, kmsprovider.ErrUnavailable, func(ctx context.Context) (string, error) {
		return r.Resolve(ctx, t.key.uri)
	}, nil)
	switch {
	case err != nil:
		t.failed(checkUnwrap, err)
	case canonical != t.key.uri:
		t.found = append(t.found, failed(t.subject, checkUnwrap,
			fmt.Errorf("%w: it is listed to open with, and is another name for %s: what is stored names that one", kmsprovider.ErrKeyUnusable, canonical),
			"list "+canonical+" in RootKeys.Open in its place"))
	default:
		return false
	}
	return true
}

// stored returns a data key that the store has under the root key, or nil.
func (t *trial) stored(ctx context.Context) *sample {
	store := t.d.ring.opts.Store
	if store == nil {
		return nil
	}
	page, err := attempt(ctx, t.d.timeout, ErrStoreUnavailable, func(ctx context.Context) ([]Record, error) {
		return store.Page(ctx, Filter{RootKey: t.key.uri, States: []State{StateActive, StateRetired}}, KeyName{}, 1)
	}, nil)
	if err != nil || len(page) == 0 || page[0].RootKey != t.key.uri || len(page[0].Wrapped) == 0 || len(page[0].Wrapped) > maxWrapped {
		return nil // what is wrong with the store shows elsewhere
	}
	return &sample{rootKey: t.key.uri, wrapped: page[0].Wrapped, ec: encryptionContext(page[0].Scope.withDefault(), page[0].Purpose)}
}

func (t *trial) generate(ctx context.Context) (*sample, error) {
	ec := encryptionContext(t.key.scope, PurposeData)
	dk, err := attempt(ctx, t.d.timeout, kmsprovider.ErrUnavailable, func(ctx context.Context) (kmsprovider.DataKey, error) {
		return t.p.GenerateDataKey(ctx, t.key.uri, encryptionContext(t.key.scope, PurposeData))
	}, kmsprovider.DataKey.Wipe)
	if err != nil {
		return nil, err
	}
	if len(dk.Plaintext) != kmsprovider.DataKeySize || len(dk.Wrapped) == 0 || len(dk.Wrapped) > maxWrapped || dk.RootKey == "" || len(dk.RootKey) > maxURI {
		dk.Wipe()
		return nil, fmt.Errorf("%w: the provider made a data key of %d bytes, wrapped in %d, under a root key with a name of %d: they must be %d, 1 to %d and 1 to %d",
			kmsprovider.ErrUnavailable, len(dk.Plaintext), len(dk.Wrapped), len(dk.RootKey), kmsprovider.DataKeySize, maxWrapped, maxURI)
	}
	return &sample{rootKey: dk.RootKey, wrapped: dk.Wrapped, ec: ec, plain: dk.Plaintext}, nil
}

// open unwraps a sample, and compares it with what it should hold. It wipes what
// it got.
func (t *trial) open(ctx context.Context, s *sample) error {
	plain, err := attempt(ctx, t.d.timeout, kmsprovider.ErrUnavailable, func(ctx context.Context) ([]byte, error) {
		return t.p.Unwrap(ctx, s.rootKey, s.wrapped, s.ec)
	}, func(plain []byte) { clear(plain) })
	defer clear(plain)
	switch {
	case err != nil:
		return err
	case len(plain) != kmsprovider.DataKeySize:
		return fmt.Errorf("%w: the provider unwrapped a data key of %d bytes, it must be %d", kmsprovider.ErrUnavailable, len(plain), kmsprovider.DataKeySize)
	case s.plain != nil && !bytes.Equal(plain, s.plain):
		return fmt.Errorf("%w: the data key that was unwrapped is not the one that was wrapped", kmsprovider.ErrUnavailable)
	}
	return nil
}

func (t *trial) unwrap(ctx context.Context, s *sample) bool {
	if err := t.open(ctx, s); err != nil {
		t.failed(checkUnwrap, err)
		return false
	}
	t.ok(checkUnwrap, "the same data key")
	return true
}

// rewrap moves a sample to a root key, where the provider can. It is needed when
// root keys are changed and at no other time.
func (t *trial) rewrap(ctx context.Context, s *sample, to string) {
	r, can := t.p.(kmsprovider.Rewrapper)
	if !can {
		return
	}
	moved, err := attempt(ctx, t.d.timeout, kmsprovider.ErrUnavailable, func(ctx context.Context) (sample, error) {
		wrapped, rootKey, err := r.Rewrap(ctx, s.rootKey, s.wrapped, to, s.ec)
		return sample{rootKey: rootKey, wrapped: wrapped, ec: s.ec, plain: s.plain}, err
	}, nil)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case errors.Is(err, kmsprovider.ErrDenied):
		t.warning(checkRewrap, err, "needed only when data keys move to another root key: give the permission before that")
	case err != nil:
		t.failed(checkRewrap, err)
	case len(moved.wrapped) == 0 || moved.rootKey == "":
		t.failed(checkRewrap, fmt.Errorf("%w: the provider returned no wrapping, or no root key for it", kmsprovider.ErrUnavailable))
	default:
		t.rewrapped(ctx, &moved, to)
	}
}

// rewrapped opens what was moved, unless unwrapping is what fails.
func (t *trial) rewrapped(ctx context.Context, moved *sample, to string) {
	found := "it unwraps again"
	if t.found[len(t.found)-1].Status != kmsprovider.StatusOK {
		found = "not unwrapped again"
	} else if err := t.open(ctx, moved); err != nil {
		t.failed(checkRewrap, fmt.Errorf("unwrapping what was rewrapped: %w", err))
		return
	}
	if to != t.key.uri {
		found += ", by " + moved.rootKey
	}
	t.ok(checkRewrap, found)
}
