//go:build !race

package memdump

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSearchAtEveryEdge: memory is read in blocks, and a secret may lie across
// two of them, at the beginning or at the end.
func TestSearchAtEveryEdge(t *testing.T) {
	secret := []byte("a made-up secret, 32 bytes long.")
	s := NewSearch([]Secret{{"made up", "nobody", secret}, {"another", "nobody", []byte("a made-up secret, not there")}})
	const size = 2*block + 100
	for _, at := range []int{0, 1, block - 33, block - 32, block - 31, block - 8, block - 7, block - 1, block, block + 1, 2*block - 1, 2 * block, size - 32} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			mem := make([]byte, size)
			copy(mem[at:], secret)
			hits, err := s.mapping(io.NewSectionReader(bytes.NewReader(mem), 0, size), "made-up mapping", 1000)
			require.NoError(t, err)
			require.Len(t, hits, 1)
			require.Equal(t, "made up", hits[0].Kind)
			require.Equal(t, uint64(1000+at), hits[0].Address)
			mem[at+31]++
			hits, err = s.mapping(io.NewSectionReader(bytes.NewReader(mem), 0, size), "made-up mapping", 1000)
			require.NoError(t, err)
			require.Empty(t, hits)
		})
	}
}
