package localkms

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const (
	fileFormat     = "fieldcrypt local key file"
	fileVersion1   = 1
	maxFileSize    = 1 << 20 // bytes; some 5,000 root keys, or 9,000 versions of one
	rootKeySize    = 32      // bytes; AES-256
	maxNameSize    = 63      // bytes
	defaultRootKey = "default"
)

// A keyFile is the key file's content. Its members are written in this order.
type keyFile struct {
	Format   string        `json:"format"`
	Version  int           `json:"version"`
	ID       string        `json:"id"` // 26 characters of a-z and 2-7: 130 random bits
	RootKeys []fileRootKey `json:"root_keys"`
}

type fileRootKey struct {
	Name     string        `json:"name"`
	Versions []fileVersion `json:"versions"` // numbered from 1 without a gap
}

type fileVersion struct {
	Version uint32 `json:"version"`
	Created string `json:"created"` // RFC 3339, UTC, whole seconds; for people
	Key     []byte `json:"key"`     // rootKeySize bytes, in base64
}

func newKeyFile() *keyFile {
	return &keyFile{
		Format: fileFormat, Version: fileVersion1, ID: strings.ToLower(rand.Text()),
		RootKeys: []fileRootKey{{Name: defaultRootKey, Versions: []fileVersion{newVersion(1)}}},
	}
}

// parseKeyFile reads a key file strictly: what it accepts, encode writes again
// byte for byte, save for white space between the members. Its errors never
// hold a piece of the input that could be part of a key.
func parseKeyFile(data []byte) (*keyFile, error) {
	f := new(keyFile)
	if err := f.parse(data); err != nil {
		f.wipe()
		return nil, fmt.Errorf("%w: %w", kmsprovider.ErrKeyUnusable, err)
	}
	return f, nil
}

func (f *keyFile) parse(data []byte) error {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return errors.New("the key file is empty; restore it from a backup, or delete it if nothing was ever sealed with it")
	case len(data) > maxFileSize:
		return fmt.Errorf("the key file is larger than %d bytes", maxFileSize)
	}
	err := json.Unmarshal(data, f)
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("the key file is damaged or cut short: not JSON at byte %d of %d; restore it from a backup", wrong.Offset, len(data))
	}
	// Before the rest, which another format or version may have otherwise.
	if f.Format != fileFormat {
		return fmt.Errorf("not a key file: its member \"format\" isn't %q", fileFormat)
	}
	if f.Version != fileVersion1 {
		return fmt.Errorf("the key file has the version %d, and this package reads version %d; it was written by a newer release", f.Version, fileVersion1)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("the key file is damaged: its member %q has a value of the wrong kind", wrong.Field)
	}
	if err != nil {
		return errors.New("the key file is damaged: a root key isn't base64; restore it from a backup")
	}
	if err := f.validate(); err != nil {
		return fmt.Errorf("the key file is damaged: %w", err)
	}
	return f.sameAs(data)
}

func (f *keyFile) validate() error {
	if !validID(f.ID) {
		return errors.New(`its member "id" isn't 26 characters of a-z and 2-7`)
	}
	seen := make(map[string]bool, len(f.RootKeys))
	for i, k := range f.RootKeys {
		switch {
		case !validName(k.Name):
			return fmt.Errorf("root key %d has no valid name", i+1)
		case seen[k.Name]:
			return fmt.Errorf("two root keys have the name of root key %d", i+1)
		case len(k.Versions) == 0:
			return fmt.Errorf("root key %d has no versions", i+1)
		}
		seen[k.Name] = true
		for j, v := range k.Versions {
			created, err := time.Parse(time.RFC3339, v.Created)
			switch {
			case v.Version != uint32(j+1):
				return fmt.Errorf("the versions of root key %d aren't numbered 1, 2, 3 and so on", i+1)
			case err != nil || created.UTC().Format(time.RFC3339) != v.Created:
				return fmt.Errorf("version %d of root key %d has no date of the form 2006-01-02T15:04:05Z", v.Version, i+1)
			case len(v.Key) != rootKeySize:
				return fmt.Errorf("version %d of root key %d has a key of %d bytes, want %d", v.Version, i+1, len(v.Key), rootKeySize)
			}
		}
	}
	if !seen[defaultRootKey] {
		return fmt.Errorf("it has no root key named %q", defaultRootKey)
	}
	return nil
}

// sameAs fails if the file says more than f: members that this package doesn't
// know, the same member twice, one in another spelling (encoding/json takes
// "ID" for "id"), line breaks in base64.
func (f *keyFile) sameAs(data []byte) error {
	var is, want bytes.Buffer
	is.Grow(len(data))
	encoded := f.encode()
	want.Grow(len(encoded))
	defer func() {
		clear(encoded)
		clear(is.Bytes())
		clear(want.Bytes())
	}()
	if json.Compact(&is, data) != nil || json.Compact(&want, encoded) != nil || !bytes.Equal(is.Bytes(), want.Bytes()) {
		if name := unknownMember(data); name != "" {
			return fmt.Errorf("the key file has a member %q, which this release doesn't know; was it written by a newer one, or edited by hand?", name)
		}
		return errors.New("the key file isn't as this package writes it: a member twice, in another order or spelling; was it edited by hand?")
	}
	return nil
}

// unknownMember returns the first member name that isn't one of a key file, or
// "" if there is none, or none that is surely a name and not a misplaced key.
func unknownMember(data []byte) string {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	f := new(keyFile)
	defer f.wipe()
	err := d.Decode(f)
	if err == nil {
		return ""
	}
	_, quoted, ok := strings.Cut(err.Error(), "unknown field ")
	name, err := strconv.Unquote(quoted)
	if !ok || err != nil || !validName(name) || len(name) > 30 {
		return ""
	}
	return name
}

// encode writes the key file. It does so by hand because the buffers of
// encoding/json can't be wiped; nothing in a key file needs escaping.
func (f *keyFile) encode() []byte {
	size := 256
	for _, k := range f.RootKeys {
		size += 128
		for range k.Versions {
			size += 192
		}
	}
	b := make([]byte, 0, size) // large enough: growing would leave copies of keys behind
	b = fmt.Appendf(b, "{\n  \"format\": %q,\n  \"version\": %d,\n  \"id\": %q,\n  \"root_keys\": [", f.Format, f.Version, f.ID)
	for i, k := range f.RootKeys {
		b = fmt.Appendf(b, "%s\n    {\n      \"name\": %q,\n      \"versions\": [", comma(i), k.Name)
		for j, v := range k.Versions {
			b = fmt.Appendf(b, "%s\n        {\"version\": %d, \"created\": %q, \"key\": \"", comma(j), v.Version, v.Created)
			b = base64.StdEncoding.AppendEncode(b, v.Key)
			b = append(b, "\"}"...)
		}
		b = append(b, "\n      ]\n    }"...)
	}
	return append(b, "\n  ]\n}\n"...)
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

func (f *keyFile) named(name string) *fileRootKey {
	for i := range f.RootKeys {
		if f.RootKeys[i].Name == name {
			return &f.RootKeys[i]
		}
	}
	return nil
}

// wipe overwrites the root keys.
func (f *keyFile) wipe() {
	for _, k := range f.RootKeys {
		for _, v := range k.Versions {
			clear(v.Key)
		}
	}
}

func validID(id string) bool {
	return len(id) == 26 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func validName(name string) bool {
	if len(name) < 1 || len(name) > maxNameSize || strings.ContainsRune("._-", rune(name[0])) {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}
