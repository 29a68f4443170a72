package fakekms

// The methods of this file arrange what a test needs. They panic where KMS
// would refuse, for instance because there is no such key: that is a mistake in
// the test. A keyID is whatever KMS takes for one: a key ID, a key ARN, an
// alias name ("alias/…") or an alias ARN. Clients can do the same by API calls.

// CreateKey makes a key and returns its ARN.
func (s *Server) CreateKey(opts KeyOptions) (keyARN string) {
	k, refused := s.createKey(opts)
	must("CreateKey", refused)
	return k.arn.String()
}

// ReplicateKey makes a replica of a multi-region primary key in another
// region, and returns its ARN. Both have the same key material, now and after
// a rotation, but each is enabled, disabled and deleted on its own.
func (s *Server) ReplicateKey(keyID, region string) (replicaARN string) {
	k, refused := s.replicateKey(keyID, region, "")
	must("ReplicateKey", refused)
	return k.arn.String()
}

// RotateKey gives a key, and its replicas, new key material. The old goes on
// decrypting. It stands for KMS's automatic rotation, so that it isn't limited
// to 25 times as RotateKeyOnDemand is.
func (s *Server) RotateKey(keyID string) {
	_, refused := s.rotateKey(keyID, false)
	must("RotateKey", refused)
}

// Disable disables a key: calls for it fail with DisabledException.
func (s *Server) Disable(keyID string) { must("Disable", s.setEnabled(keyID, false)) }

// Enable enables a disabled key.
func (s *Server) Enable(keyID string) { must("Enable", s.setEnabled(keyID, true)) }

// ScheduleDeletion lets a key be deleted after a number of days, 7 to 30. Until
// then calls for it fail with KMSInvalidStateException, after it with
// NotFoundException.
func (s *Server) ScheduleDeletion(keyID string, days int) {
	_, _, refused := s.scheduleDeletion(keyID, days)
	must("ScheduleDeletion", refused)
}

// CancelDeletion keeps a key whose deletion is scheduled. It is disabled then.
func (s *Server) CancelDeletion(keyID string) {
	_, refused := s.cancelDeletion(keyID)
	must("CancelDeletion", refused)
}

// CreateAlias makes an alias, such as "alias/crm", for a key.
func (s *Server) CreateAlias(name, keyID string) { must("CreateAlias", s.setAlias(name, keyID, false)) }

// UpdateAlias points an existing alias at another key.
func (s *Server) UpdateAlias(name, keyID string) { must("UpdateAlias", s.setAlias(name, keyID, true)) }

func must(what string, refused *apiError) {
	if refused != nil {
		panic("fakekms: " + what + ": " + refused.Error())
	}
}
