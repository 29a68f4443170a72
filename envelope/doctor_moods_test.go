package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A moody provider has all abilities, and calls do at the beginning of each
// method.
type moody struct {
	*plainProvider
	do func(ctx context.Context, method string)
}

func newMoody(do func(ctx context.Context, method string)) *moody {
	return &moody{plainProvider: &plainProvider{}, do: do}
}

func (m *moody) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	m.do(ctx, "GenerateDataKey")
	return m.plainProvider.GenerateDataKey(ctx, rootKey, ec)
}

func (m *moody) Unwrap(ctx context.Context, rootKey string, wrapped []byte, ec kmsprovider.EncryptionContext) ([]byte, error) {
	m.do(ctx, "Unwrap")
	return m.plainProvider.Unwrap(ctx, rootKey, wrapped, ec)
}

func (m *moody) Rewrap(ctx context.Context, _ string, wrapped []byte, to string, _ kmsprovider.EncryptionContext) ([]byte, string, error) {
	m.do(ctx, "Rewrap")
	return wrapped, to, nil
}

func (m *moody) Check(ctx context.Context, _ string) error {
	m.do(ctx, "Check")
	return nil
}

func (m *moody) Resolve(ctx context.Context, rootKey string) (string, error) {
	m.do(ctx, "Resolve")
	return rootKey, nil
}

func (m *moody) Examine(ctx context.Context) []kmsprovider.Finding {
	m.do(ctx, "Examine")
	return []kmsprovider.Finding{{Check: "mood", Status: kmsprovider.StatusOK}}
}

func (m *moody) Policy(ctx context.Context, seal, open []string) ([]byte, error) {
	m.do(ctx, "Policy")
	return json.Marshal([][]string{seal, open})
}

func (m *moody) Behind(string) []kmsprovider.Provider {
	m.do(context.Background(), "Behind")
	return nil // it stands for itself
}

func (m *moody) ListRootKeys() (seal, open []string) {
	m.do(context.Background(), "ListRootKeys")
	return []string{plainRoot}, []string{"plain://old"}
}

var moodyMethods = []string{"GenerateDataKey", "Unwrap", "Rewrap", "Check", "Resolve", "Examine", "Policy", "Behind", "ListRootKeys"}

// A moodyStore does the same to a key store, and a moodyLog to a tombstone log.
type moodyStore struct {
	*MemoryStore
	do func(ctx context.Context, method string)
}

func (m *moodyStore) Active(ctx context.Context, scope Scope, purpose Purpose) (Record, error) {
	m.do(ctx, "Active")
	return m.MemoryStore.Active(ctx, scope, purpose)
}

func (m *moodyStore) Claim(ctx context.Context, scope Scope, purpose Purpose, holder string, lease time.Duration) (bool, error) {
	m.do(ctx, "Claim")
	return m.MemoryStore.Claim(ctx, scope, purpose, holder, lease)
}

func (m *moodyStore) Release(ctx context.Context, scope Scope, purpose Purpose, holder string) error {
	m.do(ctx, "Release")
	return m.MemoryStore.Release(ctx, scope, purpose, holder)
}

func (m *moodyStore) Activate(ctx context.Context, rec Record, previous KeyID) error {
	m.do(ctx, "Activate")
	return m.MemoryStore.Activate(ctx, rec, previous)
}

func (m *moodyStore) Lease(ctx context.Context, scope Scope, purpose Purpose, id KeyID, n uint64) (granted, left uint64, err error) {
	m.do(ctx, "Lease")
	return m.MemoryStore.Lease(ctx, scope, purpose, id, n)
}

func (m *moodyStore) Get(ctx context.Context, scope Scope, purpose Purpose, id KeyID) (Record, error) {
	m.do(ctx, "Get")
	return m.MemoryStore.Get(ctx, scope, purpose, id)
}

func (m *moodyStore) Page(ctx context.Context, f Filter, after KeyName, limit int) ([]Record, error) {
	m.do(ctx, "Page")
	return m.MemoryStore.Page(ctx, f, after, limit)
}

func (m *moodyStore) Examine(ctx context.Context) []kmsprovider.Finding {
	m.do(ctx, "Examine")
	return []kmsprovider.Finding{{Check: "mood", Status: kmsprovider.StatusOK}}
}

type moodyLog struct{ do func() }

func (m moodyLog) Append(context.Context, Tombstone) error { return nil }
func (m moodyLog) Read(context.Context, int64) ([]Tombstone, int64, error) {
	m.do()
	return nil, 0, nil
}

func calm(context.Context, string) {}

// at is a mood that shows in one method.
func at(method string, mood func()) func(context.Context, string) {
	return func(_ context.Context, m string) {
		if m == method {
			mood()
		}
	}
}

var acmeScope = []Scope{{Tenant: "acme"}}

// TestDoctorOfMoods has each method of a provider, a store, a tombstone log and
// a source of root keys panic, end its goroutine, or never return. The control is
// the calm one.
func TestDoctorOfMoods(t *testing.T) {
	for _, mood := range []string{"calm", "panic", "goexit", "hang"} {
		t.Run(mood, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				released := make(chan struct{})
				defer time.Sleep(time.Minute) // what was left behind ends
				defer close(released)
				be := map[string]func(){
					"calm":   func() {},
					"panic":  func() { panic("secret-of-a-panic") },
					"goexit": runtime.Goexit,
					"hang":   func() { <-released },
				}[mood]
				says := map[string]string{
					"panic":  "panicked with a string",
					"goexit": "it didn't return",
					"hang":   "no answer within 1s",
				}[mood]
				cases := map[string]func() (kmsprovider.Provider, RootKeySource, *Options){}
				for _, method := range moodyMethods {
					cases["provider: "+method] = func() (kmsprovider.Provider, RootKeySource, *Options) {
						return newMoody(at(method, be)), RootKeys{Seal: plainRoot}, &Options{Store: NewMemoryStore()}
					}
				}
				for _, method := range []string{"Active", "Claim", "Release", "Activate", "Lease", "Get", "Examine"} {
					cases["store: "+method] = func() (kmsprovider.Provider, RootKeySource, *Options) {
						return newMoody(calm), RootKeys{Seal: plainRoot}, &Options{Store: &moodyStore{NewMemoryStore(), at(method, be)}}
					}
				}
				cases["tombstones"] = func() (kmsprovider.Provider, RootKeySource, *Options) {
					return newMoody(calm), RootKeys{Seal: plainRoot}, &Options{Store: NewMemoryStore(), Tombstones: moodyLog{be}}
				}
				cases["root keys"] = func() (kmsprovider.Provider, RootKeySource, *Options) {
					return newMoody(calm), RootKeysFunc(func(Scope) (RootKeys, error) {
						be()
						return RootKeys{Seal: plainRoot}, nil
					}), nil
				}
				for name, make := range cases {
					provider, roots, opts := make()
					ring, err := NewKeyRing(provider, roots, opts)
					require.NoError(t, err)
					began := time.Now()
					report := ring.Doctor(t.Context(), &DoctorOptions{Scopes: acmeScope, Timeout: time.Second})
					took := time.Since(began)
					unnamed := ring.Doctor(t.Context(), &DoctorOptions{Timeout: time.Second})
					require.NoError(t, ring.Close())

					require.NotContains(t, report.String()+unnamed.String(), "secret-of-a-panic", name)
					if mood == "calm" {
						require.NoError(t, report.Err(), name)
						require.NoError(t, unnamed.Err(), name)
						require.Zero(t, took, name)
						continue
					}
					require.LessOrEqual(t, took, 10*time.Second, name)
					errs := errors.Join(report.Err(), unnamed.Err())
					switch name {
					case "provider: Behind": // then it is tried as the one that it is
						require.NoError(t, errs, name)
					case "provider: Policy":
						require.NoError(t, errs, name)
						f := finding(t, report, "key service ", "least policy")
						require.Equal(t, kmsprovider.StatusWarning, f.Status)
						require.Contains(t, f.Found, says)
						require.Empty(t, report.Policies)
					case "store: Release": // a key that is made doesn't depend on it
						require.Error(t, unnamed.Err(), name)
						require.Contains(t, unnamed.String(), says, name)
					default:
						require.Error(t, errs, name)
						require.True(t, errors.Is(errs, kmsprovider.ErrUnavailable) || errors.Is(errs, ErrStoreUnavailable), name)
						if mood != "goexit" { // which a ring's loads don't notice but by their deadline
							require.Contains(t, report.String()+unnamed.String(), says, name)
						}
					}
				}
			})
		})
	}
}

// A caller who leaves isn't kept, whatever hangs.
func TestDoctorOfACallerWhoLeaves(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		provider := newMoody(func(_ context.Context, method string) {
			if method != "Behind" && method != "ListRootKeys" {
				<-released
			}
		})
		ring := ringOn(t, provider, RootKeys{Seal: plainRoot}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		report := ring.Doctor(ctx, &DoctorOptions{Timeout: time.Hour})
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, report.Err(), context.Canceled)
		f := finding(t, report, "root key "+plainRoot, checkState)
		require.Equal(t, "not finished: context canceled", f.Found)
		require.Equal(t, "give the context that Doctor is called with the time that it takes", f.Mend)

		began = time.Now()
		report = ring.Doctor(ctx, &DoctorOptions{Scopes: acmeScope})
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, report.Err(), context.Canceled)
		require.Contains(t, report.String(), "not tried: context canceled")

		deadline, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		require.ErrorIs(t, ring.Doctor(deadline, nil).Err(), context.DeadlineExceeded)
		close(released)
		time.Sleep(time.Hour)
	})
}

// A provider's own deadline isn't the caller's, however soon it comes.
func TestDoctorOfDeadlinesThatAreNotTheCallers(t *testing.T) {
	for name, class := range map[string]error{"plain": nil, "throttled": kmsprovider.ErrThrottled} {
		t.Run(name, func(t *testing.T) {
			own := errors.Join(class, context.DeadlineExceeded)
			a := &impatient{&plainProvider{}, own}
			ring := ringOn(t, a, RootKeys{Seal: plainRoot}, nil)
			report := ring.Doctor(t.Context(), nil)
			require.NotErrorIs(t, report.Err(), context.DeadlineExceeded)
			want := kmsprovider.ErrUnavailable
			if class != nil {
				want = class
			}
			for _, f := range []kmsprovider.Finding{
				finding(t, report, "root key", checkState), finding(t, report, "key service", "mood"),
			} {
				require.Equal(t, kmsprovider.StatusFailed, f.Status)
				require.ErrorIs(t, f.Err, want)
				require.Equal(t, mendOf(want), f.Mend)
			}
			require.Contains(t, finding(t, report, "root key", checkState).Found, want.Error()+": no answer in time: ")

			past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
			defer cancel()
			require.ErrorIs(t, ring.Doctor(past, nil).Err(), context.DeadlineExceeded, "the control: the caller's own")
		})
	}
}

type impatient struct {
	*plainProvider
	end error
}

func (i *impatient) Check(context.Context, string) error { return i.end }
func (i *impatient) Examine(context.Context) []kmsprovider.Finding {
	return []kmsprovider.Finding{{Check: "mood", Status: kmsprovider.StatusFailed, Found: "slow", Err: i.end}}
}

// Many root keys are tried at once, and not too many.
func TestDoctorIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		provider := &listing{newMoody(func(_ context.Context, method string) {
			if method == "Check" {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Second)
				now.Add(-1)
			}
		}), 80}
		ring := ringOn(t, provider, RootKeysFunc(func(Scope) (RootKeys, error) { return RootKeys{}, errors.New("nobody's") }), nil)
		began := time.Now()
		report := ring.Doctor(t.Context(), nil)
		require.NoError(t, report.Err())
		require.Equal(t, int64(doctorAtOnce), most.Load())
		require.InDelta(t, 80/doctorAtOnce, time.Since(began).Seconds(), 2)
	})
}

// A listing provider lists many root keys.
type listing struct {
	*moody
	n int
}

func (l *listing) ListRootKeys() (seal, open []string) {
	for i := range l.n {
		seal = append(seal, fmt.Sprint("plain://", i))
	}
	return seal, nil
}

func (l *listing) Behind(string) []kmsprovider.Provider { return []kmsprovider.Provider{l.moody, nil} }

// A lateProvider answers when it is released, and keeps the data keys that it
// made.
type lateProvider struct {
	*plainProvider
	released chan struct{}
	mu       sync.Mutex
	made     [][]byte
}

func (l *lateProvider) GenerateDataKey(ctx context.Context, rootKey string, ec kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	<-l.released
	dk, err := l.plainProvider.GenerateDataKey(context.WithoutCancel(ctx), rootKey, ec)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, dk.Plaintext)
	return dk, err
}

// A data key that comes when nobody waits for it any more is wiped, as are those
// that come in time.
func TestDoctorWipesDataKeys(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("late: ", late), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := &lateProvider{plainProvider: &plainProvider{}, released: make(chan struct{})}
				if !late {
					close(p.released)
				}
				ring := ringOn(t, p, RootKeys{Seal: plainRoot}, nil)
				report := ring.Doctor(t.Context(), nil)
				require.Equal(t, late, report.Err() != nil)
				if late {
					close(p.released)
				}
				time.Sleep(time.Minute)
				p.mu.Lock()
				defer p.mu.Unlock()
				require.Len(t, p.made, 2, "one to try the root key, one of the round trip")
				for _, key := range p.made {
					require.Equal(t, make([]byte, kmsprovider.DataKeySize), key)
				}
			})
		})
	}
}
