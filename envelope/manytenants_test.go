package envelope

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// mirrorStore keeps nothing: it has an active key for each scope, which is the
// one that mirrorProvider makes. What it can't answer so it doesn't have.
type mirrorStore struct{ KeyStore }

// mirrorMade is when the keys of a crowd's tenants were made: one after the other
// in the last twelve days, and those of the ten that it works for all the time now.
// So these are the last whose counts of messages are dropped.
func mirrorMade(scope Scope) time.Time {
	var i int
	_, _ = fmt.Sscanf(scope.Tenant, "tenant-%d", &i)
	now := mirrorNow
	if i < 10 {
		return now
	}
	return now.AddDate(0, 0, -12).Add(time.Duration(min(i, 1_030_000)) * time.Second)
}

var mirrorNow = time.Now().Truncate(time.Second)

func mirrorSecret(scope Scope) []byte {
	secret, err := mirrorProvider{}.Unwrap(context.Background(), mirrorRoot, nil, encryptionContext(scope, PurposeData))
	if err != nil {
		panic(err)
	}
	return secret
}

func (mirrorStore) Active(_ context.Context, scope Scope, _ Purpose) (Record, error) {
	secret, made := mirrorSecret(scope), mirrorMade(scope)
	rec := Record{
		KeyID: deriveKeyID(secret, scope, PurposeData), Scope: scope, Purpose: PurposeData, RootKey: mirrorRoot,
		Wrapped: make([]byte, 184), State: StateActive, Created: made, NotAfter: made.AddDate(0, 0, 30), Budget: 1 << 31,
	}
	rec.Tag = recordTag(secret, scope, PurposeData, rec.Created, rec.NotAfter, rec.Budget)
	return rec, nil
}

func (s mirrorStore) Get(ctx context.Context, scope Scope, purpose Purpose, _ KeyID) (Record, error) {
	return s.Active(ctx, scope, purpose)
}

func (mirrorStore) Lease(_ context.Context, _ Scope, _ Purpose, _ KeyID, n uint64) (granted, left uint64, err error) {
	return n, 1 << 31, nil
}

func (mirrorStore) States(_ context.Context, keys []KeyName) ([]State, error) {
	states := make([]State, len(keys))
	for i := range states {
		states[i] = StateActive
	}
	return states, nil
}

// sealedElsewhere is what another process has sealed by reference.
func sealedElsewhere(t *testing.T, at *Binding, frame []byte) []byte {
	t.Helper()
	k, err := newDataKey(mirrorSecret(at.Scope), at.Scope)
	require.NoError(t, err)
	h := header{mode: ModeReference, keyID: &k.id}
	return k.sealFrame(h.bytes(), frame, at.appendPlace(append([]byte(nil), k.prefix...)))
}

// places is the size of the caches.
var places = scoreboard.Count(300, 1000)

// A crowd is what many tenants leave in the memory of a ring that works for one
// after the other.
type crowd struct {
	tenants   int
	length    time.Duration
	size      int     // most keys in either cache
	heap      float64 // bytes after a collection, on average
	slope     float64 // of the heap, in percent over the whole time
	uncertain float64 // standard error of the slope
	busy      int     // goroutines, before Close, while it loads 100 keys
	left      int     // goroutines after Close, more than before the ring was made
}

// throughCrowd spreads so many tenants over so much time, after a number of others.
// The ring works for each of them once, and for a few all the time. It keeps so many
// counts of messages, or as many as it does where that is 0.
func throughCrowd(t *testing.T, warmUp, tenants int, length time.Duration, opts Options, counts int, use func(r *KeyRing, at *Binding) error) crowd {
	t.Helper()
	samples := scoreboard.Count(30, 80)
	at := func(i int) *Binding {
		return &Binding{Scope: Scope{Tenant: fmt.Sprintf("tenant-%07d", i), Class: "crm"}, Field: email, Record: "42"}
	}
	c := crowd{tenants: tenants}
	manyGoroutines()
	goroutines := settledGoroutines()
	p := &slowMirror{}
	r, err := NewKeyRing(p, RootKeys{Seal: mirrorRoot}, &opts)
	require.NoError(t, err)
	r.drawn.most = counts
	var times, heaps []float64
	var began time.Time
	for i := range warmUp + tenants {
		if i == warmUp {
			began = time.Now()
		}
		if i >= warmUp && (i-warmUp)%(tenants/samples) == 0 {
			time.Sleep(time.Until(began.Add(length * time.Duration(i-warmUp) / time.Duration(tenants))))
			times, heaps = append(times, float64(i-warmUp)/float64(tenants)), append(heaps, float64(liveHeap()))
		}
		require.NoError(t, use(r, at(i)))
		require.NoError(t, use(r, at(i%10)))
		c.size = max(c.size, r.opening.EstimatedSize(), r.sealing.EstimatedSize())
	}
	c.length = time.Since(began)
	mean, slope, uncertain := line(times, heaps)
	c.heap, c.slope, c.uncertain = mean, 100*slope/mean, 100*uncertain/mean

	running := settledGoroutines()
	p.slow.Store(true)
	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() { _ = use(r, at(9_000_000+i)) })
	}
	for p.calls.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	c.busy = runtime.NumGoroutine() - running
	require.NoError(t, r.Close())
	calls.Wait()
	c.left = max(0, settledGoroutines()-goroutines)
	return c
}

// manyGoroutines makes the runtime have the memory for many goroutines. It keeps
// that of those that ended, as many as ever were there at once, which on a busy
// machine grows.
func manyGoroutines() {
	var all sync.WaitGroup
	end := make(chan struct{})
	for range 4 * places {
		all.Go(func() { <-end })
	}
	close(end)
	all.Wait()
}

// settledGoroutines counts goroutines once their number has been the same for a
// while: those of an earlier test, or of a ring that was closed, may be ending.
func settledGoroutines() (n int) {
	for same, tries := 0, 0; same < 20 && tries < 1000; tries++ {
		now := runtime.NumGoroutine()
		if same++; now != n {
			n, same = now, 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n
}

// slowMirror can take an hour for each call.
type slowMirror struct {
	mirrorProvider
	slow  atomic.Bool
	calls atomic.Int64 // slow ones
}

func (p *slowMirror) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if p.slow.Load() {
		p.calls.Add(1)
		return kmsprovider.DataKey{}, pause(ctx, time.Hour)
	}
	return p.mirrorProvider.GenerateDataKey(ctx, rootKey, ec)
}

func (p *slowMirror) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if p.slow.Load() {
		p.calls.Add(1)
		return nil, pause(ctx, time.Hour)
	}
	return p.mirrorProvider.Unwrap(ctx, rootKey, wrapped, ec)
}

// TestScoreboardS18 sends many tenants through a ring with few places. The
// control's ring has a place for each.
func TestScoreboardS18(t *testing.T) {
	frame := AppendString(nil, "x")
	sealAndOpen := func(r *KeyRing, at *Binding) error {
		env, err := r.Seal(t.Context(), at, frame)
		if err != nil {
			return err
		}
		_, err = r.Open(t.Context(), at, env)
		return err
	}
	open := func(r *KeyRing, at *Binding) error {
		_, err := r.Open(t.Context(), at, sealedElsewhere(t, at, frame))
		return err
	}
	warmUp := 20 * places // then the runtime has as many stopped timers as it lets be
	tenants := scoreboard.Count(12_000, 1_000_000)
	length := time.Duration(scoreboard.Count(3, 3600)) * time.Second
	for _, c := range []struct {
		name   string
		opts   Options
		counts int // of messages, that are kept; fewer than there are tenants, so that the bound is reached
		use    func(r *KeyRing, at *Binding) error
	}{
		{"inline", Options{}, 0, sealAndOpen},
		{"by reference, opening", Options{Store: mirrorStore{}}, 0, open},
		{"by reference, sealing", Options{Store: mirrorStore{}}, 4 * places, sealAndOpen},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := c.opts
			opts.CacheSize = places
			got := throughCrowd(t, warmUp, tenants, length, opts, c.counts, c.use)
			for range scoreboard.Count(3, 0) { // what grows does so each time, and a few seconds of noise don't
				if got.slope-2*got.uncertain < 1 {
					break
				}
				got = throughCrowd(t, warmUp, tenants, length, opts, c.counts, c.use)
			}
			opts.CacheSize = 10 * tenants
			control := throughCrowd(t, 0, tenants/8, 0, opts, 0, c.use)
			ok := got.size <= places && got.left == 0 && got.slope-2*got.uncertain < 1 &&
				control.size > places && control.slope-2*control.uncertain > 1
			scoreboard.Row(t, "S18", ok,
				fmt.Sprintf("%s, %d tenants: at most %d keys in %d places; heap %.0f KiB, slope %+.2f ± %.2f %% in %v; %d goroutines left of %d",
					c.name, tenants, got.size, places, got.heap/1024, got.slope, got.uncertain, got.length.Round(time.Second), got.left, got.busy),
				"<= cap; 0; < 1 %", fmt.Sprintf("a place for each: %d keys, slope %+.0f %%", control.size, control.slope))
		})
	}
}

// line returns the mean of y, the slope of the line through the points, and the
// standard error of that slope.
func line(x, y []float64) (mean, slope, uncertain float64) {
	n := float64(len(x))
	var meanX, up, down, rest float64
	for i := range x {
		meanX += x[i] / n
		mean += y[i] / n
	}
	for i := range x {
		up += (x[i] - meanX) * (y[i] - mean)
		down += (x[i] - meanX) * (x[i] - meanX)
	}
	slope = up / down
	for i := range x {
		off := y[i] - mean - slope*(x[i]-meanX)
		rest += off * off
	}
	return mean, slope, math.Sqrt(rest / (n - 2) / down)
}
