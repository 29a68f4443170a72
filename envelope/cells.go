package envelope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A Cell is one place with its value in one or both forms, for calls over many.
type Cell struct {
	Binding  Binding
	Frame    []byte // framed plaintext
	Envelope []byte
	Err      error

	// Deterministic says that the envelope is a deterministic one, as with
	// [KeyRing.SealDeterministic]. No other is then opened or made here.
	Deterministic bool
}

func (c *Cell) purpose() Purpose {
	if c.Deterministic {
		return PurposeDeterministic
	}
	return PurposeData
}

// Format implements fmt.Formatter: no verb prints the frame, which is plaintext.
func (c Cell) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.redacted()) }

// LogValue implements slog.LogValuer.
func (c Cell) LogValue() slog.Value { return slog.StringValue(c.redacted()) }

// MarshalText keeps the frame out of JSON, XML and other text encodings.
func (c Cell) MarshalText() ([]byte, error) { return []byte(c.redacted()), nil }

// GobEncode refuses: a cell is never serialised.
func (c Cell) GobEncode() ([]byte, error) {
	return nil, errors.New("envelope: a Cell can't be encoded with gob")
}

// MarshalBinary refuses, for encodings such as CBOR and MessagePack, which would
// take the exported fields.
func (c Cell) MarshalBinary() ([]byte, error) {
	return nil, errors.New("envelope: a Cell has no binary form")
}

func (c Cell) redacted() string { return "Cell(" + c.Binding.String() + ", [REDACTED])" }

// loadsAtOnce bounds how many keys one call over many cells loads in parallel.
const loadsAtOnce = 16

// SealAll seals the Frame of every cell into its Envelope. Each scope's key is
// fetched once, in parallel. It is all or nothing: on an error every Envelope
// is nil, and the first cell to fail holds the error too.
func (r *KeyRing) SealAll(ctx context.Context, cells []Cell) error {
	for i := range cells {
		cells[i].Envelope, cells[i].Err = nil, nil
	}
	err := r.sealAll(ctx, cells)
	if err != nil {
		for i := range cells {
			cells[i].Envelope = nil
		}
	}
	return err
}

func (r *KeyRing) sealAll(ctx context.Context, cells []Cell) error {
	if err := r.warmSealing(ctx, cells); err != nil {
		return err
	}
	for i := range cells {
		c := &cells[i]
		seal := r.Seal
		if c.Deterministic {
			seal = r.SealDeterministic
		}
		if c.Envelope, c.Err = seal(ctx, &c.Binding, c.Frame); c.Err != nil {
			return c.Err
		}
	}
	return nil
}

// warmSealing fetches the keys of the scopes that have none in memory. One
// missing key needs no help: the cell that meets it loads it.
func (r *KeyRing) warmSealing(ctx context.Context, cells []Cell) error {
	var missing map[setName]int
	var last setName
	for i := range cells {
		name := setName{cells[i].Binding.Scope.withDefault(), cells[i].purpose()}
		if name == last {
			continue
		}
		last = name
		if r.canWrite(name) {
			continue
		}
		if missing == nil {
			missing = map[setName]int{}
		}
		if _, ok := missing[name]; !ok {
			missing[name] = i
		}
	}
	if len(missing) < 2 {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loadsAtOnce)
	var failed sync.Once // those that fail after it may do so because of it
	for name, i := range missing {
		g.Go(func() error {
			s := r.scratch.Load().get()
			defer r.scratch.Load().put(s)
			var err error
			if name.purpose == PurposeData {
				err = r.holdSealingKey(ctx, s, name.scope)
			} else {
				_, err = r.keyToWrite(ctx, s, name.scope, name.purpose)
			}
			if err != nil {
				err = sealError(&cells[i].Binding, err)
				failed.Do(func() { cells[i].Err = err })
			}
			return err
		})
	}
	return g.Wait()
}

// canWrite reports whether what a scope is sealed with is in memory.
func (r *KeyRing) canWrite(name setName) bool {
	if name.purpose == PurposeData {
		_, ok := r.sealing.GetIfPresent(name.scope)
		return ok
	}
	set, ok := r.sets.GetIfPresent(name)
	return ok && set.writes()
}

// OpenAll opens the Envelope of every cell into its Frame, or says in its Err
// why not, and returns how many failed. Each distinct key is fetched once, in
// parallel; a key that can't be fetched fails the cells that need it and no
// others.
func (r *KeyRing) OpenAll(ctx context.Context, cells []Cell) (failed int) {
	var missing map[string]*pendingKey
	var cold []coldCell
	pool := r.scratch.Load()
	s := pool.get()
	for i := range cells {
		c := &cells[i]
		c.Frame, c.Err = nil, nil
		var h header
		check := r.checkOpen
		if c.Deterministic {
			check = r.checkOpenDeterministic
		}
		err := check(ctx, &c.Binding, c.Envelope, &h)
		if err != nil {
			c.Err = openError(&c.Binding, nil, err)
			failed++
			continue
		}
		k := r.inMemoryFor(s, c, &h)
		if k == nil {
			scope := c.Binding.Scope.withDefault()
			name := string(scope.canonical()) + string(c.Envelope[:len(c.Envelope)-len(h.body)])
			if missing == nil {
				missing = map[string]*pendingKey{}
			}
			if missing[name] == nil {
				missing[name] = &pendingKey{scope: scope, h: h}
			}
			cold = append(cold, coldCell{i, h, missing[name]})
			continue
		}
		if c.Frame, err = s.open(k, &c.Binding, &h); err != nil {
			c.Err = openError(&c.Binding, h.keyID, err)
			failed++
		}
	}
	r.fetch(ctx, missing)
	for _, cold := range cold {
		c, err := &cells[cold.cell], cold.key.err
		if err == nil {
			c.Frame, err = s.open(cold.key.key, &c.Binding, &cold.h)
		}
		if err != nil {
			c.Err = openError(&c.Binding, cold.h.keyID, err)
			failed++
		}
	}
	pool.put(s)
	return failed
}

// inMemoryFor returns the key that opens a cell if it is in memory, or nil.
func (r *KeyRing) inMemoryFor(s *scratch, c *Cell, h *header) *dataKey {
	if !c.Deterministic && s.opens(&c.Binding, h) {
		return s.key
	}
	if c.Deterministic {
		if k := r.deterministicKey(s, c.Binding.Scope, h.keyID); k != nil {
			return k
		}
	}
	k, ok := r.opening.GetIfPresent(*h.keyID)
	if ok && k.scope == c.Binding.Scope.withDefault() && k.purpose == c.purpose() && k.openable.Load() &&
		(h.mode != ModeInline || string(h.rootKey) == k.watch.rootKey) {
		return k
	}
	return nil
}

// open opens an envelope of either kind.
func (s *scratch) open(k *dataKey, b *Binding, h *header) ([]byte, error) {
	if h.mode == ModeDeterministic {
		return s.openDeterministic(k, b, h.body)
	}
	s.hold(k)
	return k.openFrame(nil, h.body, s.additionalData(b))
}

type coldCell struct {
	cell int
	h    header
	key  *pendingKey
}

// pendingKey is a key that some cells wait for.
type pendingKey struct {
	scope Scope
	h     header
	key   *dataKey
	err   error
}

func (r *KeyRing) fetch(ctx context.Context, keys map[string]*pendingKey) {
	var g errgroup.Group
	g.SetLimit(loadsAtOnce)
	for _, p := range keys {
		g.Go(func() error {
			p.err = caught(kmsprovider.ErrUnavailable, "the provider or the source of root keys", func() (err error) {
				p.key, err = r.openingKey(ctx, p.scope, &p.h)
				return err
			})
			return nil
		})
	}
	_ = g.Wait() // each key keeps its own error
}
