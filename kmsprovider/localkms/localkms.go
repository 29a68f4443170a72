package localkms

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

var (
	_ kmsprovider.Provider  = (*Provider)(nil)
	_ kmsprovider.Rewrapper = (*Provider)(nil)
	_ kmsprovider.Wrapper   = (*Provider)(nil)
	_ kmsprovider.Checker   = (*Provider)(nil)
)

// A Provider makes and unwraps data keys with the root keys of one key file.
// It is safe for concurrent use, and so is the file, by several processes.
type Provider struct {
	path  string
	mu    sync.Mutex               // held to replace state; never while waiting for another process
	state atomic.Pointer[snapshot] // nil once closed
}

// Open opens the key file at path, and makes it, with one root key, if there
// is none. When several processes do so at once, one file is made and all use
// it. The folder must exist.
//
// Open can't tell a first start from a file that is lost, or that a relative
// path looks for in another working directory: then it makes a new one, and data
// keys wrapped before are refused when they are next needed. Use [OpenExisting]
// where there is data.
//
// Errors are as for [OpenExisting].
func Open(path string) (*Provider, error) {
	p, err := OpenExisting(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("localkms: %w: %w", kmsprovider.ErrUnavailable, err)
	}
	f := newKeyFile()
	defer f.wipe()
	if err := create(path, f, os.Link); err != nil {
		return nil, fmt.Errorf("localkms: making the key file %s: %w", path, err)
	}
	return OpenExisting(path)
}

// OpenExisting opens the key file at path and fails if there is none.
//
// A missing or bad file, one that others than its owner can read, or one that
// belongs to another user than this process's, is
// [kmsprovider.ErrKeyUnusable]; one that this process isn't permitted to read,
// and a change on a disk that is mounted read-only, is [kmsprovider.ErrDenied];
// a failing disk is [kmsprovider.ErrUnavailable].
// A missing file also matches [fs.ErrNotExist].
func OpenExisting(path string) (*Provider, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("localkms: %w: %w", kmsprovider.ErrUnavailable, err)
	}
	s, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("localkms: opening the %w", err)
	}
	removeStale(path)
	p := &Provider{path: path}
	p.state.Store(s)
	return p, nil
}

// Close lets go of the root keys; every later call fails with
// [kmsprovider.ErrKeyUnusable]. The bytes of the root keys are overwritten as
// soon as they have been read, and the AES key schedules made from them once no
// call uses them and the collector has noticed.
func (p *Provider) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Store(nil)
	return nil
}

// RootKey returns the URI of the root key "default", which every key file has.
// It is empty once the provider is closed.
func (p *Provider) RootKey() string {
	s := p.state.Load()
	if s == nil {
		return ""
	}
	return rootKeyURI(s.id, defaultRootKey)
}

// RootKeyNamed returns the URI of the root key that has the name, or
// [kmsprovider.ErrKeyUnusable] if the file has none.
func (p *Provider) RootKeyNamed(name string) (string, error) {
	s, err := p.current()
	if err == nil && s.byName[name] == nil {
		s, err = p.refresh() // another process may have added it
	}
	if err != nil {
		return "", fmt.Errorf("localkms: root key named %.80q: %w", name, err)
	}
	if s.byName[name] == nil {
		return "", fmt.Errorf("localkms: %w: no root key is named %.80q in the key file %s; AddRootKey makes one", kmsprovider.ErrKeyUnusable, name, p.path)
	}
	return rootKeyURI(s.id, name), nil
}

// GenerateDataKey implements [kmsprovider.Provider]. It fails with
// [kmsprovider.ErrKeyUnusable] if the key file has been deleted or replaced
// since it was opened, since nothing could unwrap the new data key later.
func (p *Provider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	dk, err := p.generate(ctx, rootKey, ec)
	if err != nil {
		return kmsprovider.DataKey{}, fmt.Errorf("localkms: making a data key under %.200q: %w", rootKey, err)
	}
	return dk, nil
}

func (p *Provider) generate(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if err := ctx.Err(); err != nil {
		return kmsprovider.DataKey{}, err
	}
	canonical, err := ec.Canonical()
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	k, err := p.wrappingKey(rootKey)
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	plain := make([]byte, kmsprovider.DataKeySize)
	_, _ = rand.Read(plain) // never fails: the program ends if there is no randomness
	return kmsprovider.DataKey{Plaintext: plain, Wrapped: k.wrap(plain, canonical), RootKey: k.uri}, nil
}

// Unwrap implements [kmsprovider.Provider]. It works from memory: the key file
// is read again only for a root key, or a version of one, that another process
// may have added.
func (p *Provider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	plain, err := p.unwrap(ctx, rootKey, wrapped, ec)
	if err != nil {
		return nil, fmt.Errorf("localkms: unwrapping a data key under %.200q: %w", rootKey, err)
	}
	return plain, nil
}

func (p *Provider) unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	canonical, err := ec.Canonical()
	if err != nil {
		return nil, err
	}
	k, err := p.unwrappingKey(rootKey, wrapped)
	if err != nil {
		return nil, err
	}
	return k.unwrap(wrapped, canonical)
}

// Rewrap implements [kmsprovider.Rewrapper]. From a root key to the same one,
// it brings a data key under the root key's newest version.
func (p *Provider) Rewrap(ctx context.Context, fromRootKey string, wrapped []byte, toRootKey string, ec kmsprovider.EncryptionContext) (rewrapped []byte, rootKey string, err error) {
	plain, err := p.unwrap(ctx, fromRootKey, wrapped, ec)
	if err != nil {
		return nil, "", fmt.Errorf("localkms: rewrapping a data key from %.200q: %w", fromRootKey, err)
	}
	defer clear(plain)
	k, err := p.wrappingKey(toRootKey)
	if err != nil {
		return nil, "", fmt.Errorf("localkms: rewrapping a data key to %.200q: %w", toRootKey, err)
	}
	canonical, err := ec.Canonical()
	if err != nil {
		return nil, "", err
	}
	return k.wrap(plain, canonical), k.uri, nil
}

// Wrap implements [kmsprovider.Wrapper]. Like a new data key, one that came from
// elsewhere needs the key file to be in its place.
func (p *Provider) Wrap(ctx context.Context, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) (wrapped []byte, canonical string, err error) {
	wrapped, canonical, err = p.wrap(ctx, rootKey, plaintext, ec)
	if err != nil {
		return nil, "", fmt.Errorf("localkms: wrapping a data key under %.200q: %w", rootKey, err)
	}
	return wrapped, canonical, nil
}

func (p *Provider) wrap(ctx context.Context, rootKey string, plaintext []byte, ec kmsprovider.EncryptionContext) (wrapped []byte, uri string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	if n := len(plaintext); n != kmsprovider.DataKeySize {
		return nil, "", fmt.Errorf("%w: a data key has %d bytes, not %d", kmsprovider.ErrInvalidCiphertext, kmsprovider.DataKeySize, n)
	}
	canonical, err := ec.Canonical()
	if err != nil {
		return nil, "", err
	}
	k, err := p.wrappingKey(rootKey)
	if err != nil {
		return nil, "", err
	}
	return k.wrap(plaintext, canonical), k.uri, nil
}

// Check implements [kmsprovider.Checker]. It fails if the root key can't be
// used for new data keys, for instance because the key file is gone.
func (p *Provider) Check(ctx context.Context, rootKey string) error {
	err := ctx.Err()
	if err == nil {
		_, err = p.wrappingKey(rootKey)
	}
	if err != nil {
		return fmt.Errorf("localkms: checking the root key %.200q: %w", rootKey, err)
	}
	return nil
}
