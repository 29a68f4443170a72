package envelope

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
)

// Clocks of processes differ, and are set back.

// storedBy puts an authentic key into a new store, made by a process whose clock
// is ahead, or with less than nothing behind.
func storedBy(t *testing.T, p *plainProvider, ahead time.Duration) (*MemoryStore, Record) {
	t.Helper()
	scope := place("acme").Scope.withDefault()
	made, err := p.GenerateDataKey(t.Context(), plainRoot, encryptionContext(scope, PurposeData))
	require.NoError(t, err)
	rec := Record{
		KeyID: deriveKeyID(made.Plaintext, scope, PurposeData), Scope: scope, Purpose: PurposeData,
		RootKey: made.RootKey, Wrapped: made.Wrapped, Budget: 1 << 31, Created: time.Now().Add(ahead).Truncate(time.Second),
	}
	rec.NotAfter = rec.Created.Add(30 * 24 * time.Hour)
	rec.Tag = recordTag(made.Plaintext, scope, PurposeData, rec.Created, rec.NotAfter, rec.Budget)
	store := NewMemoryStore()
	require.NoError(t, store.Activate(t.Context(), rec, KeyID{}))
	return store, rec
}

// A process takes the key that it finds, whenever that was made, unless it has
// ended by its own clock. Then it makes one, and the other process takes that.
func TestKeyOfAProcessWithAnotherClock(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		name  string
		ahead time.Duration
		seals bool
	}{
		{"a second ahead", time.Second, true},
		{"an hour ahead", time.Hour, true},
		{"a year ahead", year, true},
		{"an hour behind", -time.Hour, true},
		{"so far behind that it ends now", -30 * 24 * time.Hour, false},
		{"a year behind", -year, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &plainProvider{}
				store, rec := storedBy(t, p, c.ahead)
				r := plainRing(t, p, &Options{Store: store})
				_, key := sealFor(t, r, place("acme"))
				require.Equal(t, c.seals, key == rec.KeyID)
				for range 10 {
					_, again := sealFor(t, plainRing(t, p, &Options{Store: store}), place("acme"))
					require.Equal(t, key, again, "processes take turns in making keys")
				}
				old, err := store.Get(t.Context(), rec.Scope, PurposeData, rec.KeyID)
				require.NoError(t, err)
				require.NoError(t, old.readable(), "what the key sealed opens, whatever the clocks say")
			})
		})
	}
}

// The clock is set back by an hour after an attempt at the next key has failed:
// the next attempt is 10 seconds later, and not an hour.
func TestClockSetBackBetweenAttempts(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &plainProvider{}
				r := plainRing(t, p, &Options{Store: store(), MessageBudget: 1000})
				_, first := sealFor(t, r, place("acme"))
				k, ok := r.sealing.GetIfPresent(place("acme").Scope.withDefault())
				require.True(t, ok)
				k.seal.retryAt.Store(time.Now().Add(renewRetry + time.Hour).UnixNano())
				k.seal.left.Store(100)
				k.seal.ending.Store(true)
				for range 80 { // no more: under the race detector each may leave a block of messages behind
					_, _ = sealFor(t, r, place("acme"))
					synctest.Wait()
				}
				require.GreaterOrEqual(t, p.made(), 2, "the next key was not made ahead of need")
				p.slowDown(time.Second)
				began := time.Now()
				for range 10 {
					_, _ = sealFor(t, r, place("acme"))
				}
				require.Zero(t, time.Since(began), "a writer waited for a key")
				_, key := sealFor(t, r, place("acme"))
				require.NotEqual(t, first, key)
			})
		})
	}
}
