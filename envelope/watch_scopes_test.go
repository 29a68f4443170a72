package envelope

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A tenant for which the configuration has no root keys any more is no outage of
// the key service: the others' root key goes on being asked about.
func TestTenantThatLeft(t *testing.T) {
	for name, gone := range map[string]error{
		"left":               fmt.Errorf("%w: made-up: no such tenant", kmsprovider.ErrKeyUnusable),
		"can't be looked up": errors.New("made-up: the list of tenants can't be read"),
		"moved":              nil,
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var left atomic.Bool
				p, log := &moodyProvider{}, &eventLog{}
				roots := RootKeysFunc(func(s Scope) (RootKeys, error) {
					if left.Load() && s.Tenant == "globex" {
						return RootKeys{Seal: plainRoot + "-other"}, gone
					}
					return RootKeys{Seal: plainRoot}, nil
				})
				r, err := NewKeyRing(p, roots, &Options{CacheTTL: time.Minute, OnEvent: log.add})
				require.NoError(t, err)
				defer r.Close()
				stays, _ := sealFor(t, r, place("acme"))
				leaves, _ := sealFor(t, r, place("globex"))
				left.Store(true)
				time.Sleep(time.Minute + time.Second)
				if _, err = r.Open(t.Context(), place("globex"), leaves); name == "can't be looked up" {
					require.NoError(t, err)
				} else {
					require.Error(t, err)
				}
				calls := p.unwraps()
				_, err = r.Open(t.Context(), place("acme"), stays)
				require.NoError(t, err)
				require.Equal(t, calls, p.unwraps(), "its key is still there")
				require.Zero(t, log.count(RootKeyAway)+log.count(RootKeyRefused), "the key service is there")

				p.set(errDenied)
				time.Sleep(time.Minute + time.Second)
				_, err = r.Open(t.Context(), place("acme"), stays)
				require.ErrorIs(t, err, kmsprovider.ErrDenied, "a revoked root key")
			})
		})
	}
}
