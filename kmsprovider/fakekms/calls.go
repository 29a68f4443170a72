package fakekms

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// MaxCalls is how many calls [Server.Calls] remembers: the latest ones.
// [Server.Count] counts all.
const MaxCalls = 10_000

// A Call is one request that reached the server, answered or not.
type Call struct {
	Op                string // such as "GenerateDataKey"; empty if the request named none
	KeyID             string // as it was sent; ReEncrypt's source key
	KeyARN            string // of the key that KeyID (or the ciphertext) names; empty if there is none
	DestinationKeyARN string // ReEncrypt only
	EncryptionContext kmsprovider.EncryptionContext
	AccessKeyID       string
	RequestID         string
	Time              time.Time // of its arrival

	// Done tells that the call has ended: with an answer, or because the
	// client went away or the connection was broken.
	Done bool

	// Err is empty on success, and else the code of the error that was
	// answered, such as "DisabledException". Where there was no proper answer,
	// it is the fault's Break, or its Status such as "503", or "gone" if the
	// client gave up during a Delay.
	Err string
}

// A callLog holds what has been called.
type callLog struct {
	mu          sync.Mutex
	calls       []*Call // a ring once it is full
	next        int     // oldest of a full ring
	counts      map[string]int
	total       int
	inFlight    int
	maxInFlight int
}

func (l *callLog) begin(c Call) *Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) < MaxCalls {
		l.calls = append(l.calls, &c)
	} else {
		l.calls[l.next] = &c
		l.next = (l.next + 1) % MaxCalls
	}
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[c.Op]++
	l.total++
	l.inFlight++
	l.maxInFlight = max(l.maxInFlight, l.inFlight)
	return &c
}

func (l *callLog) end(c *Call, err string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	c.Done, c.Err = true, err
}

// Calls returns the calls that have arrived since the last ResetCalls, oldest
// first, at most [MaxCalls] of them. Those under way are among them.
func (s *Server) Calls() []Call {
	l := &s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Call, 0, len(l.calls))
	for i := range l.calls {
		c := *l.calls[(l.next+i)%len(l.calls)]
		c.EncryptionContext = maps.Clone(c.EncryptionContext)
		list = append(list, c)
	}
	return list
}

// Count returns how many calls of the given operations have arrived since the
// last ResetCalls, answered or not; of all operations if none is given.
func (s *Server) Count(ops ...string) int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if len(ops) == 0 {
		return s.log.total
	}
	n := 0
	for i, op := range ops {
		if !slices.Contains(ops[:i], op) {
			n += s.log.counts[op]
		}
	}
	return n
}

// InFlight returns how many calls are under way.
func (s *Server) InFlight() int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.inFlight
}

// MaxInFlight returns the most calls that were under way at one time since the
// last ResetCalls.
func (s *Server) MaxInFlight() int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.maxInFlight
}

// ResetCalls forgets all calls and counts. Calls under way still count as in
// flight.
func (s *Server) ResetCalls() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.calls, s.log.next, s.log.counts, s.log.total = nil, 0, nil, 0
	s.log.maxInFlight = s.log.inFlight
}
