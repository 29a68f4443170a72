package envelope

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/awskms"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider/fakekms"
)

// TestRewrapVerifiesWhatIsDone: that a record names the new root key is no proof
// that its key is wrapped under it. Unverified, it is believed: the control.
func TestRewrapVerifiesWhatIsDone(t *testing.T) {
	for _, unverified := range []bool{false, true} {
		kms, before, after := twoRoots(t)
		store := NewMemoryStore()
		envs := sealed(t, storeRing(t, kms, store, RootKeys{Seal: before}), 4)
		both := storeRing(t, kms, store, RootKeys{Seal: after, Open: []string{before}})
		_, err := both.Rewrap(t.Context(), Filter{Tenant: "tenant-3"}, after, nil)
		require.NoError(t, err)
		for _, rec := range store.keys {
			switch rec.Scope.Tenant {
			case "tenant-0":
				rec.RootKey = after // and the wrapping is the old one
			case "tenant-1":
				rec.RootKey, rec.Wrapped = after, nil
			}
		}
		report, err := both.Rewrap(t.Context(), Filter{}, after, &RewrapOptions{Unverified: unverified})
		require.Equal(t, 1, report.Rewrapped)
		require.Empty(t, report.Left)
		if unverified {
			require.NoError(t, err)
			require.Equal(t, 3, report.Already)
			_, err = storeRing(t, kms, store, RootKeys{Seal: after}).Open(t.Context(), place("tenant-0"), envs["tenant-0"])
			require.ErrorIs(t, err, ErrNotAuthentic)
			continue
		}
		require.Equal(t, 1, report.Already)
		require.Len(t, report.Failed, 2)
		require.ErrorContains(t, err, "2 keys failed")
		require.ErrorContains(t, err, "the key store says that it is under that root key, and it doesn't open")
		require.ErrorIs(t, report.Failed[0], ErrNotAuthentic)
		require.ErrorIs(t, report.Failed[1], ErrMalformed)
		require.Contains(t, report.String(), "1 keys were rewrapped, 1 were under it before, 2 failed")
	}
}

// Run again, a rewrap costs one Decrypt a key, or nothing if it is unverified.
func TestRewrapAgainOnKMS(t *testing.T) {
	srv := fakekms.Start(t)
	first, second := srv.CreateKey(fakekms.KeyOptions{}), srv.CreateKey(fakekms.KeyOptions{})
	kms, err := awskms.New(srv.Config(), nil)
	require.NoError(t, err)
	store := NewMemoryStore()
	from, to := "aws-kms://"+first, "aws-kms://"+second
	_ = sealed(t, storeRing(t, kms, store, RootKeys{Seal: from}), 30)
	both := storeRing(t, kms, store, RootKeys{Seal: to, Open: []string{from}})
	_, err = both.Rewrap(t.Context(), Filter{}, to, nil)
	require.NoError(t, err)
	for _, c := range []struct {
		RewrapOptions
		decrypts int
	}{{RewrapOptions{}, 30}, {RewrapOptions{Unverified: true}, 0}, {RewrapOptions{DryRun: true}, 0}} {
		srv.ResetCalls()
		report, err := both.Rewrap(t.Context(), Filter{}, to, &c.RewrapOptions)
		require.NoError(t, err)
		require.Equal(t, 30, report.Already)
		require.Zero(t, report.Rewrapped)
		require.Equal(t, []int{0, c.decrypts}, []int{srv.Count("ReEncrypt"), srv.Count("Decrypt")})
	}

	// A root key that doesn't unwrap costs few calls.
	defer srv.Deny(second, "Decrypt")()
	srv.ResetCalls()
	report, err := both.Rewrap(t.Context(), Filter{}, to, nil)
	require.ErrorContains(t, err, "failed for 20 keys in a row")
	require.Len(t, report.Failed, giveUpAfter)
	require.Equal(t, giveUpAfter, srv.Count("Decrypt"))
}
