package fakekms

import (
	"time"
)

// setEnabled enables or disables a key.
func (s *Server) setEnabled(keyID string, on bool) *apiError {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	k, refused := s.own(keyID)
	if refused != nil {
		return refused
	}
	if k.state == pendingDeletion {
		return stateError(k)
	}
	k.state = disabled
	if on {
		k.state = enabled
	}
	return nil
}

const (
	minDeletionDays = 7
	maxDeletionDays = 30
)

// scheduleDeletion lets a key be deleted after a number of days.
func (s *Server) scheduleDeletion(keyID string, days int) (*key, time.Time, *apiError) {
	if days < minDeletionDays || days > maxDeletionDays {
		return nil, time.Time{}, invalid("PendingWindowInDays must be %d to %d", minDeletionDays, maxDeletionDays)
	}
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	k, refused := s.own(keyID)
	if refused != nil {
		return nil, time.Time{}, refused
	}
	if k.state == pendingDeletion {
		return nil, time.Time{}, stateError(k)
	}
	k.state = pendingDeletion
	k.deletion = time.Now().AddDate(0, 0, days)
	return k, k.deletion, nil
}

// cancelDeletion leaves the key disabled, as KMS does.
func (s *Server) cancelDeletion(keyID string) (*key, *apiError) {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	k, refused := s.own(keyID)
	if refused != nil {
		return nil, refused
	}
	if k.state != pendingDeletion {
		return nil, refuse("KMSInvalidStateException", "%s is not pending deletion.", k.arn)
	}
	k.state, k.deletion = disabled, time.Time{}
	return k, nil
}
