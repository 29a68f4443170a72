package residency_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

// ringOver returns a key ring over a provider, under the root keys that the
// router names.
func ringOver(t testing.TB, r *residency.Router, p kmsprovider.Provider) *envelope.KeyRing {
	t.Helper()
	ring, err := envelope.NewKeyRing(p, envelope.RootKeysByTenant(r.RootKeys), nil)
	require.NoError(t, err)
	return ring
}

var email = envelope.MustField("Contacts", "email")

func at(tenant, class string) *envelope.Binding {
	return &envelope.Binding{Scope: envelope.Scope{Tenant: tenant, Class: class}, Field: email, Record: "42"}
}

// underRootKey is an inline envelope with another root key in its header.
func underRootKey(t testing.TB, env []byte, rootKey string) []byte {
	t.Helper()
	const uri = 1 + 1 + 1 + 32 // magic, version, mode, key ID
	n := int(binary.BigEndian.Uint16(env[uri:]))
	return slices.Concat(env[:uri], binary.BigEndian.AppendUint16(nil, uint16(len(rootKey))), []byte(rootKey), env[uri+2+n:])
}

// TestScoreboardS25: envelopes that name a root key outside of the router's
// configuration, or one of another tenant. The control is a router that opens
// under whatever it is told of.
func TestScoreboardS25(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Tenants = nil
	tenants := []string{"acme", "eu-x", "us-x"}
	homes := map[string]residency.Home{"acme": {Region: "acme"}, "eu-x": {Region: "eu"}, "us-x": {Region: "us"}}
	c.Place = func(tenant string) (residency.Home, error) { return homes[tenant], nil }
	r, err := residency.New(c)
	require.NoError(t, err)
	c.Place = func(tenant string) (residency.Home, error) {
		home := homes[tenant]
		home.From = slices.DeleteFunc([]string{"eu", "us", "acme"}, func(name string) bool { return name == home.Region })
		return home, nil
	}
	open, err := residency.New(c)
	require.NoError(t, err)

	ring, control := ringOver(t, r, r), ringOver(t, open, open)
	defer ring.Close()
	defer control.Close()
	honest := map[string][]byte{}
	for _, tenant := range tenants {
		honest[tenant], err = ring.Seal(t.Context(), at(tenant, ""), envelope.AppendString(nil, "ada@example.com"))
		require.NoError(t, err)
	}
	outside := w.unrouted()[1:]
	w.calls()

	n, accepted, calls, controlCalls := scoreboard.Count(1000, 10_000), 0, 0, 0
	for i := range n {
		tenant := tenants[i%len(tenants)]
		keys, err := r.RootKeys(tenant)
		require.NoError(t, err)
		others := slices.DeleteFunc(r.URIs(), func(uri string) bool { return uri == keys.Seal || slices.Contains(keys.Open, uri) })
		foreign := slices.Concat(others, outside)
		env := underRootKey(t, honest[tenant], foreign[i/len(tenants)%len(foreign)])
		_, err = ring.Open(t.Context(), at(tenant, ""), env)
		if err == nil {
			accepted++
		}
		require.ErrorIs(t, err, envelope.ErrRootKeyNotAllowed)
		c := w.calls()
		calls += c[0] + c[1] + c[2]
		if i < 100 {
			_, _ = control.Open(t.Context(), at(tenant, ""), env)
			c = w.calls()
			controlCalls += c[0] + c[1] + c[2]
		}
	}
	for _, tenant := range tenants {
		_, err := ring.Open(t.Context(), at(tenant, ""), honest[tenant])
		require.NoError(t, err)
	}
	scoreboard.Row(t, "S25", calls == 0 && accepted == 0 && controlCalls > 0,
		fmt.Sprintf("by the router: %d calls, %d of %d accepted", calls, accepted, n), "0 calls, 0 accepted",
		fmt.Sprintf("every tenant opens under every root key: %d calls", controlCalls))
}

// oneLock is what a provider mustn't be: it holds a lock during calls.
type oneLock struct {
	kmsprovider.Provider
	mu sync.Mutex
}

func (p *oneLock) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Provider.Unwrap(ctx, rootKey, wrapped, ec)
}

// hundred is 100 tenants, each with a root key of its own, which one provider
// calls for all, and a data key for each of them in the hands of no process.
type hundred struct {
	server  *fakekms.Server
	router  *residency.Router
	tenants []string
	sealed  map[string][]byte
	bad     []*envelope.Binding // of the first tenant, each with a data key of its own
	badEnv  [][]byte
	badKey  string
}

// newHundred has a KMS that takes some time for each call.
func newHundred(t testing.TB, answer time.Duration) *hundred {
	t.Helper()
	h := &hundred{server: fakekms.New(fakekms.Options{}), sealed: map[string][]byte{}}
	t.Cleanup(h.server.Close)
	p, err := awskms.New(h.server.Config(), nil)
	require.NoError(t, err)
	c := residency.Config{}
	for i := range 100 {
		name, arn := fmt.Sprintf("tenant-%02d", i), h.server.CreateKey(fakekms.KeyOptions{})
		h.tenants = append(h.tenants, name)
		c.Regions = append(c.Regions, residency.Region{Name: name, RootKey: "aws-kms://" + arn, Call: []kmsprovider.Provider{p}})
		c.Tenants = append(c.Tenants, residency.Rule{Tenant: name, Region: name})
		if i == 0 {
			h.badKey = arn
		}
	}
	h.router, err = residency.New(c)
	require.NoError(t, err)
	ring := ringOver(t, h.router, h.router)
	defer ring.Close()
	seal := func(b *envelope.Binding) []byte {
		env, err := ring.Seal(t.Context(), b, envelope.AppendString(nil, "ada@example.com"))
		require.NoError(t, err)
		return env
	}
	for _, tenant := range h.tenants {
		h.sealed[tenant] = seal(at(tenant, ""))
	}
	for i := range 40 {
		b := at(h.tenants[0], fmt.Sprintf("class-%02d", i))
		h.bad, h.badEnv = append(h.bad, b), append(h.badEnv, seal(b))
	}
	h.server.Inject(fakekms.Fault{Delay: answer})
	return h
}

// hang has the first tenant's root key answer no more until end is called.
func (h *hundred) hang() (end func()) {
	return h.server.Inject(fakekms.Fault{Keys: []string{h.badKey}, Break: fakekms.Hang})
}

// round starts a process that knows no data key yet and lets the first tenant
// load some of its own, then 16 callers one of each other tenant. It returns the
// p99 of the latter.
func (h *hundred) round(t testing.TB, p kmsprovider.Provider, bad int) time.Duration {
	t.Helper()
	ring := ringOver(t, h.router, p)
	var first sync.WaitGroup
	for i, b := range h.bad[:bad] {
		first.Go(func() { _, _ = ring.Open(t.Context(), b, h.badEnv[i]) })
	}
	time.Sleep(2 * time.Millisecond)
	p99 := scoreboard.P99(16, len(h.tenants)-1, func(i int) {
		tenant := h.tenants[i+1]
		if _, err := ring.Open(t.Context(), at(tenant, ""), h.sealed[tenant]); err != nil && !errors.Is(err, kmsprovider.ErrUnavailable) {
			t.Errorf("%s: %v", tenant, err)
		}
	})
	require.NoError(t, ring.Close()) // also ends what hangs
	first.Wait()
	return p99
}

// TestScoreboardS28: one tenant's root key hangs. It is real time; rounds with
// and without take turns, and the medians of their p99s are compared.
func TestScoreboardS28(t *testing.T) {
	h := newHundred(t, 50*time.Millisecond)
	h.round(t, h.router, len(h.bad)) // connections
	var with, without []time.Duration
	for range scoreboard.Count(11, 101) {
		without = append(without, h.round(t, h.router, len(h.bad)))
		end := h.hang()
		with = append(with, h.round(t, h.router, len(h.bad)))
		end()
	}
	before, now := scoreboard.Median(without), scoreboard.Median(with)
	ratio := float64(now) / float64(before)

	end := h.hang()
	control := float64(h.round(t, &oneLock{Provider: h.router}, 2)) / float64(before)
	end()
	scoreboard.Row(t, "S28", ratio <= 1.2 && control > 1.2,
		fmt.Sprintf("p99 %.2fx (%v, without %v)", ratio, now.Round(100*time.Microsecond), before.Round(100*time.Microsecond)), "<= 1.2x",
		fmt.Sprintf("one lock for all calls: %.1fx", control))
}

// answers notes how long each root key's answers are apart.
type answers struct {
	kmsprovider.Provider
	mu   sync.Mutex
	last map[string]time.Time
	gaps []time.Duration
}

func (p *answers) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	secret, err := p.Provider.Unwrap(ctx, rootKey, wrapped, ec)
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		now := time.Now()
		if last, ok := p.last[rootKey]; ok {
			p.gaps = append(p.gaps, now.Sub(last))
		}
		p.last[rootKey] = now
	}
	return secret, err
}

// checked has the keys of all tenants in memory for some time, in which each root
// key is asked for again and again, and the data of all but the first tenant can be
// read. It returns the p99 of how long the answers for the others are apart.
func (h *hundred) checked(t testing.TB, p kmsprovider.Provider, hang bool, ttl time.Duration, times int) time.Duration {
	t.Helper()
	heard := &answers{Provider: p, last: map[string]time.Time{}}
	ring, err := envelope.NewKeyRing(heard, envelope.RootKeysByTenant(h.router.RootKeys), &envelope.Options{CacheTTL: ttl})
	if err != nil {
		t.Error(err)
		return 0
	}
	read := func(tenants []string) {
		for _, tenant := range tenants {
			if _, err := ring.Open(t.Context(), at(tenant, ""), h.sealed[tenant]); err != nil {
				t.Error(err)
			}
		}
	}
	read(h.tenants)
	if hang {
		defer h.hang()()
	}
	for until := time.Now().Add(time.Duration(times) * ttl); time.Now().Before(until); time.Sleep(ttl / 50) {
		read(h.tenants[1:])
	}
	if err := ring.Close(); err != nil { // also ends what hangs
		t.Error(err)
	}
	for rootKey, last := range heard.last {
		if rootKey != "aws-kms://"+h.badKey {
			heard.gaps = append(heard.gaps, time.Since(last)) // else what is never heard again isn't seen
		}
	}
	slices.Sort(heard.gaps)
	return heard.gaps[len(heard.gaps)*99/100]
}

// TestScoreboardS28Checks: one tenant's root key hangs in the checks of what is in
// memory. It is real time, and the control and what runs without run at once, so
// that they meet the same machine.
func TestScoreboardS28Checks(t *testing.T) {
	ttl := 2 * time.Second
	if scoreboard.UnderRace() { // where calls of the KMS take long
		ttl = 5 * time.Second
	}
	var before, now, locked time.Duration
	var all sync.WaitGroup
	for _, c := range []struct {
		p99  *time.Duration
		hang bool
		lock bool
	}{{&before, false, false}, {&now, true, false}, {&locked, true, true}} {
		h := newHundred(t, 5*time.Millisecond)
		all.Go(func() {
			var p kmsprovider.Provider = h.router
			if c.lock {
				p = &oneLock{Provider: p}
			}
			*c.p99 = h.checked(t, p, c.hang, ttl, scoreboard.Count(3, 20))
		})
	}
	all.Wait()
	ratio, control := float64(now)/float64(before), float64(locked)/float64(before)
	scoreboard.Row(t, "S28", ratio <= 1.2 && control > 1.2,
		fmt.Sprintf("checks of keys in memory: p99 of the time between answers %.2fx (%v, without %v)", ratio, now.Round(time.Millisecond), before.Round(time.Millisecond)), "<= 1.2x",
		fmt.Sprintf("one lock for all calls: %.1fx", control))
}
