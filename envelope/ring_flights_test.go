package envelope

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// TestScoreboardS12 counts the calls that 10,000 goroutines cost who want one
// cold key at once. The control loads the key for each, as the same ring would
// without its single flight.
func TestScoreboardS12(t *testing.T) {
	const readers = 10_000
	var got, control [2]int // inline, reference
	bubble.Test(t, func(t *testing.T) {
		for mode, store := range []KeyStore{nil, NewMemoryStore()} {
			p := &plainProvider{}
			env, err := plainRing(t, p, &Options{Store: store}).Seal(t.Context(), place("acme"), AppendString(nil, "x"))
			require.NoError(t, err)
			h, err := parseHeader(env)
			require.NoError(t, err)
			p.delay = time.Second
			count := func(n int, open func(r *KeyRing) error) int {
				p.unwrapped = 0
				r := plainRing(t, p, &Options{Store: store})
				var wg sync.WaitGroup
				for range n {
					wg.Go(func() {
						if err := open(r); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				return p.unwrapped
			}
			got[mode] = count(readers, func(r *KeyRing) error {
				_, err := r.Open(t.Context(), place("acme"), env)
				return err
			})
			scope := place("acme").Scope.withDefault()
			control[mode] = count(100, func(r *KeyRing) error {
				if h.mode == ModeReference {
					_, err := r.loadReference(t.Context(), scope, PurposeData, *h.keyID)
					return err
				}
				_, err := r.loadInline(t.Context(), scope, *h.keyID, string(h.rootKey), h.wrapped, [32]byte{})
				return err
			})
		}
	})
	scoreboard.Row(t, "S12", got == [2]int{1, 1} && control[0] > 1 && control[1] > 1,
		fmt.Sprintf("%d call inline and %d by reference for %d goroutines on a cold key", got[0], got[1], readers), "1",
		fmt.Sprintf("without single flight: %d and %d for 100 goroutines", control[0], control[1]))
}

// gatedProvider holds back the calls for one tenant until it is told.
type gatedProvider struct {
	plainProvider
	tenant string
	gate   chan struct{}
}

func (p *gatedProvider) wait(ctx context.Context, ec kmsprovider.EncryptionContext) error {
	if ec["fieldcrypt:tenant"] != p.tenant {
		return nil
	}
	select {
	case <-p.gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *gatedProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if err := p.wait(ctx, ec); err != nil {
		return kmsprovider.DataKey{}, err
	}
	return p.plainProvider.GenerateDataKey(ctx, rootKey, ec)
}

func (p *gatedProvider) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	if err := p.wait(ctx, ec); err != nil {
		return nil, err
	}
	return p.plainProvider.Unwrap(ctx, rootKey, wrapped, ec)
}

// The time of a bubble moves only when all wait: if a call for another tenant
// waited for the hanging one, time would have passed when it returned.
func TestOneHangingTenantDelaysNoOther(t *testing.T) {
	for mode, store := range map[string]func() KeyStore{"inline": func() KeyStore { return nil }, "reference": func() KeyStore { return NewMemoryStore() }} {
		t.Run(mode, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &gatedProvider{tenant: "slow", gate: make(chan struct{})}
				r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, &Options{Store: store()})
				require.NoError(t, err)
				defer r.Close()
				hung := make(chan error, 1)
				go func() {
					_, err := r.Seal(t.Context(), place("slow"), AppendString(nil, "x"))
					hung <- err
				}()
				synctest.Wait()
				began := time.Now()
				for i := range 99 {
					b := place(fmt.Sprintf("tenant-%d", i))
					env, err := r.Seal(t.Context(), b, AppendString(nil, "x"))
					require.NoError(t, err)
					_, err = r.Open(t.Context(), b, env)
					require.NoError(t, err)
				}
				require.Zero(t, time.Since(began), "another tenant's calls waited")
				require.Empty(t, hung)
				close(p.gate)
				require.NoError(t, <-hung)
			})
		})
	}
}

// An envelope with a victim's key ID and a false wrapped key comes first and
// is still being looked at when the honest reader asks.
func TestFalseEnvelopeCannotFailTheHonestFlight(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &plainProvider{}
		env, err := plainRing(t, p, nil).Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		require.NoError(t, err)
		h, err := parseHeader(env)
		require.NoError(t, err)
		h.wrapped = []byte("no wrapped key")
		false1 := append(h.bytes(), h.body...)

		p.delay = time.Second
		r := plainRing(t, p, nil)
		first := make(chan error, 1)
		go func() {
			_, err := r.Open(t.Context(), place("acme"), false1)
			first <- err
		}()
		synctest.Wait()
		_, err = r.Open(t.Context(), place("acme"), env)
		require.NoError(t, err)
		require.ErrorIs(t, <-first, ErrNotAuthentic)
		require.Equal(t, 2, p.unwrapped)
	})
}

// The first caller's impatience isn't the failure of those who wait with it.
func TestFirstCallerLeaves(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &plainProvider{delay: time.Second}
		r := plainRing(t, p, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		first := make(chan error, 1)
		go func() {
			_, err := r.Seal(ctx, place("acme"), AppendString(nil, "x"))
			first <- err
		}()
		synctest.Wait()
		_, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		require.NoError(t, err)
		require.ErrorIs(t, <-first, context.DeadlineExceeded)
		require.NotErrorIs(t, err, kmsprovider.ErrUnavailable, "the service was not to blame")
		require.Equal(t, 1, p.made())
	})
}

// Close ends what is under way: the bubble would not end if a goroutine were
// left.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	for mode, store := range map[string]func() KeyStore{"inline": func() KeyStore { return nil }, "reference": func() KeyStore { return NewMemoryStore() }} {
		t.Run(mode, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				before := runtime.NumGoroutine()
				p := &gatedProvider{tenant: "slow", gate: make(chan struct{})}
				r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, &Options{Store: store(), KeyAge: time.Hour, MessageBudget: 8})
				require.NoError(t, err)
				for i := range 50 {
					_, err := r.Seal(t.Context(), place(fmt.Sprintf("tenant-%d", i)), AppendString(nil, "x"))
					require.NoError(t, err)
				}
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						_, err := r.Seal(t.Context(), place("slow"), AppendString(nil, "x"))
						if !errors.Is(err, ErrClosed) {
							t.Errorf("a call that waits when the ring is closed: %v", err)
						}
					})
				}
				synctest.Wait()
				require.NoError(t, r.Close())
				wg.Wait()
				require.NoError(t, r.Close(), "closing twice")
				synctest.Wait()
				require.LessOrEqual(t, runtime.NumGoroutine(), before+1)
				calls := p.made()
				time.Sleep(2 * time.Hour) // timers that were left would call
				require.Equal(t, calls, p.made())
			})
		})
	}
}
