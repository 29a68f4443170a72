package fakekms

// describe tells what a call is about, for the list of calls and the faults.
// What is malformed is left out here, and refused when the call is carried out.
func (s *Server) describe(c *Call, req request) {
	name, context := "KeyId", "EncryptionContext"
	switch c.Op {
	case "ReEncrypt":
		name, context = "SourceKeyId", "SourceEncryptionContext"
		if to, refused := req.text("DestinationKeyId"); refused == nil {
			c.DestinationKeyARN = s.arnOf(to)
		}
	case "CreateAlias", "UpdateAlias":
		name = "TargetKeyId"
	}
	c.EncryptionContext, _ = req.context(context)
	if keyID, refused := req.text(name); refused == nil && len(keyID) <= maxKeyIDLength {
		c.KeyID, c.KeyARN = keyID, s.arnOf(keyID)
	}
	if blob, refused := req.bytes("CiphertextBlob"); c.KeyID == "" && refused == nil {
		s.cloud.mu.Lock()
		defer s.cloud.mu.Unlock()
		if m := s.cloud.materialOf(blob); m != nil {
			if k := s.keyOf(m); k != nil {
				c.KeyARN = k.arn.String()
			}
		}
	}
}

// arnOf returns the ARN of the key that a KeyId names, empty if there is none.
func (s *Server) arnOf(keyID string) string {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	k, refused := s.lookup(keyID)
	if refused != nil {
		return ""
	}
	return k.arn.String()
}
