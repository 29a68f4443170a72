package envelope

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// gf is an element of GF(2^128) as GCM writes it (NIST SP 800-38D, section
// 6.3): the first bit of the block is the coefficient of x^0.
type gf struct{ hi, lo uint64 }

func gfOf(block []byte) gf {
	var b [16]byte
	copy(b[:], block) // short blocks are filled with zeros
	return gf{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (x gf) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, x.hi), x.lo)
}

func (x gf) add(y gf) gf { return gf{x.hi ^ y.hi, x.lo ^ y.lo} }

func (x gf) mul(y gf) gf {
	var z gf
	for i := range 128 {
		word := x.hi
		if i >= 64 {
			word = x.lo
		}
		bit := word >> (63 - i%64) & 1
		z.hi ^= y.hi & -bit
		z.lo ^= y.lo & -bit
		carry := y.lo & 1
		y.lo = y.lo>>1 | y.hi<<63
		y.hi = y.hi>>1 ^ 0xe1<<56&-carry
	}
	return z
}

// inverse is x^(2^128 - 2).
func (x gf) inverse() gf {
	result := gf{1 << 63, 0} // one
	for range 127 {
		x = x.mul(x)
		result = result.mul(x)
	}
	return result
}

func (x gf) power(n int) gf {
	result := gf{1 << 63, 0}
	for range n {
		result = result.mul(x)
	}
	return result
}

// gcmSide is one of two keys that are to open the same ciphertext, each with
// the additional data that belongs to it.
type gcmSide struct {
	key   *dataKey
	block cipher.Block
	aad   []byte
}

func newGCMSide(t *testing.T, secret []byte, b *Binding) gcmSide {
	t.Helper()
	scope := b.Scope.withDefault()
	block, err := aes.NewCipher(derive(secret, "fieldcrypt/v1 aes-256-gcm"+string(scope.canonical())))
	require.NoError(t, err)
	k, err := newDataKey(bytes.Clone(secret), scope)
	require.NoError(t, err)
	return gcmSide{k, block, b.appendPlace(bytes.Clone(k.prefix))}
}

func (s *gcmSide) encrypt(in []byte) []byte {
	out := make([]byte, 16)
	s.block.Encrypt(out, in)
	return out
}

// counter is the block with this number under the nonce: 1 masks the tag, 2
// is the first of the keystream.
func (s *gcmSide) counter(nonce []byte, n uint32) []byte {
	return s.encrypt(binary.BigEndian.AppendUint32(bytes.Clone(nonce), n))
}

// tag is the tag of a ciphertext of whole blocks.
func (s *gcmSide) tag(nonce, ciphertext []byte) gf {
	h := gfOf(s.encrypt(make([]byte, 16)))
	var y gf
	for _, part := range [][]byte{s.aad, ciphertext} {
		for len(part) > 0 {
			n := min(16, len(part))
			y = y.add(gfOf(part[:n])).mul(h)
			part = part[n:]
		}
	}
	y = y.add(gf{uint64(len(s.aad)) * 8, uint64(len(ciphertext)) * 8}).mul(h)
	return y.add(gfOf(s.counter(nonce, 1)))
}

// twoKeyBody makes nonce, ciphertext and tag that AES-GCM opens under both
// sides, to two different valid frames.
func twoKeyBody(a, b *gcmSide) []byte {
	nonce := make([]byte, nonceSize)
	for { // until the first byte, the type, is the same under both keys
		rand.Read(nonce)
		if a.counter(nonce, 2)[0] == b.counter(nonce, 2)[0] {
			break
		}
	}
	ciphertext := make([]byte, 48)
	rand.Read(ciphertext[:32])
	ciphertext[0] = a.counter(nonce, 2)[0] ^ byte(TypeBytes)
	// The last block stands in both tags, times the square of each side's H.
	// It is chosen so that it makes up for all by which the tags differ.
	differ := a.tag(nonce, ciphertext).add(b.tag(nonce, ciphertext))
	factor := gfOf(a.encrypt(make([]byte, 16))).power(2).add(gfOf(b.encrypt(make([]byte, 16))).power(2))
	copy(ciphertext[32:], differ.mul(factor.inverse()).bytes())
	return append(append(nonce, ciphertext...), a.tag(nonce, ciphertext).bytes()...)
}

// twoSecrets unwraps to one secret or the other, as the wrapped bytes say.
type twoSecrets map[string][]byte

func (s twoSecrets) GenerateDataKey(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	return kmsprovider.DataKey{}, kmsprovider.ErrDenied
}

func (s twoSecrets) Unwrap(_ context.Context, _ string, wrapped []byte, _ kmsprovider.EncryptionContext) ([]byte, error) {
	return bytes.Clone(s[string(wrapped)]), nil
}

// openTwoKeys gives one body to fresh rings: inline and by reference, under the
// key ID of either side, with the wrapped key of either side. For each mode and
// key ID it counts the wrapped keys that open it.
func openTwoKeys(t *testing.T, secrets twoSecrets, sides map[string]*gcmSide, body []byte) (openers []int) {
	t.Helper()
	b := place("acme")
	for _, mode := range []Mode{ModeInline, ModeReference} {
		for _, named := range sides {
			opened := 0
			for wrapped := range sides {
				h := header{mode: mode, keyID: &named.key.id, body: body}
				opts := &Options{}
				if mode == ModeInline {
					h.rootKey, h.wrapped = []byte(plainRoot), []byte(wrapped)
				} else {
					store := NewMemoryStore()
					opts.Store = store
					rec := Record{
						KeyID: named.key.id, Scope: b.Scope.withDefault(), Purpose: PurposeData, RootKey: plainRoot, Wrapped: []byte(wrapped),
					}
					rec.Tag = recordTag(secrets[wrapped], rec.Scope, rec.Purpose, rec.Created, rec.NotAfter, rec.Budget)
					require.NoError(t, store.Activate(t.Context(), rec, KeyID{}))
				}
				r, err := NewKeyRing(secrets, RootKeys{Seal: plainRoot}, opts)
				require.NoError(t, err)
				_, err = r.Open(t.Context(), b, append(h.bytes(), body...))
				r.Close()
				if err == nil {
					opened++
				} else if !errors.Is(err, ErrNotAuthentic) {
					t.Fatal(err)
				}
			}
			openers = append(openers, opened)
		}
	}
	return openers
}

func TestScoreboardS5(t *testing.T) {
	const crafted = 1000
	byGCM, byBoth, byOne, tries := 0, 0, 0, 0
	for range crafted {
		secrets := twoSecrets{"a": make([]byte, 32), "b": make([]byte, 32)}
		sides := map[string]*gcmSide{}
		for name, secret := range secrets {
			rand.Read(secret)
			side := newGCMSide(t, secret, place("acme"))
			sides[name] = &side
		}
		a, b := sides["a"], sides["b"]
		body := twoKeyBody(a, b)
		one, errA := a.key.openFrame(nil, body, a.aad)
		other, errB := b.key.openFrame(nil, body, b.aad)
		if errA == nil && errB == nil && !bytes.Equal(one, other) {
			byGCM++
		}
		for _, n := range openTwoKeys(t, secrets, sides, body) {
			tries++
			switch n {
			case 1:
				byOne++
			case 2:
				byBoth++
			}
		}
	}
	require.Equal(t, tries, byOne, "envelopes that open under the one key that they name")
	scoreboard.Row(t, "S5", byBoth == 0 && byGCM == crafted,
		fmt.Sprintf("%d of %d (%d envelopes made of them)", byBoth, crafted, tries), "0 of 1000",
		fmt.Sprintf("%d of %d with AES-GCM and no key ID", byGCM, crafted))
}

func TestFieldArithmetic(t *testing.T) {
	one := gf{1 << 63, 0}
	for range 50 {
		block := make([]byte, 48)
		rand.Read(block)
		x, y, z := gfOf(block[:16]), gfOf(block[16:32]), gfOf(block[32:])
		require.Equal(t, x, x.mul(one))
		require.Equal(t, x.mul(y), y.mul(x))
		require.Equal(t, x.mul(y.add(z)), x.mul(y).add(x.mul(z)))
		require.Equal(t, one, x.mul(x.inverse()))
		require.Equal(t, x.mul(x).mul(x), x.power(3))
	}
}
