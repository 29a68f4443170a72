package fakekms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A ciphertext is a header, which names the key material and is authenticated,
// and then nonce, ciphertext and tag of AES-256-GCM. The padding makes it as
// long as those of AWS KMS: 152 bytes longer than the plaintext.
const (
	blobMagic     = "fakekms\x01"
	materialSize  = 32
	blobPadding   = 84
	blobHeader    = len(blobMagic) + materialSize + blobPadding
	blobOverhead  = blobHeader + 12 + 16
	maxPlaintext  = 4096 // bytes that Encrypt takes, as in KMS
	maxCiphertext = 6144 // bytes that Decrypt takes, as in KMS
)

// A material is one version of a family's key material.
type material struct {
	id     string // materialSize bytes
	aead   cipher.AEAD
	family *family
}

// newMaterial makes new key material the family's current one. The cloud's
// mutex is held.
func (c *cloud) newMaterial(f *family) {
	var b [materialSize + 32]byte
	_, _ = rand.Read(b[:]) // never fails
	block, err := aes.NewCipher(b[materialSize:])
	if err != nil {
		panic(err) // the length is right
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has the block size that GCM wants
	}
	clear(b[materialSize:])
	f.current = &material{id: string(b[:materialSize]), aead: aead, family: f}
	c.material[f.current.id] = f.current
}

// printable is the material's ID as KMS shows it.
func (m *material) printable() string { return hex.EncodeToString([]byte(m.id)) }

// seal encrypts plaintext, bound to the encryption context.
func (m *material) seal(plaintext []byte, ec kmsprovider.EncryptionContext) ([]byte, *apiError) {
	header := make([]byte, blobHeader, blobOverhead+len(plaintext))
	copy(header[copy(header, blobMagic):], m.id)
	aad, refused := additionalData(header, ec)
	if refused != nil {
		return nil, refused
	}
	return m.aead.Seal(header, nil, plaintext, aad), nil
}

// open decrypts what seal made.
func (m *material) open(blob []byte, ec kmsprovider.EncryptionContext) ([]byte, *apiError) {
	aad, refused := additionalData(blob[:blobHeader], ec)
	if refused != nil {
		return nil, refused
	}
	plaintext, err := m.aead.Open(nil, nil, blob[blobHeader:], aad)
	if err != nil {
		return nil, refuse("InvalidCiphertextException", "the ciphertext is damaged, or its encryption context is another")
	}
	return plaintext, nil
}

func additionalData(header []byte, ec kmsprovider.EncryptionContext) ([]byte, *apiError) {
	canonical, err := ec.Canonical()
	if err != nil {
		return nil, invalid("EncryptionContext: %v", err)
	}
	return append(append(make([]byte, 0, len(header)+len(canonical)), header...), canonical...), nil
}

// materialOf returns what a ciphertext was made under, nil if that can't be
// told. The cloud's mutex is held.
func (c *cloud) materialOf(blob []byte) *material {
	if len(blob) < blobOverhead || string(blob[:len(blobMagic)]) != blobMagic {
		return nil
	}
	return c.material[string(blob[len(blobMagic):len(blobMagic)+materialSize])]
}

// checkBlob returns why bytes can't be a ciphertext, if so.
func checkBlob(blob []byte) error {
	if len(blob) < 1 || len(blob) > maxCiphertext {
		return fmt.Errorf("a ciphertext has 1 to %d bytes, this one %d", maxCiphertext, len(blob))
	}
	return nil
}
