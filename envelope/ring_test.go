package envelope

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// testDay is when the made-up keys of these tests were made.
var testDay = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

// plainProvider keeps data keys in memory, counts its calls and can be slow.
// Its wrapped keys are the encryption context and a number.
type plainProvider struct {
	mu        sync.Mutex
	keys      map[string][]byte
	generated int
	unwrapped int
	inFlight  int
	most      int // in flight at once
	delay     time.Duration
}

// enter counts a call in flight until what it returns is called.
func (p *plainProvider) enter() (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight++
	p.most = max(p.most, p.inFlight)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.inFlight--
	}
}

const plainRoot = "plain://root"

func (p *plainProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	defer p.enter()()
	p.mu.Lock()
	p.generated++
	n, delay := p.generated, p.delay
	p.mu.Unlock()
	if err := pause(ctx, delay); err != nil {
		return kmsprovider.DataKey{}, err
	}
	c, _ := ec.Canonical()
	wrapped := fmt.Sprintf("%x/%d", c, n)
	secret := make([]byte, kmsprovider.DataKeySize)
	copy(secret, fmt.Sprintf("made-up key %d", n))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys == nil {
		p.keys = map[string][]byte{}
	}
	p.keys[wrapped] = append([]byte(nil), secret...)
	return kmsprovider.DataKey{Plaintext: secret, Wrapped: []byte(wrapped), RootKey: rootKey}, nil
}

func (p *plainProvider) Unwrap(ctx context.Context, _ string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	defer p.enter()()
	p.mu.Lock()
	p.unwrapped++
	secret, ok := p.keys[string(wrapped)]
	delay := p.delay
	p.mu.Unlock()
	if err := pause(ctx, delay); err != nil {
		return nil, err
	}
	c, _ := ec.Canonical()
	if !ok || !strings.HasPrefix(string(wrapped), fmt.Sprintf("%x/", c)) {
		return nil, kmsprovider.ErrInvalidCiphertext
	}
	return append([]byte(nil), secret...), nil
}

// made is how many keys were asked for so far, for readers beside background
// work.
func (p *plainProvider) made() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.generated
}

func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func plainRing(t testing.TB, p *plainProvider, opts *Options) *KeyRing {
	t.Helper()
	r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, opts)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func place(tenant string) *Binding {
	return &Binding{Scope: Scope{Tenant: tenant}, Field: email, Record: "42"}
}

// TestBudget seals from 64 goroutines, through two rings where there is a
// store, and counts the envelopes of each key ID.
func TestBudget(t *testing.T) {
	for _, budget := range []uint64{1, 2, 10, 100} {
		for _, mode := range []string{"inline", "reference"} {
			t.Run(fmt.Sprintf("%s %d", mode, budget), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					opts := &Options{MessageBudget: budget}
					if mode == "reference" {
						opts.Store = NewMemoryStore()
					}
					p := &plainProvider{}
					rings := []*KeyRing{plainRing(t, p, opts)}
					if opts.Store != nil {
						rings = append(rings, plainRing(t, p, opts))
					}
					var mu sync.Mutex
					used := map[KeyID]uint64{}
					var wg sync.WaitGroup
					for g := range 64 {
						wg.Go(func() {
							for range 4 {
								env, err := rings[g%len(rings)].Seal(t.Context(), place("acme"), AppendString(nil, "x"))
								if err != nil {
									t.Error(err)
									return
								}
								info, _ := Inspect(env)
								mu.Lock()
								used[info.KeyID]++
								mu.Unlock()
							}
						})
					}
					wg.Wait()
					for id, n := range used {
						require.LessOrEqual(t, n, budget, "key %s", id)
					}
				})
			})
		}
	}
}

func TestOneCallForAColdKey(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &plainProvider{}
		store := NewMemoryStore()
		env, err := plainRing(t, p, &Options{Store: store}).Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		require.NoError(t, err)
		p.delay = time.Second
		r := plainRing(t, p, &Options{Store: store})
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				if _, err := r.Open(t.Context(), place("acme"), env); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, p.unwrapped)
	})
}

func TestSlowProvider(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &plainProvider{delay: time.Hour}
		r := plainRing(t, p, nil)
		_, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = r.Seal(ctx, place("acme"), AppendString(nil, "x"))
		require.ErrorIs(t, err, context.Canceled)
	})
}

// heldUpStore belongs to a process that is held up: its claims aren't renewed.
type heldUpStore struct {
	*MemoryStore
	claimed atomic.Bool
}

func (s *heldUpStore) Claim(ctx context.Context, scope Scope, purpose Purpose, holder string, lease time.Duration) (bool, error) {
	if s.claimed.Swap(true) {
		return true, nil
	}
	return s.MemoryStore.Claim(ctx, scope, purpose, holder, lease)
}

// A key service that is slower than a claim lasts is asked by one process.
func TestSlowServiceIsAskedOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := NewMemoryStore()
		p := &plainProvider{delay: 50 * time.Second}
		var wg sync.WaitGroup
		for range 8 {
			r := plainRing(t, p, &Options{Store: store, LoadTimeout: 2 * time.Minute})
			wg.Go(func() {
				if _, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, p.made())
	})
}

// Another process makes the key while ours is held up for longer than its claim
// lasts: ours uses that key.
func TestClaimRunsOutWhileAProcessIsHeldUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		store := NewMemoryStore()
		heldUp := &heldUpStore{MemoryStore: store}
		p := &plainProvider{delay: 20 * time.Second}
		a, b := plainRing(t, p, &Options{Store: heldUp, LoadTimeout: time.Minute}), plainRing(t, p, &Options{Store: store})
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := a.Seal(t.Context(), place("acme"), AppendString(nil, "x")); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		p.mu.Lock()
		p.delay = 0 // for the calls that begin now
		p.mu.Unlock()
		env, err := b.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		require.NoError(t, err)
		wg.Wait()
		_, err = a.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		require.Equal(t, 2, p.generated, "the claim did not run out")
	})
}

func TestNilBindingAndClosedRing(t *testing.T) {
	r := plainRing(t, &plainProvider{}, nil)
	_, err := r.Seal(t.Context(), nil, AppendString(nil, "x"))
	require.ErrorIs(t, err, ErrMalformed)
	_, err = r.Open(t.Context(), nil, []byte("x"))
	require.ErrorIs(t, err, ErrMalformed)
	env, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.NoError(t, err)
	require.NoError(t, r.Close())
	_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.ErrorIs(t, err, ErrClosed)
	_, err = r.Open(t.Context(), place("acme"), env)
	require.ErrorIs(t, err, ErrClosed)
}

func TestCellRedacts(t *testing.T) {
	c := Cell{Binding: *place("acme"), Frame: AppendString(nil, "ada@example.com")}
	js, err := json.Marshal([]any{c, &c})
	require.NoError(t, err)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s %x %q", c, c, &c, []Cell{c}, c, &c), string(js), c.LogValue().String()} {
		require.NotContains(t, s, "ada@")
		require.NotContains(t, s, fmt.Sprintf("%x", "ada@"))
		require.Contains(t, s, "REDACTED")
	}
}
