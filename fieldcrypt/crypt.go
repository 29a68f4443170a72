package fieldcrypt

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/fieldcrypt/normalise"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// DefaultMaxValue is the longest value, in bytes of its payload, that Encrypt
// takes where neither a tag nor the options say otherwise: 1 MiB.
const DefaultMaxValue = 1 << 20

// RootKeys names the root keys that may be used; see [envelope.RootKeys].
type RootKeys = envelope.RootKeys

// Scope is a tenant and a retention class; see [envelope.Scope].
type Scope = envelope.Scope

// Options tune a [Crypt]. The zero value of each field means its default.
type Options struct {
	// Envelope tunes the key ring. Its Store decides between reference and
	// inline envelopes.
	Envelope envelope.Options

	// MaxValue is the longest value in bytes of its payload, for fields whose
	// tag has no max option: 1 to 16,711,679. Default [DefaultMaxValue].
	MaxValue int

	// Normalisers are what blind indexes may name in addition to those of
	// package normalise. Their names are permanent.
	Normalisers []Normaliser

	// OnPlaintext is told of each value in a field in migrating mode that wasn't
	// an envelope, once it was taken or refused: for metrics, and to find what is
	// left. It is called within Decrypt and Encrypt, from all their goroutines at
	// once, and must not wait. A panic in it is ignored.
	OnPlaintext func(PlaintextEvent)
}

// A Normaliser makes values equal for a blind index; see package normalise.
type Normaliser = normalise.Normaliser

// A Crypt encrypts and decrypts records of all types. Make one for the
// process, and from it one [Records] for each record type. It is safe for
// concurrent use.
type Crypt struct {
	ring     *envelope.KeyRing
	id       *cryptID
	maxValue int
	modes    []envelope.Mode // what the ring opens
	closed   atomic.Bool

	normalisers map[string]Normaliser
	onPlaintext func(PlaintextEvent)
	migrations  migrationCounts
}

// A cryptID tells Crypts apart by its address, and keeps none of their keys in
// memory.
type cryptID struct{ _ byte }

// New returns a Crypt whose data keys are wrapped by the provider, under the
// root keys that roots names for each scope. Options may be nil. Nothing is
// called before the first record needs a key.
func New(provider kmsprovider.Provider, roots envelope.RootKeySource, opts *Options) (*Crypt, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxValue == 0 {
		o.MaxValue = DefaultMaxValue
	}
	if o.MaxValue < 1 || o.MaxValue > maxMax {
		return nil, fmt.Errorf("fieldcrypt: New: Options.MaxValue is %d, it must be 1 to %d bytes", o.MaxValue, maxMax)
	}
	ring, err := envelope.NewKeyRing(provider, roots, &o.Envelope)
	if err != nil {
		return nil, fmt.Errorf("fieldcrypt: New: %w", err)
	}
	c := &Crypt{ring: ring, id: new(cryptID), maxValue: o.MaxValue, modes: []envelope.Mode{ring.Mode()}, onPlaintext: o.OnPlaintext}
	if ring.Mode() == envelope.ModeReference && o.Envelope.AllowInline {
		c.modes = append(c.modes, envelope.ModeInline)
	}
	if c.normalisers, err = normalisersWith(o.Normalisers); err != nil {
		return nil, fmt.Errorf("fieldcrypt: New: %w", err)
	}
	return c, nil
}

// KeyRing returns the key ring under the records, for the life of its keys:
// RotateAll, Suspend, Destroy, Health and others. It is closed with the Crypt,
// and nil for a Crypt that [New] didn't make.
func (c *Crypt) KeyRing() *envelope.KeyRing {
	if !c.made() {
		return nil
	}
	return c.ring
}

// Stats returns what was asked of the provider so far.
func (c *Crypt) Stats() envelope.Stats {
	if !c.made() {
		return envelope.Stats{}
	}
	return c.ring.Stats()
}

// made reports whether New made the Crypt.
func (c *Crypt) made() bool { return c != nil && c.ring != nil }

// Close drops all keys. Every later call fails with [envelope.ErrClosed]. The
// provider and the key store stay open: they are the caller's. A nil Crypt has
// nothing to close.
func (c *Crypt) Close() error {
	if !c.made() {
		return nil
	}
	c.closed.Store(true)
	return c.ring.Close()
}

// Format implements fmt.Formatter: printing a Crypt shows nothing of its keys.
func (c *Crypt) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "fieldcrypt.Crypt") }

var errClosed = fmt.Errorf("the Crypt was closed: keep one for the life of the process, and close it after the last call: %w", envelope.ErrClosed)

var (
	errNoCrypt   = errors.New("fieldcrypt: no Crypt: make one with New")
	errNoContext = errors.New("the context is nil: a caller that has none passes context.Background()")
)
