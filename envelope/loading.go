package envelope

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// openingKey returns the key that h names, from the cache or, once for all who
// ask for it at the same time, from the provider.
func (r *KeyRing) openingKey(ctx context.Context, scope Scope, h *header) (*dataKey, error) {
	purpose := h.purpose()
	id := *h.keyID // a copy: a flight may outlive the call, whose caller may use the envelope's memory again
	if k, ok := r.opening.GetIfPresent(id); ok && k.scope == scope && k.purpose == purpose && k.openable.Load() {
		if h.mode == ModeInline && string(h.rootKey) != k.watch.rootKey {
			// The key is known; the root key that these bytes name must be
			// allowed all the same.
			if err := r.checkRootKey(ctx, scope, string(h.rootKey)); err != nil {
				return nil, err
			}
		}
		return k, nil
	}
	if err := scope.validate(); err != nil {
		return nil, err
	}
	load := func(ctx context.Context) (*dataKey, error) { return r.loadReference(ctx, scope, purpose, id) }
	flight := "open" + string(purpose) + string(scope.canonical()) + string(id[:])
	if h.mode == ModeInline {
		// The bytes are part of the flight's name: else an envelope with a
		// true key ID and a false key could make honest calls fail.
		rootKey, wrapped := string(h.rootKey), append([]byte(nil), h.wrapped...)
		print := wrappingPrint(scope, rootKey, wrapped)
		flight += string(print[:])
		load = func(ctx context.Context) (*dataKey, error) {
			return r.loadInline(ctx, scope, id, rootKey, wrapped, print)
		}
	}
	k, err := r.once(ctx, flight, load)
	if err == nil && (!k.is(&id) || k.scope != scope || k.purpose != purpose) { // a fault of ours, which must not open another key's envelope
		return nil, errKeyMismatch
	}
	return k, err
}

// once runs load for all callers that ask for the same flight at the same
// time. It runs under a deadline of its own, so that the first caller's
// impatience isn't the others' failure; each caller leaves when its own context
// ends.
func (r *KeyRing) once(ctx context.Context, flight string, load func(context.Context) (*dataKey, error)) (*dataKey, error) {
	return onceOf(ctx, r, flight, load)
}

// onceOf is once for what isn't one key.
func onceOf[T any](ctx context.Context, r *KeyRing, flight string, load func(context.Context) (T, error)) (none T, err error) {
	if err := ctx.Err(); err != nil { // else a caller that has left starts a flight for each key that it still wanted
		return none, fmt.Errorf("waiting for the data key: %w", err)
	}
	done := startOf(ctx, r, flight, load)
	late := time.NewTimer(r.opts.LoadTimeout + lateBy)
	defer late.Stop()
	select {
	case res := <-done:
		v, _ := res.Val.(T)
		return v, res.Err
	case <-ctx.Done():
		return none, fmt.Errorf("waiting for the data key: %w", ctx.Err())
	case <-late.C:
		return none, fmt.Errorf("%w: no answer within %v, and the provider, the key store or the source of root keys doesn't heed its context", kmsprovider.ErrUnavailable, r.opts.LoadTimeout)
	}
}

// lateBy is how long after the end of its context a load may take to return.
const lateBy = 5 * time.Second

// start begins a flight that nobody has to wait for.
func (r *KeyRing) start(ctx context.Context, flight string, load func(context.Context) (*dataKey, error)) <-chan singleflight.Result {
	return startOf(ctx, r, flight, load)
}

func startOf[T any](ctx context.Context, r *KeyRing, flight string, load func(context.Context) (T, error)) <-chan singleflight.Result {
	var none T
	return r.flights.DoChan(flight, func() (val any, err error) {
		if !r.begin() {
			return none, ErrClosed
		}
		defer r.running.Done()
		defer func() {
			// In this goroutine a panic of a provider would end the process,
			// whoever waits. Those of the key store have ended in guardedStore,
			// and those of the tombstone log where it is read.
			if p := recover(); p != nil {
				val, err = none, panicked(kmsprovider.ErrUnavailable, "the provider or the source of root keys", p)
			}
		}()

		own, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), r.opts.LoadTimeout, errLoadTimeout)
		defer cancel()
		defer context.AfterFunc(r.closed, cancel)()
		k, err := load(own)
		switch {
		case err == nil:
			return k, nil
		case r.closed.Err() != nil:
			return k, ErrClosed
		case errors.Is(context.Cause(own), errLoadTimeout) && errors.Is(err, context.DeadlineExceeded):
			// Not the caller's deadline: to the caller the service is slow.
			return k, slow(err, r.opts.LoadTimeout)
		}
		return k, err
	})
}

// panicked is the error that a panic becomes. Its value may hold a key, and only
// its type is told.
func panicked(class error, who string, value any) error {
	return fmt.Errorf("%w: %s panicked with a %T", class, who, value)
}

// caught makes a panic of do an error, in a goroutine of ours: there it would end
// the process.
func caught(class error, who string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(class, who, p)
		}
	}()
	return do()
}

// begin counts work that Close waits for, until r.running.Done; false once the
// ring is closed.
func (r *KeyRing) begin() bool {
	r.closing.Lock()
	defer r.closing.Unlock()
	if r.closed.Err() != nil {
		return false
	}
	r.running.Add(1)
	return true
}

// slow is what callers are told of a load whose own deadline has passed. It
// keeps the class that err has, and hides the deadline, which isn't theirs.
func slow(err error, limit time.Duration) error {
	class := kmsprovider.ErrUnavailable
	for _, c := range []error{kmsprovider.ErrThrottled, ErrStoreUnavailable} {
		if errors.Is(err, c) {
			class = c
		}
	}
	return fmt.Errorf("%w: no answer within %v: %w: %v", class, limit, errLoadTimeout, err)
}

var errLoadTimeout = errors.New("loading the data key took too long")

// loadReference gets a key from the key store.
func (r *KeyRing) loadReference(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (*dataKey, error) {
	rec, err := r.store.GetForOpening(ctx, scope, purpose, id)
	if err != nil {
		return nil, storeError(err)
	}
	return r.loadRecord(ctx, KeyName{scope, purpose, id}, &rec)
}

// loadRecord unwraps a record that claims to be a given key, and publishes it for
// opening.
func (r *KeyRing) loadRecord(ctx context.Context, name KeyName, rec *Record) (*dataKey, error) {
	return r.load(ctx, name, rec, false)
}

// load is loadRecord. With seals, the caller alone will seal with the key;
// without, one of those that come later may: see search.known.
func (r *KeyRing) load(ctx context.Context, name KeyName, rec *Record, seals bool) (*dataKey, error) {
	scope, id := name.Scope, name.ID
	if rec.KeyID != id || rec.Scope.withDefault() != scope || rec.Purpose != name.Purpose {
		return nil, errKeyMismatch
	}
	if err := rec.readable(); err != nil {
		return nil, err
	}
	if err := r.buried(ctx, id); err != nil {
		return nil, err
	}
	print := recordPrint(scope, rec)
	if err := r.recallRefusal(print, KeyID{}); err != nil {
		return nil, err
	}
	secret, err := r.unwrap(ctx, scope, name.Purpose, rec.RootKey, rec.Wrapped)
	if err == nil {
		defer clear(secret)
		err = rec.verify(secret)
	}
	if err != nil {
		if errors.Is(err, ErrNotAuthentic) {
			r.refused.Set(print, refusal{until: time.Now().Add(refusalTime), opaque: true})
		}
		return nil, err
	}
	if seals {
		print = [32]byte{}
	}
	k, err := newKey(secret, scope, name.Purpose)
	if err != nil {
		return nil, err
	}
	k.record, k.created = print, rec.Created
	r.publish(k, rec.RootKey, slices.Clone(rec.Wrapped), true)
	return k, nil
}

// loadInline unwraps the key that an envelope carries.
func (r *KeyRing) loadInline(ctx context.Context, scope Scope, id KeyID, rootKey string, wrapped []byte, print [32]byte) (*dataKey, error) {
	if r.opts.Store != nil {
		// A key that the store knows must be readable there too, or a
		// destroyed key would come back by way of an inline envelope.
		rec, err := r.store.Get(ctx, scope, PurposeData, id)
		unknown := errors.Is(err, ErrKeyNotFound)
		if err == nil {
			err = rec.readable()
		}
		if err != nil && !unknown {
			return nil, storeError(err)
		}
	}
	secret, err := r.inlineSecret(ctx, scope, id, rootKey, wrapped, print)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	k, err := newDataKey(secret, scope)
	if err != nil {
		return nil, err
	}
	r.publish(k, rootKey, wrapped, true)
	return k, nil
}

// inlineSecret unwraps the data key of an inline envelope, which must be the one
// that the envelope names. The caller wipes it. What is refused is remembered.
func (r *KeyRing) inlineSecret(ctx context.Context, scope Scope, id KeyID, rootKey string, wrapped []byte, print [32]byte) ([]byte, error) {
	if err := r.buried(ctx, id); err != nil {
		return nil, err
	}
	if err := r.recallRefusal(print, id); err != nil {
		return nil, err
	}
	secret, err := r.unwrap(ctx, scope, PurposeData, rootKey, wrapped)
	if err != nil {
		if errors.Is(err, kmsprovider.ErrInvalidCiphertext) {
			r.refused.Set(print, refusal{until: time.Now().Add(refusalTime)})
		}
		return nil, err
	}
	if actual := deriveKeyID(secret, scope, PurposeData); actual != id {
		clear(secret)
		r.refused.Set(print, refusal{until: time.Now().Add(refusalTime), holds: actual})
		return nil, errKeyMismatch
	}
	return secret, nil
}

// unwrap calls the provider, for a root key that the configuration allows.
func (r *KeyRing) unwrap(ctx context.Context, scope Scope, purpose Purpose, rootKey string, wrapped []byte) ([]byte, error) {
	if err := checkWrapped(wrapped); err != nil {
		return nil, err
	}
	if err := r.checkRootKey(ctx, scope, rootKey); err != nil {
		return nil, err
	}
	r.stats.unwrap.Add(1)
	secret, err := r.provider.Unwrap(ctx, rootKey, wrapped, encryptionContext(scope, purpose))
	if err != nil {
		if !errors.Is(err, kmsprovider.ErrInvalidCiphertext) { // which is the envelope's or the record's fault
			r.tell(Event{Kind: CallFailed, RootKey: rootKey, Scope: scope, Err: err})
		}
		return nil, notAuthentic(err)
	}
	if len(secret) != kmsprovider.DataKeySize {
		clear(secret)
		return nil, fmt.Errorf("%w: the provider unwrapped a data key of %d bytes, it must be %d", kmsprovider.ErrUnavailable, len(secret), kmsprovider.DataKeySize)
	}
	return secret, nil
}

func checkWrapped(wrapped []byte) error {
	if len(wrapped) == 0 || len(wrapped) > maxWrapped {
		return malformed("wrapped data key of %d bytes, 1 to %d can be", len(wrapped), maxWrapped)
	}
	return nil
}

// notAuthentic says the same of a wrapped key that the key service doesn't
// accept as of one that it does and that is another key.
func notAuthentic(err error) error {
	if errors.Is(err, kmsprovider.ErrInvalidCiphertext) {
		return fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	return err
}

// publish puts a checked key, and wrapped with it, into the cache. With unwrapped,
// its secret came from the key service just now; else it was made.
func (r *KeyRing) publish(k *dataKey, rootKey string, wrapped []byte, unwrapped bool) {
	r.watchOver(k, rootKey, wrapped, unwrapped)
	r.cacheOpening(k)
	kind := KeyMade
	if unwrapped {
		kind = KeyLoaded
	}
	r.tell(Event{Kind: kind, RootKey: rootKey, Scope: k.scope, KeyID: k.id})
}

// cacheOpening puts k, which is under its watch, into the cache.
func (r *KeyRing) cacheOpening(k *dataKey) {
	k.answered = time.Now()
	r.serves(&k.openable)
	r.opening.Set(k.id, k)
	keepWithin(r.opening, r.opts.CacheSize)
	if k.watch.ended.Load() { // the end may have come before the key was in place
		r.drop(k)
	}
	r.pollStore()
}

// A refusal remembers what a wrapping was found to be, so that a flood of bad
// bytes isn't a flood of calls: either the key service didn't accept it, or it
// holds another key than the envelope says.
type refusal struct {
	until  time.Time
	holds  KeyID // zero: not accepted
	opaque bool  // which check failed isn't told
}

const (
	refusalTime = 30 * time.Second
	maxRefusals = 4096
)

// wrappingPrint names a wrapping for one scope.
func wrappingPrint(scope Scope, rootKey string, wrapped []byte) [32]byte {
	b := appendLP(scope.canonical(), rootKey)
	return sha256.Sum256(append(b, wrapped...))
}

// recordPrint names a record with all that verify looks at.
func recordPrint(scope Scope, rec *Record) [32]byte {
	b := wrappingPrint(scope, rec.RootKey, rec.Wrapped)
	all := append(b[:], rec.Tag[:]...)
	for _, n := range []uint64{unixOrZero(rec.Created), unixOrZero(rec.NotAfter), rec.Budget} {
		all = binary.BigEndian.AppendUint64(all, n)
	}
	return sha256.Sum256(append(all, rec.KeyID[:]...))
}

func (r *KeyRing) recallRefusal(print [32]byte, id KeyID) error {
	past, ok := r.refused.GetIfPresent(print)
	if !ok || time.Now().After(past.until) || (past.holds != KeyID{} && past.holds == id) {
		return nil
	}
	r.stats.refused.Add(1)
	if past.opaque {
		return errBadTag
	}
	if past.holds != (KeyID{}) {
		return errKeyMismatch
	}
	return fmt.Errorf("%w: %w (remembered for %v, no call was made)", ErrNotAuthentic, kmsprovider.ErrInvalidCiphertext, refusalTime)
}

// storeError gives what a key store answered its class: what the format knows,
// the end of a context, or else that the store is away.
func storeError(err error) error {
	for _, known := range []error{ErrKeyNotFound, ErrKeyDestroyed, ErrConflict, ErrMalformed, ErrStoreUnavailable, ErrClosed, context.Canceled} {
		if errors.Is(err, known) {
			return fmt.Errorf("key store: %w", err)
		}
	}
	return fmt.Errorf("%w: %w", ErrStoreUnavailable, err)
}
