package envelope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// Options tune a key ring. The zero value of each field means its default.
type Options struct {
	// Store keeps wrapped data keys. With a store, envelopes are sealed by
	// reference; without one they carry their wrapped key inline.
	Store KeyStore

	// AllowInline also opens inline envelopes where a store is configured, to
	// read what was sealed before there was one. An inline envelope carries
	// its own key: with Tombstones, the destruction of that key holds all the
	// same; without, it holds until somebody removes the store's record of it.
	AllowInline bool

	// Tombstones is a log outside the key store of the keys that were
	// destroyed. No key that it names is used, whatever the store says.
	Tombstones TombstoneLog

	// MessageBudget is how many messages a data key seals: 1 to 2^32, the
	// bound of NIST SP 800-38D, section 8.3, for random nonces. Default 2^31.
	MessageBudget uint64

	// KeyAge is how long a data key seals. Default 30 days, at least 1 minute.
	KeyAge time.Duration

	// CacheSize is how many data keys are kept for opening, and how many
	// scopes' keys for sealing. Default 10,000.
	CacheSize int

	// CacheTTL is how long the data keys in memory serve after the key service
	// last unwrapped one under their root key, and so how long a revoked
	// service can go on. Before it has passed the service is asked again in the
	// background, once for each root key. A refusal is heard in time also while
	// the service hangs for other root keys (with CheckEachKey, data keys), up to
	// about 15 of them for each second of CacheTTL. Default 15 minutes, at least
	// 1 second.
	CacheTTL time.Duration

	// CheckEachKey asks for each data key in memory and not for each root key,
	// where a policy of the key service distinguishes encryption contexts: a
	// call for each key and CacheTTL.
	CheckEachKey bool

	// OutageGrace is how long the data keys in memory serve after the last yes
	// of a key service that is away, and of a key store. Then they are dropped,
	// however many there are and whether or not a call is still under way. A
	// refusal is no outage. Default 1 hour; less than CacheTTL stands for
	// CacheTTL.
	OutageGrace time.Duration

	// StorePoll is how often the key store is asked about the keys in memory,
	// and so how soon this process notices that another one rotated, suspended
	// or destroyed them. Default 15 seconds, at least 10 milliseconds.
	StorePoll time.Duration

	// OnEvent is told what happens to keys and to what they depend on. It is
	// called from several goroutines, must not block, and must not call the
	// key ring. If it panics, that is ignored.
	OnEvent func(Event)

	// LoadTimeout bounds the making or loading of one key, whoever waits for
	// it. Default 30 seconds.
	LoadTimeout time.Duration
}

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	setDefault(&out.MessageBudget, 1<<31)
	setDefault(&out.KeyAge, 30*24*time.Hour)
	setDefault(&out.CacheSize, 10_000)
	setDefault(&out.CacheTTL, 15*time.Minute)
	setDefault(&out.OutageGrace, time.Hour)
	setDefault(&out.StorePoll, 15*time.Second)
	setDefault(&out.LoadTimeout, 30*time.Second)
	switch {
	case out.MessageBudget > 1<<32:
		return out, fmt.Errorf("envelope: MessageBudget is %d: random nonces are safe for at most 2^32 messages a key", out.MessageBudget)
	case out.KeyAge < time.Minute:
		return out, fmt.Errorf("envelope: KeyAge is %v, it must be at least 1m", out.KeyAge)
	case out.CacheSize < 1, out.LoadTimeout < 0, out.OutageGrace < 0:
		return out, errors.New("envelope: CacheSize, LoadTimeout and OutageGrace must be positive")
	case out.CacheTTL < time.Second, out.StorePoll < 10*time.Millisecond:
		return out, fmt.Errorf("envelope: CacheTTL is %v and StorePoll %v, they must be at least 1s and 10ms", out.CacheTTL, out.StorePoll)
	}
	return out, nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// A KeyRing seals and opens envelopes. It turns a scope into the data key to
// seal with, and a key ID into the data key to open with, and keeps both in
// bounded caches. It is safe for concurrent use: a call whose key is in memory
// takes no lock, and a key that has to be made or loaded delays only the calls
// that need it.
type KeyRing struct {
	provider kmsprovider.Provider
	roots    RootKeySource
	opts     Options
	store    guardedStore // of Options.Store, if there is one

	opening     cache[KeyID, *dataKey] // a hit counts only if its scope is the caller's
	sealing     cache[Scope, *dataKey]
	sets        cache[setName, *keySet]
	refused     cache[[32]byte, refusal]
	recordsSeen cache[[32]byte, struct{}] // records that were found to open, by Compact
	drawn       drawnCounts
	watches     watches
	checks      chan struct{} // bounds the checks at once
	awayChecks  chan struct{} // and those of watches without an answer
	renewals    chan struct{} // bounds the renewals at once
	poll        poll
	graves      graves
	scratch     atomic.Pointer[scratchPool]

	flights singleflight.Group
	running sync.WaitGroup
	closing sync.Mutex // orders the start of flights and Close
	closed  context.Context
	close   context.CancelFunc
	stats   counters
}

// NewKeyRing returns a key ring that makes and unwraps data keys with the
// provider, under the root keys that roots names. Options may be nil. Close
// the ring to drop its keys.
func NewKeyRing(provider kmsprovider.Provider, roots RootKeySource, opts *Options) (*KeyRing, error) {
	if provider == nil || roots == nil {
		return nil, errors.New("envelope: NewKeyRing needs a provider and the root keys that may be used")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &KeyRing{provider: provider, roots: roots, opts: o, store: guardedStore{o.Store}, checks: make(chan struct{}, checksAtOnce), awayChecks: make(chan struct{}, awayAtOnce), renewals: make(chan struct{}, renewalsAtOnce)}
	r.watches.byName = map[string]*watch{}
	r.watches.overdue = time.AfterFunc(never, r.endOverdue)
	r.poll.init()
	r.scratch.Store(new(scratchPool))
	r.closed, r.close = context.WithCancel(context.Background())
	r.opening = otter.Must(&otter.Options[KeyID, *dataKey]{
		MaximumSize: o.CacheSize,
		OnAtomicDeletion: func(e otter.DeletionEvent[KeyID, *dataKey]) {
			e.Value.openable.Store(false)
			r.unwatch(e.Value, func() *dataKey { k, _ := r.sealing.GetEntryQuietly(e.Value.scope); return k.Value })
		},
	})
	r.sealing = otter.Must(&otter.Options[Scope, *dataKey]{
		MaximumSize: o.CacheSize,
		OnAtomicDeletion: func(e otter.DeletionEvent[Scope, *dataKey]) {
			e.Value.unpublishSealing()
			r.unwatch(e.Value, func() *dataKey { k, _ := r.opening.GetEntryQuietly(e.Value.id); return k.Value })
		},
	})
	r.sets = otter.Must(&otter.Options[setName, *keySet]{
		MaximumSize:      o.CacheSize,
		OnAtomicDeletion: func(e otter.DeletionEvent[setName, *keySet]) { r.leftCache(e.Value) },
	})
	r.refused = otter.Must(&otter.Options[[32]byte, refusal]{MaximumSize: maxRefusals})
	r.recordsSeen = otter.Must(&otter.Options[[32]byte, struct{}]{MaximumSize: maxRefusals})
	return r, nil
}

// A cache is an otter.Cache. It is an interface since a package that sees the type of
// a generic struct compiles all its methods: each one that imports this package would
// do so for five caches, which takes seconds.
type cache[K comparable, V any] interface {
	GetIfPresent(key K) (V, bool)
	GetEntryQuietly(key K) (otter.Entry[K, V], bool)
	All() iter.Seq2[K, V]
	EstimatedSize() int
	Set(key K, value V) (V, bool)
	Compute(key K, remap func(now V, found bool) (V, otter.ComputeOp)) (V, bool)
	Invalidate(key K) (V, bool)
	InvalidateAll()
	CleanUp()
}

// keepWithin evicts at once what a cache holds beyond its size. By itself it
// does so later, and holds hundreds of keys more meanwhile.
func keepWithin[K comparable, V any](c cache[K, V], size int) {
	if c.EstimatedSize() > size {
		c.CleanUp()
	}
}

// StorePoll returns Options.StorePoll, or its default where that is zero: within
// it this ring notices what other processes did with its keys.
func (r *KeyRing) StorePoll() time.Duration { return r.opts.StorePoll }

// Mode returns the mode that the ring seals in: by reference with a key store,
// else inline.
func (r *KeyRing) Mode() Mode {
	if r.opts.Store != nil {
		return ModeReference
	}
	return ModeInline
}

// Seal returns the envelope of a framed plaintext (see [AppendFrame]) for one
// place. It allocates the result and nothing else when the scope's key is in
// memory.
func (r *KeyRing) Seal(ctx context.Context, b *Binding, frame []byte) ([]byte, error) {
	return r.AppendSeal(ctx, nil, b, frame)
}

// AppendSeal is like [KeyRing.Seal] and appends the envelope to dst, which must
// not overlap frame.
func (r *KeyRing) AppendSeal(ctx context.Context, dst []byte, b *Binding, frame []byte) ([]byte, error) {
	if err := checkSeal(ctx, b, frame); err != nil {
		return dst, sealError(b, err)
	}
	scope := b.Scope.withDefault()
	pool := r.scratch.Load()
	s := pool.get()
	if k := s.key; k == nil || s.share.left == 0 || !k.sealable.Load() || k.scope != scope {
		if err := r.holdSealingKey(ctx, s, scope); err != nil {
			pool.put(s)
			return dst, sealError(b, err)
		}
	}
	s.share.left--
	out := s.seal(dst, b, frame)
	pool.put(s)
	return out, nil
}

func (s *scratch) seal(dst []byte, b *Binding, frame []byte) []byte {
	k := s.key
	size := len(k.seal.header) + nonceSize + len(frame) + tagSize
	if dst == nil {
		dst = make([]byte, 0, size) // as slices.Grow, in less time
	} else {
		dst = slices.Grow(dst, size)
	}
	dst = append(dst, k.seal.header...)
	return k.sealFrame(dst, frame, s.additionalData(b))
}

// Open returns the framed plaintext of an envelope that was sealed for the
// same place. See [ParseFrame].
func (r *KeyRing) Open(ctx context.Context, b *Binding, envelope []byte) ([]byte, error) {
	return r.AppendOpen(ctx, nil, b, envelope)
}

// AppendOpen is like [KeyRing.Open] and appends the frame to dst, which must
// not overlap envelope. On failure nothing of a plaintext is left behind dst.
func (r *KeyRing) AppendOpen(ctx context.Context, dst []byte, b *Binding, envelope []byte) ([]byte, error) {
	var h header
	if err := r.checkOpen(ctx, b, envelope, &h); err != nil {
		return dst, openError(b, nil, err)
	}
	pool := r.scratch.Load()
	s := pool.get()
	if !s.opens(b, &h) {
		missing := h // a copy, so that h stays on the stack of a hit
		k, err := r.openingKey(ctx, b.Scope.withDefault(), &missing)
		if err != nil {
			pool.put(s)
			return dst, openError(b, h.keyID, err)
		}
		s.hold(k)
	}
	out, err := s.key.openFrame(dst, h.body, s.additionalData(b))
	pool.put(s)
	if err != nil {
		return dst, openError(b, h.keyID, err)
	}
	return out, nil
}

// opens reports whether the scratch's key is the one that h names, for the
// binding's scope, under the very root key that h names.
func (s *scratch) opens(b *Binding, h *header) bool {
	k := s.key
	return k != nil && k.openable.Load() && k.id == *h.keyID &&
		k.scope.Tenant == b.Scope.Tenant &&
		(k.scope.Class == b.Scope.Class || (b.Scope.Class == "" && k.scope.Class == DefaultClass)) &&
		(h.mode == ModeReference || string(h.rootKey) == k.watch.rootKey)
}

var errNoBinding = malformed("the binding is nil: an envelope belongs to a place")

// checkCall checks what every call brings.
func checkCall(ctx context.Context, b *Binding) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b == nil {
		return errNoBinding
	}
	return b.checkPlace()
}

func checkSeal(ctx context.Context, b *Binding, frame []byte) error {
	if err := checkCall(ctx, b); err != nil {
		return err
	}
	if len(frame) > MaxFrame {
		return malformed("the value is %d bytes framed, the format's limit is %d", len(frame), MaxFrame)
	}
	if _, _, err := ParseFrame(frame); err != nil {
		return malformed("what is to be sealed is not a framed plaintext: make it with AppendFrame, AppendString or their neighbours; text must be UTF-8")
	}
	return nil
}

func (r *KeyRing) checkOpen(ctx context.Context, b *Binding, envelope []byte, h *header) error {
	if err := checkCall(ctx, b); err != nil {
		return err
	}
	if err := h.parse(envelope); err != nil {
		return err
	}
	switch {
	case h.mode == ModeReference && r.opts.Store == nil:
		return fmt.Errorf("%w: a reference envelope needs the key store that holds its data key: set Options.Store", ErrModeNotAllowed)
	case h.mode == ModeInline && r.opts.Store != nil && !r.opts.AllowInline:
		return fmt.Errorf("%w: an inline envelope where a key store is configured: set Options.AllowInline while such data is being read", ErrModeNotAllowed)
	case h.mode != ModeReference && h.mode != ModeInline:
		return wrongMode(h.mode)
	}
	return nil
}

func wrongMode(m Mode) error {
	advice := ""
	if m == ModeDeterministic {
		advice = ": where the schema says that the field is deterministic, open it with OpenDeterministic"
	}
	return fmt.Errorf("%w: %s envelope where a field is expected%s", ErrModeNotAllowed, m, advice)
}

// Stats counts what a key ring asked of its provider since it was made.
type Stats struct {
	GenerateDataKey uint64 // data keys asked for
	Unwrap          uint64 // wrapped data keys given to the provider
	Refused         uint64 // envelopes refused without a call, since the same bytes were refused shortly before
}

type counters struct{ generate, unwrap, refused atomic.Uint64 }

// Stats returns the counts so far. One call of the provider may be several
// requests, if it retries.
func (r *KeyRing) Stats() Stats {
	return Stats{r.stats.generate.Load(), r.stats.unwrap.Load(), r.stats.refused.Load()}
}

// Close drops all keys, ends loads that are under way and makes every later
// call fail with [ErrClosed]. The keys' schedules are overwritten when the
// last call that uses them has returned and the collector has noticed. Close
// doesn't close the provider or the store.
func (r *KeyRing) Close() error {
	r.closing.Lock()
	r.close()
	r.closing.Unlock()
	r.running.Wait()
	r.endWatches()
	r.poll.stop()
	r.opening.InvalidateAll()
	r.sealing.InvalidateAll()
	r.sets.InvalidateAll()
	r.refused.InvalidateAll()
	r.opening.CleanUp() // their buffers may hold keys until the next upkeep, which may never come
	r.sealing.CleanUp()
	r.sets.CleanUp()
	r.scratch.Store(new(scratchPool))
	return nil
}

// Format implements fmt.Formatter: printing a ring shows nothing of its keys.
func (r *KeyRing) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "envelope.KeyRing") }

// sealError and openError name the place and the key. They run on failures
// only.
func sealError(b *Binding, err error) error {
	return fmt.Errorf("envelope: seal %s: %w", b, err)
}

func openError(b *Binding, id *KeyID, err error) error {
	if id == nil {
		return fmt.Errorf("envelope: open %s: %w", b, err)
	}
	advice := "" // it depends on the sentinel alone, and so says nothing more
	switch {
	case errors.Is(err, ErrNotAuthentic):
		advice = "; restore what was stored at this place, or find out who moved or changed it"
	case errors.Is(err, ErrKeyNotFound):
		advice = "; use the key store that the data was sealed with, or restore this key's record"
	}
	return fmt.Errorf("envelope: open %s with key %s: %w%s", b, id, err, advice)
}
