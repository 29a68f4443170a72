package fakekms

import (
	"crypto/rand"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

const maxDataKey = 1024 // bytes that GenerateDataKey makes at most, as in KMS

func (s *Server) opGenerateDataKey(req request) (answer, *apiError) {
	in := new(reader)
	keyID, ec := read(in, req.text, "KeyId"), read(in, req.context, "EncryptionContext")
	spec := read(in, req.text, "KeySpec")
	size := read(in, req.number, "NumberOfBytes")
	given := size != nil
	switch {
	case in.refused != nil:
		return nil, in.refused
	case given == (spec != ""):
		return nil, invalid("Please specify either number of bytes or key spec.")
	case given && (*size < 1 || *size > maxDataKey):
		return nil, invalid("NumberOfBytes must be 1 to %d", maxDataKey)
	case spec == "AES_128":
		size = new(16)
	case spec == "AES_256":
		size = new(32)
	case !given:
		return nil, invalid("KeySpec must be AES_128 or AES_256")
	}
	if refused := supported(req); refused != nil {
		return nil, refused
	}
	plaintext := make([]byte, *size)
	_, _ = rand.Read(plaintext) // never fails
	k, m, blob, refused := s.encrypt(req, keyID, plaintext, ec)
	if refused != nil {
		clear(plaintext)
		return nil, refused
	}
	return answer{
		"KeyId": k.arn.String(), "KeyMaterialId": m.printable(),
		"CiphertextBlob": blob, "Plaintext": plaintext,
	}, nil
}

func (s *Server) opGenerateDataKeyWithoutPlaintext(req request) (answer, *apiError) {
	a, refused := s.opGenerateDataKey(req)
	if refused != nil {
		return nil, refused
	}
	a.wipe()
	delete(a, "Plaintext")
	return a, nil
}

func (s *Server) opEncrypt(req request) (answer, *apiError) {
	in := new(reader)
	keyID, ec := read(in, req.text, "KeyId"), read(in, req.context, "EncryptionContext")
	plaintext := read(in, req.bytes, "Plaintext")
	defer clear(plaintext)
	switch {
	case in.refused != nil:
		return nil, in.refused
	case len(plaintext) < 1 || len(plaintext) > maxPlaintext:
		return nil, invalid("Plaintext must have 1 to %d bytes", maxPlaintext)
	}
	if refused := supported(req, "EncryptionAlgorithm"); refused != nil {
		return nil, refused
	}
	k, _, blob, refused := s.encrypt(req, keyID, plaintext, ec)
	if refused != nil {
		return nil, refused
	}
	return answer{"KeyId": k.arn.String(), "CiphertextBlob": blob, "EncryptionAlgorithm": symmetricSpec}, nil
}

func (s *Server) opDecrypt(req request) (answer, *apiError) {
	in := new(reader)
	keyID, ec := read(in, req.text, "KeyId"), read(in, req.context, "EncryptionContext")
	blob := read(in, req.bytes, "CiphertextBlob")
	if in.refused != nil {
		return nil, in.refused
	}
	if refused := supported(req, "EncryptionAlgorithm"); refused != nil {
		return nil, refused
	}
	k, m, plaintext, refused := s.decrypt(keyID, blob, ec)
	if refused != nil {
		return nil, refused
	}
	if refused := dryRun(req); refused != nil {
		clear(plaintext)
		return nil, refused
	}
	return answer{
		"KeyId": k.arn.String(), "KeyMaterialId": m.printable(),
		"Plaintext": plaintext, "EncryptionAlgorithm": symmetricSpec,
	}, nil
}

func (s *Server) opReEncrypt(req request) (answer, *apiError) {
	in := new(reader)
	from, to := read(in, req.text, "SourceKeyId"), read(in, req.text, "DestinationKeyId")
	fromEC, toEC := read(in, req.context, "SourceEncryptionContext"), read(in, req.context, "DestinationEncryptionContext")
	blob := read(in, req.bytes, "CiphertextBlob")
	if in.refused != nil {
		return nil, in.refused
	}
	if refused := supported(req, "SourceEncryptionAlgorithm", "DestinationEncryptionAlgorithm"); refused != nil {
		return nil, refused
	}
	source, sourceMaterial, plaintext, refused := s.decrypt(from, blob, fromEC)
	if refused != nil {
		return nil, refused
	}
	defer clear(plaintext)
	k, m, blob, refused := s.encrypt(req, to, plaintext, toEC)
	if refused != nil {
		return nil, refused
	}
	return answer{
		"KeyId": k.arn.String(), "CiphertextBlob": blob,
		"DestinationKeyMaterialId": m.printable(), "DestinationEncryptionAlgorithm": symmetricSpec,
		"SourceKeyId": source.arn.String(), "SourceKeyMaterialId": sourceMaterial.printable(), "SourceEncryptionAlgorithm": symmetricSpec,
	}, nil
}

// encrypt seals plaintext under the current material of a key. It ends with
// the check for a dry run, which is to come after all others.
func (s *Server) encrypt(req request, keyID string, plaintext []byte, ec kmsprovider.EncryptionContext) (*key, *material, []byte, *apiError) {
	s.cloud.mu.Lock()
	k, refused := s.usable(keyID)
	var m *material
	if refused == nil {
		m = k.family.current
	}
	s.cloud.mu.Unlock()
	if refused != nil {
		return nil, nil, nil, refused
	}
	if refused := dryRun(req); refused != nil {
		return nil, nil, nil, refused
	}
	blob, refused := m.seal(plaintext, ec)
	return k, m, blob, refused
}

// decrypt opens a ciphertext. An empty keyID leaves the choice of the key to
// the ciphertext.
func (s *Server) decrypt(keyID string, blob []byte, ec kmsprovider.EncryptionContext) (*key, *material, []byte, *apiError) {
	if err := checkBlob(blob); err != nil {
		return nil, nil, nil, invalid("CiphertextBlob: %v", err)
	}
	s.cloud.mu.Lock()
	k, m, refused := s.keyFor(keyID, blob)
	s.cloud.mu.Unlock()
	if refused != nil {
		return nil, nil, nil, refused
	}
	plaintext, refused := m.open(blob, ec)
	return k, m, plaintext, refused
}

// keyFor returns the key and the material that open a ciphertext. The cloud's
// mutex is held.
func (s *Server) keyFor(keyID string, blob []byte) (*key, *material, *apiError) {
	var named *key
	if keyID != "" {
		var refused *apiError
		if named, refused = s.usable(keyID); refused != nil {
			return nil, nil, refused
		}
	}
	m := s.cloud.materialOf(blob)
	if m == nil {
		return nil, nil, refuse("InvalidCiphertextException", "the ciphertext was not made by this service")
	}
	k := s.keyOf(m)
	switch {
	case named != nil && named != k:
		return nil, nil, refuse("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	case k == nil:
		return nil, nil, refuse("AccessDeniedException", "The ciphertext refers to a key that does not exist, does not exist in this region, or you are not allowed to access.")
	}
	return k, m, ready(k)
}

// keyOf returns this region's key with the given material, nil if there is
// none. The cloud's mutex is held.
func (s *Server) keyOf(m *material) *key {
	a := m.family.primary.arn
	a.region = s.region
	k := s.cloud.keys[a.String()]
	if k == nil || k.family != m.family || s.cloud.deleted(k) {
		return nil
	}
	return k
}

// dryRun ends a call that asks whether it would succeed: it would.
func dryRun(req request) *apiError {
	dry, refused := req.flag("DryRun")
	if refused == nil && dry {
		return refuse("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	}
	return refused
}

// supported refuses what this server doesn't do: answers encrypted for an
// enclave, and algorithms other than the symmetric one.
func supported(req request, algorithms ...string) *apiError {
	var recipient any
	if given, refused := req.get("Recipient", &recipient); given || refused != nil {
		return refuse("UnsupportedOperationException", "Recipient is not supported here")
	}
	for _, name := range algorithms {
		algorithm, refused := req.text(name)
		if refused != nil {
			return refused
		}
		if algorithm != "" && algorithm != symmetricSpec {
			return refuse("InvalidKeyUsageException", "%s is not supported here: %s", name, cut(algorithm))
		}
	}
	return nil
}
