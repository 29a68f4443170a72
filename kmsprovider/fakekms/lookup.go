package fakekms

import (
	"slices"
	"strings"
	"time"
)

// lookup returns the key that a KeyId names: a key ID, a key ARN, an alias name
// or an alias ARN. The cloud's mutex is held.
func (s *Server) lookup(keyID string) (*key, *apiError) {
	var a arn
	switch {
	case keyID == "" || len(keyID) > maxKeyIDLength:
		return nil, invalid("KeyId must have 1 to %d bytes", maxKeyIDLength)
	case strings.HasPrefix(keyID, "arn:"):
		var ok bool
		if a, ok = parseARN(keyID); !ok {
			return nil, refuse("InvalidArnException", "Invalid arn %q", keyID)
		}
		if a.region != s.region {
			return nil, notFound("Invalid arn %s", a.region)
		}
	case strings.HasPrefix(keyID, "alias/"):
		a = arn{region: s.region, account: s.cloud.account, resource: keyID}
	default:
		a = arn{region: s.region, account: s.cloud.account, resource: "key/" + keyID}
	}
	name := a.String()
	if strings.HasPrefix(a.resource, "alias/") {
		target, ok := s.cloud.aliases[name]
		if !ok {
			return nil, s.missing(a, "Alias")
		}
		name = target
	}
	k := s.cloud.keys[name]
	if k == nil || s.cloud.deleted(k) {
		return nil, s.missing(a, "Key")
	}
	return k, nil
}

// missing is the answer for a name without a key. KMS doesn't tell which keys
// another account has.
func (s *Server) missing(a arn, what string) *apiError {
	if a.account != s.cloud.account {
		return refuse("AccessDeniedException", "The caller is not authorized for %s: it does not exist in this region, or its policy does not allow access.", a)
	}
	return notFound("%s '%s' does not exist", what, a)
}

// own is lookup for administration, which is for keys of the callers' account.
func (s *Server) own(keyID string) (*key, *apiError) {
	k, refused := s.lookup(keyID)
	if refused == nil && k.arn.account != s.cloud.account {
		return nil, refuse("AccessDeniedException", "The caller may not administer %s of another account.", k.arn)
	}
	return k, refused
}

// deleted removes a key whose waiting period is over. The cloud's mutex is held.
func (c *cloud) deleted(k *key) bool {
	if k.state != pendingDeletion || time.Now().Before(k.deletion) {
		return false
	}
	delete(c.keys, k.arn.String())
	k.family.replicas = slices.DeleteFunc(k.family.replicas, func(r *key) bool { return r == k })
	return true
}

// usable returns the key that a KeyId names if it can encrypt and decrypt. The
// cloud's mutex is held.
func (s *Server) usable(keyID string) (*key, *apiError) {
	k, refused := s.lookup(keyID)
	if refused != nil {
		return nil, refused
	}
	return k, ready(k)
}

// ready returns why a key can't encrypt or decrypt, if so.
func ready(k *key) *apiError {
	if k.state != enabled {
		return stateError(k)
	}
	if !k.symmetric() {
		return refuse("InvalidKeyUsageException", "%s has KeySpec %s and KeyUsage %s, which do not allow the operation.", k.arn, k.spec, k.usage)
	}
	return nil
}

func stateError(k *key) *apiError {
	if k.state == disabled {
		return refuse("DisabledException", "%s is disabled.", k.arn)
	}
	return refuse("KMSInvalidStateException", "%s is pending deletion.", k.arn)
}

// setAlias points an alias of the callers' account at a key. With replace, the
// alias must exist; without, it must not.
func (s *Server) setAlias(name, keyID string, replace bool) *apiError {
	if !aliasName.MatchString(name) || strings.HasPrefix(name, "alias/aws/") {
		return invalid("AliasName %q is not \"alias/\" and 1 to 250 letters, digits, or any of /_-, or it is reserved", name)
	}
	c := s.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	k, refused := s.own(keyID)
	if refused != nil {
		return refused
	}
	if k.state == pendingDeletion {
		return stateError(k)
	}
	a := arn{region: s.region, account: c.account, resource: name}.String()
	_, exists := c.aliases[a]
	switch {
	case replace && !exists:
		return notFound("Alias %s is not found.", a)
	case !replace && exists:
		return refuse("AlreadyExistsException", "An alias with the name %s already exists", a)
	case !exists && len(c.aliases) >= maxAliases:
		return refuse("LimitExceededException", "there are %d aliases already", maxAliases)
	}
	c.aliases[a] = k.arn.String()
	return nil
}
