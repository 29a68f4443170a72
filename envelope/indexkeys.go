package envelope

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/fieldcrypt/fieldcrypt-go/internal/primitives"
)

// indexKeys derives the keys of blind indexes from one data key of purpose index,
// each when it is first needed. The data key itself isn't kept.
type indexKeys struct {
	scope   Scope
	deriver *primitives.Deriver
	ready   sync.Map // of *indexKey, by indexHandle
	count   atomic.Int64
}

// mostIndexes bounds the keys that are kept ready. Those of further indexes are
// derived for each call.
const mostIndexes = 1024

func newIndexKeys(secret []byte, scope Scope) *indexKeys {
	return &indexKeys{scope: scope, deriver: primitives.NewDeriver(secret)}
}

// An indexKey is the key of one index, ready in as many HMACs as are in use at
// once. They are taken and put back without a lock.
type indexKey struct {
	idle [16]atomic.Pointer[primitives.HMAC]
}

// take returns an HMAC under K_index that nobody else uses until it is put back.
func (ks *indexKeys) take(ix *Index) (*primitives.HMAC, *indexKey) {
	v, ok := ks.ready.Load(ix.handle)
	if !ok {
		if ks.count.Load() >= mostIndexes {
			return ks.derive(ix), nil
		}
		var loaded bool
		if v, loaded = ks.ready.LoadOrStore(ix.handle, new(indexKey)); !loaded {
			ks.count.Add(1)
		}
	}
	k := v.(*indexKey) //nolint:forcetypeassert // nothing else is stored
	if h := k.takeIdle(); h != nil {
		return h, k
	}
	return ks.derive(ix), k
}

// A tagger is the HMAC that a scratch keeps for the index that it was used for
// last. It is apart from the scratch, which it outlives.
type tagger struct {
	of    *dataKey
	index indexHandle
	mac   *primitives.HMAC // nil: none
	home  *indexKey
}

// hold returns an HMAC that is the scratch's own until it holds another.
func (h *tagger) hold(k *dataKey, ix *Index) *primitives.HMAC {
	if h.of != k || h.index != ix.handle || h.mac == nil {
		h.giveBack()
		h.mac, h.home = k.indexes.take(ix)
		h.of, h.index = k, ix.handle
	}
	return h.mac
}

// giveBack puts the HMAC where the key's wipe finds it.
func (h *tagger) giveBack() {
	if h.mac != nil {
		h.home.put(h.mac)
	}
	*h = tagger{}
}

func (k *indexKey) takeIdle() *primitives.HMAC {
	for i := range k.idle {
		if h := k.idle[i].Load(); h != nil && k.idle[i].CompareAndSwap(h, nil) {
			return h
		}
	}
	return nil
}

// put keeps an HMAC for the next call, or wipes it. Those that are kept are all
// in reach of wipe, which a sync.Pool's would not be.
func (k *indexKey) put(h *primitives.HMAC) {
	if k != nil {
		for i := range k.idle {
			if k.idle[i].Load() == nil && k.idle[i].CompareAndSwap(nil, h) {
				return
			}
		}
	}
	h.Wipe()
}

func (ks *indexKeys) derive(ix *Index) *primitives.HMAC { return ks.deriver.HMAC(ix.keyInfo(ks.scope)) }

// wipe overwrites all keys. None may be in use.
func (ks *indexKeys) wipe() {
	ks.deriver.Wipe()
	for _, v := range ks.ready.Range {
		k := v.(*indexKey) //nolint:forcetypeassert // nothing else is stored
		for i := range k.idle {
			if h := k.idle[i].Swap(nil); h != nil {
				h.Wipe()
			}
		}
	}
}

// keyInfo is what the format derives K_index with.
func (ix *Index) keyInfo(scope Scope) string {
	b := append([]byte("fieldcrypt/v1 blind-index"), scope.canonical()...)
	b = append(b, ix.spec.Field.names.Value().canonical...)
	b = appendLP(b, ix.spec.Name)
	return string(binary.BigEndian.AppendUint32(b, ix.spec.Version))
}
