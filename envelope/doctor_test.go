package envelope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
			bubble(t, func(t *testing.T) {
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
	bubble(t, func(t *testing.T) {
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
	bubble(t, func(t *testing.T) {
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
			bubble(t, func(t *testing.T) {
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

// A store keeps nothing of a doctor who was told no scope, and of one who was no
// more than the scope's data key.
func TestDoctorLeavesNothingBehind(t *testing.T) {
	store := NewMemoryStore()
	var events atomic.Int64
	ring := plainRing(t, &plainProvider{}, &Options{Store: store, OnEvent: func(Event) { events.Add(1) }})
	all := func() []Record {
		page, err := store.Page(t.Context(), Filter{}, KeyName{}, 10)
		require.NoError(t, err)
		return page
	}
	report := ring.Doctor(t.Context(), nil)
	require.NoError(t, report.Err())
	require.Equal(t, "a claim was made and released", finding(t, report, "key store *envelope.MemoryStore", "write").Found)
	require.Empty(t, all())
	won, err := store.Claim(t.Context(), doctorScope, PurposeData, "another", time.Minute)
	require.NoError(t, err)
	require.True(t, won, "the claim was released")
	require.NoError(t, ring.Doctor(t.Context(), nil).Err(), "another doctor has the claim")

	for range 2 {
		report = ring.Doctor(t.Context(), &DoctorOptions{Scopes: []Scope{{Tenant: "acme"}, {Tenant: "acme", Class: "crm"}}})
		require.NoError(t, report.Err())
		require.Contains(t, finding(t, report, "round trip of a value", `tenant "acme", class "default"`).Found, "… (reference), and opened")
		require.Len(t, all(), 2, "the data keys that the scopes' first records would have made")
	}
	require.Zero(t, events.Load(), "what a doctor does is not what happens to the ring")
	require.Zero(t, ring.Stats(), "nor does it count")
	env, err := ring.Seal(t.Context(), place("acme"), AppendString(nil, "ada@example.com"))
	require.NoError(t, err)
	_, err = ring.Open(t.Context(), place("acme"), env)
	require.NoError(t, err)
	require.Len(t, all(), 2, "and the record uses it")
}

func TestDoctorOfRootKeysThatAreNotConfigured(t *testing.T) {
	byTenant := RootKeysFunc(func(s Scope) (RootKeys, error) {
		switch s.Tenant {
		case "acme":
			return RootKeys{Seal: plainRoot}, nil
		case "empty":
			return RootKeys{}, nil
		}
		return RootKeys{}, errors.New("no such tenant")
	})
	ring := ringOn(t, &plainProvider{}, byTenant, nil)
	for _, c := range []struct {
		name   string
		scopes []Scope
		check  string
		says   string
		mend   string
	}{
		{"nothing named", nil, "list them", "no root key was checked: they depend on the scope, and none was named", "name a scope in DoctorOptions.Scopes"},
		{"unknown", []Scope{{Tenant: "initech"}}, `of tenant "initech", class "default"`, `root keys for tenant "initech", class "default": no such tenant`, "name the scope's root keys in the configuration"},
		{"none", []Scope{{Tenant: "empty"}}, `of tenant "empty", class "default"`, "set RootKeys.Seal", "name the scope's root keys in the configuration"},
		{"not a scope", []Scope{{}}, `of tenant "", class "default"`, "malformed", "or another scope in DoctorOptions.Scopes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := ring.Doctor(t.Context(), &DoctorOptions{Scopes: c.scopes})
			require.Error(t, report.Err())
			f := finding(t, report, "root keys", c.check)
			require.Equal(t, kmsprovider.StatusFailed, f.Status)
			require.Contains(t, f.Found, c.says)
			require.Contains(t, f.Mend, c.mend)
		})
	}
	writer, err := NewKeyRing(struct {
		*plainProvider
		kmsprovider.PolicyWriter
	}{&plainProvider{}, newMoody(calm)}, byTenant, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, writer.Close()) })
	require.Empty(t, writer.Doctor(t.Context(), nil).Policies, "a policy for nothing")
	require.Len(t, writer.Doctor(t.Context(), &DoctorOptions{Scopes: acmeScope}).Policies, 1, "the control")

	report := ring.Doctor(t.Context(), &DoctorOptions{Scopes: acmeScope})
	require.NoError(t, report.Err(), "the control")
	report = ring.Doctor(t.Context(), &DoctorOptions{Scopes: []Scope{{Tenant: "initech"}, {Tenant: "acme"}}})
	require.ErrorContains(t, report.Err(), "no such tenant")
	require.Equal(t, kmsprovider.StatusOK, finding(t, report, "root key "+plainRoot, checkGenerate).Status, "the others are checked")
}

func TestDoctorRefuses(t *testing.T) {
	ring := plainRing(t, &plainProvider{}, nil)
	report := ring.Doctor(t.Context(), &DoctorOptions{Timeout: -time.Second})
	require.ErrorContains(t, report.Err(), "doctor: 1 of 1 checks failed: key ring: examine: DoctorOptions.Timeout is -1s")
	require.Equal(t, "leave it zero, or set a positive one", report.Findings[0].Mend)
	require.NoError(t, ring.Close())
	report = ring.Doctor(t.Context(), nil)
	require.ErrorIs(t, report.Err(), ErrClosed)
	require.Equal(t, "call Doctor before Close", report.Findings[0].Mend)
}

// What a provider does wrong is found, with whichever of its answers.
func TestDoctorOfBadAnswers(t *testing.T) {
	good := func() kmsprovider.DataKey {
		return kmsprovider.DataKey{Plaintext: make([]byte, 32), Wrapped: []byte{1}, RootKey: plainRoot}
	}
	for _, c := range []struct {
		name  string
		spoil func(*answers)
		check string
		says  string
	}{
		{"a short data key", func(a *answers) { a.made.Plaintext = make([]byte, 31) }, checkGenerate, "the provider made a data key of 31 bytes, wrapped in 1, under a root key with a name of 12: they must be 32, 1 to 6144 and 1 to 512"},
		{"no wrapping", func(a *answers) { a.made.Wrapped = nil }, checkGenerate, "wrapped in 0"},
		{"no root key", func(a *answers) { a.made.RootKey = "" }, checkGenerate, "with a name of 0"},
		{"a wrapping too long", func(a *answers) { a.made.Wrapped = make([]byte, maxWrapped+1) }, checkGenerate, "wrapped in 6145"},
		{"a name too long", func(a *answers) { a.made.RootKey = string(make([]byte, maxURI+1)) }, checkGenerate, "with a name of 513"},
		{"half of a data key", func(a *answers) { a.unwrapped = make([]byte, 16) }, checkUnwrap, "the provider unwrapped a data key of 16 bytes, it must be 32"},
		{"another data key", func(a *answers) { a.unwrapped = append(make([]byte, 31), 1) }, checkUnwrap, "the data key that was unwrapped is not the one that was wrapped"},
		{"no rewrapping", func(a *answers) { a.rewrapped = nil }, checkRewrap, "the provider returned no wrapping, or no root key for it"},
		{"a rewrapping of nothing", func(a *answers) { a.rewrapped = []byte("lost") }, checkRewrap, "unwrapping what was rewrapped: wrapped key or its encryption context not accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &answers{made: good(), unwrapped: make([]byte, 32), rewrapped: []byte{2}}
			ring := ringOn(t, a, RootKeys{Seal: plainRoot}, nil)
			require.Empty(t, statuses(&DoctorReport{Findings: (&doctor{ring: ring, timeout: time.Minute}).rootKey(t.Context(),
				&configured{uri: plainRoot, scope: doctorScope, seals: true}, a)}), "the control")
			c.spoil(a)
			f := finding(t, ring.Doctor(t.Context(), nil), "root key "+plainRoot, c.check)
			require.Equal(t, kmsprovider.StatusFailed, f.Status)
			require.Contains(t, f.Found, c.says)
			require.NotEmpty(t, f.Mend)
		})
	}
}

// An answers provider gives what it is told to.
type answers struct {
	made                 kmsprovider.DataKey
	unwrapped, rewrapped []byte
}

func (a *answers) GenerateDataKey(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	dk := a.made
	dk.Plaintext = slices.Clone(dk.Plaintext)
	return dk, nil
}

func (a *answers) Unwrap(_ context.Context, _ string, wrapped []byte, _ kmsprovider.EncryptionContext) ([]byte, error) {
	if string(wrapped) == "lost" {
		return nil, kmsprovider.ErrInvalidCiphertext
	}
	return slices.Clone(a.unwrapped), nil
}

func (a *answers) Rewrap(context.Context, string, []byte, string, kmsprovider.EncryptionContext) ([]byte, string, error) {
	return a.rewrapped, plainRoot, nil
}

// What an examination says of itself is fit for a report: one line, and nothing
// is good that isn't said to be.
func TestDoctorTidiesFindings(t *testing.T) {
	ring := ringOn(t, &examined{&plainProvider{}, []kmsprovider.Finding{
		{Check: "lines\nof text", Status: kmsprovider.StatusOK, Found: "one\r\ntwo\x1b[31m\u202e\xff"},
		{Subject: "another", Check: "no status"},
		{Check: "long", Status: kmsprovider.StatusWarning, Found: strings.Repeat("x", 3000)},
		{Check: "denied", Status: kmsprovider.StatusFailed, Found: "no", Err: kmsprovider.ErrDenied},
		{Check: "with advice", Status: kmsprovider.StatusFailed, Found: "no", Mend: "do this", Err: kmsprovider.ErrDenied},
	}}, RootKeys{Seal: plainRoot}, nil)
	report := ring.Doctor(t.Context(), nil)
	const service = "key service *envelope.examined"
	require.Equal(t, "one  two [31m ?", finding(t, report, service, "lines of text").Found)
	require.Equal(t, kmsprovider.StatusFailed, finding(t, report, "another", "no status").Status)
	require.Len(t, finding(t, report, service, "long").Found, maxText+len("…"))
	require.Equal(t, "see that the credentials in use are the right ones, and have this permission", finding(t, report, service, "denied").Mend)
	require.Equal(t, "do this", finding(t, report, service, "with advice").Mend)
	require.ErrorIs(t, report.Err(), kmsprovider.ErrDenied)
}

type examined struct {
	*plainProvider
	found []kmsprovider.Finding
}

func (e *examined) Examine(context.Context) []kmsprovider.Finding { return e.found }

func TestDoctorReport(t *testing.T) {
	report := &DoctorReport{
		Findings: []kmsprovider.Finding{
			{Subject: "key service x", Check: "TLS", Status: kmsprovider.StatusWarning, Found: "plain HTTP", Mend: "use https"},
			{Subject: "root key k", Check: "unwrap a data key", Status: kmsprovider.StatusFailed, Found: "denied", Mend: "permit it", Err: kmsprovider.ErrDenied},
			{Subject: "root key k", Check: "rewrap a data key", Status: kmsprovider.StatusOK},
		},
		Policies: []DoctorPolicy{{Provider: "x", Policy: json.RawMessage(`{"Statement":[]}`)}},
	}
	require.Equal(t, `doctor: 3 checks, 1 failed, 1 warning

key service x
  warning  TLS                plain HTTP
                              mend: use https

root key k
  failed   unwrap a data key  denied
                              mend: permit it
  ok       rewrap a data key

least policy for x
{"Statement":[]}`, report.String())
	text, err := json.Marshal(report)
	require.NoError(t, err)
	require.JSONEq(t, `{"findings":[
		{"subject":"key service x","check":"TLS","status":"warning","found":"plain HTTP","mend":"use https"},
		{"subject":"root key k","check":"unwrap a data key","status":"failed","found":"denied","mend":"permit it"},
		{"subject":"root key k","check":"rewrap a data key","status":"ok"}],
		"policies":[{"provider":"x","policy":{"Statement":[]}}]}`, string(text))
	require.EqualError(t, report.Err(), "doctor: 1 of 3 checks failed: root key k: unwrap a data key: denied")
	require.ErrorIs(t, report.Err(), kmsprovider.ErrDenied)

	for range 4 {
		report.Findings = append(report.Findings, report.Findings[1])
	}
	require.EqualError(t, report.Err(), "doctor: 5 of 7 checks failed: root key k: unwrap a data key: denied; root key k: unwrap a data key: denied; root key k: unwrap a data key: denied; and 2 more")
	require.Contains(t, report.String(), "doctor: 7 checks, 5 failed, 1 warning\n")

	report = &DoctorReport{Findings: []kmsprovider.Finding{{Subject: "s", Check: "c", Status: kmsprovider.StatusWarning}, {Subject: "s", Check: "c", Status: kmsprovider.StatusWarning}}}
	require.NoError(t, report.Err(), "warnings are no failures")
	require.Contains(t, report.String(), "doctor: 2 checks, 0 failed, 2 warnings\n")
	require.NoError(t, (&DoctorReport{}).Err())
}

func TestDoctorOfTombstones(t *testing.T) {
	log, err := OpenTombstoneFile(filepath.Join(t.TempDir(), "tombstones"))
	require.NoError(t, err)
	ring := plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore(), Tombstones: log})
	require.Equal(t, "it names 0 destroyed data keys", finding(t, ring.Doctor(t.Context(), nil), "tombstone log", "read").Found)

	ring = plainRing(t, &plainProvider{}, &Options{Store: NewMemoryStore(), Tombstones: goneLog{}})
	report := ring.Doctor(t.Context(), nil)
	require.ErrorContains(t, report.Err(), "the disk is gone")
	require.Equal(t, "without it no data key is used: see that it can be read from here", finding(t, report, "tombstone log", "read").Mend)
}

type goneLog struct{}

func (goneLog) Append(context.Context, Tombstone) error { return nil }
func (goneLog) Read(context.Context, int64) ([]Tombstone, int64, error) {
	return nil, 0, errors.New("the disk is gone")
}
