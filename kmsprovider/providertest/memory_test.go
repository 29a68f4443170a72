package providertest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// memoryTimeout is how long a provider waits for the service.
const memoryTimeout = 500 * time.Millisecond

// A service keeps root keys in memory, and can be told to do everything that
// the harness has a hook for.
type service struct {
	mu    sync.Mutex
	keys  map[string]*memoryKey // by URI
	fault error
	hangs chan struct{} // nil, or closed when the service goes on
	next  int

	joinContext   bool // the two defects
	replicaStays  bool
	replicaBehind map[string]int // versions that a replica knows
}

type memoryKey struct {
	versions []cipher.AEAD
	state    string // "" in order
}

func newService() *service {
	s := &service{keys: map[string]*memoryKey{}, replicaBehind: map[string]int{}}
	s.add("memory://one")
	s.add("memory://two")
	return s
}

func (s *service) add(uri string) {
	s.keys[uri] = &memoryKey{}
	s.rotate(uri)
}

func (s *service) rotate(uri string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	s.keys[uri].versions = append(s.keys[uri].versions, aead)
}

func (s *service) setState(uri, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[uri].state = state
}

func (s *service) setFault(err error) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fault = nil
	}
}

func (s *service) hang() func() {
	c := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = c
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hangs = nil
		close(c)
	}
}

// harness returns a harness with every hook, for providers that build makes.
func (s *service) harness(build func(*memory) kmsprovider.Provider) Harness {
	state := func(state string) func(testing.TB, string) {
		return func(_ testing.TB, uri string) { s.setState(uri, state) }
	}
	fault := func(err error) func(testing.TB) func() {
		return func(testing.TB) func() { return s.setFault(err) }
	}
	return Harness{
		New:            func(testing.TB) kmsprovider.Provider { return build(&memory{s: s, timeout: memoryTimeout}) },
		RootKey:        "memory://one",
		OtherRootKey:   "memory://two",
		MissingRootKey: "memory://missing",
		Alias:          "memory://alias/one",
		NewRootKey: func(testing.TB) string {
			s.next++
			uri := fmt.Sprintf("memory://extra-%d", s.next)
			s.add(uri)
			return uri
		},
		Disable: state("disabled"), Enable: state(""), ScheduleDeletion: state("pending deletion"),
		Rotate:      func(_ testing.TB, uri string) { s.rotate(uri) },
		Replica:     func(testing.TB) Replica { return s.replica() },
		Unavailable: fault(kmsprovider.ErrUnavailable), Throttle: fault(kmsprovider.ErrThrottled), Deny: fault(kmsprovider.ErrDenied),
		Hang:    func(testing.TB) func() { return s.hang() },
		Timeout: memoryTimeout,
		Wrap: func(_ testing.TB, uri string, plain []byte, ec kmsprovider.EncryptionContext) []byte {
			w, err := s.wrap(uri, plain, ec)
			if err != nil {
				panic(err)
			}
			return w
		},
	}
}

func (s *service) replica() Replica {
	const uri = "memory://in-two-regions"
	s.add(uri)
	if s.replicaStays {
		s.replicaBehind[uri] = len(s.keys[uri].versions)
	}
	return Replica{
		Primary: &memory{s: s}, Replica: &memory{s: s, replica: true},
		PrimaryKey: uri, ReplicaKey: uri,
		Rotate: func(testing.TB) { s.rotate(uri) },
	}
}

func (s *service) bind(uri string, version uint32, ec kmsprovider.EncryptionContext) ([]byte, error) {
	canonical, err := ec.Canonical()
	if err != nil {
		return nil, err
	}
	if s.joinContext {
		canonical = joined(ec)
	}
	return slices.Concat([]byte(uri), []byte{0}, binary.BigEndian.AppendUint32(nil, version), canonical), nil
}

func joined(ec kmsprovider.EncryptionContext) []byte {
	var names []string
	for name := range ec {
		names = append(names, name)
	}
	slices.Sort(names)
	var b []byte
	for _, name := range names {
		b = append(append(b, name...), ec[name]...)
	}
	return b
}

func (s *service) wrap(uri string, plain []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.use(uri)
	if err != nil {
		return nil, err
	}
	version := uint32(len(k.versions))
	ad, err := s.bind(uri, version, ec)
	if err != nil {
		return nil, err
	}
	return k.versions[version-1].Seal(binary.BigEndian.AppendUint32(nil, version), nil, plain, ad), nil
}

func (s *service) unwrap(uri string, wrapped []byte, ec kmsprovider.EncryptionContext, replica bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.use(uri)
	if err != nil {
		return nil, err
	}
	if len(wrapped) < 4 {
		return nil, fmt.Errorf("%w: too short", kmsprovider.ErrInvalidCiphertext)
	}
	version := binary.BigEndian.Uint32(wrapped)
	known := len(k.versions)
	if n := s.replicaBehind[uri]; replica && n > 0 {
		known = n
	}
	if version < 1 || int(version) > known {
		return nil, fmt.Errorf("%w: no such version", kmsprovider.ErrInvalidCiphertext)
	}
	ad, err := s.bind(uri, version, ec)
	if err != nil {
		return nil, err
	}
	plain, err := k.versions[version-1].Open(nil, nil, wrapped[4:], ad)
	if err != nil {
		return nil, fmt.Errorf("%w: not authentic", kmsprovider.ErrInvalidCiphertext)
	}
	return plain, nil
}

func (s *service) use(uri string) (*memoryKey, error) {
	if s.fault != nil {
		return nil, s.fault
	}
	k := s.keys[uri]
	if k == nil {
		return nil, fmt.Errorf("%w: no such root key", kmsprovider.ErrKeyUnusable)
	}
	if k.state != "" {
		return nil, fmt.Errorf("%w: it is %s", kmsprovider.ErrKeyUnusable, k.state)
	}
	return k, nil
}

// memory is a provider in front of a service that does everything right.
type memory struct {
	s       *service
	replica bool
	timeout time.Duration
}

// reach waits as a call over a network does.
func (m *memory) reach(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.s.mu.Lock()
	hangs := m.s.hangs
	m.s.mu.Unlock()
	if hangs == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-hangs:
		return nil
	case <-time.After(m.timeout):
		if err := ctx.Err(); err != nil {
			return err // both at once, on a busy machine
		}
		return fmt.Errorf("%w: no answer", kmsprovider.ErrUnavailable)
	}
}

func (m *memory) Resolve(_ context.Context, rootKey string) (string, error) {
	if rootKey == "memory://alias/one" {
		return "memory://one", nil
	}
	if !strings.HasPrefix(rootKey, "memory://") {
		return "", fmt.Errorf("%w: not a memory URI", kmsprovider.ErrKeyUnusable)
	}
	return rootKey, nil
}

func (m *memory) Check(ctx context.Context, rootKey string) error {
	if err := m.reach(ctx); err != nil {
		return err
	}
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	_, err := m.s.use(rootKey)
	return err
}

func (m *memory) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if err := m.reach(ctx); err != nil {
		return kmsprovider.DataKey{}, err
	}
	uri, err := m.Resolve(ctx, rootKey)
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	plain := make([]byte, kmsprovider.DataKeySize)
	_, _ = rand.Read(plain)
	w, err := m.s.wrap(uri, plain, ec)
	if err != nil {
		return kmsprovider.DataKey{}, err
	}
	return kmsprovider.DataKey{Plaintext: plain, Wrapped: w, RootKey: uri}, nil
}

func (m *memory) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if err := m.reach(ctx); err != nil {
		return nil, err
	}
	plain, err := m.s.unwrap(rootKey, bytes.Clone(wrapped), ec, m.replica)
	if err == nil && len(plain) != kmsprovider.DataKeySize {
		return nil, fmt.Errorf("%w: not a data key", kmsprovider.ErrInvalidCiphertext)
	}
	return plain, err
}

func (m *memory) Wrap(ctx context.Context, rootKey string, plain []byte, ec kmsprovider.EncryptionContext) (wrapped []byte, canonical string, err error) {
	if err := m.reach(ctx); err != nil {
		return nil, "", err
	}
	if len(plain) != kmsprovider.DataKeySize {
		return nil, "", fmt.Errorf("%w: not a data key", kmsprovider.ErrInvalidCiphertext)
	}
	uri, err := m.Resolve(ctx, rootKey)
	if err != nil {
		return nil, "", err
	}
	if wrapped, err = m.s.wrap(uri, plain, ec); err != nil {
		return nil, "", err
	}
	return wrapped, uri, nil
}

func (m *memory) Rewrap(ctx context.Context, from string, wrapped []byte, to string, ec kmsprovider.EncryptionContext) (rewrapped []byte, rootKey string, err error) {
	plain, err := m.Unwrap(ctx, from, wrapped, ec)
	if err != nil {
		return nil, "", err
	}
	w, err := m.s.wrap(to, plain, ec)
	if err != nil {
		return nil, "", err
	}
	return w, to, nil
}
