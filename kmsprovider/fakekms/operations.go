package fakekms

import (
	"time"
)

// operations holds what each operation does. It is never written to.
var operations = map[string]func(*Server, request) (answer, *apiError){
	"CancelKeyDeletion":               (*Server).opCancelKeyDeletion,
	"CreateAlias":                     (*Server).opCreateAlias,
	"CreateKey":                       (*Server).opCreateKey,
	"Decrypt":                         (*Server).opDecrypt,
	"DescribeKey":                     (*Server).opDescribeKey,
	"DisableKey":                      (*Server).opDisableKey,
	"EnableKey":                       (*Server).opEnableKey,
	"Encrypt":                         (*Server).opEncrypt,
	"GenerateDataKey":                 (*Server).opGenerateDataKey,
	"GenerateDataKeyWithoutPlaintext": (*Server).opGenerateDataKeyWithoutPlaintext,
	"ReEncrypt":                       (*Server).opReEncrypt,
	"ReplicateKey":                    (*Server).opReplicateKey,
	"RotateKeyOnDemand":               (*Server).opRotateKeyOnDemand,
	"ScheduleKeyDeletion":             (*Server).opScheduleKeyDeletion,
	"UpdateAlias":                     (*Server).opUpdateAlias,
}

// A reader keeps the first refusal of several parameters, so that an operation
// checks once.
type reader struct {
	refused *apiError
}

func read[T any](r *reader, get func(string) (T, *apiError), name string) T {
	v, refused := get(name)
	if r.refused == nil {
		r.refused = refused
	}
	return v
}

func (s *Server) opCreateKey(req request) (answer, *apiError) {
	in := new(reader)
	opts := KeyOptions{
		Description: read(in, req.text, "Description"),
		MultiRegion: read(in, req.flag, "MultiRegion"),
		Spec:        read(in, req.text, "KeySpec"),
		Usage:       read(in, req.text, "KeyUsage"),
	}
	origin := read(in, req.text, "Origin")
	switch {
	case in.refused != nil:
		return nil, in.refused
	case origin != "" && origin != "AWS_KMS":
		return nil, refuse("UnsupportedOperationException", "Origin %s is not supported here", cut(origin))
	}
	k, refused := s.createKey(opts)
	if refused != nil {
		return nil, refused
	}
	return answer{"KeyMetadata": s.metadata(k)}, nil
}

func (s *Server) opDescribeKey(req request) (answer, *apiError) {
	keyID, refused := req.text("KeyId")
	if refused != nil {
		return nil, refused
	}
	s.cloud.mu.Lock()
	k, refused := s.lookup(keyID)
	s.cloud.mu.Unlock()
	if refused != nil {
		return nil, refused
	}
	return answer{"KeyMetadata": s.metadata(k)}, nil
}

// metadata is a key's description as KMS gives it.
func (s *Server) metadata(k *key) answer {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	m := answer{
		"AWSAccountId":          k.arn.account,
		"KeyId":                 k.id,
		"Arn":                   k.arn.String(),
		"CreationDate":          seconds(k.created),
		"Enabled":               k.state == enabled,
		"Description":           k.description,
		"KeyUsage":              k.usage,
		"KeyState":              string(k.state),
		"Origin":                "AWS_KMS",
		"KeyManager":            "CUSTOMER",
		"KeySpec":               k.spec,
		"CustomerMasterKeySpec": k.spec,
		"MultiRegion":           k.family.multiRegion,
	}
	if k.state == pendingDeletion {
		m["DeletionDate"] = seconds(k.deletion)
	}
	if k.symmetric() {
		m["EncryptionAlgorithms"] = []string{symmetricSpec}
		m["CurrentKeyMaterialId"] = k.family.current.printable()
	}
	if k.family.multiRegion {
		replicas := []answer{}
		for _, r := range k.family.replicas {
			replicas = append(replicas, answer{"Arn": r.arn.String(), "Region": r.arn.region})
		}
		kind := "REPLICA"
		if k.family.primary == k {
			kind = "PRIMARY"
		}
		primary := k.family.primary.arn
		m["MultiRegionConfiguration"] = answer{
			"MultiRegionKeyType": kind,
			"PrimaryKey":         answer{"Arn": primary.String(), "Region": primary.region},
			"ReplicaKeys":        replicas,
		}
	}
	return m
}

// seconds is a time as the protocol writes it: seconds since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (s *Server) opReplicateKey(req request) (answer, *apiError) {
	in := new(reader)
	keyID, region := read(in, req.text, "KeyId"), read(in, req.text, "ReplicaRegion")
	description := read(in, req.text, "Description")
	if in.refused != nil {
		return nil, in.refused
	}
	k, refused := s.replicateKey(keyID, region, description)
	if refused != nil {
		return nil, refused
	}
	return answer{"ReplicaKeyMetadata": s.metadata(k), "ReplicaPolicy": "{}", "ReplicaTags": []answer{}}, nil
}

func (s *Server) opRotateKeyOnDemand(req request) (answer, *apiError) {
	keyID, refused := req.text("KeyId")
	if refused != nil {
		return nil, refused
	}
	k, refused := s.rotateKey(keyID, true)
	if refused != nil {
		return nil, refused
	}
	return answer{"KeyId": k.arn.String()}, nil
}

func (s *Server) opEnableKey(req request) (answer, *apiError)  { return s.opSetEnabled(req, true) }
func (s *Server) opDisableKey(req request) (answer, *apiError) { return s.opSetEnabled(req, false) }

func (s *Server) opSetEnabled(req request, on bool) (answer, *apiError) {
	keyID, refused := req.text("KeyId")
	if refused != nil {
		return nil, refused
	}
	return answer{}, s.setEnabled(keyID, on)
}

func (s *Server) opScheduleKeyDeletion(req request) (answer, *apiError) {
	in := new(reader)
	keyID, days := read(in, req.text, "KeyId"), read(in, req.number, "PendingWindowInDays")
	if in.refused != nil {
		return nil, in.refused
	}
	if days == nil {
		days = new(maxDeletionDays)
	}
	k, when, refused := s.scheduleDeletion(keyID, *days)
	if refused != nil {
		return nil, refused
	}
	return answer{
		"KeyId":               k.arn.String(),
		"DeletionDate":        seconds(when),
		"KeyState":            string(pendingDeletion),
		"PendingWindowInDays": *days,
	}, nil
}

func (s *Server) opCancelKeyDeletion(req request) (answer, *apiError) {
	keyID, refused := req.text("KeyId")
	if refused != nil {
		return nil, refused
	}
	k, refused := s.cancelDeletion(keyID)
	if refused != nil {
		return nil, refused
	}
	return answer{"KeyId": k.arn.String()}, nil
}

func (s *Server) opCreateAlias(req request) (answer, *apiError) { return s.opSetAlias(req, false) }
func (s *Server) opUpdateAlias(req request) (answer, *apiError) { return s.opSetAlias(req, true) }

func (s *Server) opSetAlias(req request, replace bool) (answer, *apiError) {
	in := new(reader)
	name, keyID := read(in, req.text, "AliasName"), read(in, req.text, "TargetKeyId")
	if in.refused != nil {
		return nil, in.refused
	}
	return answer{}, s.setAlias(name, keyID, replace)
}
