package localkms

import (
	"context"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/internal/examine"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

var _ kmsprovider.Examiner = (*Provider)(nil)

// Examine implements [kmsprovider.Examiner]: whether the key file is there, is
// the one that was opened, and can be used by its owner alone.
func (p *Provider) Examine(ctx context.Context) []kmsprovider.Finding {
	return examine.All(
		ctx,
		examine.Check{Name: "key file", Do: func(context.Context) []kmsprovider.Finding {
			s, err := p.refresh()
			if err != nil {
				return []kmsprovider.Finding{examine.Failed("key file", fmt.Errorf("localkms: examining the %w", err), "")}
			}
			who := "only its owner can use it"
			if !modesAreKept {
				who = "who can use it is what its folder's permissions say"
			}
			return []kmsprovider.Finding{examine.OK("key file", fmt.Sprintf("%s, root keys: %d; %s", p.path, len(s.byName), who))}
		}},
		examine.Check{Name: "TLS", Do: func(context.Context) []kmsprovider.Finding {
			return []kmsprovider.Finding{examine.OK("TLS", "there is no connection: the root keys are in a file")}
		}},
	)
}
