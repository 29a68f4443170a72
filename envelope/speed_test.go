package envelope

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A speedCase is one field, sealed through a key ring by reference, and the
// limit: the standard library's AES-256-GCM with a random nonce over the same
// frame and additional data.
type speedCase struct {
	ring    *KeyRing
	place   *Binding
	frame   []byte
	sealed  []byte // by the ring
	limit   cipher.AEAD
	aad     []byte
	limited []byte // by the limit
}

// newSpeedCase takes the payload's size in bytes.
func newSpeedCase(tb testing.TB, size int) *speedCase {
	tb.Helper()
	c := &speedCase{
		ring:  testRing(tb, &Options{Store: NewMemoryStore()}),
		place: &Binding{Scope: Scope{Tenant: "tenant-0001", Class: "crm"}, Field: email, Record: "7f3a1c2e-1111-4222-8333-944455556666"},
		frame: AppendString(nil, strings.Repeat("0123456789abcdef", size/16)),
	}
	var err error
	c.sealed, err = c.ring.Seal(tb.Context(), c.place, c.frame)
	require.NoError(tb, err)
	info, err := Inspect(c.sealed)
	require.NoError(tb, err)

	c.aad = append([]byte("fieldcrypt/v1 field"), version)
	c.aad = append(c.aad, info.KeyID[:]...)
	c.aad = append(c.aad, c.place.Scope.canonical()...)
	c.aad = c.place.appendPlace(c.aad)
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(tb, err)
	c.limit, err = cipher.NewGCMWithRandomNonce(block)
	require.NoError(tb, err)
	c.limited = c.limit.Seal(nil, nil, c.frame, c.aad)
	return c
}

func (c *speedCase) seal(tb testing.TB) func() {
	ctx := tb.Context()
	return func() {
		if _, err := c.ring.Seal(ctx, c.place, c.frame); err != nil {
			tb.Error(err)
		}
	}
}

func (c *speedCase) open(tb testing.TB) func() {
	ctx := tb.Context()
	return func() {
		if _, err := c.ring.Open(ctx, c.place, c.sealed); err != nil {
			tb.Error(err)
		}
	}
}

func (c *speedCase) appendSeal(tb testing.TB) func() {
	ctx, buf := tb.Context(), make([]byte, 0, len(c.sealed))
	return func() {
		if _, err := c.ring.AppendSeal(ctx, buf, c.place, c.frame); err != nil {
			tb.Error(err)
		}
	}
}

func (c *speedCase) appendOpen(tb testing.TB) func() {
	ctx, buf := tb.Context(), make([]byte, 0, len(c.frame))
	return func() {
		if _, err := c.ring.AppendOpen(ctx, buf, c.place, c.sealed); err != nil {
			tb.Error(err)
		}
	}
}

func (c *speedCase) limitSeal() func() {
	return func() { c.limit.Seal(nil, nil, c.frame, c.aad) }
}

func (c *speedCase) limitOpen(tb testing.TB) func() {
	return func() {
		if _, err := c.limit.Open(nil, nil, c.limited, c.aad); err != nil {
			tb.Error(err)
		}
	}
}

func TestScoreboardP1(t *testing.T) {
	c := newSpeedCase(t, 32)
	scoreboard.Compare(t, "P1", "seal 32 bytes", 1.25, c.seal(t), c.limitSeal())
}

func TestScoreboardP2(t *testing.T) {
	c := newSpeedCase(t, 32)
	scoreboard.Compare(t, "P2", "open 32 bytes", 1.4, c.open(t), c.limitOpen(t))
}

func TestScoreboardP3(t *testing.T) {
	for _, size := range []struct {
		name   string
		bytes  int
		target float64
	}{{"1 KiB", 1 << 10, 1.1}, {"64 KiB", 64 << 10, 1.03}} {
		c := newSpeedCase(t, size.bytes)
		scoreboard.Compare(t, "P3", "seal "+size.name, size.target, c.seal(t), c.limitSeal())
		scoreboard.Compare(t, "P3", "open "+size.name, size.target, c.open(t), c.limitOpen(t))
	}
}

func TestScoreboardP4(t *testing.T) {
	c := newSpeedCase(t, 32)
	var figures []string
	ok := true
	for _, form := range []struct {
		name string
		call func()
		most float64
	}{
		{"Seal", c.seal(t), 1},
		{"Open", c.open(t), 1},
		{"AppendSeal", c.appendSeal(t), 0},
		{"AppendOpen", c.appendOpen(t), 0},
	} {
		most := form.most
		if scoreboard.UnderRace() {
			most += 2 // the race detector makes a sync.Pool forget one call's scratch in four
		}
		allocs := testing.AllocsPerRun(1000, form.call)
		ok = ok && allocs <= most
		figures = append(figures, fmt.Sprintf("%s %v", form.name, allocs))
	}
	kept := make([][]byte, 0, 1101)
	limit := testing.AllocsPerRun(1000, func() { kept = append(kept, c.limit.Seal(nil, nil, c.frame, c.aad)) })
	scoreboard.Row(t, "P4", ok, strings.Join(figures, ", "), "1, 1, 0, 0", fmt.Sprintf("limit %v", limit))
}

// TestScoreboardP6 uses the append forms: what a second goroutine costs the
// first is measured, and not the garbage collector, which one goroutine alone
// would leave to the idle core.
func TestScoreboardP6(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	c := newSpeedCase(t, 32)
	ring := func() func() {
		seal, open := c.appendSeal(t), c.appendOpen(t)
		return func() { seal(); open() }
	}
	limit := func() func() {
		sealed, frame := make([]byte, 0, len(c.limited)), make([]byte, 0, len(c.frame))
		return func() {
			c.limit.Seal(sealed, nil, c.frame, c.aad)
			if _, err := c.limit.Open(frame, nil, c.limited, c.aad); err != nil {
				t.Error(err)
			}
		}
	}
	gain, one, two := scaling(ring)
	limitGain, _, _ := scaling(limit)
	scoreboard.Row(t, "P6", gain >= 1.9, fmt.Sprintf("%.2fx the calls with 2 goroutines, %d CPUs", gain, runtime.NumCPU()), ">= 1.90x",
		fmt.Sprintf("1 goroutine %d ns, each of 2 %d ns; limit %.2fx", one.Nanoseconds(), two.Nanoseconds(), limitGain))
}

// scaling returns the throughput of two goroutines over that of one, and the
// time of a call in each case.
func scaling(worker func() func()) (gain float64, one, two time.Duration) {
	first, second := worker(), worker()
	n := scoreboard.CallsIn(first)
	var alone, together []time.Duration
	for range scoreboard.Rounds() {
		alone = append(alone, scoreboard.Repeat(n, first))
		begun := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { scoreboard.Repeat(n, second) })
		scoreboard.Repeat(n, first)
		wg.Wait()
		together = append(together, time.Since(begun))
	}
	one, two = scoreboard.Median(alone), scoreboard.Median(together)
	return 2 * float64(one) / float64(two), one / time.Duration(n), two / time.Duration(n)
}

func TestScoreboardP7(t *testing.T) {
	c := newSpeedCase(t, 32)
	added := len(c.sealed) - 32
	scoreboard.Row(t, "P7", added == 64, fmt.Sprintf("%d bytes added", added), "64", fmt.Sprintf("limit %d bytes", len(c.limited)-32))
}

// A tagCase is the tag of an e-mail address, through a key ring, and the limit:
// one HMAC-SHA256 of the same message with its key in place.
type tagCase struct {
	ring  *KeyRing
	index *Index
	scope Scope
	value []byte
	limit hash.Hash
}

func newTagCase(tb testing.TB) *tagCase {
	tb.Helper()
	c := &tagCase{
		ring: testRing(tb, &Options{Store: NewMemoryStore()}), index: mustIndex(tb, mailIndex),
		scope: Scope{Tenant: "tenant-0001", Class: "crm"}, value: []byte("ada.lovelace@example.com"), limit: hmac.New(sha256.New, make([]byte, 32)),
	}
	tagOf(tb, c.ring, c.index, c.scope, "", string(c.value))
	return c
}

func (c *tagCase) tag(tb testing.TB) func() {
	ctx, buf := tb.Context(), make([]byte, 0, 32)
	return func() {
		if _, err := c.ring.AppendTag(ctx, buf, c.index, c.scope, "", c.value); err != nil {
			tb.Error(err)
		}
	}
}

func (c *tagCase) limitTag() func() {
	message, buf := append([]byte{0, 32, 0}, c.value...), make([]byte, 0, 32)
	return func() {
		c.limit.Reset()
		c.limit.Write(message)
		c.limit.Sum(buf)
	}
}

func TestScoreboardP8(t *testing.T) {
	c := newTagCase(t)
	scoreboard.Compare(t, "P8", "tag of an e-mail address", 1.3, c.tag(t), c.limitTag())
}

func TestTagAllocatesNothing(t *testing.T) {
	c := newTagCase(t)
	if scoreboard.UnderRace() {
		return // sync.Pool drops some of what it is given there
	}
	require.Zero(t, testing.AllocsPerRun(1000, c.tag(t)))
}

func BenchmarkTag(b *testing.B) {
	c := newTagCase(b)
	b.Run("AppendTag", func(b *testing.B) { bench(b, c.tag(b)) })
	b.Run("QueryTags", func(b *testing.B) {
		bench(b, func() {
			if _, err := c.ring.QueryTags(b.Context(), c.index, c.scope, c.value); err != nil {
				b.Error(err)
			}
		})
	})
	b.Run("limit", func(b *testing.B) { bench(b, c.limitTag()) })
}

func BenchmarkDeterministic(b *testing.B) {
	r := testRing(b, &Options{Store: NewMemoryStore()})
	place, frame := column("acme"), AppendString(nil, "0123456789abcdef0123456789abcdef")
	env := mustSealDet(b, r, place, frame)
	for name, call := range map[string]func() ([]byte, error){
		"Seal": func() ([]byte, error) { return r.SealDeterministic(b.Context(), place, frame) },
		"Open": func() ([]byte, error) { return r.OpenDeterministic(b.Context(), place, env) },
	} {
		b.Run(name, func(b *testing.B) {
			bench(b, func() {
				if _, err := call(); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

func bench(b *testing.B, call func()) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}

// TestScoreboardP12 measures keys that both seal and open, and keys that only
// open, wrapped as by a key service: in a few hundred bytes.
func TestScoreboardP12(t *testing.T) {
	const keys, most = 10_000, 2 << 10
	place := func(i int) *Binding {
		return &Binding{Scope: Scope{Tenant: fmt.Sprintf("tenant-%05d", i), Class: "crm"}, Field: email, Record: "42"}
	}
	frame := AppendString(nil, "x")
	envelopes := make([][]byte, keys)
	sealing := heapOf(t, keys, func(r *KeyRing) {
		for i := range keys {
			env, err := r.Seal(t.Context(), place(i), frame)
			require.NoError(t, err)
			copy(envelopes[i], env) // into memory that was counted before, on the second run
			if envelopes[i] == nil {
				envelopes[i] = env
			}
		}
	})
	opening := heapOf(t, keys, func(r *KeyRing) {
		for i := range keys {
			_, err := r.Open(t.Context(), place(i), envelopes[i])
			require.NoError(t, err)
		}
	})
	ok := sealing <= most && opening <= most
	scoreboard.Row(t, "P12", ok, fmt.Sprintf("%d bytes, only for opening %d", sealing, opening), "<= 2048 bytes",
		fmt.Sprintf("%d keys, heap after a collection", keys))
}

// heapOf returns the bytes of heap that each of n keys takes that fill loads
// into a new ring. The first of two runs brings up what all rings share.
func heapOf(t *testing.T, n int, fill func(*KeyRing)) uint64 {
	t.Helper()
	var each uint64
	for range 2 {
		before := liveHeap()
		r, err := NewKeyRing(mirrorProvider{}, RootKeys{Seal: mirrorRoot}, nil)
		require.NoError(t, err)
		fill(r)
		r.opening.CleanUp()
		require.Equal(t, n, r.opening.EstimatedSize())
		after := liveHeap()
		require.Greater(t, after, before)
		each = (after - before) / uint64(n)
		require.NoError(t, r.Close())
	}
	return each
}

// liveHeap returns the bytes of heap in use, once collections find nothing more to
// free: what a ring leaves behind goes in steps, after cleanups and timers ran.
func liveHeap() uint64 {
	var m runtime.MemStats
	for last, same := uint64(0), 0; same < 5; last = m.HeapAlloc {
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
		runtime.ReadMemStats(&m)
		if m.HeapAlloc+16<<10 < last {
			same = 0
		} else {
			same++
		}
	}
	return m.HeapAlloc
}

// mirrorProvider keeps nothing, so that what is measured is the ring's: its
// data keys are digests of the encryption context.
type mirrorProvider struct{}

const mirrorRoot = "mirror://example-region/made-up-account/key/0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0"

func (mirrorProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	secret, err := mirrorProvider{}.Unwrap(ctx, rootKey, nil, ec)
	return kmsprovider.DataKey{Plaintext: secret, Wrapped: make([]byte, 184), RootKey: rootKey}, err
}

func (mirrorProvider) Unwrap(_ context.Context, _ string, _ []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	c, err := ec.Canonical()
	if err != nil {
		return nil, err
	}
	secret := sha256.Sum256(c)
	return secret[:], nil
}

// TestValidText holds the shortcut for short text to the standard library, with
// every byte at every place.
func TestValidText(t *testing.T) {
	differ, refused := 0, 0
	step := 1
	if testing.Short() || scoreboard.UnderRace() {
		step = 7
	}
	for n := 0; n < 150; n += step {
		for at := range n {
			for c := range 256 {
				text := []byte(strings.Repeat("é", n)[:n-n%2] + strings.Repeat("x", n%2))
				if c%2 == 0 {
					text = []byte(strings.Repeat("x", n))
				}
				text[at] = byte(c)
				if validText(text) != utf8.Valid(text) {
					differ++
				}
				if !utf8.Valid(text) {
					refused++
				}
			}
		}
	}
	require.Zero(t, differ)
	require.Greater(t, refused, 1000)
}

func benchmark(b *testing.B, f func()) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{32, 1 << 10, 64 << 10} {
		c := newSpeedCase(b, size)
		b.Run(fmt.Sprintf("limit/%d", size), func(b *testing.B) { benchmark(b, c.limitSeal()) })
		b.Run(fmt.Sprintf("ring/%d", size), func(b *testing.B) { benchmark(b, c.seal(b)) })
		b.Run(fmt.Sprintf("ring-append/%d", size), func(b *testing.B) { benchmark(b, c.appendSeal(b)) })
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range []int{32, 1 << 10, 64 << 10} {
		c := newSpeedCase(b, size)
		b.Run(fmt.Sprintf("limit/%d", size), func(b *testing.B) { benchmark(b, c.limitOpen(b)) })
		b.Run(fmt.Sprintf("ring/%d", size), func(b *testing.B) { benchmark(b, c.open(b)) })
		b.Run(fmt.Sprintf("ring-append/%d", size), func(b *testing.B) { benchmark(b, c.appendOpen(b)) })
	}
}

func BenchmarkParallel(b *testing.B) {
	c := newSpeedCase(b, 32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		seal, open := c.appendSeal(b), c.appendOpen(b)
		for pb.Next() {
			seal()
			open()
		}
	})
}
