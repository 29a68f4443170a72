package envelope

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// toRotate is a store with the keys of some tenants, and a ring that has none of
// them in memory.
func toRotate(t *testing.T, p *moodyProvider, tenants int) *KeyRing {
	t.Helper()
	store := NewMemoryStore()
	first, _ := moodyRing(t, p, &Options{Store: store})
	for i := range tenants {
		_, _ = sealFor(t, first, place(fmt.Sprint("tenant-", i)))
	}
	require.NoError(t, first.Close())
	r, _ := moodyRing(t, p, &Options{Store: store})
	return r
}

// A scope whose key service is throttled or away for a moment is tried again.
func TestRotateAllTriesAgain(t *testing.T) {
	for _, err := range []error{errSlowed, errAway} {
		bubble.Test(t, func(t *testing.T) {
			p := &moodyProvider{}
			r := toRotate(t, p, 10)
			p.set(err)
			time.AfterFunc(rotatePause/2, func() { p.set(nil) })
			report, err := r.RotateAll(t.Context(), Filter{}, nil)
			require.NoError(t, err)
			require.Equal(t, RotateReport{Rotated: 10}, report)
		})
	}
}

// TestRotateAllGivesUp: where the service or the store is away for good, the
// number of attempts is bounded, and the report has all that is left with a cause.
func TestRotateAllGivesUp(t *testing.T) {
	const tenants = 300
	for name, c := range map[string]struct {
		err      error
		attempts int
	}{
		"away":      {errAway, rotateAttempts},
		"throttled": {errSlowed, rotateAttempts},
		"denied":    {errDenied, 1},
		"unusable":  {errUnkey, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &moodyProvider{}
				r := toRotate(t, p, tenants)
				p.set(c.err)
				last := 0
				report, err := r.RotateAll(t.Context(), Filter{}, func(done int) { last = done })
				require.ErrorIs(t, err, c.err)
				require.ErrorContains(t, err, "envelope: rotate all: 300 keys failed")
				require.Zero(t, report.Rotated)
				require.Len(t, report.Failed, tenants)
				require.Equal(t, tenants, last)
				tried, scopes := 0, map[Scope]bool{}
				for _, f := range report.Failed {
					scopes[f.Key.Scope] = true
					if !errors.Is(f.Err, errNotTried) {
						require.ErrorIs(t, f, c.err)
						tried++
					}
				}
				require.Len(t, scopes, tenants)
				require.GreaterOrEqual(t, tried, giveUpAfter)
				require.Less(t, tried, giveUpAfter+loadsAtOnce)
				require.EqualError(t, errNotTried, "not tried, since the key service or the key store failed for 20 scopes in a row")
				require.LessOrEqual(t, r.Stats().GenerateDataKey, uint64(c.attempts*tried))

				// The control, and how to go on.
				p.set(nil)
				for _, f := range report.Failed {
					_, err := r.Rotate(t.Context(), f.Key.Scope)
					require.NoError(t, err)
				}
			})
		})
	}
}

// Failures that are scattered end nothing, and those of the scope alone don't
// count: bad input for one is no word about the others.
func TestRotateAllGoesOn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &moodyProvider{tenant: "tenant-7"}
		r := toRotate(t, p, 100)
		p.set(errAway)
		report, err := r.RotateAll(t.Context(), Filter{}, nil)
		require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
		require.ErrorContains(t, err, "after 3 attempts")
		require.Equal(t, 99, report.Rotated)
		require.Len(t, report.Failed, 1)

		forbidden, err := NewKeyRing(p, RootKeysFunc(func(s Scope) (RootKeys, error) { return RootKeys{}, nil }), &Options{Store: r.opts.Store})
		require.NoError(t, err)
		defer forbidden.Close()
		report, err = forbidden.RotateAll(t.Context(), Filter{}, nil)
		require.ErrorIs(t, err, ErrRootKeyNotAllowed)
		require.Len(t, report.Failed, 100)
		for _, f := range report.Failed {
			require.ErrorIs(t, f, ErrRootKeyNotAllowed)
		}
	})
}

// A caller who leaves isn't kept by pauses.
func TestRotateAllEndsWithItsContext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &moodyProvider{}
		r := toRotate(t, p, 5)
		p.set(errAway)
		ctx, cancel := context.WithTimeout(t.Context(), rotatePause/2)
		defer cancel()
		begun := time.Now()
		report, err := r.RotateAll(ctx, Filter{}, nil)
		require.Error(t, err)
		require.Len(t, report.Failed, 5)
		require.Less(t, time.Since(begun), rotatePause)
	})
}
