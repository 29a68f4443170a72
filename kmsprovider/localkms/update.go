package localkms

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// AddRootKey adds a root key to the key file and returns its URI. If the file
// has one of that name, it returns that one's URI and changes nothing, so that
// any number of processes can ask for the same root key at start-up.
//
// A name has 1 to 63 bytes: lower-case letters, digits, '.', '_' and '-', the
// first a letter or digit. Any other is [kmsprovider.ErrKeyUnusable]. AddRootKey
// waits for another process that is changing the file, until ctx ends.
func (p *Provider) AddRootKey(ctx context.Context, name string) (string, error) {
	if !validName(name) {
		return "", fmt.Errorf("localkms: adding the root key %.80q: %w: a name has 1 to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit", name, kmsprovider.ErrKeyUnusable)
	}
	err := p.update(ctx, func(f *keyFile) (changed bool, err error) {
		if f.named(name) != nil {
			return false, nil
		}
		f.RootKeys = append(f.RootKeys, fileRootKey{Name: name, Versions: []fileVersion{newVersion(1)}})
		return true, nil
	})
	if err != nil {
		return "", fmt.Errorf("localkms: adding the root key %q: %w", name, err)
	}
	return p.RootKeyNamed(name)
}

// Rotate gives the root key that has the name a new version, under which data
// keys are wrapped from now on. What was wrapped before goes on opening. A name
// that the file doesn't have is [kmsprovider.ErrKeyUnusable]. Rotate waits for
// another process that is changing the file, until ctx ends.
func (p *Provider) Rotate(ctx context.Context, name string) error {
	err := p.update(ctx, func(f *keyFile) (changed bool, err error) {
		k := f.named(name)
		if k == nil {
			return false, fmt.Errorf("%w: the key file %s has no root key of that name", kmsprovider.ErrKeyUnusable, p.path)
		}
		k.Versions = append(k.Versions, newVersion(uint32(len(k.Versions)+1)))
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("localkms: rotating the root key %.80q: %w", name, err)
	}
	return nil
}

// update reads the key file, edits it and replaces it, while no other process
// does the same: an edit of what was read earlier would undo theirs.
func (p *Provider) update(ctx context.Context, edit func(*keyFile) (changed bool, err error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := p.refresh(); err != nil {
		return err
	}
	unlock, err := lock(ctx, p.path)
	if err != nil {
		return err
	}
	defer unlock()
	removeStale(p.path)
	f, info, err := readKeyFile(p.path)
	if err != nil {
		return err
	}
	defer f.wipe()
	if err := p.mayReplace(f, info); err != nil {
		return err
	}
	changed, err := edit(f)
	if err != nil {
		return err
	}
	if changed {
		if err := replace(p.path, f); err != nil {
			return err
		}
	}
	_, err = p.refresh()
	return err
}

// mayReplace fails if the key file isn't the one that this process knows.
func (p *Provider) mayReplace(f *keyFile, info os.FileInfo) error {
	known, err := p.current()
	if err != nil {
		return err
	}
	now, err := newSnapshot(f, info)
	if err != nil {
		return err
	}
	if err := now.extends(known); err != nil {
		return fmt.Errorf("key file %s: %w", p.path, err)
	}
	return nil
}

func newVersion(number uint32) fileVersion {
	key := make([]byte, rootKeySize)
	_, _ = rand.Read(key) // never fails: the program ends if there is no randomness
	return fileVersion{Version: number, Created: time.Now().UTC().Format(time.RFC3339), Key: key}
}
