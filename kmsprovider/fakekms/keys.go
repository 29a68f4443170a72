package fakekms

import (
	"slices"
	"time"
)

// KeyOptions describes a new key. The zero value makes a symmetric encryption
// key of one region, in the callers' account.
type KeyOptions struct {
	Description string
	MultiRegion bool

	// Spec and Usage are KMS's KeySpec and KeyUsage, such as "RSA_2048" and
	// "SIGN_VERIFY"; empty means "SYMMETRIC_DEFAULT" and the first usage that
	// the spec allows. Only symmetric encryption keys do any work: calls with
	// others fail with InvalidKeyUsageException.
	Spec, Usage string

	// Account owns the key; empty means the callers' own. The callers may use
	// another account's key, by its full ARN, but not administer it.
	Account string
}

// A key's state, as KMS names it.
type keyState string

const (
	enabled         keyState = "Enabled"
	disabled        keyState = "Disabled"
	pendingDeletion keyState = "PendingDeletion"
)

const symmetricSpec = "SYMMETRIC_DEFAULT"

// A key is a key in one region. Its cloud's mutex guards it.
type key struct {
	arn         arn
	id          string
	description string
	spec, usage string
	created     time.Time
	state       keyState
	deletion    time.Time // when pending
	family      *family
}

// A family is a key and its replicas in other regions: they share key material.
type family struct {
	multiRegion bool
	primary     *key
	replicas    []*key
	current     *material
	rotations   int // on demand, by clients
}

func (k *key) symmetric() bool { return k.spec == symmetricSpec && k.usage == "ENCRYPT_DECRYPT" }

// usages returns what keys of a spec may be used for, nil for an unknown spec.
func usages(spec string) []string {
	switch spec {
	case symmetricSpec:
		return []string{"ENCRYPT_DECRYPT"}
	case "RSA_2048", "RSA_3072", "RSA_4096":
		return []string{"ENCRYPT_DECRYPT", "SIGN_VERIFY"}
	case "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1":
		return []string{"SIGN_VERIFY", "KEY_AGREEMENT"}
	case "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512":
		return []string{"GENERATE_VERIFY_MAC"}
	}
	return nil
}

func (s *Server) createKey(opts KeyOptions) (*key, *apiError) {
	if opts.Account == "" {
		opts.Account = s.cloud.account
	}
	if opts.Spec == "" {
		opts.Spec = symmetricSpec
	}
	allowed := usages(opts.Spec)
	if opts.Usage == "" && allowed != nil {
		opts.Usage = allowed[0]
	}
	switch {
	case !validAccount(opts.Account):
		return nil, invalid("account %q is not 12 digits", opts.Account)
	case allowed == nil:
		return nil, invalid("unknown KeySpec %q", opts.Spec)
	case !slices.Contains(allowed, opts.Usage):
		return nil, invalid("KeyUsage %q is not valid for KeySpec %q", opts.Usage, opts.Spec)
	case len(opts.Description) > 8192:
		return nil, invalid("Description is longer than 8192 bytes")
	}
	k := &key{
		id:          newUUID(),
		description: opts.Description,
		spec:        opts.Spec,
		usage:       opts.Usage,
		created:     time.Now(),
		state:       enabled,
		family:      &family{multiRegion: opts.MultiRegion},
	}
	if opts.MultiRegion {
		k.id = newMultiRegionID()
	}
	k.arn = arn{region: s.region, account: opts.Account, resource: "key/" + k.id}
	k.family.primary = k

	c := s.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.keys) >= maxKeys {
		return nil, refuse("LimitExceededException", "there are %d keys already", maxKeys)
	}
	c.keys[k.arn.String()] = k
	c.newMaterial(k.family)
	return k, nil
}

func (s *Server) replicateKey(keyID, region, description string) (*key, *apiError) {
	other, err := s.cloud.server(region, true)
	if err != nil {
		return nil, invalid("ReplicaRegion: %v", err)
	}
	c := s.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	k, refused := s.own(keyID)
	switch {
	case refused != nil:
		return nil, refused
	case !k.family.multiRegion || k.family.primary != k:
		return nil, refuse("UnsupportedOperationException", "%s is not a multi-region primary key.", k.arn)
	case k.state != enabled:
		return nil, stateError(k)
	case len(c.keys) >= maxKeys:
		return nil, refuse("LimitExceededException", "there are %d keys already", maxKeys)
	}
	replica := *k
	replica.arn.region = other.region
	replica.description = description
	replica.created = time.Now()
	if c.keys[replica.arn.String()] != nil {
		return nil, refuse("AlreadyExistsException", "%s exists already.", replica.arn)
	}
	c.keys[replica.arn.String()] = &replica
	k.family.replicas = append(k.family.replicas, &replica)
	return &replica, nil
}

func (s *Server) rotateKey(keyID string, onDemand bool) (*key, *apiError) {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	k, refused := s.own(keyID)
	switch {
	case refused != nil:
		return nil, refused
	case !k.symmetric():
		return nil, refuse("UnsupportedOperationException", "%s is not a symmetric encryption key.", k.arn)
	case k.family.primary != k:
		return nil, refuse("UnsupportedOperationException", "%s is a replica key: rotate its primary key.", k.arn)
	case k.state != enabled:
		return nil, stateError(k)
	case onDemand && k.family.rotations >= 25:
		return nil, refuse("LimitExceededException", "%s has been rotated on demand 25 times.", k.arn)
	}
	if onDemand {
		k.family.rotations++
	}
	s.cloud.newMaterial(k.family)
	return k, nil
}
