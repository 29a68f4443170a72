package envelope

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/internal/primitives"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A Purpose separates the data keys of one scope: a key of one purpose is
// never used for another.
type Purpose string

// The purposes of format version 1.
const (
	PurposeData          Purpose = "data"
	PurposeDeterministic Purpose = "det"
	PurposeIndex         Purpose = "index"
	PurposeLog           Purpose = "log"
)

// encryptionContext is what the key service binds a scope's wrapped keys to.
func encryptionContext(scope Scope, purpose Purpose) kmsprovider.EncryptionContext {
	return kmsprovider.EncryptionContext{
		"fieldcrypt:v":       "1",
		"fieldcrypt:tenant":  scope.Tenant,
		"fieldcrypt:class":   scope.Class,
		"fieldcrypt:purpose": string(purpose),
	}
}

// derive is the format's HKDF(ikm, info, 32): HKDF-SHA256 (RFC 5869) with an
// empty salt.
func derive(secret []byte, info string) []byte {
	key, err := primitives.Derive(secret, info, 32)
	if err != nil {
		panic("envelope: " + err.Error()) // lengths are constants
	}
	return key
}

// checkKey holds a data key, its scope and its purpose to the format.
func checkKey(secret []byte, scope Scope, purpose Purpose) error {
	if len(secret) != kmsprovider.DataKeySize {
		return malformed("data key of %d bytes, it must be %d", len(secret), kmsprovider.DataKeySize)
	}
	switch purpose {
	case PurposeData, PurposeDeterministic, PurposeIndex, PurposeLog:
		return scope.validate()
	}
	return malformed("unknown purpose %q", purpose)
}

func deriveKeyID(secret []byte, scope Scope, purpose Purpose) KeyID {
	info := appendLP([]byte("fieldcrypt/v1 key-id"), string(purpose))
	return KeyID(derive(secret, string(append(info, scope.canonical()...))))
}

// recordTag authenticates what a key store says of a key; see FORMAT.md, key
// records.
func recordTag(secret []byte, scope Scope, purpose Purpose, created, notAfter time.Time, budget uint64) [32]byte {
	info := appendLP([]byte("fieldcrypt/v1 key-record"), string(purpose))
	key := derive(secret, string(append(info, scope.canonical()...)))
	defer clear(key)

	msg := appendLP([]byte("fieldcrypt/v1 record"), string(purpose))
	msg = append(msg, scope.canonical()...)
	msg = binary.BigEndian.AppendUint64(msg, unixOrZero(created))
	msg = binary.BigEndian.AppendUint64(msg, unixOrZero(notAfter))
	msg = binary.BigEndian.AppendUint64(msg, budget)
	return primitives.MAC(key, msg)
}

func unixOrZero(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.Unix())
}

// dataKey is a data key in use. It doesn't hold the secret, but what its purpose
// needs of it: AES's expanded schedule or the states of HMACs, which are
// overwritten once nothing refers to the dataKey any more.
type dataKey struct {
	id      KeyID
	scope   Scope
	purpose Purpose
	aead    cipher.AEAD     // purpose data
	siv     *primitives.SIV // purpose det
	indexes *indexKeys      // purpose index
	prefix  []byte          // of the additional data: label, version, key ID, scope

	openable atomic.Bool  // published for opening
	sealable atomic.Bool  // published for sealing
	sets     atomic.Int32 // key sets in use that have it
	used     atomic.Bool  // since the watch last looked
	vanished atomic.Bool  // the key store's record was found to be gone
	adopted  atomic.Bool  // see record

	watch     *watch    // of the root key that it was loaded under; set before it is published, as wrapped is
	wrapped   []byte    // for the watch
	idleSince int64     // in Unix nanoseconds; for the check of the watch alone
	created   time.Time // of the key store's record; zero: it came inside an envelope, or there is no store
	answered  time.Time // when its store last answered about it; under poll.mu once it is published

	// record is the print of the key store's record, where the key was loaded
	// from it to open; else zero. The one call that sets adopted gives it seal.
	record [32]byte
	seal   *sealing // nil for a key that only opens; set before it is sealable
}

// newDataKey is newKey for the purpose data.
func newDataKey(secret []byte, scope Scope) (*dataKey, error) {
	return newKey(secret, scope, PurposeData)
}

// newKey derives what a purpose needs from the secret, and wipes the secret.
func newKey(secret []byte, scope Scope, purpose Purpose) (*dataKey, error) {
	defer clear(secret)
	if err := checkKey(secret, scope, purpose); err != nil {
		return nil, err
	}
	k := &dataKey{id: deriveKeyID(secret, scope, purpose), scope: scope, purpose: purpose}
	switch purpose {
	case PurposeData:
		return k, k.forFields(secret)
	case PurposeDeterministic:
		return k, k.forDeterministic(secret)
	case PurposeIndex:
		k.indexes = newIndexKeys(secret, scope)
		// The collector runs this when no cache and no call holds k any more.
		runtime.AddCleanup(k, (*indexKeys).wipe, k.indexes)
		return k, nil
	}
	return nil, malformed("this release uses no keys of purpose %q", purpose)
}

// forFields makes k a key that seals and opens fields.
func (k *dataKey) forFields(secret []byte) error {
	scope := k.scope
	gcmKey := derive(secret, "fieldcrypt/v1 aes-256-gcm"+string(scope.canonical()))
	defer clear(gcmKey)
	aead, err := primitives.NewGCM(gcmKey)
	if err != nil {
		return err
	}
	k.aead = aead
	k.prefix = slices.Concat([]byte("fieldcrypt/v1 field"), []byte{version}, k.id[:], scope.canonical())
	runtime.AddCleanup(k, func(aead cipher.AEAD) { primitives.Wipe(aead) }, aead)
	return nil
}

// name is what the key store has it under.
func (k *dataKey) name() KeyName { return KeyName{k.scope, k.purpose, k.id} }

// is reports whether the key has this ID, in constant time.
func (k *dataKey) is(id *KeyID) bool { return subtle.ConstantTimeCompare(k.id[:], id[:]) == 1 }

// sealFrame appends nonce, ciphertext and tag. aad holds the whole additional
// data, which starts with k.prefix.
func (k *dataKey) sealFrame(dst, frame, aad []byte) []byte {
	out := k.aead.Seal(dst, nil, frame, aad)
	runtime.KeepAlive(k) // the schedule must not be overwritten before here
	return out
}

func (k *dataKey) openFrame(dst, body, aad []byte) ([]byte, error) {
	out, err := k.aead.Open(dst, nil, body, aad)
	runtime.KeepAlive(k)
	if err != nil {
		return nil, errBadTag
	}
	if _, _, err := ParseFrame(out[len(dst):]); err != nil {
		clear(out[len(dst):])
		return nil, err
	}
	return out, nil
}

// Format implements fmt.Formatter: no verb prints key material.
func (k *dataKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "data key "+k.id.String()+" [REDACTED]")
}
