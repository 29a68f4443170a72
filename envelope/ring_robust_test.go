package envelope

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// A call over many cells whose caller has left, or that has failed, starts no
// load any more.
func TestNoLoadsForCallersThatHaveLeft(t *testing.T) {
	const tenants = 500
	bubble.Test(t, func(t *testing.T) {
		p := &moodyProvider{}
		writer, _ := moodyRing(t, p, &Options{})
		cells := cellsOf(tenants, tenants)
		require.NoError(t, writer.SealAll(t.Context(), cells))
		p.plainProvider.mu.Lock()
		p.delay, p.most = 10*time.Second, 0
		p.plainProvider.mu.Unlock()
		reader, _ := moodyRing(t, p, &Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, tenants, reader.OpenAll(ctx, cells))
		require.LessOrEqual(t, p.unwraps(), loadsAtOnce)

		time.Sleep(time.Minute) // what was begun ends
		synctest.Wait()
		p.tenant, p.most, p.generated = "tenant-7", 0, 0
		p.set(errDenied)
		third, _ := moodyRing(t, p, &Options{})
		require.ErrorIs(t, third.SealAll(t.Context(), cells), kmsprovider.ErrDenied)
		time.Sleep(time.Second)
		synctest.Wait()
		require.LessOrEqual(t, p.most, loadsAtOnce, "loads at once after the call had failed")
	})
}

// leavingContext is live at the first looks, and has ended when it is waited
// for.
type leavingContext struct {
	context.Context
	looks atomic.Int32
	done  chan struct{}
}

func (c *leavingContext) Done() <-chan struct{} { return c.done }

func (c *leavingContext) Err() error {
	if c.looks.Add(1) <= 3 {
		return nil
	}
	return context.Canceled
}

// askedStore tells which keys it was asked for.
type askedStore struct {
	*MemoryStore
	asked chan KeyID
}

func (s *askedStore) Get(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (Record, error) {
	s.asked <- id
	return s.MemoryStore.Get(ctx, scope, purpose, id)
}

// The memory of an envelope is the caller's again when the call has returned,
// also when a load goes on for others.
func TestLoadsKeepNoEnvelope(t *testing.T) {
	p := &plainProvider{}
	store := &askedStore{NewMemoryStore(), make(chan KeyID, 1000)}
	env, id := sealFor(t, plainRing(t, p, &Options{Store: store}), place("acme"))
	left := 0
	for range 300 {
		r := plainRing(t, p, &Options{Store: store})
		buf := append([]byte(nil), env...)
		ctx := &leavingContext{Context: t.Context(), done: make(chan struct{})}
		close(ctx.done)
		if _, err := r.Open(ctx, place("acme"), buf); err != nil {
			left++
		}
		for i := range buf {
			buf[i] = 0xEE // the driver's next row
		}
		require.Equal(t, id, <-store.asked)
	}
	require.NotZero(t, left, "no caller left before its load began")
}

// Rotate makes a key that nobody had before the call, also in a process that
// missed an earlier rotation.
func TestRotateAfterARotationElsewhere(t *testing.T) {
	p := &plainProvider{}
	store := NewMemoryStore()
	a, b := plainRing(t, p, &Options{Store: store}), plainRing(t, p, &Options{Store: store})
	_, _ = sealFor(t, a, place("acme"))
	_, _ = sealFor(t, b, place("acme"))
	second, err := a.Rotate(t.Context(), place("acme").Scope)
	require.NoError(t, err)
	third, err := b.Rotate(t.Context(), place("acme").Scope)
	require.NoError(t, err)
	require.NotEqual(t, second, third)
	require.Equal(t, 3, p.made())
	_, sealed := sealFor(t, b, place("acme"))
	require.Equal(t, third, sealed)
}

// A slow search for the next key doesn't take the place of what Rotate made
// meanwhile, which may be under another root key.
func TestSlowRenewalDoesNotUndoRotate(t *testing.T) {
	for mode, store := range modes {
		t.Run(mode, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				const one, two = "plain://one", "plain://two"
				var moved atomic.Bool
				roots := RootKeysFunc(func(Scope) (RootKeys, error) {
					if moved.Load() {
						return RootKeys{Seal: two, Open: []string{one}}, nil
					}
					return RootKeys{Seal: one}, nil
				})
				p := &plainProvider{}
				r, err := NewKeyRing(p, roots, &Options{Store: store(), KeyAge: 8 * time.Hour})
				require.NoError(t, err)
				defer r.Close()
				_, _ = sealFor(t, r, place("acme"))
				p.mu.Lock()
				p.delay = 5 * time.Second
				p.mu.Unlock()
				time.Sleep(7*time.Hour + time.Second) // the renewal is under way, under root key one
				require.Equal(t, 2, p.made())
				moved.Store(true)
				p.mu.Lock()
				p.delay = 0
				p.mu.Unlock()
				rotated, err := r.Rotate(t.Context(), place("acme").Scope)
				require.NoError(t, err)
				time.Sleep(10 * time.Second)
				_, key := sealFor(t, r, place("acme"))
				require.Equal(t, rotated, key, "the renewal took the place of the rotated key")
			})
		})
	}
}

// What a load ran into keeps its class when its own deadline has passed.
func TestSlowLoadsKeepTheirClass(t *testing.T) {
	t.Run("throttled", func(t *testing.T) {
		s := fakekms.New(fakekms.Options{})
		defer s.Close()
		key := s.CreateKey(fakekms.KeyOptions{})
		s.Inject(fakekms.Fault{Error: "ThrottlingException"})
		p, err := awskms.New(s.Config(), nil)
		require.NoError(t, err)
		r, err := NewKeyRing(p, RootKeys{Seal: "aws-kms://" + key}, &Options{LoadTimeout: time.Second})
		require.NoError(t, err)
		defer r.Close()
		_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		require.ErrorIs(t, err, kmsprovider.ErrThrottled)
		require.NotErrorIs(t, err, kmsprovider.ErrUnavailable)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the deadline isn't the caller's")
	})
	t.Run("hanging store", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			r := plainRing(t, &plainProvider{}, &Options{Store: hangingStore{NewMemoryStore()}})
			_, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
			require.ErrorIs(t, err, ErrStoreUnavailable)
			require.NotErrorIs(t, err, kmsprovider.ErrUnavailable, "the key service is blamed")
		})
	})
	t.Run("another process's claim", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			store := NewMemoryStore()
			_, err := store.Claim(t.Context(), place("acme").Scope, PurposeData, "another", time.Hour)
			require.NoError(t, err)
			_, err = plainRing(t, &plainProvider{}, &Options{Store: store}).Seal(t.Context(), place("acme"), AppendString(nil, "x"))
			require.ErrorContains(t, err, `waiting for another process to make the data key of tenant "acme"`)
		})
	})
}

type hangingStore struct{ *MemoryStore }

func (hangingStore) Active(ctx context.Context, _ Scope, _ Purpose) (Record, error) {
	<-ctx.Done()
	return Record{}, ctx.Err()
}

// twoFacedStore offers two expired keys in turn.
type twoFacedStore struct {
	*MemoryStore
	recs [2]Record
	n    atomic.Int64
}

func (s *twoFacedStore) Active(context.Context, Scope, Purpose) (Record, error) {
	rec := s.recs[s.n.Add(1)%2]
	rec.State = StateActive
	return rec, nil
}

// A store that contradicts itself, or a damaged record, isn't a flood of calls.
func TestBadStoresCostFewCalls(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &plainProvider{}
		store := &twoFacedStore{MemoryStore: NewMemoryStore()}
		writer := plainRing(t, p, &Options{Store: store.MemoryStore, KeyAge: time.Hour})
		for i := range store.recs {
			id, err := writer.Rotate(t.Context(), place("acme").Scope)
			require.NoError(t, err)
			store.recs[i], err = store.Get(t.Context(), place("acme").Scope, PurposeData, id)
			require.NoError(t, err)
		}
		time.Sleep(2 * time.Hour)
		r := plainRing(t, p, &Options{Store: store})
		_, err := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		require.Error(t, err)
		require.LessOrEqual(t, r.Stats().Unwrap+r.Stats().GenerateDataKey, uint64(2*spentAttempts))
	})

	p := &plainProvider{}
	store := NewMemoryStore()
	env, _ := sealFor(t, plainRing(t, p, &Options{Store: store}), place("acme"))
	for name, change := range map[string]func(*Record){
		"wrapped key damaged": func(rec *Record) { rec.Wrapped = []byte("damaged") },
		"budget changed":      func(rec *Record) { rec.Budget-- },
	} {
		r := plainRing(t, p, &Options{Store: &tamperedStore{store, change}})
		for range 1000 {
			_, err := r.Open(t.Context(), place("acme"), env)
			require.ErrorIs(t, err, ErrNotAuthentic, name)
		}
		require.Equal(t, uint64(1), r.Stats().Unwrap, name)
	}
}

// What the store says comes into errors quoted and short.
func TestHostileTextOfTheStore(t *testing.T) {
	p := &plainProvider{}
	store := NewMemoryStore()
	env, _ := sealFor(t, plainRing(t, p, &Options{Store: store}), place("acme"))
	for name, change := range map[string]func(*Record){
		"a line of a log": func(rec *Record) { rec.State = "x\nlevel=ERROR msg=made-up" },
		"a long state":    func(rec *Record) { rec.State = State(strings.Repeat("s", 1<<20)) },
		"a long root key": func(rec *Record) { rec.RootKey = strings.Repeat("u", 1<<20) },
	} {
		r := plainRing(t, p, &Options{Store: &tamperedStore{store, change}})
		_, openErr := r.Open(t.Context(), place("acme"), env)
		_, sealErr := r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		for _, err := range []error{openErr, sealErr} {
			require.Error(t, err, name)
			require.NotContains(t, err.Error(), "\n", name)
			require.Less(t, len(err.Error()), 4096, name)
		}
	}
}

// The tag of a record covers whole seconds, and so nothing else is a time.
func TestPartsOfSeconds(t *testing.T) {
	p := &plainProvider{}
	store := NewMemoryStore()
	env, _ := sealFor(t, plainRing(t, p, &Options{Store: store}), place("acme"))
	for _, change := range []func(*Record){
		func(rec *Record) { rec.NotAfter = rec.NotAfter.Add(999 * time.Millisecond) },
		func(rec *Record) { rec.Created = rec.Created.Add(time.Nanosecond) },
	} {
		_, err := plainRing(t, p, &Options{Store: &tamperedStore{store, change}}).Open(t.Context(), place("acme"), env)
		require.ErrorIs(t, err, ErrNotAuthentic)
	}
}

type panickyProvider struct{ plainProvider }

func (*panickyProvider) GenerateDataKey(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	panic(errors.New("made-up fault with a made-up secret"))
}

// A panic of a provider is the error of those who wait for it, and tells
// nothing of its value.
func TestPanicOfAProvider(t *testing.T) {
	r, err := NewKeyRing(&panickyProvider{}, RootKeys{Seal: plainRoot}, nil)
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
	require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
	require.ErrorContains(t, err, "panicked with a *errors.errorString")
	require.NotContains(t, err.Error(), "secret")
}

// deafProvider doesn't heed its context.
type deafProvider struct {
	plainProvider
	gate chan struct{}
}

func (p *deafProvider) GenerateDataKey(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	<-p.gate
	return kmsprovider.DataKey{}, kmsprovider.ErrUnavailable
}

// A provider that doesn't heed its context can't make callers wait for it.
func TestDeafProvider(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := &deafProvider{gate: make(chan struct{})}
		r, err := NewKeyRing(p, RootKeys{Seal: plainRoot}, nil)
		require.NoError(t, err)
		began := time.Now()
		_, err = r.Seal(t.Context(), place("acme"), AppendString(nil, "x"))
		require.ErrorIs(t, err, kmsprovider.ErrUnavailable)
		require.ErrorContains(t, err, "doesn't heed its context")
		require.LessOrEqual(t, time.Since(began), time.Minute)
		close(p.gate)
		require.NoError(t, r.Close())
	})
}

// Messages that a call took and didn't use go back to the key, also when the
// collector empties the pool in between.
func TestMessagesSurviveTheCollector(t *testing.T) {
	const budget = 1000
	p := &plainProvider{}
	r := plainRing(t, p, &Options{MessageBudget: budget})
	used := map[KeyID]int{}
	for range 300 {
		runtime.GC()
		runtime.GC()
		_, key := sealFor(t, r, place("acme"))
		used[key]++
	}
	require.Len(t, used, 1, fmt.Sprint("messages are lost with the scratches: ", used))
}
