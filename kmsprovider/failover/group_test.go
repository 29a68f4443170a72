package failover_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

func TestBehind(t *testing.T) {
	p := newPair(t, nil)
	all := []kmsprovider.Provider{p.inPrimary, p.inThere}
	require.Equal(t, all, p.provider.Behind(p.rootKey))
	p.provider.Behind(p.rootKey)[0] = nil
	require.Equal(t, all, p.provider.Behind("any"), "it gives copies")
}
