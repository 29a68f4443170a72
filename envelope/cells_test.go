package envelope

import (
	"context"
	"encoding"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// cellsOf returns n cells over so many tenants, framed.
func cellsOf(n, tenants int) []Cell {
	cells := make([]Cell, n)
	for i := range cells {
		b := place(fmt.Sprintf("tenant-%d", i%tenants))
		b.Record = fmt.Sprint("record ", i)
		cells[i] = Cell{Binding: *b, Frame: AppendString(nil, fmt.Sprint("value ", i))}
	}
	return cells
}

func TestSealAllOpenAll(t *testing.T) {
	const n, tenants = 500, 40
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &plainProvider{delay: time.Second}
				opts := &Options{Store: store(), KeyAge: time.Hour}
				r := plainRing(t, p, opts)
				cells := cellsOf(n, tenants)
				began := time.Now()
				require.NoError(t, r.SealAll(t.Context(), cells))
				require.Equal(t, tenants, p.generated)
				require.Equal(t, 16, p.most, "keys made at once")
				require.Less(t, time.Since(began), 10*time.Second, "keys were made one after the other")
				for i := range cells {
					require.NoError(t, cells[i].Err)
					cells[i].Frame, cells[i].Err = []byte("stale"), fmt.Errorf("stale")
				}
				require.Zero(t, r.OpenAll(t.Context(), cells), "from the cache")
				require.Zero(t, p.unwrapped)

				cold := plainRing(t, p, opts)
				p.most = 0
				began = time.Now()
				require.Zero(t, cold.OpenAll(t.Context(), cells))
				require.Equal(t, tenants, p.unwrapped)
				require.Equal(t, 16, p.most, "keys loaded at once")
				require.Less(t, time.Since(began), 10*time.Second, "keys were loaded one after the other")
				for i := range cells {
					require.NoError(t, cells[i].Err)
					require.Equal(t, AppendString(nil, fmt.Sprint("value ", i)), cells[i].Frame)
				}
			})
		})
	}
}

func TestNoCells(t *testing.T) {
	r := plainRing(t, &plainProvider{}, nil)
	require.NoError(t, r.SealAll(t.Context(), nil))
	require.Zero(t, r.OpenAll(t.Context(), nil))
}

// SealAll is all or nothing: no envelope is left that could be written by a
// caller who overlooks the error.
func TestSealAllFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(cells []Cell)
		cell  int
		want  error
	}{
		{"a bad frame in the middle", func(cells []Cell) { cells[5].Frame = nil }, 5, ErrMalformed},
		{"a bad record in the last", func(cells []Cell) { cells[9].Binding.Record = "" }, 9, ErrMalformed},
		{"a bad tenant among cold ones", func(cells []Cell) { cells[3].Binding.Scope.Tenant = "" }, 3, ErrMalformed},
		{"a tenant whose key is denied", func(cells []Cell) { cells[4].Binding.Scope.Tenant = "denied" }, 4, kmsprovider.ErrDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewKeyRing(&denyTenant{}, RootKeys{Seal: plainRoot}, nil)
			require.NoError(t, err)
			defer r.Close()
			cells := cellsOf(10, 3)
			for i := range cells {
				cells[i].Envelope = []byte("stale")
			}
			c.spoil(cells)
			err = r.SealAll(t.Context(), cells)
			require.ErrorIs(t, err, c.want)
			for i := range cells {
				require.Nil(t, cells[i].Envelope, "cell %d has an envelope", i)
				require.Equal(t, i == c.cell, cells[i].Err != nil, "cell %d: %v", i, cells[i].Err)
			}
			require.Equal(t, err, cells[c.cell].Err)
		})
	}
}

// denyTenant denies the keys of tenant "denied".
type denyTenant struct {
	plainProvider
	unwraps atomic.Int64
}

func (p *denyTenant) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	if ec["fieldcrypt:tenant"] == "denied" {
		return kmsprovider.DataKey{}, fmt.Errorf("%w: made-up policy", kmsprovider.ErrDenied)
	}
	return p.plainProvider.GenerateDataKey(ctx, rootKey, ec)
}

func (p *denyTenant) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	p.unwraps.Add(1)
	if ec["fieldcrypt:tenant"] == "denied" {
		return nil, fmt.Errorf("%w: made-up policy", kmsprovider.ErrDenied)
	}
	return p.plainProvider.Unwrap(ctx, rootKey, wrapped, ec)
}

// One bad cell, or one key that can't be had, fails no other cell.
func TestOpenAllFailsCellByCell(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			writer := &plainProvider{}
			opts := &Options{Store: store()}
			cells := cellsOf(40, 4)
			for i := range cells {
				if i%4 == 3 {
					cells[i].Binding.Scope.Tenant = "denied"
				}
			}
			require.NoError(t, plainRing(t, writer, opts).SealAll(t.Context(), cells))
			cells[0].Envelope = nil
			cells[4].Envelope[len(cells[4].Envelope)-1] ^= 1
			cells[8].Binding.Record = "another"
			cells[12].Envelope = append([]byte(nil), cells[13].Envelope...) // another tenant's
			cells[16].Envelope[1] = 9

			p := &denyTenant{}
			p.keys = writer.keys
			r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, opts)
			require.NoError(t, err)
			defer r.Close()
			wants := map[int]error{0: ErrMalformed, 4: ErrNotAuthentic, 8: ErrNotAuthentic, 12: ErrNotAuthentic, 16: ErrUnknownVersion}
			if opts.Store != nil {
				wants[12] = ErrKeyNotFound
			}
			require.Equal(t, 10+len(wants), r.OpenAll(t.Context(), cells))
			for i := range cells {
				want := wants[i]
				if i%4 == 3 {
					want = kmsprovider.ErrDenied
				}
				if want == nil {
					require.NoError(t, cells[i].Err, "cell %d", i)
					require.Equal(t, AppendString(nil, fmt.Sprint("value ", i)), cells[i].Frame)
					continue
				}
				require.ErrorIs(t, cells[i].Err, want, "cell %d", i)
				require.Nil(t, cells[i].Frame, "cell %d has a frame", i)
				require.ErrorContains(t, cells[i].Err, cells[i].Binding.Record)
			}
			require.LessOrEqual(t, p.unwraps.Load(), int64(5), "a key was asked for more than once")
		})
	}
}

// A call over many cells whose context ends while keys are loaded fails those
// that wait and keeps what was in memory.
func TestOpenAllOutOfTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &plainProvider{}
		r := plainRing(t, p, nil)
		cells := cellsOf(20, 2)
		require.NoError(t, r.SealAll(t.Context(), cells))
		cold := plainRing(t, p, nil)
		_, err := cold.Open(t.Context(), &cells[0].Binding, cells[0].Envelope)
		require.NoError(t, err)
		p.delay = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, 10, cold.OpenAll(ctx, cells))
		for i := range cells {
			if i%2 == 0 {
				require.NoError(t, cells[i].Err)
			} else {
				require.ErrorIs(t, cells[i].Err, context.DeadlineExceeded)
			}
		}
	})
}

// CBOR, MessagePack and the like encode exported fields, unless there is this.
func TestCellHasNoBinaryForm(t *testing.T) {
	for _, v := range []any{Cell{Frame: []byte("a frame")}, &Cell{}} {
		m, ok := v.(encoding.BinaryMarshaler)
		require.True(t, ok)
		b, err := m.MarshalBinary()
		require.Error(t, err)
		require.Empty(t, b)
	}
}
