package localkms

import (
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/fieldcrypt/fieldcrypt-go/internal/primitives"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const scheme = "local-kms://"

func rootKeyURI(id, name string) string { return scheme + id + "/" + name }

// A snapshot is the content of the key file as last read. It never changes, so
// that readers need no lock.
type snapshot struct {
	id     string
	info   os.FileInfo
	byName map[string]*rootKey
}

type rootKey struct {
	uri      string
	versions []*rootKeyVersion // number i+1 at index i; at least one
}

// A rootKeyVersion holds no bytes of the key itself: these are overwritten once
// the AEAD is made. The fingerprint, a hash of them, tells one key from another.
type rootKeyVersion struct {
	uri         string
	number      uint32
	aead        cipher.AEAD
	fingerprint [sha256.Size]byte
}

// load reads the key file.
func load(path string) (*snapshot, error) {
	f, info, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer f.wipe()
	return newSnapshot(f, info)
}

func newSnapshot(f *keyFile, info os.FileInfo) (*snapshot, error) {
	s := &snapshot{id: f.ID, info: info, byName: make(map[string]*rootKey, len(f.RootKeys))}
	for _, fk := range f.RootKeys {
		k := &rootKey{uri: rootKeyURI(f.ID, fk.Name)}
		for _, fv := range fk.Versions {
			aead, err := primitives.NewGCM(fv.Key)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", kmsprovider.ErrKeyUnusable, err)
			}
			v := &rootKeyVersion{uri: k.uri, number: fv.Version, aead: aead, fingerprint: sha256.Sum256(fv.Key)}
			// The collector runs this when no snapshot and no call holds v any more.
			runtime.AddCleanup(v, func(aead cipher.AEAD) { primitives.Wipe(aead) }, aead)
			k.versions = append(k.versions, v)
		}
		s.byName[fk.Name] = k
	}
	return s, nil
}

// find returns the root key that a URI names; nil if the URI is one of this
// file's and the file has no such root key.
func (s *snapshot) find(uri, path string) (*rootKey, error) {
	rest, ok := strings.CutPrefix(uri, scheme)
	if !ok {
		return nil, fmt.Errorf("%w: not a %s URI", kmsprovider.ErrKeyUnusable, scheme)
	}
	id, name, ok := strings.Cut(rest, "/")
	if !ok || !validID(id) || !validName(name) {
		return nil, fmt.Errorf("%w: not of the form %s<ID of the key file>/<name>", kmsprovider.ErrKeyUnusable, scheme)
	}
	if id != s.id {
		return nil, fmt.Errorf("%w: it is of the key file with the ID %s, and %s has the ID %s: another key file: lost, restored elsewhere, or another working directory?", kmsprovider.ErrKeyUnusable, id, path, s.id)
	}
	return s.byName[name], nil
}

// extends fails unless s has all that old has: version numbers would be given
// out twice, and data keys lost, if this process went on from an older copy of
// its key file.
func (s *snapshot) extends(old *snapshot) error {
	if s.id != old.id {
		return fmt.Errorf("%w: it was replaced by another one, with the ID %s instead of %s; put the old one back, or restart to use the new one", kmsprovider.ErrKeyUnusable, s.id, old.id)
	}
	for name, was := range old.byName {
		is := s.byName[name]
		for i, v := range was.versions {
			if is == nil || len(is.versions) <= i || is.versions[i].fingerprint != v.fingerprint {
				return fmt.Errorf("%w: it has lost version %d of the root key %q, or has another in its place; has an older copy been restored? Put the newest one back", kmsprovider.ErrKeyUnusable, v.number, name)
			}
		}
	}
	return nil
}

func (p *Provider) current() (*snapshot, error) {
	s := p.state.Load()
	if s == nil {
		return nil, fmt.Errorf("%w: the provider is closed", kmsprovider.ErrKeyUnusable)
	}
	return s, nil
}

// refresh returns the key file as it is now. It reads it only if it isn't the
// one last read: each change is a new file, and a longer one.
func (p *Provider) refresh() (*snapshot, error) {
	s, err := p.current()
	if err != nil {
		return nil, err
	}
	if unchanged(s.info, p.path) {
		return s, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, err = p.current(); err != nil {
		return nil, err
	}
	if unchanged(s.info, p.path) {
		return s, nil
	}
	next, err := load(p.path)
	if err != nil {
		return nil, err
	}
	if err := next.extends(s); err != nil {
		return nil, fmt.Errorf("key file %s: %w", p.path, err)
	}
	p.state.Store(next)
	return next, nil
}

func unchanged(info os.FileInfo, path string) bool {
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(info, now) && info.ModTime().Equal(now.ModTime()) && info.Size() == now.Size() && info.Mode() == now.Mode()
}

// wrappingKey returns the newest version of a root key, and only if the key
// file still has it.
func (p *Provider) wrappingKey(uri string) (*rootKeyVersion, error) {
	s, err := p.current()
	if err != nil {
		return nil, err
	}
	// First what needs no file: a foreign URI isn't worth a look at the disk.
	if _, err := s.find(uri, p.path); err != nil {
		return nil, err
	}
	if s, err = p.refresh(); err != nil {
		return nil, err
	}
	k, err := p.mustFind(s, uri)
	if err != nil {
		return nil, err
	}
	return k.versions[len(k.versions)-1], nil
}

// unwrappingKey returns the version of a root key that a wrapped key says it
// was made under.
func (p *Provider) unwrappingKey(uri string, wrapped []byte) (*rootKeyVersion, error) {
	s, err := p.current()
	if err != nil {
		return nil, err
	}
	k, err := s.find(uri, p.path)
	if err != nil {
		return nil, err
	}
	number, err := wrappedVersion(wrapped)
	if err != nil {
		return nil, err
	}
	if k == nil || number > uint32(len(k.versions)) {
		// Another process may have added it since.
		if s, err = p.refresh(); err != nil {
			return nil, err
		}
		if k, err = p.mustFind(s, uri); err != nil {
			return nil, err
		}
	}
	if number > uint32(len(k.versions)) {
		return nil, fmt.Errorf("%w: it says version %d of the root key, which has %d", kmsprovider.ErrInvalidCiphertext, number, len(k.versions))
	}
	return k.versions[number-1], nil
}

func (p *Provider) mustFind(s *snapshot, uri string) (*rootKey, error) {
	k, err := s.find(uri, p.path)
	if err == nil && k == nil {
		err = fmt.Errorf("%w: the key file %s has no root key of that name", kmsprovider.ErrKeyUnusable, p.path)
	}
	return k, err
}
