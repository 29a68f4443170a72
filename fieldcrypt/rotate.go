package fieldcrypt

import (
	"context"
	"fmt"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
)

// Rotate makes a new data key for the scope and returns its ID. From now on it
// is what the scope's records are encrypted with; what was encrypted before
// goes on opening. Without a key store this concerns the present process.
func (c *Crypt) Rotate(ctx context.Context, scope Scope) (envelope.KeyID, error) {
	if !c.made() {
		return envelope.KeyID{}, errNoCrypt
	}
	if ctx == nil {
		return envelope.KeyID{}, fmt.Errorf("fieldcrypt: Rotate: %w", errNoContext)
	}
	if c.closed.Load() {
		return envelope.KeyID{}, fmt.Errorf("fieldcrypt: Rotate of %s: %w", scope, errClosed)
	}
	return c.ring.Rotate(ctx, scope)
}
