package residency_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/internal/bubble"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/localkms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/providertest"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/residency"
)

func TestRootKeysOfTenants(t *testing.T) {
	w := newWorld(t)
	r := w.router(t)
	for tenant, want := range map[string]struct {
		region string
		keys   residency.RootKeys
	}{
		"acme":    {"acme", residency.RootKeys{Seal: w.acme}},
		"us-east": {"us", residency.RootKeys{Seal: w.us}},
		"eu-west": {"eu", residency.RootKeys{Seal: w.eu, Open: []string{w.euOld}}},
		"globex":  {"us", residency.RootKeys{Seal: w.us, Open: []string{w.eu, w.euOld}}},
	} {
		keys, err := r.RootKeys(tenant)
		require.NoError(t, err)
		require.Equal(t, want.keys, keys, tenant)
		region, err := r.Region(tenant)
		require.NoError(t, err)
		require.Equal(t, want.region, region)
	}
	for _, tenant := range []string{"", "Acme", "acme ", "globex2", "us", "de-x", "us-/x"} {
		_, err := r.RootKeys(tenant)
		require.ErrorIs(t, err, residency.ErrNoRegion, tenant)
		require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable, "it ends the keys of a tenant that lost its home")
	}
	require.Equal(t, [3]int{}, w.calls())
}

// Each root key is called by its own provider: its region, its credentials.
func TestDispatch(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		r := w.router(t)
		for _, c := range []struct {
			rootKey string
			calls   [3]int
			server  *fakekms.Server
			caller  string
		}{
			{w.eu, [3]int{5, 0, 0}, w.frankfurt, fakekms.DefaultAccessKeyID},
			{w.euOld, [3]int{5, 0, 0}, w.frankfurt, fakekms.DefaultAccessKeyID},
			{w.us, [3]int{0, 0, 5}, w.virginia, fakekms.DefaultAccessKeyID},
			{w.acme, [3]int{5, 0, 0}, w.frankfurt, ownCaller},
		} {
			dk, err := r.GenerateDataKey(t.Context(), c.rootKey, ec)
			require.NoError(t, err)
			require.Equal(t, c.rootKey, dk.RootKey)
			plain, err := r.Unwrap(t.Context(), c.rootKey, dk.Wrapped, ec)
			require.NoError(t, err)
			require.Equal(t, dk.Plaintext, plain)
			_, uri, err := r.Wrap(t.Context(), c.rootKey, plain, ec)
			require.NoError(t, err)
			require.Equal(t, c.rootKey, uri)
			_, uri, err = r.Rewrap(t.Context(), c.rootKey, dk.Wrapped, c.rootKey, ec)
			require.NoError(t, err)
			require.Equal(t, c.rootKey, uri)
			require.NoError(t, r.Check(t.Context(), c.rootKey))
			uri, err = r.Resolve(t.Context(), c.rootKey)
			require.NoError(t, err)
			require.Equal(t, c.rootKey, uri)
			for _, call := range c.server.Calls() {
				require.Equal(t, c.caller, call.AccessKeyID)
			}
			require.Equal(t, c.calls, w.calls())
		}
	})
}

// unrouted is root keys that exist or could, and that no region has.
func (w *world) unrouted() []string {
	other := "aws-kms://" + w.frankfurt.CreateKey(fakekms.KeyOptions{})
	return []string{
		"", other, "aws-kms://alias/crm", "local-kms://x/default",
		w.eu + "/", " " + w.eu, w.eu[:len(w.eu)-1], strings.ToUpper(w.eu), w.eu + "\x00",
		strings.Replace(w.eu, "eu-central-1", "eu-west-1", 1), // its replica's own name
		strings.Replace(w.eu, "eu-central-1", "us-east-1", 1),
	}
}

// A root key that isn't routed is refused without a call. The control: the
// provider, asked directly, calls.
func TestUnroutedRootKeysAreNotCalled(t *testing.T) {
	w := newWorld(t)
	r := w.router(t)
	dk, err := r.GenerateDataKey(t.Context(), w.eu, ec)
	require.NoError(t, err)
	other := w.unrouted()
	w.calls()
	for _, rootKey := range other {
		for name, do := range map[string]func() error{
			"GenerateDataKey": func() error { _, err := r.GenerateDataKey(t.Context(), rootKey, ec); return err },
			"Unwrap":          func() error { _, err := r.Unwrap(t.Context(), rootKey, dk.Wrapped, ec); return err },
			"Rewrap from":     func() error { _, _, err := r.Rewrap(t.Context(), rootKey, dk.Wrapped, w.eu, ec); return err },
			"Rewrap to":       func() error { _, _, err := r.Rewrap(t.Context(), w.eu, dk.Wrapped, rootKey, ec); return err },
			"Wrap":            func() error { _, _, err := r.Wrap(t.Context(), rootKey, dk.Plaintext, ec); return err },
			"Check":           func() error { return r.Check(t.Context(), rootKey) },
			"Resolve":         func() error { _, err := r.Resolve(t.Context(), rootKey); return err },
		} {
			err := do()
			require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%s %q: %v", name, rootKey, err)
			require.ErrorContains(t, err, "it was not called")
			require.NotErrorIs(t, err, errors.ErrUnsupported)
		}
		require.Nil(t, r.Health(rootKey))
	}
	require.Equal(t, [3]int{}, w.calls())
	_, err = w.inFrankfurt.GenerateDataKey(t.Context(), other[1], ec)
	require.NoError(t, err)
	require.Equal(t, [3]int{1, 0, 0}, w.calls())
}

// Only the locations that a region allows are called, whatever fails. The
// control: with Within left out, the other one is.
func TestForbiddenLocationIsNeverCalled(t *testing.T) {
	faults := map[string]fakekms.Fault{
		"hang": {Break: fakekms.Hang}, "drop": {Break: fakekms.Drop}, "5xx": {Error: "KMSInternalException"},
		"503": {Status: http.StatusServiceUnavailable}, "slow": {Delay: time.Minute}, "throttled": {Error: "ThrottlingException"},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			for _, off := range []bool{false, true} {
				bubble.Test(t, func(t *testing.T) {
					w := newWorld(t)
					defer w.close()
					c := w.config()
					if off {
						c.Regions[0].Within = nil
					}
					r, err := residency.New(c)
					require.NoError(t, err)
					dk, err := r.GenerateDataKey(t.Context(), w.eu, ec)
					require.NoError(t, err)
					w.calls()
					w.frankfurt.Inject(fault)
					back := w.dublin.Inject(fault)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					for range 4 {
						_, err := r.GenerateDataKey(ctx, w.eu, ec)
						require.Equal(t, off, err == nil, "%v", err)
						_, err = r.Unwrap(ctx, w.eu, dk.Wrapped, ec)
						require.Equal(t, off, err == nil, "%v", err)
						_, _, err = r.Wrap(ctx, w.eu, dk.Plaintext, ec)
						require.Equal(t, off, err == nil, "%v", err)
						_ = r.Check(ctx, w.eu)
					}
					n := w.calls()
					require.NotZero(t, n[0]+n[1])
					require.Equal(t, off, n[2] > 0, "calls in the forbidden location: %d", n[2])
					back()
					_, err = r.Unwrap(t.Context(), w.eu, dk.Wrapped, ec)
					require.NoError(t, err, "the one that is allowed serves when it is back")
				})
			}
		})
	}
}

// The control of the one before, in the other direction: the other region serves
// at once what is its own.
func TestOutageOfARegionIsItsOwn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		r := w.router(t)
		w.frankfurt.Inject(fakekms.Fault{Break: fakekms.Hang})
		start := time.Now()
		_, err := r.GenerateDataKey(t.Context(), w.us, ec)
		require.NoError(t, err)
		require.Equal(t, answerTime, time.Since(start))
		_, err = r.GenerateDataKey(t.Context(), w.eu, ec)
		require.NoError(t, err)
		require.Equal(t, [3]int{1, 1, 1}, w.calls(), "by way of Dublin")
		_, err = r.GenerateDataKey(t.Context(), w.euOld, ec)
		require.Equal(t, kmsprovider.ErrUnavailable, providertest.ClassOf(err), "%v", err)
		require.Equal(t, 0, w.dublin.Count(), "which doesn't have the old root key")
		require.Equal(t, 0, r.Health(w.eu)[1].Failures)
		require.Len(t, r.Health(w.eu), 2)
		require.Nil(t, r.Health(w.us), "one provider has nobody to fail over to")
	})
}

// A move is what a rule says. The old root key opens for the tenant that moved,
// and for nobody else of its new region.
func TestMove(t *testing.T) {
	w := newWorld(t)
	before := w.config()
	before.Tenants[1] = residency.Rule{Tenant: "globex", Region: "eu"}
	r, err := residency.New(before)
	require.NoError(t, err)
	keys, err := r.RootKeys("globex")
	require.NoError(t, err)
	dk, err := r.GenerateDataKey(t.Context(), keys.Seal, ec)
	require.NoError(t, err)

	forgotten := w.config()
	forgotten.Tenants[1].From = nil
	r, err = residency.New(forgotten)
	require.NoError(t, err)
	keys, err = r.RootKeys("globex")
	require.NoError(t, err)
	require.Equal(t, residency.RootKeys{Seal: w.us}, keys, "nothing stays by itself")

	r = w.router(t)
	keys, err = r.RootKeys("globex")
	require.NoError(t, err)
	require.Equal(t, w.us, keys.Seal)
	require.Contains(t, keys.Open, dk.RootKey)
	others, err := r.RootKeys("us-other")
	require.NoError(t, err)
	require.NotContains(t, others.Open, dk.RootKey)

	// No provider may be called for both root keys: KMS can't do it inside.
	w.calls()
	_, _, err = r.Rewrap(t.Context(), dk.RootKey, dk.Wrapped, keys.Seal, ec)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%v", err)
	require.Equal(t, [3]int{}, w.calls())
	wrapped, uri, err := kmsprovider.Rewrap(t.Context(), r, dk.RootKey, dk.Wrapped, keys.Seal, ec)
	require.NoError(t, err)
	require.Equal(t, [3]int{1, 0, 1}, w.calls())
	require.Equal(t, w.us, uri)
	plain, err := r.Unwrap(t.Context(), uri, wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, dk.Plaintext, plain)
}

// From the region's old root key to its new one, KMS does it inside: by the
// provider that may be called for both.
func TestRewrapWithinARegion(t *testing.T) {
	w := newWorld(t)
	r := w.router(t)
	dk, err := r.GenerateDataKey(t.Context(), w.euOld, ec)
	require.NoError(t, err)
	w.calls()
	wrapped, uri, err := r.Rewrap(t.Context(), w.euOld, dk.Wrapped, w.eu, ec)
	require.NoError(t, err)
	require.Equal(t, w.eu, uri)
	require.Equal(t, 1, w.frankfurt.Count("ReEncrypt"))
	require.Equal(t, [3]int{1, 0, 0}, w.calls())
	plain, err := r.Unwrap(t.Context(), uri, wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, dk.Plaintext, plain)
}

// A tenant's own root key, in the tenant's own account: what the tenant does to
// it stops that tenant, and no one else.
func TestRevokingATenantsOwnRootKey(t *testing.T) {
	w := newWorld(t)
	r := w.router(t)
	made := map[string]kmsprovider.DataKey{}
	for _, tenant := range []string{"acme", "globex", "us-x", "eu-x"} {
		keys, err := r.RootKeys(tenant)
		require.NoError(t, err)
		made[tenant], err = r.GenerateDataKey(t.Context(), keys.Seal, ec)
		require.NoError(t, err)
	}
	require.Contains(t, made["acme"].RootKey, ":"+ownAccount+":")
	revoked := w.frankfurt.Deny(strings.TrimPrefix(w.acme, "aws-kms://"))
	for tenant, dk := range made {
		_, unwrap := r.Unwrap(t.Context(), dk.RootKey, dk.Wrapped, ec)
		_, generate := r.GenerateDataKey(t.Context(), dk.RootKey, ec)
		if tenant == "acme" {
			require.Equal(t, kmsprovider.ErrDenied, providertest.ClassOf(unwrap), "%v", unwrap)
			require.Equal(t, kmsprovider.ErrDenied, providertest.ClassOf(generate), "%v", generate)
			continue
		}
		require.NoError(t, unwrap, tenant)
		require.NoError(t, generate, tenant)
	}
	revoked()
	_, err := r.Unwrap(t.Context(), w.acme, made["acme"].Wrapped, ec)
	require.NoError(t, err)

	// The same if acme takes away the role that its root key is called with.
	w.frankfurt.Inject(fakekms.Fault{AccessKeyID: ownCaller, Error: "UnrecognizedClientException"})
	_, err = r.Unwrap(t.Context(), w.acme, made["acme"].Wrapped, ec)
	require.Equal(t, kmsprovider.ErrDenied, providertest.ClassOf(err), "%v", err)
	_, err = r.Unwrap(t.Context(), w.eu, made["eu-x"].Wrapped, ec)
	require.NoError(t, err)
}

// Regions of several kinds of key service, and what only some can do.
func TestOtherProviders(t *testing.T) {
	w := newWorld(t)
	file, err := localkms.Open(t.TempDir() + "/root.keys")
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	c := w.config()
	plainOnly := bare{Provider: w.inVirginia}
	c.Regions[1].Call = []kmsprovider.Provider{plainOnly}
	c.Regions = append(c.Regions, residency.Region{
		Name: "cellar", RootKey: file.RootKey(), Call: []kmsprovider.Provider{residency.At("eu-cellar", file)}, Within: []string{"eu-*"},
	})
	c.Tenants = append(c.Tenants, residency.Rule{Tenant: "cellar", Region: "cellar"})
	r, err := residency.New(c)
	require.NoError(t, err)
	require.NoError(t, r.Check(t.Context(), file.RootKey()))
	dk, err := r.GenerateDataKey(t.Context(), file.RootKey(), ec)
	require.NoError(t, err)

	_, _, err = kmsprovider.Rewrap(t.Context(), r, dk.RootKey, dk.Wrapped, w.eu, ec)
	require.NoError(t, err, "from the file to AWS")

	for name, do := range map[string]func() error{
		"Wrap":   func() error { _, _, err := r.Wrap(t.Context(), w.us, dk.Plaintext, ec); return err },
		"Rewrap": func() error { _, _, err := r.Rewrap(t.Context(), w.us, dk.Wrapped, w.us, ec); return err },
		"Check":  func() error { return r.Check(t.Context(), w.us) },
		"move": func() error {
			_, _, err := kmsprovider.Rewrap(t.Context(), r, dk.RootKey, dk.Wrapped, w.us, ec)
			return err
		},
	} {
		err := do()
		require.Equal(t, kmsprovider.ErrKeyUnusable, providertest.ClassOf(err), "%s: %v", name, err)
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
	}
	require.NoError(t, r.CheckAll(t.Context()))
}

func TestCheckAll(t *testing.T) {
	w := newWorld(t)
	r := w.router(t)
	require.NoError(t, r.CheckAll(t.Context()))
	require.Equal(t, [3]int{3, 1, 1}, w.calls(), "each root key, and the replica")
	w.dublin.Disable(strings.TrimPrefix(strings.Replace(w.eu, "eu-central-1", "eu-west-1", 1), "aws-kms://"))
	w.virginia.Deny(strings.TrimPrefix(w.us, "aws-kms://"))
	err := r.CheckAll(t.Context())
	require.ErrorContains(t, err, `region "eu": `)
	require.ErrorContains(t, err, `region "us": `)
	require.NotContains(t, err.Error(), `region "acme"`)
	require.ErrorIs(t, err, kmsprovider.ErrKeyUnusable)
	require.ErrorIs(t, err, kmsprovider.ErrDenied)
}

func TestRouterPrints(t *testing.T) {
	w := newWorld(t)
	r := w.router(t)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "router", r)
	for _, text := range []string{fmt.Sprintf("%v", r), fmt.Sprintf("%#v", r), fmt.Sprintf("%x", r), log.String()} {
		require.Contains(t, text, "residency.Router(eu: "+w.eu+", eu: "+w.euOld+", us: ")
		require.NotContains(t, text, "AKID")
	}
	require.Equal(t, "residency.Router(nil)", fmt.Sprint((*residency.Router)(nil)))
}
