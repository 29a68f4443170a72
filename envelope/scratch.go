package envelope

import (
	"runtime"
	"sync"
)

// scratch is what one call works with and hands to the next: a buffer for the
// additional data, and the key that was used last. Calls that follow each
// other with one key find it here, with the key's part of the additional data
// in place and a few messages of its budget taken already, and so share
// nothing with other calls.
type scratch struct {
	key   *dataKey
	set   *keySet // that was used last
	tag   *tagger
	share *share
	aad   []byte
	det   []byte // additional data of deterministic envelopes
}

// A share is the messages of a key's budget that one scratch may still seal. It
// is apart from the scratch, which it outlives.
type share struct {
	of   *sealing
	left int64
}

// leaseBlock is the most messages that a scratch takes from a key at a time.
const leaseBlock = 64

type scratchPool struct{ pool sync.Pool }

func (p *scratchPool) get() *scratch {
	s, _ := p.pool.Get().(*scratch)
	if s == nil {
		s = &scratch{share: new(share), tag: new(tagger), aad: make([]byte, 0, 512)}
		// The pool lets scratches go when the collector runs; their messages
		// go back to the key.
		runtime.AddCleanup(s, (*share).giveBack, s.share)
		runtime.AddCleanup(s, (*tagger).giveBack, s.tag)
	}
	return s
}

// add gives the scratch n messages of its key.
func (s *scratch) add(n int64) {
	s.share.of = s.key.seal
	s.share.left += n
}

// giveBack returns what is left of the key's messages.
func (s *share) giveBack() {
	if s.left > 0 {
		s.of.left.Add(s.left)
		s.left = 0
	}
}

// put keeps no key that has left the caches, so that it can be wiped.
func (p *scratchPool) put(s *scratch) {
	if k := s.key; k != nil {
		if !k.openable.Load() && !k.sealable.Load() {
			s.hold(nil)
		} else if !k.used.Load() { // read by many, written by one
			k.used.Store(true)
		}
	}
	if set := s.set; set != nil {
		if !set.current.Load() {
			s.set = nil
		} else if !set.used.Load() {
			set.use()
		}
	}
	if k := s.tag.of; k != nil && k.sets.Load() == 0 {
		s.tag.giveBack()
	}
	p.pool.Put(s)
}

// hold makes k the scratch's key and gives back what is left of the former
// key's messages.
func (s *scratch) hold(k *dataKey) {
	if s.key == k {
		return
	}
	s.share.giveBack()
	s.key, s.share.of = k, nil
	s.aad = s.aad[:0]
	if k != nil {
		s.aad = append(s.aad, k.prefix...)
	}
}

// additionalData is valid until the scratch is used again.
func (s *scratch) additionalData(b *Binding) []byte {
	aad := b.appendPlace(s.aad[:len(s.key.prefix)])
	if cap(aad) != cap(s.aad) { // a pointer is stored only where it changed
		s.aad = aad
	}
	return aad
}
