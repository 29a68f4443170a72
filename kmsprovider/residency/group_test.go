package residency_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fieldcrypt/fieldcrypt-go/envelope"
	"github.com/fieldcrypt/fieldcrypt-go/kmsprovider"
)

// A router tells which root keys it has and who may be called for each: what is
// not within the region isn't among them.
func TestBehind(t *testing.T) {
	w := newWorld(t)
	r := w.router(t)
	seal, open := r.ListRootKeys()
	require.Equal(t, []string{w.eu, w.us, w.acme}, seal)
	require.Equal(t, []string{w.euOld}, open)
	for uri, want := range map[string][]kmsprovider.Provider{
		w.eu: {w.inFrankfurt, w.inDublin}, w.us: {w.inVirginia}, w.acme: {w.asAcme}, "aws-kms://none": nil,
	} {
		require.Equal(t, want, r.Behind(uri), uri)
	}
	r.Behind(w.eu)[0] = nil
	seal[0] = "x"
	require.Equal(t, w.inFrankfurt, r.Behind(w.eu)[0], "it gives copies")
	_, err := r.GenerateDataKey(t.Context(), w.eu, ec)
	require.NoError(t, err)
}

// A doctor calls only whom the residency permits, and each of them.
func TestDoctorKeepsToTheResidency(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Regions, c.Tenants, c.Default = c.Regions[:1], nil, "eu"
	r := w.router(t)
	require.NoError(t, r.Replace(c))
	ring, err := envelope.NewKeyRing(r, envelope.RootKeysByTenant(r.RootKeys), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ring.Close()) })
	w.calls()
	report := ring.Doctor(t.Context(), nil)
	require.NoError(t, report.Err())
	calls := w.calls()
	require.NotZero(t, calls[0])
	require.NotZero(t, calls[1], "the second of the region is tried although the first answers")
	require.Zero(t, calls[2], "Virginia isn't within eu-*")
}
