package envelope

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
)

// slowDown lets each call take so long from now on.
func (p *plainProvider) slowDown(each time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = each
}

// forget begins to look for the most calls at once anew.
func (p *plainProvider) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = p.inFlight
}

// seen returns how many calls there were, and the most of them at once.
func (p *plainProvider) seen() (calls, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.generated + p.unwrapped, p.most
}

// TestScoreboardS12KeysEndingAtOnce has 1,000 keys end at the same moment, in
// each of the ways that keys end, and reads how many calls were in flight at
// once. The controls are rings whose bounds let all through.
func TestScoreboardS12KeysEndingAtOnce(t *testing.T) {
	const most = 20
	keys := 1000
	if testing.Short() || scoreboard.UnderRace() {
		keys = 100
	}
	var figures, controls []string
	ok := true
	for _, c := range []struct {
		name string
		opts Options
		end  func(t *testing.T, r, other *KeyRing) // lets the ring's keys end
	}{
		{
			"age, by reference",
			Options{Store: NewMemoryStore(), KeyAge: 24 * time.Hour},
			func(t *testing.T, _, _ *KeyRing) { time.Sleep(22 * time.Hour) },
		},
		{
			"age, inline",
			Options{KeyAge: 24 * time.Hour},
			func(t *testing.T, _, _ *KeyRing) { time.Sleep(22 * time.Hour) },
		},
		{
			"rotated elsewhere",
			Options{Store: NewMemoryStore()},
			func(t *testing.T, r, other *KeyRing) {
				_, err := other.RotateAll(t.Context(), Filter{}, nil)
				require.NoError(t, err)
				other.provider.(*plainProvider).forget()
				time.Sleep(2 * time.Minute)
			},
		},
		{
			"TTL of each key",
			Options{CacheTTL: 2 * time.Minute, CheckEachKey: true},
			func(t *testing.T, _, _ *KeyRing) { time.Sleep(2 * time.Minute) },
		},
	} {
		peak := func(bounded bool) (most int) {
			bubble.Test(t, func(t *testing.T) {
				opts := c.opts
				if opts.Store != nil {
					opts.Store = NewMemoryStore()
				}
				p := &plainProvider{}
				r, other := plainRing(t, p, &opts), plainRing(t, p, &opts)
				if !bounded {
					r.renewals, r.checks = make(chan struct{}, keys), make(chan struct{}, keys)
				}
				places := make([]*Binding, keys)
				first := make(map[string]KeyID, keys)
				for i := range places {
					places[i] = place(fmt.Sprint("tenant-", i))
					_, first[places[i].Scope.Tenant] = sealFor(t, r, places[i])
				}
				p.slowDown(200 * time.Second / time.Duration(keys)) // all of them take 20 s, ten at a time
				p.forget()
				calls, _ := p.seen()
				c.end(t, r, other)
				synctest.Wait()
				all, peak := p.seen()
				require.GreaterOrEqual(t, all-calls, keys, "not all keys have ended")
				most = peak
				began := time.Now()
				for _, at := range places {
					_, key := sealFor(t, r, at)
					if !opts.CheckEachKey {
						require.NotEqual(t, first[at.Scope.Tenant], key)
					}
				}
				require.Zero(t, time.Since(began), "a writer waited for a key")
			})
			return most
		}
		got, control := peak(true), peak(false)
		ok = ok && got <= most && control > most
		figures = append(figures, fmt.Sprintf("%d (%s)", got, c.name))
		controls = append(controls, fmt.Sprint(control))
	}
	scoreboard.Row(t, "S12", ok, fmt.Sprintf("calls in flight at most, of %d keys ending at once: %s", keys, strings.Join(figures, ", ")),
		fmt.Sprintf("<= %d", most), "without the bound: "+strings.Join(controls, ", "))
}
