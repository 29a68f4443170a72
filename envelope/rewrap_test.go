package envelope

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/scoreboard"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
)

// twoRoots is a key file with an old and a new root key.
func twoRoots(t *testing.T) (kms *localkms.Provider, before, after string) {
	t.Helper()
	kms, err := localkms.Open(filepath.Join(t.TempDir(), "root.keys"))
	require.NoError(t, err)
	t.Cleanup(func() { kms.Close() })
	after, err = kms.AddRootKey(t.Context(), "next")
	require.NoError(t, err)
	return kms, kms.RootKey(), after
}

func storeRing(t *testing.T, p kmsprovider.Provider, store KeyStore, roots RootKeys) *KeyRing {
	t.Helper()
	return must(t)(NewKeyRing(p, roots, &Options{Store: store}))
}

func must(t *testing.T) func(*KeyRing, error) *KeyRing {
	return func(r *KeyRing, err error) *KeyRing {
		t.Helper()
		require.NoError(t, err)
		t.Cleanup(func() { r.Close() })
		return r
	}
}

// sealed are envelopes of some tenants, each under the tenant's own data key.
func sealed(t *testing.T, r *KeyRing, tenants int) map[string][]byte {
	t.Helper()
	envs := map[string][]byte{}
	for i := range tenants {
		tenant := fmt.Sprint("tenant-", i)
		envs[tenant], _ = sealFor(t, r, place(tenant))
	}
	return envs
}

func requireOpen(t *testing.T, r *KeyRing, envs map[string][]byte) {
	t.Helper()
	for tenant, env := range envs {
		_, err := r.Open(t.Context(), place(tenant), env)
		require.NoError(t, err)
	}
}

// TestRewrap changes the root key of keys in all states. Afterwards the old one
// isn't needed.
func TestRewrap(t *testing.T) {
	kms, before, after := twoRoots(t)
	store := NewMemoryStore()
	old := storeRing(t, kms, store, RootKeys{Seal: before})
	envs := sealed(t, old, 20)
	admin := storeRing(t, kms, store, RootKeys{Seal: before}) // has no key in memory, and so looks for none ahead
	keys := map[State]KeyName{}
	for rec, err := range List(t.Context(), store, Filter{}) {
		require.NoError(t, err)
		switch len(keys) {
		case 0:
			require.NoError(t, admin.Suspend(t.Context(), rec.Name(), ops))
			keys[StateSuspended] = rec.Name()
		case 1:
			require.NoError(t, admin.Retire(t.Context(), rec.Name(), ops))
			require.NoError(t, admin.ScheduleDestroy(t.Context(), rec.Name(), LeastWait, ops))
			keys[StateScheduled] = rec.Name()
		case 2:
			require.NoError(t, admin.Retire(t.Context(), rec.Name(), ops))
			store.keys[storeKey{storeScope{rec.Scope, rec.Purpose}, rec.KeyID}].State = StateDestroyed
			keys[StateDestroyed] = rec.Name()
			delete(envs, rec.Scope.Tenant)
		}
	}

	both := storeRing(t, kms, store, RootKeys{Seal: after, Open: []string{before}})
	var told [][2]int
	dry, err := both.Rewrap(t.Context(), Filter{}, after, &RewrapOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, RewrapReport{DryRun: true, To: after, Rewrapped: 19, Left: map[string]int{before: 19}}, dry)
	require.Contains(t, dry.String(), "19 keys would be rewrapped, 0 were under it before, 0 failed\n19 records of the whole key store need "+before+"\n")

	report, err := both.Rewrap(t.Context(), Filter{}, after, &RewrapOptions{Progress: func(done, all int) { told = append(told, [2]int{done, all}) }})
	require.NoError(t, err)
	require.Equal(t, RewrapReport{To: after, Rewrapped: 19, Left: map[string]int{}}, report)
	require.Contains(t, report.String(), "root key "+after+": 19 keys were rewrapped, 0 were under it before, 0 failed\nno record of the whole key store needs another root key\nnot seen: inline envelopes, exports")
	require.Len(t, told, 19)
	require.Equal(t, [2]int{1, 19}, told[0])
	require.Equal(t, [2]int{19, 19}, told[18])

	again, err := both.Rewrap(t.Context(), Filter{}, after, nil)
	require.NoError(t, err)
	require.Equal(t, RewrapReport{To: after, Already: 19, Left: map[string]int{}}, again)

	only := storeRing(t, kms, store, RootKeys{Seal: after})
	require.NoError(t, only.Resume(t.Context(), keys[StateSuspended], ops))
	require.NoError(t, only.CancelDestroy(t.Context(), keys[StateScheduled], ops))
	requireOpen(t, only, envs)
	requireOpen(t, old, map[string][]byte{"tenant-5": envs["tenant-5"]}) // it is in its memory
	c, err := Count(t.Context(), store, Filter{})
	require.NoError(t, err)
	require.Equal(t, Counts{
		Keys: 20, State: map[State]int{StateActive: 17, StateRetired: 2, StateDestroyed: 1}, RootKey: map[string]int{after: 19},
	}, c)

	_, err = storeRing(t, kms, store, RootKeys{Seal: before}).Open(t.Context(), place("tenant-5"), envs["tenant-5"])
	require.ErrorIs(t, err, ErrRootKeyNotAllowed, "the control: who doesn't list the new root key can't open")
}

// On AWS KMS the data keys don't leave the service unless the new wrappings are
// verified, and from a file to KMS they are wrapped there.
func TestRewrapOnKMS(t *testing.T) {
	srv := fakekms.Start(t)
	first, second := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	srv.CreateAlias("alias/next", second)
	kms, err := awskms.New(srv.Config(), nil)
	require.NoError(t, err)
	store := NewMemoryStore()
	from, to := "aws-kms://"+first, "aws-kms://"+second
	envs := sealed(t, storeRing(t, kms, store, RootKeys{Seal: from}), 5)

	both := storeRing(t, kms, store, RootKeys{Seal: "aws-kms://alias/next", Open: []string{from}})
	srv.ResetCalls()
	report, err := both.Rewrap(t.Context(), Filter{Tenant: "tenant-0"}, "aws-kms://alias/next", nil)
	require.NoError(t, err)
	require.Equal(t, RewrapReport{To: to, Rewrapped: 1, Left: map[string]int{from: 4}}, report, "an alias stands for its key")
	require.Equal(t, []int{1, 1}, []int{srv.Count("ReEncrypt"), srv.Count("Decrypt")})

	srv.ResetCalls()
	report, err = both.Rewrap(t.Context(), Filter{}, to, &RewrapOptions{Unverified: true})
	require.NoError(t, err)
	require.Equal(t, RewrapReport{To: to, Rewrapped: 4, Already: 1, Left: map[string]int{}}, report)
	require.Equal(t, []int{4, 0}, []int{srv.Count("ReEncrypt"), srv.Count("Decrypt")})

	srv.Disable(first)
	requireOpen(t, storeRing(t, kms, store, RootKeys{Seal: to}), envs)
}

// A root key that can't be used costs few calls, and nothing is changed.
func TestRewrapRefusedByKMS(t *testing.T) {
	srv := fakekms.Start(t)
	first, second := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	kms, err := awskms.New(srv.Config(), nil)
	require.NoError(t, err)
	store := NewMemoryStore()
	from, to := "aws-kms://"+first, "aws-kms://"+second
	r := storeRing(t, kms, store, RootKeys{Seal: from, Open: []string{to}})
	envs := sealed(t, r, 30)
	wrapped := func() (all []string) {
		for rec, err := range List(t.Context(), store, Filter{}) {
			require.NoError(t, err)
			all = append(all, rec.RootKey+string(rec.Wrapped))
		}
		return all
	}
	asBefore := wrapped()

	for name, c := range map[string]struct {
		arrange func() (undo func())
		is      error
		changes bool
	}{
		"denied":           {func() func() { return srv.Deny(second, "ReEncrypt") }, kmsprovider.ErrDenied, false},
		"verifying denied": {func() func() { return srv.Deny(second, "Decrypt") }, kmsprovider.ErrDenied, false},
		"disabled":         {func() func() { srv.Disable(second); return func() { srv.Enable(second) } }, kmsprovider.ErrKeyUnusable, false},
	} {
		t.Run(name, func(t *testing.T) {
			defer c.arrange()()
			srv.ResetCalls()
			report, err := r.Rewrap(t.Context(), Filter{}, to, nil)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, fmt.Sprintf("envelope: rewrap under %q: 20 keys failed: the key service failed for 20 keys in a row, and the rest wasn't tried", to))
			require.Len(t, report.Failed, 20)
			require.Zero(t, report.Rewrapped)
			require.Equal(t, map[string]int{from: 30}, report.Left)
			require.Contains(t, report.String(), "  and 10 more\n")
			require.LessOrEqual(t, srv.Count(), 41)
			require.Equal(t, asBefore, wrapped())
		})
	}
	requireOpen(t, storeRing(t, kms, store, RootKeys{Seal: from}), envs)
}

// What can't be rewrapped keeps its wrapping and keeps nothing else back.
func TestRewrapLeavesWhatItCantDo(t *testing.T) {
	kms, before, after := twoRoots(t)
	store := NewMemoryStore()
	old := storeRing(t, kms, store, RootKeys{Seal: before})
	envs := sealed(t, old, 6)
	record := func(tenant string) *Record {
		for _, rec := range store.keys {
			if rec.Scope.Tenant == tenant {
				return &rec.Record
			}
		}
		return nil
	}
	planted := record("tenant-1")
	planted.Wrapped = record("tenant-2").Wrapped // somebody exchanged it
	record("tenant-3").Budget++                  // or edited it
	record("tenant-4").Wrapped = nil

	byTenant := RootKeysFunc(func(s Scope) (RootKeys, error) {
		if s.Tenant == "tenant-0" { // brings a root key of its own
			return RootKeys{Seal: before}, nil
		}
		return RootKeys{Seal: after, Open: []string{before}}, nil
	})
	both := must(t)(NewKeyRing(kms, byTenant, &Options{Store: store}))
	report, err := both.Rewrap(t.Context(), Filter{}, after, nil)
	require.ErrorContains(t, err, "4 keys failed")
	require.Equal(t, 2, report.Rewrapped)
	require.Equal(t, map[string]int{before: 4}, report.Left)
	says := map[string]string{}
	for _, f := range report.Failed {
		says[f.Key.Scope.Tenant] = f.Err.Error()
	}
	require.Contains(t, says["tenant-0"], "root key not allowed for this scope")
	require.Contains(t, says["tenant-1"], "not authentic")
	require.Contains(t, says["tenant-3"], "not authentic")
	require.Contains(t, says["tenant-4"], "wrapped data key of 0 bytes")
	require.Equal(t, before, record("tenant-3").RootKey)
	requireOpen(t, storeRing(t, kms, store, RootKeys{Seal: after}), map[string][]byte{"tenant-2": envs["tenant-2"], "tenant-5": envs["tenant-5"]})
}

// A root key that any record needs must stay, also where the filter doesn't choose
// that record.
func TestRewrapTellsOfTheWholeStore(t *testing.T) {
	kms, before, after := twoRoots(t)
	store := NewMemoryStore()
	envs := sealed(t, storeRing(t, kms, store, RootKeys{Seal: before}), 3)
	both := storeRing(t, kms, store, RootKeys{Seal: after, Open: []string{before}})
	for _, dry := range []bool{true, false} {
		left := map[bool]int{true: 3, false: 2}[dry]
		report, err := both.Rewrap(t.Context(), Filter{Tenant: "tenant-0"}, after, &RewrapOptions{DryRun: dry})
		require.NoError(t, err)
		require.Equal(t, 1, report.Rewrapped)
		require.Equal(t, map[string]int{before: left}, report.Left)
		require.Contains(t, report.String(), fmt.Sprintf("0 failed\n%d records of the whole key store need %s\n", left, before))
		require.NotContains(t, report.String(), "needs another root key")
	}
	only := storeRing(t, kms, store, RootKeys{Seal: after})
	requireOpen(t, only, map[string][]byte{"tenant-0": envs["tenant-0"]})
	_, err := only.Open(t.Context(), place("tenant-1"), envs["tenant-1"])
	require.ErrorIs(t, err, ErrRootKeyNotAllowed, "what would be lost with the old root key")

	report, err := both.Rewrap(t.Context(), Filter{RootKey: before}, after, nil)
	require.NoError(t, err)
	require.Equal(t, RewrapReport{To: after, Rewrapped: 2, Left: map[string]int{}}, report)
	requireOpen(t, only, envs)
}

// liar wraps something else than it was given.
type liar struct{ *localkms.Provider }

func (l liar) Rewrap(ctx context.Context, _ string, _ []byte, to string, ec kmsprovider.EncryptionContext) ([]byte, string, error) {
	made, err := l.GenerateDataKey(ctx, to, ec)
	return made.Wrapped, to, err
}

// A wrapping that is wrong is found before the right one is given up, unless
// the caller has said that it needn't be.
func TestRewrapVerifies(t *testing.T) {
	kms, before, after := twoRoots(t)
	for _, unverified := range []bool{false, true} {
		store := NewMemoryStore()
		envs := sealed(t, storeRing(t, kms, store, RootKeys{Seal: before}), 3)
		r := storeRing(t, liar{kms}, store, RootKeys{Seal: after, Open: []string{before}})
		report, err := r.Rewrap(t.Context(), Filter{}, after, &RewrapOptions{Unverified: unverified})
		fresh := storeRing(t, kms, store, RootKeys{Seal: after, Open: []string{before}})
		if !unverified {
			require.ErrorIs(t, err, ErrNotAuthentic)
			require.Len(t, report.Failed, 3)
			requireOpen(t, fresh, envs)
			continue
		}
		require.NoError(t, err)
		_, err = fresh.Open(t.Context(), place("tenant-0"), envs["tenant-0"])
		require.Error(t, err, "the control")
	}
}

// TestRewrapBesideOthers: two rewraps at once, while keys are rotated,
// suspended and resumed, and an application goes on.
func TestRewrapBesideOthers(t *testing.T) {
	kms, before, after := twoRoots(t)
	store := NewMemoryStore()
	envs := sealed(t, storeRing(t, kms, store, RootKeys{Seal: before}), 60)
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(t.Context())
	var others, rewraps sync.WaitGroup
	for w := range 4 {
		r := storeRing(t, kms, store, RootKeys{Seal: after, Open: []string{before}})
		others.Go(func() {
			for i := w; ctx.Err() == nil; i += 7 {
				tenant := fmt.Sprint("tenant-", i%60)
				env, err := r.Seal(t.Context(), place(tenant), AppendString(nil, "x"))
				if err == nil {
					mu.Lock()
					envs[fmt.Sprint(tenant, "/", i)] = env
					mu.Unlock()
				}
				id, err := r.Rotate(t.Context(), place(tenant).Scope)
				if err != nil {
					t.Error(err)
					return
				}
				key := KeyName{place(tenant).Scope.withDefault(), PurposeData, id}
				if err := errors.Join(r.Suspend(t.Context(), key, ops), r.Resume(t.Context(), key, ops)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var reports [2]RewrapReport
	for i := range reports {
		r := storeRing(t, kms, store, RootKeys{Seal: after, Open: []string{before}})
		rewraps.Go(func() {
			var err error
			if reports[i], err = r.Rewrap(t.Context(), Filter{}, after, nil); err != nil {
				t.Error(err)
			}
		})
	}
	rewraps.Wait()
	cancel()
	others.Wait()
	for _, report := range reports {
		require.Empty(t, report.Left)
	}
	only := storeRing(t, kms, store, RootKeys{Seal: after})
	for name, env := range envs {
		tenant, _, _ := strings.Cut(name, "/")
		_, err := only.Open(t.Context(), place(tenant), env)
		require.NoError(t, err)
	}
}

// A run that was ended goes on where it was.
func TestRewrapGoesOn(t *testing.T) {
	kms, before, after := twoRoots(t)
	store := NewMemoryStore()
	envs := sealed(t, storeRing(t, kms, store, RootKeys{Seal: before}), 50)
	r := storeRing(t, kms, store, RootKeys{Seal: after, Open: []string{before}})
	ctx, cancel := context.WithCancel(t.Context())
	report, err := r.Rewrap(ctx, Filter{}, after, &RewrapOptions{AtOnce: 1, Progress: func(done, _ int) {
		if done == 20 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, report.Left, "it isn't known")
	require.NotContains(t, report.String(), "needs another root key")
	require.Contains(t, report.String(), "\nwhat is left was not counted: run it again\n")
	rest, err := r.Rewrap(t.Context(), Filter{}, after, nil)
	require.NoError(t, err)
	require.Equal(t, 50, rest.Rewrapped+rest.Already)
	require.GreaterOrEqual(t, rest.Already, 20)
	requireOpen(t, storeRing(t, kms, store, RootKeys{Seal: after}), envs)
}

func TestRewrapRefusesBadInput(t *testing.T) {
	kms, before, after := twoRoots(t)
	r := storeRing(t, kms, NewMemoryStore(), RootKeys{Seal: before, Open: []string{after}})
	for says, call := range map[string]func() error{
		"keys have no life of their own: set Options.Store": func() error {
			_, err := storeRing(t, kms, nil, RootKeys{Seal: before}).Rewrap(t.Context(), Filter{}, after, nil)
			return err
		},
		"the URI of the root key is 0 bytes, it must be 1 to 512": func() error {
			_, err := r.Rewrap(t.Context(), Filter{}, "", nil)
			return err
		},
		"RewrapOptions.AtOnce is -1": func() error {
			_, err := r.Rewrap(t.Context(), Filter{}, after, &RewrapOptions{AtOnce: -1})
			return err
		},
		"context canceled": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := r.Rewrap(ctx, Filter{}, after, nil)
			return err
		},
		"key ring is closed": func() error {
			closed := storeRing(t, kms, NewMemoryStore(), RootKeys{Seal: before})
			require.NoError(t, closed.Close())
			_, err := closed.Rewrap(t.Context(), Filter{}, after, nil)
			return err
		},
	} {
		err := call()
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, "envelope: rewrap under ")
	}
}

// A mistyped filter doesn't look like the end of the work.
func TestRewrapOfNothing(t *testing.T) {
	kms, before, after := twoRoots(t)
	store := NewMemoryStore()
	sealed(t, storeRing(t, kms, store, RootKeys{Seal: before}), 3)
	r := storeRing(t, kms, store, RootKeys{Seal: after, Open: []string{before}})
	for _, f := range []Filter{{Tenant: "tenant-1 "}, {RootKey: before + "/"}} {
		for _, dry := range []bool{false, true} {
			report, err := r.Rewrap(t.Context(), f, after, &RewrapOptions{DryRun: dry})
			require.NoError(t, err)
			require.NotContains(t, report.String(), "needs another root key")
			require.Contains(t, report.String(), "\nthe filter chooses no key that is not destroyed\n")
		}
	}
}

// counting is a provider whose root keys are numbers, to be fast.
type counting struct{}

func (counting) key(wrapped []byte) []byte {
	return append(make([]byte, 24), wrapped[:8]...)
}

func (c counting) GenerateDataKey(context.Context, string, kmsprovider.EncryptionContext) (kmsprovider.DataKey, error) {
	return kmsprovider.DataKey{}, errors.ErrUnsupported
}

func (c counting) Unwrap(_ context.Context, root string, wrapped []byte, _ kmsprovider.EncryptionContext) ([]byte, error) {
	if string(wrapped[8:]) != root {
		return nil, kmsprovider.ErrInvalidCiphertext
	}
	return c.key(wrapped), nil
}

func (counting) Wrap(_ context.Context, root string, plain []byte, _ kmsprovider.EncryptionContext) ([]byte, string, error) {
	return append(plain[24:32:32], root...), root, nil
}

// TestRewrapManyKeys: 100,000 keys of two purposes, the first half of them in a
// run that was ended.
func TestRewrapManyKeys(t *testing.T) {
	n := 100_000
	if testing.Short() || scoreboard.UnderRace() {
		n = 5000
	}
	store, p := NewMemoryStore(), counting{}
	now := time.Now().Truncate(time.Second)
	for i := range n {
		wrapped := binary.BigEndian.AppendUint64(nil, uint64(i))
		wrapped = append(wrapped, "root://old"...)
		rec := Record{
			Scope: Scope{fmt.Sprint("tenant-", i/10), "crm"}, Purpose: PurposeData, RootKey: "root://old",
			Wrapped: wrapped, State: StateRetired, Created: now, NotAfter: now.Add(time.Hour), Budget: 1000,
		}
		if i%5 == 0 {
			rec.Purpose, rec.NotAfter, rec.Budget = PurposeIndex, time.Time{}, 0 // such keys have no end
		}
		rec.KeyID = deriveKeyID(p.key(wrapped), rec.Scope, rec.Purpose)
		rec.Tag = recordTag(p.key(wrapped), rec.Scope, rec.Purpose, rec.Created, rec.NotAfter, rec.Budget)
		require.NoError(t, store.Insert(t.Context(), rec))
	}
	r := must(t)(NewKeyRing(p, RootKeys{Seal: "root://new", Open: []string{"root://old"}}, &Options{Store: store}))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := r.Rewrap(ctx, Filter{}, "root://new", &RewrapOptions{Progress: func(done, _ int) {
		if done == n/2 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	report, err := r.Rewrap(t.Context(), Filter{}, "root://new", nil)
	require.NoError(t, err)
	require.Equal(t, n, report.Rewrapped+report.Already)
	require.GreaterOrEqual(t, report.Already, n/2)
	require.Empty(t, report.Left)
	for rec, err := range List(t.Context(), store, Filter{}) {
		if err != nil || rec.RootKey != "root://new" || rec.verify(p.key(rec.Wrapped)) != nil {
			t.Fatalf("%v: %v under %s", rec.Name(), err, rec.RootKey)
		}
	}
}
